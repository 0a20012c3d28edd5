//! Adding up totals: which of them cover the time asked for, and into which groups they fall.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{
    Failure, damaged,
    total_writer::{LABELLED, LEVELS, each_fresh},
};
use crate::{
    AnalyticsCondition, AnalyticsOrder, AnalyticsQuery, AnalyticsRow, Bucket, Dimension, Direction, Error,
    ErrorKind, Percentiles,
    packed::Key,
    totals::{Total, label_of_series, read_series},
};

/// One row per group; percentiles only if wanted, for they are most of the work.
pub(super) fn analytics(
    connection: &Connection,
    query: &AnalyticsQuery,
    with_percentiles: bool,
) -> Result<Vec<AnalyticsRow>, Failure> {
    let wanted = Wanted::new(query)?;
    let mut groups = Groups::default();
    let series = groups.of_series(connection, &wanted)?;
    let above = if wanted.label.is_some() { LABELLED } else { 0 };
    let spans = spans(connection, query, above)?;
    let mut found = Grouped::default();
    let mut add = |minute: i64, group: usize, packed: &[u8]| {
        let bucket = query
            .bucket
            .map_or(0, |bucket| (minute * 60_000).div_euclid(bucket.length_ms()) * bucket.length_ms());
        found.total(bucket, group).merge_packed(packed, with_percentiles).ok_or_else(|| damaged("a total"))
    };
    let mut statement = connection.prepare_cached(
        "SELECT bucket, series, data FROM total WHERE level = ? AND bucket >= ? AND bucket < ?",
    )?;
    for Span { level, first, end } in &spans {
        let mut rows = statement.query(params![(above + *level) as i64, first, end])?;
        while let Some(row) = rows.next()? {
            let number: usize = row.get::<_, i64>(1)?.try_into().unwrap_or(usize::MAX);
            if let Some(group) = series.get(number).copied().flatten() {
                add(
                    row.get::<_, i64>(0)? * LEVELS[*level],
                    group,
                    row.get_ref(2)?.as_blob().unwrap_or_default(),
                )?;
            }
        }
    }
    each_fresh(connection, &mut |minute, series, packed| {
        let covers = |span: &Span| (span.first..span.end).contains(&minute.div_euclid(LEVELS[span.level]));
        match wanted.group(series).filter(|_| spans.iter().any(covers)) {
            Some(name) => add(minute, groups.number(name), packed),
            None => Ok(()),
        }
    })?;
    let mut rows: Vec<AnalyticsRow> = found
        .finish()
        .map(|(bucket, group, total)| AnalyticsRow {
            bucket_ms: query.bucket.map(|_| bucket),
            group: groups.names[group].clone(),
            sums: total.sums,
            duration: Percentiles::of(&total.duration),
            first_byte: Percentiles::of(&total.first_byte),
        })
        .collect();
    sort(&mut rows, query);
    if query.limit > 0 {
        rows.truncate(query.limit);
    }
    Ok(rows)
}

fn sort(rows: &mut [AnalyticsRow], query: &AnalyticsQuery) {
    rows.sort_by(|one, two| {
        let (of_one, of_two) = (&one.sums, &two.sums);
        let order = match query.order {
            AnalyticsOrder::Bucket => std::cmp::Ordering::Equal,
            AnalyticsOrder::Requests => of_one.requests.cmp(&of_two.requests),
            AnalyticsOrder::Errors => of_one.errors.cmp(&of_two.errors),
            AnalyticsOrder::Cost => of_one.cost_nano_usd.cmp(&of_two.cost_nano_usd),
            AnalyticsOrder::TokensIn => of_one.tokens_in.cmp(&of_two.tokens_in),
            AnalyticsOrder::TokensOut => of_one.tokens_out.cmp(&of_two.tokens_out),
        };
        let by_name = (one.bucket_ms, &one.group).cmp(&(two.bucket_ms, &two.group));
        match (query.order, query.direction) {
            (AnalyticsOrder::Bucket, Direction::Descending) => by_name.reverse(),
            (AnalyticsOrder::Bucket, Direction::Ascending) => by_name,
            (_, Direction::Descending) => order.reverse().then(by_name),
            (_, Direction::Ascending) => order.then(by_name),
        }
    });
}

