//! Reading records: which pages can hold what is wanted, which of their records are, and those in full.

use std::{
    collections::{BinaryHeap, HashMap},
    ops::ControlFlow,
};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    Failure, damaged,
    pages::{self, LoadedPage, PAGE_COLUMNS, PageRow, page_row},
    schema::SEQ_SHIFT,
};
use crate::{
    Direction, Error, ErrorKind, LogField, LogFilter, LogOrder, LogRanges, LogRecord, LogTally, Payload,
    Repriced,
    annotation::{Annotation, Correction},
    filter::{Compiled, Found, Head},
    packed::{self, gateway_names, read_head},
    page::decompress,
};

/// Pages remembered while records are put together.
const REMEMBERED_PAGES: usize = 32;

/// Where a record is: its source, its page by its last sequence number, its own number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Spot {
    pub(super) source: i64,
    pub(super) page: i64,
    pub(super) seq: i64,
}

/// A filter, ready to be applied to one consistent state of the log.
pub(super) struct Search<'a> {
    connection: &'a Connection,
    filter: &'a LogFilter,
    compiled: Compiled,
    /// Account and id by number.
    sources: HashMap<i64, (String, String)>,
    /// Of all records, if the filter or the order asks for them.
    annotations: Option<HashMap<Uuid, Annotation>>,
    /// Sequence numbers between these, exclusive.
    after: i64,
    before: i64,
    /// Ids between these, exclusive: where the record that was named is gone.
    after_id: Option<Uuid>,
    before_id: Option<Uuid>,
}

impl<'a> Search<'a> {
    pub(super) fn new(connection: &'a Connection, filter: &'a LogFilter) -> Result<Self, Failure> {
        let compiled = Compiled::new(filter)?;
        let mut search = Self {
            connection,
            filter,
            compiled,
            sources: sources(connection)?,
            annotations: None,
            after: i64::MIN,
            before: i64::MAX,
            after_id: None,
            before_id: None,
        };
        for (id, seq, gone) in [
            (filter.after, &mut search.after, &mut search.after_id),
            (filter.before, &mut search.before, &mut search.before_id),
        ] {
            let Some(id) = id else { continue };
            match find_one(connection, id)? {
                Some(spot) => *seq = spot.seq,
                None => *gone = Some(id),
            }
        }
        // What was created at a time has no smaller sequence number.
        let since = search.compiled.range(LogField::CreatedAt).0.clamp(0, i64::MAX >> SEQ_SHIFT);
        search.after = search.after.max((since << SEQ_SHIFT) - 1);
        Ok(search)
    }

    /// Where the wanted records are, in the filter's order.
    pub(super) fn spots(&mut self, limit: usize) -> Result<Vec<Spot>, Failure> {
        if self.compiled.needs_annotations()
            || matches!(self.filter.order, LogOrder::Feedback | LogOrder::Cost)
        {
            self.annotations = annotations(self.connection)?;
        }
        match self.filter.order {
            LogOrder::Recorded => self.recorded(limit),
            order => self.sorted(order, limit),
        }
    }

