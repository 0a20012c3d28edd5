//! The log behind a place: what one target has yet to get.
//!
//! The place is kept in the log's own file under the target's name and moves on only when the receiver has the records
//! before it, so a process that ends, however it ends, goes on where its receiver stopped taking.

use std::collections::BTreeSet;
use std::sync::Arc;

use genesis_store::{Journal, LogCondition, LogPlace, LogSlice, LogStretch, Result, Store};

/// Which records a target gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Ids of gateways.
    pub gateways: BTreeSet<String>,
    /// Every one must hold.
    pub conditions: Vec<LogCondition>,
    pub with_bodies: bool,
}

/// How much is read at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    pub records: usize,
    /// Of records and bodies together; a single record may be larger.
    pub bytes: usize,
}

/// One target's view of the log.
#[derive(Debug)]
pub struct Source {
    target: String,
    store: Store,
    journal: Arc<Journal>,
    gateways: BTreeSet<String>,
    slice: LogSlice,
    /// `None` until the log said where it ends.
    place: Option<LogPlace>,
}

impl Source {
    /// Goes on where this target stopped; a new one begins with what is logged from now on.
    pub fn open(
        store: Store,
        journal: Arc<Journal>,
        target: &str,
        wanted: &Selection,
        bounds: Bounds,
    ) -> Self {
        let gateways = wanted.gateways.clone();
        let slice = LogSlice {
            gateways: Arc::new(move |_, id| gateways.contains(id)),
            conditions: wanted.conditions.clone(),
            with_bodies: wanted.with_bodies,
            max_records: bounds.records.max(1),
            max_bytes: bounds.bytes,
        };
        let gateways = wanted.gateways.clone();
        let mut source = Self { target: target.to_owned(), store, journal, gateways, slice, place: None };
        if let Err(error) = source.place() {
            tracing::warn!(target, %error, "the log cannot be read yet to be exported");
        }
        source
    }

    /// What follows. Empty entries with `more`: nothing is wanted so far, read on after [`Source::pass`].
    pub fn read(&mut self) -> Result<LogStretch> {
        let place = self.place()?;
        self.store.log_after(place, &self.slice)
    }

    /// Everything up to here has arrived, or is not wanted, and will not be read again.
    pub fn pass(&mut self, place: LogPlace) {
        self.place = Some(place);
        self.journal.note_export(&self.target, place);
    }

    /// Everything up to here is not wanted, which is not worth a write each time: see [`Source::keep_place`].
    pub fn pass_unwanted(&mut self, place: LogPlace) {
        self.place = Some(place);
    }

    /// Keeps the place it has come to.
    pub fn keep_place(&self) {
        if let Some(place) = self.place {
            self.journal.note_export(&self.target, place);
        }
    }

    /// How many records are yet to be sent; conditions are not looked at.
    pub fn behind(&mut self) -> Result<u64> {
        let place = self.place()?;
        self.store.log_behind(place, &self.slice)
    }

    /// How many were deleted before they could be sent.
    pub fn lost(&self) -> Result<u64> {
        let lost = self.store.lost_before_export(&self.target)?.into_iter();
        Ok(lost.filter(|(gateway, _)| self.gateways.contains(gateway)).map(|(_, records)| records).sum())
    }

    /// Looks again where this target stopped: another source of it has moved the place on.
    pub fn find_place_again(&mut self) {
        self.place = None;
    }

    fn place(&mut self) -> Result<LogPlace> {
        if let Some(place) = self.place {
            return Ok(place);
        }
        let noted = self.journal.noted_export(&self.target);
        let place =
            match noted.map_or_else(|| self.store.export_place(&self.target), |place| Ok(Some(place)))? {
                Some(place) => place,
                None => {
                    let end = self.store.log_end()?;
                    // At once: what is logged before the first batch belongs to it, whatever happens until then.
                    self.journal.note_export(&self.target, end);
                    end
                }
            };
        self.place = Some(place);
        Ok(place)
    }
}
