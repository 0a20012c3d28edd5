//! A histogram of durations: buckets that grow with the value, so that every percentile is within 1 % of the exact one,
//! and that add up, so that totals of minutes make those of days.
//!
//! Values below 64 have buckets of their own; each power of two above has 64. That is 1,728 buckets for all of `u32`, of
//! which few are ever used: stored are pairs of (distance to the bucket before, count) as LEB128.

use crate::bytes::{number, put_number};

const SUB_BITS: u32 = 6;
const SUB_BUCKETS: u32 = 1 << SUB_BITS;
/// The bucket of the largest value.
const LAST: u16 = 1_727;

/// From so many buckets on, counts stand in a row, where adding finds its place without a search.
const FEW: usize = 64;

/// Counts by bucket.
#[derive(Clone, Debug)]
pub(crate) enum Sketch {
    /// Only buckets with counts, ascending.
    Few(Vec<(u16, u64)>),
    /// All buckets from the first with a count to the last.
    Many { first: u16, counts: Vec<u64> },
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        self.counts().eq(other.counts())
    }
}

impl Sketch {
    pub(crate) fn add(&mut self, value: u32) {
        self.add_count(bucket(value), 1);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.counts().for_each(|(bucket, count)| self.add_count(bucket, count));
    }

    /// The value at each of the ascending ranks, 0 to 1; `None` if there are no values.
    pub(crate) fn quantiles<const N: usize>(&self, ranks: [f64; N]) -> [Option<u32>; N] {
        let total: u64 = self.counts().map(|(_, count)| count).sum();
        ranks.map(|rank| {
            // The smallest value that at least this many do not exceed.
            let wanted = ((rank * total as f64).ceil() as u64).max(1);
            let mut seen = 0;
            self.counts().find_map(|(bucket, count)| {
                seen += count;
                (seen >= wanted).then(|| middle(bucket))
            })
        })
    }

    pub(crate) fn pack(&self, raw: &mut Vec<u8>) {
        put_number(raw, self.counts().count() as u64);
        let mut last = 0;
        for (bucket, count) in self.counts() {
            put_number(raw, u64::from(bucket - last));
            put_number(raw, count);
            last = bucket;
        }
    }

    /// Adds a packed one; `None` if it is damaged.
    pub(crate) fn merge_packed(&mut self, raw: &mut &[u8]) -> Option<()> {
        let mut at = 0_u16;
        for _ in 0..number(raw)? {
            at = at.checked_add(number(raw)?.try_into().ok()?).filter(|at| *at <= LAST)?;
            let count = number(raw)?;
            match self {
                // Nearly always it has the bucket already.
                Self::Many { first, counts } if at >= *first && usize::from(at - *first) < counts.len() => {
                    let known = &mut counts[usize::from(at - *first)];
                    *known = known.saturating_add(count);
                }
                _ => self.add_count(at, count),
            }
        }
        Some(())
    }

    /// Buckets with counts, ascending.
    fn counts(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let (few, first, many) = match self {
            Self::Few(few) => (few.as_slice(), 0, [].as_slice()),
            Self::Many { first, counts } => ([].as_slice(), *first, counts.as_slice()),
        };
        let many = many.iter().enumerate().map(move |(at, count)| (first + at as u16, *count));
        few.iter().copied().chain(many.filter(|(_, count)| *count > 0))
    }

    fn add_count(&mut self, bucket: u16, count: u64) {
        match self {
            Self::Few(few) => {
                // Mostly what is added comes in ascending order.
                let place = match few.last() {
                    Some((last, _)) if *last < bucket => Err(few.len()),
                    _ => few.binary_search_by_key(&bucket, |(bucket, _)| *bucket),
                };
                match place {
                    Ok(at) => few[at].1 = few[at].1.saturating_add(count),
                    Err(at) => few.insert(at, (bucket, count)),
                }
                if few.len() > FEW {
                    let (first, last) = (few[0].0, few[few.len() - 1].0);
                    let mut counts = vec![0; usize::from(last - first) + 1];
                    few.iter().for_each(|(bucket, count)| counts[usize::from(bucket - first)] = *count);
                    *self = Self::Many { first, counts };
                }
            }
            Self::Many { first, counts } => {
                if bucket < *first {
                    let missing = usize::from(*first - bucket);
                    counts.splice(..0, std::iter::repeat_n(0, missing));
                    *first = bucket;
                }
                let at = usize::from(bucket - *first);
                if at >= counts.len() {
                    counts.resize(at + 1, 0);
                }
                counts[at] = counts[at].saturating_add(count);
            }
        }
    }
}

fn bucket(value: u32) -> u16 {
    let octave = value.checked_ilog2().unwrap_or(0).saturating_sub(SUB_BITS);
    let within = value >> octave;
    // `within` is below 64 in the first octave and 64 to 127 after it, so the octaves join without a gap.
    (octave * SUB_BUCKETS + within) as u16
}

/// The middle of a bucket's values.
fn middle(bucket: u16) -> u32 {
    let bucket = u32::from(bucket);
    let octave = (bucket / SUB_BUCKETS).saturating_sub(1);
    let within = bucket - octave * SUB_BUCKETS;
    let least = u64::from(within) << octave;
    (least + (1_u64 << octave) / 2).min(u32::MAX.into()) as u32
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sketch(values: &[u32]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    /// Durations of all magnitudes.
    fn values() -> impl Strategy<Value = Vec<u32>> {
        vec((0u32..32, any::<u32>()).prop_map(|(shift, value)| value >> shift), 1..300)
    }

    #[test]
    fn buckets_ascend_without_gap_and_hold_their_middle() {
        let mut last = 0;
        for value in (0..100_000).chain((100_000..=u32::MAX).step_by(7_919)).chain([u32::MAX]) {
            let of = bucket(value);
            assert!(of == last || of == last + 1 || value >= 100_000 && of > last, "{value}");
            last = of;
            assert_eq!(bucket(middle(of)), of, "{value}");
            assert!(middle(of).abs_diff(value) as f64 <= f64::from(value) * 0.01, "{value} {}", middle(of));
        }
        assert_eq!(last, LAST);
    }

    proptest! {
        #[test]
        fn merging_is_the_sketch_of_all(one in values(), two in values()) {
            let mut merged = sketch(&one);
            merged.merge(&sketch(&two));
            prop_assert_eq!(&merged, &sketch(&[one.clone(), two.clone()].concat()));
            // Also through what is stored, in either order.
            let mut packed = Vec::new();
            sketch(&two).pack(&mut packed);
            sketch(&one).pack(&mut packed);
            let (mut stored, mut rest) = (Sketch::default(), packed.as_slice());
            prop_assert_eq!(stored.merge_packed(&mut rest).and_then(|()| stored.merge_packed(&mut rest)), Some(()));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(stored, merged);
        }

        #[test]
        fn percentiles_are_within_a_percent(mut values in values(), rank in 0.0f64..=1.0) {
            let [found] = sketch(&values).quantiles([rank]);
            values.sort_unstable();
            let at = ((rank * values.len() as f64).ceil() as usize).max(1) - 1;
            let exact = f64::from(values[at]);
            prop_assert!((f64::from(found.unwrap()) - exact).abs() <= exact * 0.01, "{found:?} {exact}");
        }

        #[test]
        fn damage_is_no_sketch_and_no_panic(bytes in vec(any::<u8>(), 0..40)) {
            let _ = Sketch::default().merge_packed(&mut bytes.as_slice());
        }
    }

    #[test]
    fn nothing_has_no_percentiles() {
        assert_eq!(Sketch::default().quantiles([0.5, 0.99]), [None, None]);
    }
}
