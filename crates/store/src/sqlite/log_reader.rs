//! Reading records: one by its id, or in full wherever a search found them.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    Failure, chapters, damaged,
    pages::{self, LoadedPage, PAGE_COLUMNS, page_row},
    schema::SEQ_SHIFT,
};
use crate::{
    Error, ErrorKind, LogRecord, Payload, Repriced,
    annotation::{Annotation, Correction},
    packed,
    page::decompress,
};

/// Pages remembered while records are put together.
const REMEMBERED_PAGES: usize = 32;
/// Within an hour of the time in its id a record is looked for first.
const SOON: i64 = 3_600_000 << SEQ_SHIFT;

/// Where a record is: its source, its page by its last sequence number, its own number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Spot {
    pub(super) source: i64,
    pub(super) page: i64,
    pub(super) seq: i64,
}

/// Where the record with this id is.
pub(super) fn find_one(connection: &Connection, id: Uuid) -> Result<Option<Spot>, Failure> {
    // Ids begin with their time, and a record stands in the log soon after it.
    let since = i64::try_from(id.as_u128() >> 80).unwrap_or(0).clamp(0, i64::MAX >> SEQ_SHIFT) << SEQ_SHIFT;
    let sql = format!(
        "SELECT {PAGE_COLUMNS} FROM page WHERE last_seq >= ?1 AND first_seq < ?2 AND first_id <= ?3 AND last_id >= ?3
         ORDER BY last_seq LIMIT 8"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let near = statement.query_map(params![since, since + SOON, id.as_bytes()], page_row)?;
    for row in near {
        if let Some(spot) = spots_in(&pages::load(connection, row?)?, id, id).next() {
            return Ok(Some(spot));
        }
    }
    // Whoever made the id had another clock, or it is gone.
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
    let mut spots = Vec::new();
    for row in chapters::pages_with_ids(connection, first, last)? {
        spots.extend(spots_in(&pages::load(connection, row)?, first, last));
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
            let Some(row) = pages::row(self.connection, spot.page)? else { return Ok(None) };
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

/// Everything that was noted.
pub(super) fn annotations(connection: &Connection) -> rusqlite::Result<BTreeMap<Uuid, Annotation>> {
    let mut statement = connection.prepare_cached(ANNOTATION)?;
    statement.query_map([], annotation_row)?.collect()
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
