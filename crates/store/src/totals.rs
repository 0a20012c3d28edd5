//! Totals: sums and histograms of the exchanges that have a key and a span of time in common.
//!
//! A series is a key ([`crate::packed::Key`]), alone or with one entry of the caller's metadata.

use crate::{
    Outcome, Sums,
    bytes::{bytes, number, put_bytes, put_number, put_signed, signed, text},
    packed::{Figures, Key, put_key, read_key},
    sketch::Sketch,
};

/// What is added up for one series and span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Total {
    pub(crate) sums: Sums,
    pub(crate) duration: Sketch,
    pub(crate) first_byte: Sketch,
}

impl Total {
    pub(crate) fn add(&mut self, outcome: Outcome, cached: bool, figures: &Figures<'_>) {
        let usage = figures.usage.unwrap_or_default();
        let failed = outcome != Outcome::Success;
        let answered = !failed && !figures.dialect.is_empty() || figures.usage.is_some();
        let (tokens_in, tokens_out) = (usage.tokens_in(), usage.tokens_out());
        self.sums.add(&Sums {
            requests: 1,
            errors: failed.into(),
            cached: cached.into(),
            tokens_in,
            tokens_out,
            cached_tokens_in: if cached { tokens_in } else { 0 },
            cached_tokens_out: if cached { tokens_out } else { 0 },
            tokens_cached: usage.cache_read,
            cost_nano_usd: figures.cost_nano_usd.unwrap_or(0),
            unpriced: (answered && !cached && figures.cost_nano_usd.is_none()).into(),
            duration_ms: figures.duration_ms.into(),
        });
        self.duration.add(figures.duration_ms);
        figures.first_byte_ms.into_iter().for_each(|ms| self.first_byte.add(ms));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sums.add(&other.sums);
        self.duration.merge(&other.duration);
        self.first_byte.merge(&other.first_byte);
    }

    pub(crate) fn pack(&self, raw: &mut Vec<u8>) {
        let Sums {
            requests,
            errors,
            cached,
            tokens_in,
            tokens_out,
            cached_tokens_in,
            cached_tokens_out,
            tokens_cached,
            cost_nano_usd,
            unpriced,
            duration_ms,
        } = self.sums;
        for number in [
            requests,
            errors,
            cached,
            tokens_in,
            tokens_out,
            cached_tokens_in,
            cached_tokens_out,
            tokens_cached,
            unpriced,
            duration_ms,
        ] {
            put_number(raw, number);
        }
        put_signed(raw, cost_nano_usd);
        self.duration.pack(raw);
        self.first_byte.pack(raw);
    }

    /// Adds a packed one, with its histograms if asked for; `None` if it is damaged.
    pub(crate) fn merge_packed(&mut self, mut raw: &[u8], with_sketches: bool) -> Option<()> {
        let raw = &mut raw;
        self.sums.add(&Sums {
            requests: number(raw)?,
            errors: number(raw)?,
            cached: number(raw)?,
            tokens_in: number(raw)?,
            tokens_out: number(raw)?,
            cached_tokens_in: number(raw)?,
            cached_tokens_out: number(raw)?,
            tokens_cached: number(raw)?,
            unpriced: number(raw)?,
            duration_ms: number(raw)?,
            cost_nano_usd: signed(raw)?,
        });
        if with_sketches {
            self.duration.merge_packed(raw)?;
            self.first_byte.merge_packed(raw)?;
        }
        Some(())
    }
}

/// A series as bytes: the key after its length, then the metadata entry if there is one.
pub(crate) fn put_series(raw: &mut Vec<u8>, key: &[u8], label: Option<(&str, &str)>) {
    put_bytes(raw, key);
    if let Some((name, value)) = label {
        put_bytes(raw, name.as_bytes());
        put_bytes(raw, value.as_bytes());
    }
}

/// What [`put_series`] wrote.
pub(crate) fn read_series(mut raw: &[u8]) -> Option<(Key<'_>, Option<(&str, &str)>)> {
    let key = read_key(bytes(&mut raw)?)?;
    let label = if raw.is_empty() { None } else { Some((text(&mut raw)?, text(&mut raw)?)) };
    Some((key, label))
}

/// Name and value of a series' metadata entry, without a look at its key.
pub(crate) fn label_of_series(mut series: &[u8]) -> Option<Option<(&str, &str)>> {
    bytes(&mut series)?;
    if series.is_empty() { Some(None) } else { Some(Some((text(&mut series)?, text(&mut series)?))) }
}

/// The series with another model.
pub(crate) fn with_model(series: &[u8], model: &str) -> Option<Vec<u8>> {
    let (key, label) = read_series(series)?;
    let mut raw = Vec::with_capacity(series.len() + model.len());
    put_key(&mut raw, &Key { model, ..key });
    if let Some((name, value)) = label {
        put_bytes(&mut raw, name.as_bytes());
        put_bytes(&mut raw, value.as_bytes());
    }
    Some(raw)
}