/// Which series are wanted, and into which group each falls.
struct Wanted<'a> {
    query: &'a AnalyticsQuery,
    /// The one metadata key the query names.
    label: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn new(query: &'a AnalyticsQuery) -> crate::Result<Self> {
        Ok(Self { query, label: label_of(query)? })
    }

    fn group(&self, series: &[u8]) -> Option<Vec<String>> {
        // A call is in one series by its key, and in one more for each of its metadata entries.
        if label_of_series(series)?.map(|(name, _)| name) != self.label {
            return None;
        }
        let (key, entry) = read_series(series)?;
        let value = entry.map_or("", |(_, value)| value);
        let holds = |AnalyticsCondition { dimension, negated, values }: &AnalyticsCondition| {
            values.contains(&value_of(dimension, &key, value)) != *negated
        };
        let wanted = self.query.conditions.iter().all(holds);
        wanted.then(|| self.query.group_by.iter().map(|by| value_of(by, &key, value)).collect())
    }
}

/// The groups by number.
#[derive(Default)]
struct Groups {
    names: Vec<Vec<String>>,
    numbers: HashMap<Vec<String>, usize>,
}

impl Groups {
    fn number(&mut self, name: Vec<String>) -> usize {
        let Self { names, numbers } = self;
        *numbers.entry(name).or_insert_with_key(|name| {
            names.push(name.clone());
            names.len() - 1
        })
    }

    /// The group of each series that is wanted, by the series' number: they are counted from one.
    fn of_series(
        &mut self,
        connection: &Connection,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Option<usize>>, Failure> {
        let mut of = Vec::new();
        let mut statement = connection.prepare_cached("SELECT number, key FROM series")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name = wanted.group(row.get_ref(1)?.as_blob().unwrap_or_default());
            let number: usize = row.get::<_, i64>(0)?.try_into().unwrap_or_default();
            of.resize(of.len().max(number + 1), None);
            of[number] = name.map(|name| self.number(name));
        }
        Ok(of)
    }
}

/// Totals by bucket and group. Rows come in the order of their buckets, so the one under way is at hand.
#[derive(Default)]
struct Grouped {
    bucket: i64,
    totals: Vec<Option<Box<Total>>>,
    others: HashMap<i64, Vec<Option<Box<Total>>>>,
}

impl Grouped {
    fn total(&mut self, bucket: i64, group: usize) -> &mut Total {
        if bucket != self.bucket {
            let next = self.others.remove(&bucket).unwrap_or_default();
            self.others.insert(self.bucket, std::mem::replace(&mut self.totals, next));
            self.bucket = bucket;
        }
        if self.totals.len() <= group {
            self.totals.resize(group + 1, None);
        }
        self.totals[group].get_or_insert_default()
    }

    fn finish(mut self) -> impl Iterator<Item = (i64, usize, Box<Total>)> {
        self.others.insert(self.bucket, self.totals);
        self.others.into_iter().flat_map(|(bucket, totals)| {
            let totals = totals.into_iter().enumerate();
            totals.filter_map(move |(group, total)| Some((bucket, group, total?)))
        })
    }
}

fn value_of(dimension: &Dimension, key: &Key<'_>, label: &str) -> String {
    match dimension {
        Dimension::Account => key.account.to_owned(),
        Dimension::Gateway => key.gateway.to_owned(),
        Dimension::Provider => key.provider.to_owned(),
        Dimension::Model => key.model.to_owned(),
        Dimension::Status => key.status.to_string(),
        Dimension::Outcome => key.outcome.name().to_owned(),
        Dimension::Cached => key.cached.to_string(),
        Dimension::Simulated => key.simulated.to_string(),
        Dimension::Token => key.token.to_owned(),
        Dimension::Metadata(_) => label.to_owned(),
    }
}

