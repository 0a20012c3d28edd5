//! Pages: the records of one gateway that stand together in the log, some or some hundred.
//!
//! A page is written as the records come and sealed (merged with its neighbours and compressed) once they are many. It is
//! two byte strings, heads and details, and a [`Zone`] that tells without looking inside whether it can hold what is
//! searched. A frame of the heads is: sequence number less the page's first; where the bodies are (number of the block
//! less the page's first, plus one, and offset; 0 for none); length of the details; the head after its length.

use std::ops::Range;

use uuid::Uuid;

use crate::{
    Outcome,
    bytes::{number, put_bytes, put_number},
    packed::{Figures, key_of, read_figures, read_key},
};

/// What a page holds, in bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Zone {
    pub(crate) records: u64,
    pub(crate) first_seq: i64,
    pub(crate) last_seq: i64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) first_id: Uuid,
    pub(crate) last_id: Uuid,
    /// Records whose outcome is not success.
    pub(crate) failures: u64,
    /// Numbers of the blocks with the bodies; the second is below the first if there are none.
    pub(crate) bodies: (i64, i64),
}

/// Between which numbers, times and ids records are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) first_seq: i64,
    pub(crate) last_seq: i64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) first_id: Uuid,
    pub(crate) last_id: Uuid,
}

impl Zone {
    pub(crate) fn span(&self) -> Span {
        let Self { first_seq, last_seq, first_ms, last_ms, first_id, last_id, .. } = *self;
        Span { first_seq, last_seq, first_ms, last_ms, first_id, last_id }
    }
}

/// A page being put together.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) zone: Zone,
    pub(crate) heads: Vec<u8>,
    pub(crate) details: Vec<u8>,
}

/// One record in a page.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) seq: i64,
    pub(crate) head: Range<usize>,
    pub(crate) details: Range<usize>,
    pub(crate) bodies: Option<Place>,
}

/// Where bodies are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) block: i64,
    pub(crate) offset: usize,
}

impl Page {
    /// An empty page whose blocks of bodies start at this number.
    pub(crate) fn new(first_block: i64) -> Self {
        Self {
            zone: Zone {
                records: 0,
                first_seq: 0,
                last_seq: 0,
                first_ms: i64::MAX,
                last_ms: i64::MIN,
                first_id: Uuid::max(),
                last_id: Uuid::nil(),
                failures: 0,
                bodies: (first_block, first_block - 1),
            },
            heads: Vec::new(),
            details: Vec::new(),
        }
    }

    /// Appends a record; sequence numbers and blocks ascend. One whose head is damaged is left out.
    pub(crate) fn push(&mut self, seq: i64, head: &[u8], details: &[u8], bodies: Option<Place>) {
        if let (Some(figures), Some(key)) = (read_figures(head), key_of(head).and_then(read_key)) {
            self.push_read(seq, (head, &figures, key.outcome), details, bodies);
        }
    }

    /// [`Page::push`] of a head that has been read already.
    pub(crate) fn push_read(
        &mut self,
        seq: i64,
        (head, figures, outcome): (&[u8], &Figures<'_>, Outcome),
        details: &[u8],
        bodies: Option<Place>,
    ) {
        let zone = &mut self.zone;
        if zone.records == 0 {
            zone.first_seq = seq;
        }
        zone.first_ms = zone.first_ms.min(figures.created_at_ms);
        zone.last_ms = zone.last_ms.max(figures.created_at_ms);
        zone.first_id = zone.first_id.min(figures.id);
        zone.last_id = zone.last_id.max(figures.id);
        zone.failures += u64::from(outcome != Outcome::Success);
        zone.records += 1;
        self.put(seq, head, details, bodies);
    }

    /// Takes the bounds of a page whose records [`Page::put`] then appends.
    pub(crate) fn widen(&mut self, other: &Zone) {
        let zone = &mut self.zone;
        if zone.records == 0 {
            zone.first_seq = other.first_seq;
        }
        zone.first_ms = zone.first_ms.min(other.first_ms);
        zone.last_ms = zone.last_ms.max(other.last_ms);
        zone.first_id = zone.first_id.min(other.first_id);
        zone.last_id = zone.last_id.max(other.last_id);
        zone.failures += other.failures;
        zone.records += other.records;
    }

    /// Appends a record that is within the bounds already.
    pub(crate) fn put(&mut self, seq: i64, head: &[u8], details: &[u8], bodies: Option<Place>) {
        let zone = &mut self.zone;
        zone.last_seq = seq;
        put_number(&mut self.heads, (seq - zone.first_seq) as u64);
        match bodies {
            Some(Place { block, offset }) => {
                zone.bodies.1 = zone.bodies.1.max(block);
                put_number(&mut self.heads, (block - zone.bodies.0 + 1) as u64);
                put_number(&mut self.heads, offset as u64);
            }
            None => self.heads.push(0),
        }
        put_number(&mut self.heads, details.len() as u64);
        put_bytes(&mut self.heads, head);
        self.details.extend_from_slice(details);
    }

    pub(crate) fn size(&self) -> usize {
        self.heads.len() + self.details.len()
    }
}

/// Finds the frames of a page; `None` if it is damaged.
pub(crate) fn frames(heads: &[u8], first_seq: i64, first_block: i64) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    let (mut rest, mut details) = (heads, 0);
    while !rest.is_empty() {
        let seq = first_seq.checked_add_unsigned(number(&mut rest)?)?;
        let bodies = match number(&mut rest)? {
            0 => None,
            block => Some(Place {
                block: first_block.checked_add_unsigned(block - 1)?,
                offset: number(&mut rest)?.try_into().ok()?,
            }),
        };
        let length = usize::try_from(number(&mut rest)?).ok()?;
        let head = usize::try_from(number(&mut rest)?).ok()?;
        let at = heads.len() - rest.len();
        rest = rest.get(head..)?;
        frames.push(Frame {
            seq,
            head: at..at + head,
            details: details..details.checked_add(length)?,
            bodies,
        });
        details += length;
    }
    Some(frames)
}

/// lz4 after the uncompressed length.
pub(crate) fn compress(raw: &[u8], buffer: &mut Vec<u8>) -> Vec<u8> {
    let bound = lz4_flex::block::get_maximum_output_size(raw.len());
    if buffer.len() < bound {
        buffer.resize(bound, 0);
    }
    let length = lz4_flex::block::compress_into(raw, buffer)
        .expect("the buffer has the size lz4 asks for in the worst case");
    let mut data = Vec::with_capacity(length + 5);
    put_number(&mut data, raw.len() as u64);
    data.extend_from_slice(&buffer[..length]);
    data
}

/// `None` if it is damaged.
pub(crate) fn decompress(mut data: &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(number(&mut data)?).ok()?;
    // lz4 expands 255-fold at most; a larger length is damage, not a reason to allocate.
    if length > data.len().saturating_mul(255) {
        return None;
    }
    lz4_flex::block::decompress(data, length).ok()
}
