//! Signatures: a Bloom filter for each page of a chapter, stored so that the same bit of all pages is one word.

use super::PageSet;
use crate::LogField;

/// Bits for each text of the page with the most, and how many of them one text sets: one page in 300 is opened in vain.
const BITS_PER_TEXT: usize = 12;
const PROBES: u64 = 6;
/// A page of ever so many texts has no more bits than this; it is opened in vain more often.
const MOST_BITS: usize = 1 << 16;

/// Borrowed from where it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signatures<'a> {
    words: &'a [u8],
}

impl<'a> Signatures<'a> {
    pub(crate) fn of(words: &'a [u8]) -> Self {
        Self { words }
    }

    /// The pages that may have this text in this field; all if there are no signatures.
    pub(crate) fn pages(self, field: LogField, text: &[u8]) -> PageSet {
        let words = self.words.len() / 8;
        if words == 0 {
            return PageSet::MAX;
        }
        probes(hash(field, text), words).fold(PageSet::MAX, |pages, at| {
            let word = &self.words[at * 8..at * 8 + 8];
            pages & word.try_into().map_or(PageSet::MAX, PageSet::from_le_bytes)
        })
    }
}

/// The signatures of these texts, given as page and hash.
pub(super) fn pack(mut texts: Vec<(u8, u64)>) -> Vec<u8> {
    texts.sort_unstable();
    texts.dedup();
    let most = texts.chunk_by(|one, two| one.0 == two.0).map(<[_]>::len).max().unwrap_or_default();
    let bits = (most * BITS_PER_TEXT).min(MOST_BITS);
    let mut words = vec![0; bits];
    for (page, hash) in texts {
        probes(hash, bits).for_each(|at| words[at] |= 1 << page);
    }
    words.into_iter().flat_map(PageSet::to_le_bytes).collect()
}

fn probes(hash: u64, bits: usize) -> impl Iterator<Item = usize> {
    let step = hash >> 32 | 1;
    (0..PROBES).map(move |probe| (hash.wrapping_add(probe.wrapping_mul(step)) % bits as u64) as usize)
}

/// What a text of a field is known by. It is stored, so it never changes: FNV-1a, then mixed.
pub(super) fn hash(field: LogField, text: &[u8]) -> u64 {
    let place = super::TEXTS.iter().position(|other| *other == field).unwrap_or_default() as u8;
    let hash = [place].iter().chain(text).fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let hash = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^ hash >> 29
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_where_it_is_and_hardly_elsewhere() {
        let text = |number: u32| format!("req-{number}");
        let texts = (0..64_u32 * 400)
            .map(|number| ((number / 400) as u8, hash(LogField::EventId, text(number).as_bytes())));
        let words = pack(texts.collect());
        let signatures = Signatures::of(&words);
        let mut in_vain = 0;
        for number in 0..64 * 400 {
            let pages = signatures.pages(LogField::EventId, text(number).as_bytes());
            assert!(pages & 1 << (number / 400) != 0, "{number}");
            in_vain += pages.count_ones() - 1;
        }
        assert!(in_vain < 64 * 400 / 2, "{in_vain} of {}", 64 * 400 * 63);
        assert!(
            (1_000_000..1_000_200).all(|number| {
                signatures.pages(LogField::EventId, text(number).as_bytes()).count_ones() < 8
            })
        );
        assert_eq!(Signatures::of(&[]).pages(LogField::Path, b"any"), PageSet::MAX);
    }
}
