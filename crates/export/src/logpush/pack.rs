//! A batch as one object.

use std::io::Write as _;

use flate2::write::GzEncoder;
use genesis_config::logpush::Compression;
use genesis_store::LogEntry;
use jiff::Timestamp;

use super::line::Lines;
use crate::target::Undelivered;

/// How batches are packed.
#[derive(Clone, Debug)]
pub struct Packing {
    pub lines: Lines,
    pub compression: Compression,
}

/// A batch, packed.
#[derive(Clone, Debug)]
pub struct Packed {
    /// `20261122T120000Z_<id>.log.gz`, by time and id of its first record: a batch that is sent again, also after a restart
    /// and with more records behind, has the same name and takes the place of the first.
    pub name: String,
    /// `20261122`
    pub date: String,
    pub bytes: Vec<u8>,
}

/// Packs a batch.
pub fn pack(packing: &Packing, entries: &[LogEntry]) -> Result<Packed, Undelivered> {
    let mut text = Vec::new();
    packing.lines.write(entries, &mut text).map_err(|error| Undelivered::later(error.to_string()))?;
    let (ending, bytes) = match packing.compression {
        Compression::Gzip => ("log.gz", gzip(&text).map_err(|error| Undelivered::later(error.to_string()))?),
        Compression::None => ("log", text),
    };
    let (began, id) =
        entries.first().map(|entry| (entry.record.created_at_ms, entry.record.id)).unwrap_or_default();
    let began = Timestamp::from_millisecond(began).unwrap_or_default();
    Ok(Packed {
        name: format!("{}_{id}.{ending}", began.strftime("%Y%m%dT%H%M%SZ")),
        date: began.strftime("%Y%m%d").to_string(),
        bytes,
    })
}

/// `{DATE}` in a folder or prefix, in either case.
pub(super) fn with_date(text: &str, date: &str) -> String {
    text.replace("{DATE}", date).replace("{date}", date)
}

fn gzip(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), flate2::Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}
