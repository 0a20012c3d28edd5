//! Reading the log on from a place, oldest first, for what carries it elsewhere; and the place each such target has come
//! to, which is kept in the log's own file ([`Journal::note_export`](crate::Journal::note_export) writes it).

use std::{fmt, sync::Arc};

use crate::{LogCondition, LogRecord, Payload, Result, Store};

/// A place in the log: after one record and before the next, in the order of recording.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LogPlace(pub(crate) i64);

impl LogPlace {
    /// Before the first record.
    pub const START: Self = Self(0);

    /// A number that grows with the place; no two records have the same.
    pub fn number(self) -> u64 {
        self.0.unsigned_abs()
    }
}

/// Tells by account and id whether a gateway's records are wanted.
pub type WhichGateways = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// What is wanted of the log, and how much at once.
#[derive(Clone)]
pub struct LogSlice {
    pub gateways: WhichGateways,
    /// Which of them; every condition must hold.
    pub conditions: Vec<LogCondition>,
    pub with_bodies: bool,
    pub max_records: usize,
    /// Of records and bodies together. One record is given however large it is.
    pub max_bytes: usize,
}

impl fmt::Debug for LogSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSlice")
            .field("conditions", &self.conditions)
            .field("with_bodies", &self.with_bodies)
            .field("max_records", &self.max_records)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

/// One record on its way out.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Right after the record.
    pub place: LogPlace,
    pub record: LogRecord,
    /// `None` if they were not asked for, or not kept.
    pub payload: Option<Payload>,
}

/// The records that follow a place, as far as they were read.
#[derive(Clone, Debug, Default)]
pub struct LogStretch {
    /// In the order of recording.
    pub entries: Vec<LogEntry>,
    /// Everything up to here was looked at; where to read on.
    pub reached: LogPlace,
    /// There is more to be read right now.
    pub more: bool,
    /// Records on the way that are damaged and can never be sent.
    pub unreadable: u64,
}

impl Store {
    /// The place after the last record there is.
    pub fn log_end(&self) -> Result<LogPlace> {
        self.log_database().end()
    }

    /// What follows a place. Looks at a bounded number of records, so it may find none and still say there is more.
    pub fn log_after(&self, place: LogPlace, wanted: &LogSlice) -> Result<LogStretch> {
        let stretch = self.log_database().after(place, wanted)?;
        // Where there is no log yet, nothing was looked at.
        Ok(LogStretch { reached: stretch.reached.max(place), ..stretch })
    }

    /// How many records of the wanted gateways follow a place; conditions are not looked at.
    pub fn log_behind(&self, place: LogPlace, wanted: &LogSlice) -> Result<u64> {
        self.log_database().behind(place, wanted)
    }

    /// How far a target has come; `None` if that was never noted, or in a log that is gone.
    pub fn export_place(&self, target: &str) -> Result<Option<LogPlace>> {
        self.log_database().export_place(target)
    }

    /// How many records of each gateway were deleted before they could be sent to a target.
    pub fn lost_before_export(&self, target: &str) -> Result<Vec<(String, u64)>> {
        self.log_database().lost_before_export(target)
    }
}
