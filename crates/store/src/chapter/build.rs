//! Making a chapter from the heads of its pages.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Bounds, NUMBERS, Outline, PageSet, TEXTS, Vocabulary, put_outlines, signature};
use crate::{
    LogField,
    bytes::put_bytes,
    filter::{Found, Head, each_entry},
    page::Zone,
};

/// Different keys, different texts in a field, and their bytes, that are listed at most.
const MOST_KEYS: usize = 4_096;
const MOST_TEXTS: usize = 1_024;
const MOST_TEXT_BYTES: usize = 32 << 10;

/// A chapter being made.
#[derive(Debug, Default)]
pub(crate) struct ChapterBuilder {
    outlines: Vec<Outline>,
    keys: HashMap<Vec<u8>, (u64, PageSet)>,
    too_many_keys: bool,
    fields: [Field; TEXTS.len()],
    /// Metadata, and all other texts together, of the page under way that have been taken note of: most records have the
    /// same as some other.
    seen: HashSet<Vec<u8>>,
    joined: Vec<u8>,
}

/// A finished chapter as bytes.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) outlines: Vec<Outline>,
    pub(crate) packed_outlines: Vec<u8>,
    pub(crate) vocabulary: Vec<u8>,
    pub(crate) signatures: Vec<u8>,
}

#[derive(Debug, Default)]
struct Field {
    listed: HashMap<String, PageSet>,
    bytes: usize,
    /// Page and hash of each text, instead of a list that got too long.
    hashes: Option<Vec<(u8, u64)>>,
}

impl ChapterBuilder {
    /// Begins the next page.
    pub(crate) fn begin(&mut self, zone: Zone) {
        self.seen.clear();
        self.outlines.push(Outline { zone, numbers: [Bounds::default(); NUMBERS.len()], own_events: false });
    }

    /// Adds a record of the page under way: its key as bytes, and its head.
    pub(crate) fn add(&mut self, key: &[u8], head: &Head<'_>) {
        let page = self.outlines.len() - 1;
        let Some(outline) = self.outlines.last_mut() else { return };
        for (field, bounds) in NUMBERS.iter().zip(&mut outline.numbers) {
            if let Found::Number(number) = head.find(*field, None) {
                bounds.add(number);
            }
        }
        outline.own_events |= head.event_id.is_none();
        self.add_key(page, key);
        if let Some(event) = head.event_id {
            self.field(LogField::EventId).add(LogField::EventId, page, event);
        }
        if !self.has_seen(&[head.metadata]) {
            for field in [LogField::MetadataKey, LogField::MetadataValue] {
                let texts = self.field(field);
                each_entry(head.metadata, |key, value| {
                    texts.add(field, page, if field == LogField::MetadataKey { key } else { value });
                });
            }
        }
        let kind = head.kind();
        let rest = [
            head.provider,
            head.model,
            head.token_id,
            &head.status.to_string(),
            kind,
            head.path,
            head.method,
            head.error,
            head.user_agent,
            head.request_content_type,
            head.response_content_type,
        ];
        if !self.has_seen(&rest) {
            for (field, text) in TEXTS.into_iter().zip(rest) {
                self.field(field).add(field, page, text);
            }
        }
    }

    pub(crate) fn finish(self) -> Finished {
        let mut hashes = Vec::new();
        let texts = self.fields.map(|Field { listed, hashes: of_field, .. }| match of_field {
            Some(of_field) => {
                hashes.extend(of_field);
                None
            }
            None => Some(Vec::from_iter(listed)),
        });
        let keys = (!self.too_many_keys)
            .then(|| self.keys.into_iter().map(|(key, (records, pages))| (key, records, pages)).collect());
        let (mut packed_outlines, mut vocabulary) = (Vec::new(), Vec::new());
        put_outlines(&mut packed_outlines, &self.outlines);
        Vocabulary { keys, texts }.pack(&mut vocabulary);
        Finished { outlines: self.outlines, packed_outlines, vocabulary, signatures: signature::pack(hashes) }
    }

    fn add_key(&mut self, page: usize, key: &[u8]) {
        if self.too_many_keys {
            return;
        }
        if let Some((records, pages)) = self.keys.get_mut(key) {
            return (*records, *pages) = (*records + 1, *pages | 1 << page);
        }
        self.too_many_keys = self.keys.len() >= MOST_KEYS;
        self.keys.insert(key.to_vec(), (1, 1 << page));
    }

    fn field(&mut self, field: LogField) -> &mut Field {
        let at = TEXTS.iter().position(|other| *other == field).unwrap_or_default();
        &mut self.fields[at]
    }

    fn has_seen(&mut self, texts: &[&str]) -> bool {
        self.joined.clear();
        texts.iter().for_each(|text| put_bytes(&mut self.joined, text.as_bytes()));
        self.seen.contains(&self.joined) || !self.seen.insert(self.joined.clone())
    }
}

impl Field {
    fn add(&mut self, field: LogField, page: usize, text: &str) {
        if let Some(hashes) = &mut self.hashes {
            return hashes.push((page as u8, signature::hash(field, text.as_bytes())));
        }
        if let Some(pages) = self.listed.get_mut(text) {
            return *pages |= 1 << page;
        }
        self.bytes += text.len();
        self.listed.insert(text.to_owned(), 1 << page);
        if self.listed.len() > MOST_TEXTS || self.bytes > MOST_TEXT_BYTES {
            let listed = std::mem::take(&mut self.listed).into_iter();
            let hashes = listed.flat_map(|(text, pages)| {
                let hash = signature::hash(field, text.as_bytes());
                (0..PageSet::BITS as u8)
                    .filter(move |page| pages & 1 << page != 0)
                    .map(move |page| (page, hash))
            });
            self.hashes = Some(hashes.collect());
        }
    }
}

/// An id the page of this outline may have.
impl Outline {
    pub(crate) fn may_have(&self, id: Uuid) -> bool {
        (self.zone.first_id..=self.zone.last_id).contains(&id)
    }
}
