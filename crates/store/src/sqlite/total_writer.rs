//! Adding to the totals: per minute, hour and day, in the journal's transaction.
//!
//! Totals that are being added to are remembered, so that they need not be read again at every commit.

use std::{
    collections::{HashMap, hash_map},
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Failure, damaged};
use crate::{
    Dimension,
    bytes::bytes,
    totals::{Total, put_series, read_series, with_model},
};

/// Minutes in a bucket of each level.
pub(super) const LEVELS: [i64; 3] = [1, 60, 1_440];
/// How long minutes and hours are kept, in minutes. Days are kept for good.
const KEPT: [i64; 2] = [8 * 1_440, 100 * 1_440];
/// Totals remembered at most.
const REMEMBERED: usize = 2_048;
const REMEMBERED_SERIES: usize = 50_000;
/// New series a day; beyond it models are no longer told apart. Whoever may call can name models that do not exist.
const NEW_SERIES: usize = 5_000;
/// New series a day for one metadata key of one gateway; beyond it values are no longer told apart.
const NEW_LABELS: usize = 300;
/// Metadata keys a gateway may bring up in a day; beyond it they are not counted.
const NEW_NAMES: usize = 50;

#[derive(Debug, Default)]
pub(super) struct TotalWriter {
    series: HashMap<Vec<u8>, i64>,
    open: HashMap<(usize, i64, i64), Total>,
    day: i64,
    new_series: usize,
    /// By gateway and metadata key.
    new_labels: HashMap<(String, String), usize>,
    raw: Vec<u8>,
}

impl TotalWriter {
    /// Somebody else may have changed totals.
    pub(super) fn forget(&mut self) {
        self.open.clear();
        self.series.clear();
    }

    /// Adds to the minute, the hour and the day.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        totals: &[(i64, Vec<u8>, Total)],
    ) -> Result<(), Failure> {
        if self.open.len() > REMEMBERED {
            self.open.clear();
        }
        if self.series.len() > REMEMBERED_SERIES {
            self.series.clear();
        }
        for (minute, series, total) in totals {
            let Some(series) = self.series(transaction, *minute, series)? else { continue };
            for (level, length) in LEVELS.into_iter().enumerate() {
                self.add_one(transaction, (level, minute.div_euclid(length), series), total)?;
            }
        }
        Ok(())
    }

    fn add_one(
        &mut self,
        transaction: &Transaction<'_>,
        place: (usize, i64, i64),
        added: &Total,
    ) -> Result<(), Failure> {
        let (level, bucket, series) = place;
        let total = match self.open.entry(place) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(unknown) => {
                let mut total = Total::default();
                let mut statement = transaction
                    .prepare_cached("SELECT data FROM total WHERE level = ? AND bucket = ? AND series = ?")?;
                let mut rows = statement.query(params![level as i64, bucket, series])?;
                if let Some(row) = rows.next()? {
                    total
                        .merge_packed(row.get_ref(0)?.as_blob().unwrap_or_default(), true)
                        .ok_or_else(|| damaged("a total"))?;
                }
                unknown.insert(total)
            }
        };
        total.merge(added);
        self.raw.clear();
        total.pack(&mut self.raw);
        transaction.prepare_cached("INSERT OR REPLACE INTO total VALUES (?, ?, ?, ?)")?.execute(params![
            level as i64,
            bucket,
            series,
            self.raw
        ])?;
        Ok(())
    }

    /// The number of a series, or of one that stands for it where too many are new; `None`: it is not counted.
    fn series(
        &mut self,
        transaction: &Transaction<'_>,
        minute: i64,
        series: &[u8],
    ) -> Result<Option<i64>, Failure> {
        if let Some(number) = self.number(transaction, series)? {
            return Ok(Some(number));
        }
        let day = minute.div_euclid(LEVELS[2]);
        if day != self.day {
            (self.day, self.new_series) = (day, 0);
            self.new_labels.clear();
        }
        let Some((key, label)) = read_series(series) else { return Ok(None) };
        let mut wanted = series.to_vec();
        if let Some((name, _)) = label {
            let place = (format!("{}\n{}", key.account, key.gateway), name.to_owned());
            let names = self.new_labels.len();
            match self.new_labels.entry(place) {
                hash_map::Entry::Vacant(_) if names >= NEW_NAMES => return Ok(None),
                entry => {
                    let new = entry.or_default();
                    *new += 1;
                    if *new > NEW_LABELS {
                        wanted.clear();
                        put_series(
                            &mut wanted,
                            bytes(&mut &*series).unwrap_or_default(),
                            Some((name, Dimension::OTHER)),
                        );
                    }
                }
            }
        }
        self.new_series += 1;
        if self.new_series > NEW_SERIES {
            wanted = with_model(&wanted, Dimension::OTHER).unwrap_or(wanted);
        }
        if let Some(number) = self.number(transaction, &wanted)? {
            return Ok(Some(number));
        }
        let number = transaction.prepare_cached("INSERT INTO series (key) VALUES (?)")?.insert([&wanted])?;
        self.series.insert(wanted, number);
        Ok(Some(number))
    }

    fn number(&mut self, transaction: &Transaction<'_>, series: &[u8]) -> rusqlite::Result<Option<i64>> {
        if let Some(number) = self.series.get(series) {
            return Ok(Some(*number));
        }
        let found: Option<i64> = transaction
            .prepare_cached("SELECT number FROM series WHERE key = ?")?
            .query_row([series], |row| row.get(0))
            .optional()?;
        if let Some(number) = found {
            self.series.insert(series.to_vec(), number);
        }
        Ok(found)
    }

    /// Deletes some minutes and hours that are kept long enough; hours and days have them in their sums. True if there are
    /// more.
    pub(super) fn thin_out(&mut self, transaction: &Transaction<'_>) -> Result<bool, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64 / 60;
        let mut more = false;
        for (level, kept) in KEPT.into_iter().enumerate() {
            // Whole buckets of the next level, so that each is kept completely or not at all.
            let coarser = LEVELS[level + 1];
            let end = (now - kept).div_euclid(coarser) * coarser / LEVELS[level];
            let oldest: Option<i64> = transaction
                .prepare_cached("SELECT min(bucket) FROM total WHERE level = ?")?
                .query_row([level as i64], |row| row.get(0))?;
            let Some(oldest) = oldest.filter(|oldest| *oldest < end) else { continue };
            let step = (oldest + 60).min(end);
            transaction
                .prepare_cached("DELETE FROM total WHERE level = ? AND bucket < ?")?
                .execute([level as i64, step])?;
            self.open.clear();
            more |= step < end;
        }
        Ok(more)
    }
}
