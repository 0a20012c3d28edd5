//! Reading on from a place, and the places exports have come to.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Failure, count,
    log_reader::{annotation, annotations, bodies, merge},
    pages::{self, LoadedPage, PageRow},
    search::sources,
};
use crate::{
    ErrorKind, LogEntry, LogFilter, LogPlace, LogRecord, LogSlice, LogStretch, Payload,
    filter::Compiled,
    journal::ExportPlaces,
    packed::{self, gateway_names, read_head},
    page::{Frame, Place},
};

/// Records one reading looks at; with conditions that few of them meet, it must end all the same.
const LOOKED_AT: usize = 20_000;

/// The place after the last record.
pub(super) fn end(connection: &Connection) -> Result<LogPlace, Failure> {
    let last: Option<i64> = connection.query_row("SELECT max(last_seq) FROM page", [], |row| row.get(0))?;
    Ok(LogPlace(last.unwrap_or_default()))
}

/// The records after a place. A gateway's pages follow one another, so each gateway's next record is known from its next
/// page, and the least of them is the next of all.
pub(super) fn after(
    connection: &Connection,
    place: LogPlace,
    wanted: &LogSlice,
) -> Result<LogStretch, Failure> {
    let filter = LogFilter { conditions: wanted.conditions.clone(), ..LogFilter::default() };
    let compiled = Compiled::new(&filter)?;
    let notes = if compiled.needs_annotations() { annotations(connection)? } else { BTreeMap::new() };
    let mut records = Records::new(connection, wanted.with_bodies)?;
    let mut stretch = LogStretch { reached: place, ..LogStretch::default() };
    let mut next = Next::new(connection, place, wanted)?;
    let (mut looked_at, mut bytes) = (0, 0);
    while let Some(step) = next.step(&mut stretch.unreadable)? {
        if stretch.entries.len() >= wanted.max_records || bytes >= wanted.max_bytes || looked_at >= LOOKED_AT
        {
            stretch.more = true;
            return Ok(stretch);
        }
        looked_at += 1;
        let Step { page, details, frame } = step;
        stretch.reached = LogPlace(frame.seq);
        let raw = &page.heads[frame.head.clone()];
        let Some(head) = read_head(raw) else {
            stretch.unreadable += 1;
            continue;
        };
        if !compiled.matches(&head, notes.get(&head.id)) {
            continue;
        }
        let details = details.get(frame.details.clone()).unwrap_or_default();
        match records.read(raw, details, frame)? {
            Some((entry, size)) => {
                bytes += size;
                stretch.entries.push(entry);
            }
            None => stretch.unreadable += 1,
        }
    }
    stretch.reached = end(connection)?.max(stretch.reached);
    Ok(stretch)
}

/// How many records of the wanted gateways follow a place.
pub(super) fn behind(connection: &Connection, place: LogPlace, wanted: &LogSlice) -> Result<u64, Failure> {
    let mut behind = 0;
    for source in wanted_sources(connection, wanted)? {
        behind += connection
            .prepare_cached(
                "SELECT ifnull(sum(records), 0) FROM page WHERE source = ? AND sealed IN (0, 1, 2) AND last_seq > ?",
            )?
            .query_row([source, place.0], |row| count(row, 0))?;
        // The page the place is in counted in full.
        if let Some(row) = pages::page_at(connection, source, place.0.saturating_add(1))?
            && row.zone.first_seq <= place.0
            && let Some(page) = readable(pages::load(connection, row))?
        {
            behind -= page.frames.iter().take_while(|frame| frame.seq <= place.0).count() as u64;
        }
    }
    Ok(behind)
}

pub(super) fn place(connection: &Connection, target: &str) -> Result<Option<LogPlace>, Failure> {
    let mut statement = connection.prepare_cached("SELECT seq FROM export WHERE target = ?")?;
    Ok(statement.query_row([target], |row| row.get(0).map(LogPlace)).optional()?)
}

