//! What is noted about a record after the fact. Kept apart from it, since records never change, and merged when read.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Result, Store};

/// What a person or program notes about a logged exchange. `None` leaves what was noted before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogNote {
    /// 1 good, -1 bad, 0 neither.
    pub feedback: Option<i32>,
    /// 0 to 100.
    pub score: Option<f64>,
    /// Replaces the caller's metadata as far as readers see it.
    pub metadata: Option<Map<String, Value>>,
}

/// A cost that was corrected: what the record said before. The record as read has the new cost.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Repriced {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    pub original_cost_nano_usd: Option<i64>,
    pub original_price_id: Option<String>,
    pub original_price_formula: Option<String>,
}

/// A new cost for a logged exchange.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Correction {
    pub id: Uuid,
    pub cost_nano_usd: Option<i64>,
    pub price_id: Option<String>,
    pub price_formula: Option<String>,
}

/// Everything that is kept about a record beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Annotation {
    pub(crate) feedback: Option<i32>,
    pub(crate) score: Option<f64>,
    /// JSON object.
    pub(crate) metadata_text: Option<String>,
    pub(crate) repriced: Option<Correction>,
    pub(crate) repriced_at_ms: i64,
}

impl Store {
    /// Notes something about a record; false if there is no such record. What was noted goes with the record when that
    /// is deleted.
    pub fn annotate_log(&self, id: Uuid, note: &LogNote) -> Result<bool> {
        self.log_database().annotate(id, note)
    }

    /// Corrects costs of logged exchanges, and the totals by the difference. Records that are gone are left out;
    /// returns how many were corrected. All or none.
    pub fn correct_costs(&self, corrections: &[Correction], at_ms: i64) -> Result<u64> {
        self.log_database().correct_costs(corrections, at_ms)
    }
}