    /// In the order of recording: pages of several gateways are read side by side, as far as needed.
    fn recorded(&self, limit: usize) -> Result<Vec<Spot>, Failure> {
        let ascending = self.filter.direction == Direction::Ascending;
        // The larger comes first.
        let rank = |seq: i64| if ascending { -seq } else { seq };
        let mut found = Vec::new();
        let mut skipped = 0;
        let mut open: Vec<Option<(LoadedPage, usize)>> = Vec::new();
        let mut next_records: BinaryHeap<(i64, usize)> = BinaryHeap::new();
        let mut statement = self.connection.prepare_cached(&self.pages_sql())?;
        let mut rows = statement.query([self.after, self.before])?;
        let mut next_page = || -> Result<Option<PageRow>, Failure> {
            while let Some(row) = rows.next()? {
                let row = page_row(row)?;
                if self.allows(&row) {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        };
        let mut next = next_page()?;
        loop {
            // Every page that may hold something before what is next.
            while let Some(row) = next.take() {
                let edge = rank(if ascending { row.zone.first_seq } else { row.zone.last_seq });
                if next_records.peek().is_some_and(|(best, _)| *best > edge) {
                    next = Some(row);
                    break;
                }
                let mut page = pages::load(self.connection, row)?;
                if ascending {
                    page.frames.reverse();
                }
                if let Some(frame) = page.frames.last() {
                    next_records.push((rank(frame.seq), open.len()));
                    open.push(Some((page, 0)));
                }
                next = next_page()?;
            }
            let Some((_, at)) = next_records.pop() else { break };
            let Some((page, _)) = &mut open[at] else { continue };
            let Some(frame) = page.frames.pop() else { continue };
            if self.accepts(frame.seq, &page.heads[frame.head.clone()])?.is_some() {
                if skipped < self.filter.offset {
                    skipped += 1;
                } else {
                    found.push(Spot {
                        source: page.row.source,
                        page: page.row.zone.last_seq,
                        seq: frame.seq,
                    });
                    if found.len() >= limit {
                        break;
                    }
                }
            }
            match page.frames.last() {
                Some(frame) => next_records.push((rank(frame.seq), at)),
                None => open[at] = None,
            }
        }
        Ok(found)
    }

    /// By a field: of all that match, the first `offset + limit` are kept.
    fn sorted(&self, order: LogOrder, limit: usize) -> Result<Vec<Spot>, Failure> {
        let ascending = self.filter.direction == Direction::Ascending;
        let keep = self.filter.offset.saturating_add(limit);
        let mut found: Vec<(SortKey, Spot)> = Vec::new();
        // Nothing beyond this can still be among the first.
        let mut worst: Option<i64> = None;
        let compare = |one: &(SortKey, Spot), two: &(SortKey, Spot)| {
            let order = one.0.cmp(&two.0).then(one.1.seq.cmp(&two.1.seq));
            if ascending { order } else { order.reverse() }
        };
        self.each_page(&mut |row| {
            if let (LogOrder::CreatedAt, Some(worst)) = (order, worst) {
                // A sequence number is never less than the time of its record, and pages come in their order.
                if !ascending && row.zone.last_seq >> SEQ_SHIFT < worst {
                    return Ok(ControlFlow::Break(()));
                }
                let (first, last) = (row.zone.first_ms, row.zone.last_ms);
                if if ascending { first > worst } else { last < worst } {
                    return Ok(ControlFlow::Continue(()));
                }
            }
            let (source, last_seq) = (row.source, row.zone.last_seq);
            self.each_record(row, &mut |seq, head, annotation| {
                found.push((sort_key(order, head, annotation), Spot { source, page: last_seq, seq }));
            })?;
            if found.len() / 2 >= keep.max(512) {
                found.select_nth_unstable_by(keep, compare);
                found.truncate(keep);
            }
            if order == LogOrder::CreatedAt && found.len() >= keep && keep > 0 {
                let (_, (key, _), _) = found.select_nth_unstable_by(keep - 1, compare);
                worst = key.0;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.sort_unstable_by(compare);
        Ok(found.into_iter().skip(self.filter.offset).take(limit).map(|(_, spot)| spot).collect())
    }

    /// How many match. Pages of which all must match are not read.
    pub(super) fn count(&mut self) -> Result<u64, Failure> {
        const OF_PAGES: [LogField; 3] = [LogField::Account, LogField::Gateway, LogField::CreatedAt];
        let (since, until) = self.compiled.range(LogField::CreatedAt);
        let by_page = !self.compiled.asks_beyond(&OF_PAGES)
            && self.compiled.is_range(LogField::CreatedAt)
            && [self.filter.after, self.filter.before].iter().all(Option::is_none);
        if self.compiled.needs_annotations() {
            self.annotations = annotations(self.connection)?;
        }
        let mut matching = 0;
        self.each_page(&mut |row| {
            if by_page && since <= row.zone.first_ms && row.zone.last_ms <= until {
                matching += row.zone.records;
            } else {
                self.each_record(row, &mut |_, _, _| matching += 1)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(matching)
    }

    pub(super) fn ranges(&mut self) -> Result<LogRanges, Failure> {
        self.annotations = annotations(self.connection)?;
        let mut ranges = LogRanges::default();
        self.each_page(&mut |row| {
            self.each_record(row, &mut |_, head, annotation| ranges.add(head, annotation))?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ranges)
    }

    /// Every page that may hold something wanted.
    fn each_page(
        &self,
        visit: &mut dyn FnMut(PageRow) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let mut statement = self.connection.prepare_cached(&self.pages_sql())?;
        let mut rows = statement.query([self.after, self.before])?;
        while let Some(row) = rows.next()? {
            let row = page_row(row)?;
            if self.allows(&row) && visit(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Every record of a page that is wanted.
    fn each_record(
        &self,
        row: PageRow,
        visit: &mut dyn FnMut(i64, &Head<'_>, Option<&Annotation>),
    ) -> Result<(), Failure> {
        let page = pages::load(self.connection, row)?;
        for frame in &page.frames {
            if let Some((head, annotation)) = self.accepts(frame.seq, &page.heads[frame.head.clone()])? {
                visit(frame.seq, &head, annotation);
            }
        }
        Ok(())
    }

    fn pages_sql(&self) -> String {
        let order = match self.filter.direction {
            Direction::Descending => "last_seq DESC",
            Direction::Ascending => "first_seq",
        };
        format!("SELECT {PAGE_COLUMNS} FROM page WHERE last_seq > ? AND first_seq < ? ORDER BY {order}")
    }

    /// Whether the page may hold something wanted, by its bounds.
    fn allows(&self, row: &PageRow) -> bool {
        let zone = &row.zone;
        let (since, until) = self.compiled.range(LogField::CreatedAt);
        let source = self.sources.get(&row.source);
        zone.last_ms >= since
            && zone.first_ms <= until
            && (zone.failures > 0 || !self.compiled.wants_failures())
            && source.is_none_or(|(account, gateway)| {
                self.compiled.allows_text(LogField::Account, account)
                    && self.compiled.allows_text(LogField::Gateway, gateway)
            })
            && self
                .compiled
                .ids()
                .is_none_or(|ids| ids.iter().any(|id| (zone.first_id..=zone.last_id).contains(id)))
    }

    /// The record's head if it is wanted, and what was noted about it.
    fn accepts<'h>(
        &'h self,
        seq: i64,
        raw: &'h [u8],
    ) -> Result<Option<(Head<'h>, Option<&'h Annotation>)>, Failure> {
        if seq <= self.after || seq >= self.before {
            return Ok(None);
        }
        let head = read_head(raw).ok_or_else(|| damaged("a record"))?;
        if self.after_id.is_some_and(|edge| head.id <= edge)
            || self.before_id.is_some_and(|edge| head.id >= edge)
        {
            return Ok(None);
        }
        let annotation = self.annotations.as_ref().and_then(|all| all.get(&head.id));
        Ok(self.compiled.matches(&head, annotation).then_some((head, annotation)))
    }
}

/// Adds up what any of the filters wants; what an earlier one has counted is left out by those that follow.
pub(super) fn tally(connection: &Connection, filters: &[LogFilter]) -> Result<LogTally, Failure> {
    let mut tally = LogTally::default();
    let mut earlier: Vec<Compiled> = Vec::new();
    for filter in filters {
        let mut search = Search::new(connection, filter)?;
        search.annotations = annotations(connection)?;
        search.each_page(&mut |row| {
            search.each_record(row, &mut |_, head, annotation| {
                if !earlier.iter().any(|filter| filter.matches(head, annotation)) {
                    tally.add(head, annotation);
                }
            })?;
            Ok(ControlFlow::Continue(()))
        })?;
        earlier.push(search.compiled);
    }
    Ok(tally)
}

/// Numbers that are missing come before all.
type SortKey = (Option<i64>, Box<str>);

fn sort_key(order: LogOrder, head: &Head<'_>, annotation: Option<&Annotation>) -> SortKey {
    let field = match order {
        LogOrder::Recorded | LogOrder::CreatedAt => LogField::CreatedAt,
        LogOrder::Provider => LogField::Provider,
        LogOrder::Model => LogField::Model,
        LogOrder::ModelType => LogField::ModelType,
        LogOrder::Success => LogField::Success,
        LogOrder::Cached => LogField::Cached,
        LogOrder::Cost => LogField::Cost,
        LogOrder::TokensIn => LogField::TokensIn,
        LogOrder::TokensOut => LogField::TokensOut,
        LogOrder::Duration => LogField::Duration,
        LogOrder::Feedback => LogField::Feedback,
    };
    match head.find(field, annotation) {
        Found::Text(text) => (None, text.into()),
        Found::Number(number) => (number, "".into()),
        Found::Flag(flag) => (Some(flag.into()), "".into()),
        Found::Id(_) | Found::IdText(_) | Found::Keys(_) | Found::Values(_) => (None, "".into()),
    }
}

/// Account and id of every source.
pub(super) fn sources(connection: &Connection) -> rusqlite::Result<HashMap<i64, (String, String)>> {
    let mut statement = connection.prepare_cached("SELECT number, key FROM source")?;
    let rows = statement.query_map([], |row| {
        let key: Vec<u8> = row.get(1)?;
        let (account, id) = gateway_names(&key);
        Ok((row.get(0)?, (account.to_owned(), id.to_owned())))
    })?;
    rows.collect()
}

/// Where the record with this id is.
pub(super) fn find_one(connection: &Connection, id: Uuid) -> Result<Option<Spot>, Failure> {
    // Ids begin with their time, and a record stands in the log soon after it.
    let since = i64::try_from(id.as_u128() >> 80).unwrap_or(0).clamp(0, i64::MAX >> SEQ_SHIFT) << SEQ_SHIFT;
    let sql = format!(
        "SELECT {PAGE_COLUMNS} FROM page WHERE last_seq >= ?1 AND first_id <= ?2 AND last_id >= ?2
         ORDER BY last_seq LIMIT 8"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let near = statement.query_map(params![since, id.as_bytes()], page_row)?;
    for row in near {
        if let Some(spot) = spots_in(&pages::load(connection, row?)?, id, id).next() {
            return Ok(Some(spot));
        }
    }
    // Whoever made the id had another clock.
    Ok(find(connection, id, id)?.first().copied())
}

fn spots_in(page: &LoadedPage, first: Uuid, last: Uuid) -> impl Iterator<Item = Spot> {
    let (source, last_seq) = (page.row.source, page.row.zone.last_seq);
    page.frames.iter().filter_map(move |frame| {
        let figures = packed::read_figures(&page.heads[frame.head.clone()])?;
        let is_there = (first..=last).contains(&figures.id);
        is_there.then_some(Spot { source, page: last_seq, seq: frame.seq })
    })
}

/// Where the records are whose ids lie between these.
fn find(connection: &Connection, first: Uuid, last: Uuid) -> Result<Vec<Spot>, Failure> {
    let sql = format!("SELECT {PAGE_COLUMNS} FROM page WHERE first_id <= ? AND last_id >= ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([last.as_bytes(), first.as_bytes()], page_row)?;
    let mut spots = Vec::new();
    for row in rows {
        spots.extend(spots_in(&pages::load(connection, row?)?, first, last));
    }
    Ok(spots)
}

/// One record with its bodies, by the beginning of its id.
pub(super) fn record(
    connection: &Connection,
    id: &str,
) -> Result<Option<(LogRecord, Option<Payload>)>, Failure> {
    let (first, last) = id_range(id)?;
    let found = match first == last {
        true => Vec::from_iter(find_one(connection, first)?),
        false => find(connection, first, last)?,
    };
    match found.as_slice() {
        [] => Ok(None),
        [spot] => Ok(Records::new(connection)?.read(*spot, true)?),
        _ => {
            let message = format!("several records have an id that starts with `{id}`; give more of it");
            Err(Error::new(ErrorKind::Invalid, message).into())
        }
    }
}

/// First and last id that start with the hex digits of `text`.
fn id_range(text: &str) -> crate::Result<(Uuid, Uuid)> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    let id = |fill: &str| {
        Uuid::try_parse(&format!("{digits}{}", fill.repeat(32usize.saturating_sub(digits.len()))))
    };
    match (id("0"), id("f")) {
        (Ok(first), Ok(last)) if digits.len() >= 8 => Ok((first, last)),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            "a log id is a UUID, or at least the first 8 of its hex digits; `genesis logs` shows them",
        )),
    }
}

/// Puts records together from where their parts are; remembers the last pages, because neighbours share them.
pub(super) struct Records<'a> {
    connection: &'a Connection,
    annotated: bool,
    pages: HashMap<i64, (LoadedPage, Vec<u8>)>,
}

impl<'a> Records<'a> {
    pub(super) fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self { connection, annotated: pages::has_annotations(connection)?, pages: HashMap::new() })
    }

    /// As they were recorded, whatever was noted later.
    pub(super) fn without_notes(mut self) -> Self {
        self.annotated = false;
        self
    }

    /// The record, merged with what was noted about it; `None` if it is gone.
    pub(super) fn read(
        &mut self,
        spot: Spot,
        with_payload: bool,
    ) -> Result<Option<(LogRecord, Option<Payload>)>, Failure> {
        if !self.pages.contains_key(&spot.page) {
            let sql = format!("SELECT {PAGE_COLUMNS} FROM page WHERE last_seq = ?");
            let mut statement = self.connection.prepare_cached(&sql)?;
            let Some(row) = statement.query_row([spot.page], page_row).optional()? else { return Ok(None) };
            let details = pages::details(self.connection, &row)?;
            if self.pages.len() >= REMEMBERED_PAGES {
                self.pages.clear();
            }
            self.pages.insert(spot.page, (pages::load(self.connection, row)?, details));
        }
        let Some((page, details)) = self.pages.get(&spot.page) else { return Ok(None) };
        let Ok(at) = page.frames.binary_search_by_key(&spot.seq, |frame| frame.seq) else { return Ok(None) };
        let frame = &page.frames[at];
        let details = details.get(frame.details.clone()).unwrap_or_default();
        let mut record = packed::read_record(&page.heads[frame.head.clone()], details)
            .ok_or_else(|| damaged("a record"))?;
        let payload = match frame.bodies.filter(|_| with_payload) {
            Some(place) => {
                let block = bodies(self.connection, place.block)?;
                let raw = block.get(place.offset..).unwrap_or_default();
                let (payload, _) = packed::read_bodies(raw, record.id, &record.gateway)
                    .ok_or_else(|| damaged(&format!("the bodies of {}", record.id)))?;
                Some(payload)
            }
            None => None,
        };
        if self.annotated {
            let annotation = annotation(self.connection, record.id)?;
            merge(&mut record, annotation);
        }
        Ok(Some((record, payload)))
    }
}

/// A block of bodies.
pub(super) fn bodies(connection: &Connection, block: i64) -> Result<Vec<u8>, Failure> {
    let mut statement = connection.prepare_cached("SELECT data FROM bodies WHERE number = ?")?;
    let mut rows = statement.query([block])?;
    let row = rows.next()?.ok_or_else(|| damaged(&format!("block {block}")))?;
    decompress(row.get_ref(0)?.as_blob().unwrap_or_default())
        .ok_or_else(|| damaged(&format!("block {block}")))
}

const ANNOTATION: &str = "SELECT id, feedback, score, metadata, correction, corrected_at_ms FROM annotation";

fn annotation_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Uuid, Annotation)> {
    let correction: Option<String> = row.get(4)?;
    let correction: Option<Correction> = correction.and_then(|text| serde_json::from_str(&text).ok());
    let annotation = Annotation {
        feedback: row.get(1)?,
        score: row.get(2)?,
        metadata_text: row.get(3)?,
        repriced: correction,
        repriced_at_ms: row.get::<_, Option<i64>>(5)?.unwrap_or_default(),
    };
    Ok((Uuid::from_bytes(row.get(0)?), annotation))
}

pub(super) fn annotation(connection: &Connection, id: Uuid) -> rusqlite::Result<Annotation> {
    let mut statement = connection.prepare_cached(&format!("{ANNOTATION} WHERE id = ?"))?;
    let found = statement.query_row(params![id.as_bytes()], annotation_row).optional()?;
    Ok(found.map(|(_, annotation)| annotation).unwrap_or_default())
}

/// Everything that was noted; `None` if nothing was.
pub(super) fn annotations(connection: &Connection) -> Result<Option<HashMap<Uuid, Annotation>>, Failure> {
    if !pages::has_annotations(connection)? {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(ANNOTATION)?;
    Ok(Some(statement.query_map([], annotation_row)?.collect::<rusqlite::Result<_>>()?))
}

/// Puts what was noted into the record.
pub(super) fn merge(record: &mut LogRecord, annotation: Annotation) {
    record.feedback = annotation.feedback;
    record.score = annotation.score;
    if let Some(text) = &annotation.metadata_text {
        record.metadata = serde_json::from_str(text).unwrap_or_default();
    }
    if let Some(correction) = annotation.repriced {
        record.repriced = Some(Repriced {
            at_ms: annotation.repriced_at_ms,
            original_cost_nano_usd: record.cost_nano_usd,
            original_price_id: record.price_id.take(),
            original_price_formula: record.price_formula.take(),
        });
        record.cost_nano_usd = correction.cost_nano_usd;
        record.price_id = correction.price_id;
        record.price_formula = correction.price_formula;
    }
}