pub(super) fn lost(connection: &Connection, target: &str) -> Result<Vec<(String, u64)>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT key, export_lost.records FROM export_lost JOIN source ON source = number WHERE target = ?",
    )?;
    let rows = statement.query_map([target], |row| {
        let key: Vec<u8> = row.get(0)?;
        Ok((gateway_names(&key).1.to_owned(), count(row, 1)?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Writes down how far targets have come.
pub(super) fn note(transaction: &Transaction<'_>, places: &ExportPlaces) -> rusqlite::Result<()> {
    if let Some(kept) = &places.kept {
        let kept = serde_json::Value::from_iter(kept.iter().cloned()).to_string();
        for table in ["export", "export_lost"] {
            let sql = format!("DELETE FROM {table} WHERE target NOT IN (SELECT value FROM json_each(?))");
            transaction.execute(&sql, [&kept])?;
        }
    }
    for (target, place) in &places.reached {
        transaction
            .prepare_cached("INSERT INTO export VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seq = ?2")?
            .execute(params![target, place.0])?;
    }
    Ok(())
}

/// Counts records of a page that are about to be deleted, for every target that does not have them yet. Their sequence
/// numbers are asked for only if there is one.
pub(super) fn count_lost(
    connection: &Connection,
    row: &PageRow,
    doomed: impl FnOnce() -> Result<Vec<i64>, Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("SELECT target, seq FROM export WHERE seq < ?")?;
    let rows = statement.query_map([row.zone.last_seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let behind: Vec<(String, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    if behind.is_empty() {
        return Ok(());
    }
    let doomed = readable(doomed())?;
    for (target, reached) in behind {
        let lost = match &doomed {
            Some(seqs) => seqs.iter().filter(|seq| **seq > reached).count() as i64,
            None => row.zone.records as i64,
        };
        connection
            .prepare_cached(
                "INSERT INTO export_lost VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET records = records + ?3",
            )?
            .execute(params![target, row.source, lost])?;
    }
    Ok(())
}

/// The numbers of the sources whose records are wanted.
fn wanted_sources(connection: &Connection, wanted: &LogSlice) -> rusqlite::Result<Vec<i64>> {
    let sources = sources(connection)?.into_iter();
    Ok(sources
        .filter(|(_, (account, id))| (wanted.gateways)(account, id))
        .map(|(number, _)| number)
        .collect())
}

/// `None` for what is damaged: an export goes on behind it.
fn readable<T>(read: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Failure::Ours(error)) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!("{error}; an export leaves it out");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Walks over the records of several sources in the order of recording.
struct Next<'a> {
    connection: &'a Connection,
    after: i64,
    /// By the number of its next record, or of the first its page may have.
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    /// A page per source.
    open: Vec<Open>,
    /// The source of the last step.
    stepped: Option<usize>,
}

struct Open {
    row: PageRow,
    /// Heads and details, read when its turn comes.
    page: Option<(LoadedPage, Vec<u8>)>,
    frame: usize,
}

/// One record as it lies there.
struct Step<'a> {
    page: &'a LoadedPage,
    details: &'a [u8],
    frame: &'a Frame,
}

impl<'a> Next<'a> {
    fn new(connection: &'a Connection, after: LogPlace, wanted: &LogSlice) -> Result<Self, Failure> {
        let mut next =
            Self { connection, after: after.0, heap: BinaryHeap::new(), open: Vec::new(), stepped: None };
        for source in wanted_sources(connection, wanted)? {
            if let Some(row) = pages::page_at(connection, source, after.0.saturating_add(1))? {
                next.heap.push(Reverse((row.zone.first_seq, next.open.len())));
                next.open.push(Open { row, page: None, frame: 0 });
            }
        }
        Ok(next)
    }

    fn step(&mut self, unreadable: &mut u64) -> Result<Option<Step<'_>>, Failure> {
        if let Some(at) = self.stepped.take() {
            self.open[at].frame += 1;
            self.queue(at)?;
        }
        loop {
            let Some(Reverse((_, at))) = self.heap.pop() else { return Ok(None) };
            if self.open[at].page.is_some() {
                self.stepped = Some(at);
                break;
            }
            self.load(at, unreadable)?;
            self.queue(at)?;
        }
        Ok(self.stepped.map(|at| &self.open[at]).and_then(|open| {
            let (page, details) = open.page.as_ref()?;
            Some(Step { page, details, frame: page.frames.get(open.frame)? })
        }))
    }

    /// Reads a page whose turn has come, and finds its first record after the place.
    fn load(&mut self, at: usize, unreadable: &mut u64) -> Result<(), Failure> {
        let open = &mut self.open[at];
        let details = readable(pages::details(self.connection, &open.row))?;
        let page = readable(pages::load(self.connection, open.row.clone()))?;
        match page.zip(details) {
            Some((page, details)) => {
                open.frame = page.frames.partition_point(|frame| frame.seq <= self.after);
                open.page = Some((page, details));
            }
            None => *unreadable += open.row.zone.records,
        }
        Ok(())
    }

    /// Puts the source where its next record belongs, which may be in its next page.
    fn queue(&mut self, at: usize) -> Result<(), Failure> {
        let open = &mut self.open[at];
        let frame = open.page.as_ref().and_then(|(page, _)| page.frames.get(open.frame));
        if let Some(frame) = frame {
            self.heap.push(Reverse((frame.seq, at)));
            return Ok(());
        }
        let following = open.row.zone.last_seq.saturating_add(1);
        if let Some(row) = pages::page_at(self.connection, open.row.source, following)? {
            self.heap.push(Reverse((row.zone.first_seq, at)));
            *open = Open { row, page: None, frame: 0 };
        }
        Ok(())
    }
}

/// Puts records and bodies together.
struct Records<'a> {
    connection: &'a Connection,
    annotated: bool,
    with_bodies: bool,
    /// The last block of bodies: neighbours share it. `None` inside: it is damaged.
    block: Option<(i64, Option<Vec<u8>>)>,
}

impl<'a> Records<'a> {
    fn new(connection: &'a Connection, with_bodies: bool) -> rusqlite::Result<Self> {
        let annotated = pages::has_annotations(connection)?;
        Ok(Self { connection, annotated, with_bodies, block: None })
    }

    /// The record and its size; `None` if it is damaged.
    fn read(
        &mut self,
        head: &[u8],
        details: &[u8],
        frame: &Frame,
    ) -> Result<Option<(LogEntry, usize)>, Failure> {
        let Some(mut record) = packed::read_record(head, details) else { return Ok(None) };
        let payload = match frame.bodies.filter(|_| self.with_bodies) {
            Some(place) => self.bodies(place, &record)?,
            None => None,
        };
        if self.annotated {
            let noted = annotation(self.connection, record.id)?;
            merge(&mut record, noted);
        }
        let bodies = payload.as_ref().map_or(0, |payload| payload.request.len() + payload.response.len());
        let entry = LogEntry { place: LogPlace(frame.seq), record, payload };
        Ok(Some((entry, head.len() + details.len() + bodies)))
    }

    fn bodies(&mut self, place: Place, record: &LogRecord) -> Result<Option<Payload>, Failure> {
        if self.block.as_ref().is_none_or(|(number, _)| *number != place.block) {
            self.block = Some((place.block, readable(bodies(self.connection, place.block))?));
        }
        let block = self.block.as_ref().and_then(|(_, block)| block.as_deref());
        let raw = block.and_then(|block| block.get(place.offset..)).unwrap_or_default();
        Ok(packed::read_bodies(raw, record.id, &record.gateway).map(|(payload, _)| payload))
    }
}
