//! Adding to the totals, in the journal's transaction.
//!
//! Sums are kept per minute, hour and day, and changing a row of each for every series at every commit would cost more
//! than the records. So a commit writes what it adds as one row, *fresh*, and a hundred such rows are added to the sums
//! together. Whoever reads adds the fresh rows to the sums.

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Failure, damaged};
use crate::{
    Dimension,
    bytes::{bytes, put_bytes, put_signed, signed},
    totals::{Total, put_series, read_series, with_model},
};

/// Minutes in a bucket of each level.
pub(super) const LEVELS: [i64; 3] = [1, 60, 1_440];
/// Added to the level of series with a metadata entry: they are many, and most questions are not about them.
pub(super) const LABELLED: usize = 3;
/// How long minutes and hours are kept, in minutes. Days are kept for good.
const KEPT: [i64; 2] = [8 * 1_440, 100 * 1_440];
/// When fresh totals are added to the sums: at so many rows, at so many totals, after so long.
const FRESH_ROWS: usize = 100;
const FRESH: usize = 4_096;
const FRESH_FOR: Duration = Duration::from_secs(5);
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
    /// What the rows of `fresh_total` hold, by minute and series.
    fresh: HashMap<(i64, Vec<u8>), Total>,
    fresh_rows: usize,
    /// When the first of them was written.
    fresh_since: Option<Instant>,
    day: i64,
    new_series: usize,
    /// By gateway and metadata key.
    new_labels: HashMap<(String, String), usize>,
}

impl TotalWriter {
    /// Reads anew what is remembered: somebody else may have changed it.
    pub(super) fn refresh(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.series.clear();
        self.fresh.clear();
        (self.fresh_rows, self.fresh_since) = (0, None);
        each_fresh(connection, &mut |minute, series, packed| {
            let total = self.fresh.entry((minute, series.to_vec())).or_default();
            total.merge_packed(packed, true).ok_or_else(|| damaged("a total"))
        })?;
        if !self.fresh.is_empty() {
            self.fresh_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Adds a commit's totals: as they are, in one row, and now and then all such rows to the sums.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        totals: &[(i64, Vec<u8>, Total)],
    ) -> Result<(), Failure> {
        if totals.is_empty() {
            return Ok(());
        }
        let (mut raw, mut packed) = (Vec::with_capacity(256), Vec::with_capacity(256));
        for (minute, series, total) in totals {
            packed.clear();
            total.pack(&mut packed);
            put_signed(&mut raw, *minute);
            put_bytes(&mut raw, series);
            put_bytes(&mut raw, &packed);
            match self.fresh.get_mut(&(*minute, series.clone())) {
                Some(known) => known.merge(total),
                None => drop(self.fresh.insert((*minute, series.clone()), total.clone())),
            }
        }
        transaction.prepare_cached("INSERT INTO fresh_total (data) VALUES (?)")?.execute([raw])?;
        self.fresh_rows += 1;
        let since = *self.fresh_since.get_or_insert_with(Instant::now);
        let due = self.fresh_rows >= FRESH_ROWS || self.fresh.len() >= FRESH || since.elapsed() >= FRESH_FOR;
        if due { self.fold(transaction) } else { Ok(()) }
    }

    /// Adds what is fresh to the sums of its minutes, hours and days.
    pub(super) fn fold(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        if self.series.len() > REMEMBERED_SERIES {
            self.series.clear();
        }
        let mut sums: BTreeMap<(usize, i64, i64), Total> = BTreeMap::new();
        for ((minute, series), total) in std::mem::take(&mut self.fresh) {
            let above = level_of(&series);
            let Some(series) = self.series(transaction, minute, &series)? else { continue };
            for (level, length) in LEVELS.into_iter().enumerate() {
                let place = (above + level, minute.div_euclid(length), series);
                sums.entry(place).or_default().merge(&total);
            }
        }
        for (place, total) in sums {
            add_to_sum(transaction, place, total)?;
        }
        transaction.prepare_cached("DELETE FROM fresh_total")?.execute([])?;
        (self.fresh_rows, self.fresh_since) = (0, None);
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
        for (level, kept, above) in [0, LABELLED]
            .into_iter()
            .flat_map(|above| KEPT.into_iter().enumerate().map(move |(level, kept)| (level, kept, above)))
        {
            // Whole buckets of the next level, so that each is kept completely or not at all.
            let coarser = LEVELS[level + 1];
            let end = (now - kept).div_euclid(coarser) * coarser / LEVELS[level];
            let oldest: Option<i64> = transaction
                .prepare_cached("SELECT min(bucket) FROM total WHERE level = ?")?
                .query_row([(above + level) as i64], |row| row.get(0))?;
            let Some(oldest) = oldest.filter(|oldest| *oldest < end) else { continue };
            let step = (oldest + 60).min(end);
            transaction
                .prepare_cached("DELETE FROM total WHERE level = ? AND bucket < ?")?
                .execute([(above + level) as i64, step])?;
            more |= step < end;
        }
        Ok(more)
    }
}

/// What is added to the levels of a series.
pub(super) fn level_of(series: &[u8]) -> usize {
    if read_series(series).is_some_and(|(_, label)| label.is_some()) { LABELLED } else { 0 }
}

fn add_to_sum(
    transaction: &Transaction<'_>,
    (level, bucket, series): (usize, i64, i64),
    mut total: Total,
) -> Result<(), Failure> {
    let mut statement =
        transaction.prepare_cached("SELECT data FROM total WHERE level = ? AND bucket = ? AND series = ?")?;
    let mut rows = statement.query(params![level as i64, bucket, series])?;
    if let Some(row) = rows.next()? {
        let known = row.get_ref(0)?.as_blob().unwrap_or_default();
        total.merge_packed(known, true).ok_or_else(|| damaged("a total"))?;
    }
    let mut raw = Vec::with_capacity(256);
    total.pack(&mut raw);
    transaction.prepare_cached("INSERT OR REPLACE INTO total VALUES (?, ?, ?, ?)")?.execute(params![
        level as i64,
        bucket,
        series,
        raw
    ])?;
    Ok(())
}

/// Takes minute, series, packed total.
type VisitFresh<'a> = dyn FnMut(i64, &[u8], &[u8]) -> Result<(), Failure> + 'a;

/// Every total that is not in the sums yet.
pub(super) fn each_fresh(connection: &Connection, visit: &mut VisitFresh<'_>) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("SELECT data FROM fresh_total")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut raw = row.get_ref(0)?.as_blob().unwrap_or_default();
        while !raw.is_empty() {
            let mut entry = || Some((signed(&mut raw)?, bytes(&mut raw)?, bytes(&mut raw)?));
            let (minute, series, total) = entry().ok_or_else(|| damaged("a total"))?;
            visit(minute, series, total)?;
        }
    }
    Ok(())
}
