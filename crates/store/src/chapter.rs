//! Chapters: what some sealed pages of one gateway hold, so that a search need not open them.
//!
//! A chapter knows of each of its pages the bounds of its numbers, and of all of them together the *keys* of their records
//! with counts, and for each text field the texts that occur, each with the pages it occurs in. A field with too many
//! different texts (event ids, errors with numbers in them) has *signatures* instead: a Bloom filter for each page, stored
//! bit by bit across the pages, so that asking for one text reads a few words.
//!
//! Records may be deleted after a chapter was made: then it tells more than there is, never less.

mod build;
mod signature;

use uuid::Uuid;

pub(crate) use self::{build::ChapterBuilder, signature::Signatures};
use crate::{
    LogField,
    bytes::{bytes, number, put_number, put_signed, signed, take, text},
    page::Zone,
};

/// Most pages in a chapter: one for each bit of [`PageSet`].
pub(crate) const MOST_PAGES: usize = 64;

/// Some of a chapter's pages; the first one is the lowest bit.
pub(crate) type PageSet = u64;

/// Numbers whose bounds are kept.
pub(crate) const NUMBERS: [LogField; 6] = [
    LogField::Cost,
    LogField::Duration,
    LogField::FirstByte,
    LogField::Tokens,
    LogField::TokensIn,
    LogField::TokensOut,
];

/// Fields whose texts are kept. The place is what is stored.
pub(crate) const TEXTS: [LogField; 14] = [
    LogField::Provider,
    LogField::Model,
    LogField::Token,
    LogField::Status,
    LogField::ModelType,
    LogField::Path,
    LogField::Method,
    LogField::Error,
    LogField::UserAgent,
    LogField::RequestContentType,
    LogField::ResponseContentType,
    LogField::MetadataKey,
    LogField::MetadataValue,
    LogField::EventId,
];

/// Least and most of a number in a page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Bounds {
    /// Some record has none.
    pub(crate) missing: bool,
    pub(crate) range: Option<(i64, i64)>,
}

/// A page as its chapter knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outline {
    pub(crate) zone: Zone,
    /// In the order of [`NUMBERS`].
    pub(crate) numbers: [Bounds; NUMBERS.len()],
    /// Some event ids are the record's id as text.
    pub(crate) own_events: bool,
}

/// What occurs in a chapter's pages.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Vocabulary {
    /// Distinct keys of records ([`crate::packed::Key`]), how many records have each, in which pages; `None` if they are
    /// too many.
    pub(crate) keys: Option<Vec<(Vec<u8>, u64, PageSet)>>,
    /// In the order of [`TEXTS`]; `None` if they are too many.
    pub(crate) texts: [Option<Vec<(String, PageSet)>>; TEXTS.len()],
}

impl Bounds {
    pub(crate) fn add(&mut self, number: Option<i64>) {
        match (number, &mut self.range) {
            (None, _) => self.missing = true,
            (Some(number), None) => self.range = Some((number, number)),
            (Some(number), Some((least, most))) => {
                (*least, *most) = ((*least).min(number), (*most).max(number));
            }
        }
    }
}

/// The pages whose outlines hold for this.
pub(crate) fn pages_where(outlines: &[Outline], holds: impl Fn(&Outline) -> bool) -> PageSet {
    outlines
        .iter()
        .enumerate()
        .filter(|(_, outline)| holds(outline))
        .fold(0, |pages, (at, _)| pages | 1 << at)
}

// As bytes

pub(crate) fn put_outlines(raw: &mut Vec<u8>, outlines: &[Outline]) {
    let mut last = 0;
    for Outline { zone, numbers, own_events } in outlines {
        put_signed(raw, zone.first_seq - last);
        put_number(raw, (zone.last_seq - zone.first_seq) as u64);
        last = zone.last_seq;
        put_signed(raw, zone.first_ms);
        put_number(raw, zone.last_ms.wrapping_sub(zone.first_ms) as u64);
        raw.extend_from_slice(zone.first_id.as_bytes());
        raw.extend_from_slice(zone.last_id.as_bytes());
        put_number(raw, zone.records);
        put_number(raw, zone.failures);
        put_signed(raw, zone.bodies.0);
        put_signed(raw, zone.bodies.1 - zone.bodies.0);
        raw.push((*own_events).into());
        for Bounds { missing, range } in numbers {
            raw.push(u8::from(*missing) | if range.is_some() { 2 } else { 0 });
            if let Some((least, most)) = range {
                put_signed(raw, *least);
                put_number(raw, most.wrapping_sub(*least) as u64);
            }
        }
    }
}

