//! What limits and budgets have used, as far as it must outlive the process: the record is written ahead of the use, so
//! that a killed process can only have used less than is on record.
//!
//! It has a file of its own, since it is written while requests wait, and because it is held by one process at a time:
//! two gateways counting on their own would each spend the whole budget.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::sqlite::LeaseTable;

/// So much of one limit may have been used in one slot of time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    pub gateway: String,
    /// Names the counter within the gateway.
    pub key: String,
    /// Number of the slot, as the counter's window has it.
    pub slot: i64,
    /// Requests, tokens or nano-USD. Kept up to 2^63 - 1.
    pub amount: u64,
    /// When it no longer matters.
    pub ends_at_ms: i64,
}

/// The record of leases. One thread writes it; every call may block.
#[derive(Debug)]
pub struct Leases {
    table: LeaseTable,
}

impl Leases {
    /// Opens the record that belongs to the store at `store`, creating it (mode 0600), and keeps other processes out of
    /// it: `genesis.db` → `genesis-limits.db`.
    pub fn open(store: &Path) -> Result<Self> {
        Ok(Self { table: LeaseTable::open(&limits_path(store))? })
    }

    /// Every lease that still matters.
    pub fn read(&self, now_ms: i64) -> Result<Vec<Lease>> {
        self.table.read(now_ms)
    }

    /// Writes leases, each in the place of an earlier one for the same counter and slot, and forgets those that no longer
    /// matter. When this returns they are on disk, all of them; after an error, none may be.
    pub fn write(&mut self, leases: &[Lease], now_ms: i64) -> Result<()> {
        self.table.write(leases, now_ms)
    }
}

fn limits_path(store: &Path) -> PathBuf {
    crate::store::beside(store, "limits")
}
