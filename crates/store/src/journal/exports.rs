//! How far exports of the log have come, on its way to disk.
//!
//! The log's writer puts it there with the records, so that nobody else writes to the log's file and the writer never
//! waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::LogPlace;

/// What one commit writes of exports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ExportPlaces {
    /// By target.
    pub(crate) reached: BTreeMap<String, LogPlace>,
    /// Targets that are not among these are forgotten.
    pub(crate) kept: Option<BTreeSet<String>>,
}

/// What has not been written yet; one place per target, however often it moves.
#[derive(Debug, Default)]
pub(super) struct WaitingPlaces {
    places: Mutex<ExportPlaces>,
    any: AtomicBool,
}

impl WaitingPlaces {
    pub(super) fn note(&self, target: &str, place: LogPlace) {
        self.change(|places| {
            places.reached.insert(target.to_owned(), place);
        });
    }

    pub(super) fn keep(&self, targets: BTreeSet<String>) {
        self.change(|places| {
            places.reached.retain(|target, _| targets.contains(target));
            places.kept = Some(targets);
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::SeqCst)
    }

    pub(super) fn waiting(&self) -> ExportPlaces {
        if self.is_empty() { ExportPlaces::default() } else { self.change(|places| places.clone()) }
    }

    /// Takes out what was written, unless it has changed since.
    pub(super) fn written(&self, written: &ExportPlaces) {
        if self.is_empty() {
            return;
        }
        self.change(|places| {
            places.reached.retain(|target, place| written.reached.get(target) != Some(place));
            if places.kept == written.kept {
                places.kept = None;
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut ExportPlaces) -> T) -> T {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let value = change(&mut places);
        self.any.store(*places != ExportPlaces::default(), Ordering::SeqCst);
        value
    }
}