/// What [`put_outlines`] wrote; `None`: damaged, here and below.
pub(crate) fn read_outlines(mut raw: &[u8]) -> Option<Vec<Outline>> {
    let mut outlines = Vec::with_capacity(MOST_PAGES);
    let mut last = 0_i64;
    let raw = &mut raw;
    while !raw.is_empty() {
        let first_seq = last.checked_add(signed(raw)?)?;
        let last_seq = first_seq.checked_add_unsigned(number(raw)?)?;
        last = last_seq;
        let first_ms = signed(raw)?;
        let last_ms = first_ms.wrapping_add_unsigned(number(raw)?);
        let first_id = Uuid::from_slice(take(raw, 16)?).ok()?;
        let last_id = Uuid::from_slice(take(raw, 16)?).ok()?;
        let (records, failures) = (number(raw)?, number(raw)?);
        let first_block = signed(raw)?;
        let bodies = (first_block, first_block.checked_add(signed(raw)?)?);
        let zone =
            Zone { records, first_seq, last_seq, first_ms, last_ms, first_id, last_id, failures, bodies };
        let own_events = take(raw, 1)?[0] != 0;
        let mut numbers = [Bounds::default(); NUMBERS.len()];
        for bounds in &mut numbers {
            let flags = take(raw, 1)?[0];
            bounds.missing = flags & 1 != 0;
            if flags & 2 != 0 {
                let least = signed(raw)?;
                bounds.range = Some((least, least.wrapping_add_unsigned(number(raw)?)));
            }
        }
        outlines.push(Outline { zone, numbers, own_events });
    }
    (outlines.len() <= MOST_PAGES).then_some(outlines)
}

impl Vocabulary {
    pub(crate) fn pack(&self, raw: &mut Vec<u8>) {
        let put_count = |raw: &mut Vec<u8>, count: Option<usize>| {
            put_number(raw, count.map_or(0, |count| count as u64 + 1));
        };
        put_count(raw, self.keys.as_ref().map(Vec::len));
        for (key, records, pages) in self.keys.iter().flatten() {
            crate::bytes::put_bytes(raw, key);
            put_number(raw, *records);
            raw.extend_from_slice(&pages.to_le_bytes());
        }
        for texts in &self.texts {
            put_count(raw, texts.as_ref().map(Vec::len));
            for (text, pages) in texts.iter().flatten() {
                crate::bytes::put_bytes(raw, text.as_bytes());
                raw.extend_from_slice(&pages.to_le_bytes());
            }
        }
    }

    pub(crate) fn read(mut raw: &[u8]) -> Option<Self> {
        let raw = &mut raw;
        let pages = |raw: &mut &[u8]| Some(PageSet::from_le_bytes(take(raw, 8)?.try_into().ok()?));
        let keys = match number(raw)? {
            0 => None,
            count => {
                let keys = (1..count).map(|_| Some((bytes(raw)?.to_vec(), number(raw)?, pages(raw)?)));
                Some(keys.collect::<Option<_>>()?)
            }
        };
        let mut vocabulary = Self { keys, ..Self::default() };
        for texts in &mut vocabulary.texts {
            *texts = match number(raw)? {
                0 => None,
                count => Some(
                    (1..count).map(|_| Some((text(raw)?.to_owned(), pages(raw)?))).collect::<Option<_>>()?,
                ),
            };
        }
        Some(vocabulary)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn damage_is_no_chapter_and_no_panic(raw in vec(any::<u8>(), 0..200)) {
            let _ = read_outlines(&raw);
            let _ = Vocabulary::read(&raw);
        }

        #[test]
        fn outlines_come_back_as_they_went_in(
            rows in vec((any::<u32>(), any::<i64>(), any::<i64>(), any::<bool>()), 0..64),
        ) {
            let mut seq = 0;
            let outlines: Vec<Outline> = rows
                .into_iter()
                .map(|(length, one, two, flag)| {
                    let (least, most) = (one.min(two), one.max(two));
                    seq += i64::from(length);
                    Outline {
                        zone: Zone {
                            records: u64::from(length),
                            first_seq: seq,
                            last_seq: seq + 7,
                            first_ms: i64::from(length),
                            last_ms: i64::from(length) + 1,
                            first_id: Uuid::from_u128(one as u128),
                            last_id: Uuid::from_u128(two as u128),
                            failures: 3,
                            bodies: (seq, seq - i64::from(flag)),
                        },
                        numbers: [Bounds { missing: flag, range: (one % 2 == 0).then_some((least, most)) }; 6],
                        own_events: flag,
                    }
                })
                .collect();
            let mut raw = Vec::new();
            put_outlines(&mut raw, &outlines);
            prop_assert_eq!(read_outlines(&raw), Some(outlines));
        }
    }
}