/// The one metadata key the query names, if any.
fn label_of(query: &AnalyticsQuery) -> crate::Result<Option<&str>> {
    let conditions = query.conditions.iter().map(|condition| &condition.dimension);
    let mut labels = query.group_by.iter().chain(conditions).filter_map(|dimension| match dimension {
        Dimension::Metadata(name) => Some(name.as_str()),
        _ => None,
    });
    let label = labels.next();
    if labels.any(|other| Some(other) != label) {
        let message = "totals are kept for one metadata key at a time; ask for each key by itself";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(label)
}

/// Totals of one level, from a bucket to before another.
#[derive(Debug, PartialEq)]
struct Span {
    level: usize,
    first: i64,
    end: i64,
}

/// The totals that cover the time asked for, as coarse as the query allows and as fine as they are kept.
fn spans(connection: &Connection, query: &AnalyticsQuery, above: usize) -> Result<Vec<Span>, Failure> {
    let mut first = connection.prepare_cached("SELECT min(bucket) FROM total WHERE level = ?")?;
    let mut first_of =
        |level: usize| first.query_row([(above + level) as i64], |row| row.get::<_, Option<i64>>(0));
    let (minutes, hours, days) = (first_of(0)?, first_of(1)?, first_of(2)?);
    if days.is_none() {
        // Everything is fresh.
        return Ok(cover(query, [-FAR; 2]));
    }
    // From their first hour on minutes are complete, and from their first day on hours: they are deleted in such steps.
    let minutes = minutes.map_or(FAR, |minute| minute.div_euclid(LEVELS[1]) * LEVELS[1]);
    let hours = hours.map_or(FAR, |hour| (hour * LEVELS[1]).div_euclid(LEVELS[2]) * LEVELS[2]);
    Ok(cover(query, [minutes, hours]))
}

/// A minute after all others.
const FAR: i64 = i64::MAX / 4;

/// `complete`: from which minute on minutes, and from which on hours, are complete; days always are.
fn cover(query: &AnalyticsQuery, complete: [i64; 2]) -> Vec<Span> {
    let since = query.since_ms.map_or(-FAR, |since| since.div_euclid(60_000));
    let until = query.until_ms.map_or(FAR, |until| until.saturating_add(59_999).div_euclid(60_000));
    let coarsest = match query.bucket {
        Some(Bucket::Minute) => 0,
        Some(Bucket::Hour) => 1,
        Some(Bucket::Day) | None => 2,
    };
    // Bounds within what is kept coarsely only are moved outward.
    let level_at = |minute: i64| (0..2).find(|level| minute >= complete[*level]).unwrap_or(2);
    let floor = |minute: i64, level: usize| minute.div_euclid(LEVELS[level]).saturating_mul(LEVELS[level]);
    let ceil = |minute: i64, level: usize| floor(minute.saturating_add(LEVELS[level] - 1), level);
    let since = floor(since, level_at(since));
    let until = ceil(until, level_at(until - 1));
    let mut spans = Vec::new();
    for (level, from, to) in [
        (2, since, until.min(complete[1])),
        (1, since.max(complete[1]), until.min(complete[0])),
        (0, since.max(complete[0]), until),
    ] {
        fill(&mut spans, coarsest.max(level), level, from, to);
    }
    spans
}

/// Covers `[from, to)` with whole buckets of `level`, and what is left at the edges with finer ones down to `finest`.
fn fill(spans: &mut Vec<Span>, level: usize, finest: usize, from: i64, to: i64) {
    if from >= to {
        return;
    }
    let length = LEVELS[level];
    if level == finest {
        let (first, end) = (from.div_euclid(length), to.saturating_add(length - 1).div_euclid(length));
        return spans.push(Span { level, first, end });
    }
    let (first, end) = (from.saturating_add(length - 1).div_euclid(length), to.div_euclid(length));
    if first >= end {
        return fill(spans, level - 1, finest, from, to);
    }
    fill(spans, level - 1, finest, from, first * length);
    spans.push(Span { level, first, end });
    fill(spans, level - 1, finest, end * length, to);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1_440;

    /// Every minute asked for is covered once, and nothing else, wherever the bounds and the edges of what is kept lie.
    #[test]
    fn every_minute_is_covered_once() {
        let minutes = [0, 1, 59, 60, 61, DAY - 1, DAY, DAY + 30, 2 * DAY, 2 * DAY + 61, 5 * DAY - 1, 5 * DAY];
        let complete = [3 * DAY + 60, DAY];
        for bucket in [None, Some(Bucket::Minute), Some(Bucket::Hour), Some(Bucket::Day)] {
            for (at, since) in minutes.iter().enumerate() {
                for until in &minutes[at + 1..] {
                    let query = AnalyticsQuery {
                        since_ms: Some(since * 60_000),
                        until_ms: Some(until * 60_000),
                        bucket,
                        ..AnalyticsQuery::default()
                    };
                    let mut times = vec![0; 8 * DAY as usize];
                    for Span { level, first, end } in cover(&query, complete) {
                        for minute in first * LEVELS[level]..end * LEVELS[level] {
                            assert!(level == 2 || minute >= complete[level], "{query:?}: not kept");
                            times[minute as usize] += 1;
                        }
                    }
                    let level = |minute: i64| (0..2).find(|level| minute >= complete[*level]).unwrap_or(2);
                    let from = since.div_euclid(LEVELS[level(*since)]) * LEVELS[level(*since)];
                    let length = LEVELS[level(until - 1)];
                    let to = (until + length - 1).div_euclid(length) * length;
                    for (minute, times) in times.iter().enumerate() {
                        let wanted = (from..to).contains(&(minute as i64));
                        assert_eq!(*times, i32::from(wanted), "{query:?}: {minute}");
                    }
                }
            }
        }
    }
}
