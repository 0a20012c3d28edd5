//! A histogram of durations with bounded relative error and constant-time recording.

/// Buckets per power of two: a bucket is at most 1/128 of its value wide, so its middle is off by at most 0.4 %.
const STEPS: u64 = 128;
const STEP_BITS: u32 = STEPS.ilog2();
const BUCKETS: usize = ((64 - STEP_BITS as usize) + 1) * STEPS as usize;

/// Counts of `u64` values (nanoseconds, in this bench).
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS], count: 0, sum: 0, max: 0 }
    }
}

impl Histogram {
    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.max = self.max.max(value);
    }

    /// Adds everything `other` recorded.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly; 0 if there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, exactly; 0 if there is no value.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The smallest value that at least `fraction` (0 to 1) of all values do not exceed, within 0.4 %; 0 if empty.
    #[must_use]
    pub fn quantile(&self, fraction: f64) -> u64 {
        let rank = ((self.count as f64 * fraction).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(index).min(self.max);
            }
        }
        0
    }
}

/// Values below [`STEPS`] have a bucket each; above, the leading bits choose it.
fn bucket(value: u64) -> usize {
    let shift = shift_of(value);
    (u64::from(shift) * STEPS + (value >> shift)) as usize
}

fn shift_of(value: u64) -> u32 {
    (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1)
}

/// The middle of a bucket: the inverse of [`bucket`].
fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    ((index - shift * STEPS) << shift) + (1 << shift >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_of_one_to_a_thousand() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.record(value * 1000));
        assert_eq!(histogram.count(), 1000);
        assert_eq!(histogram.max(), 1_000_000);
        assert!((histogram.mean() - 500_500.0).abs() < 0.01);
        for (fraction, expected) in [(0.5, 500_000.0), (0.99, 990_000.0), (0.999, 999_000.0), (1.0, 1e6)] {
            let found = histogram.quantile(fraction) as f64;
            assert!((found / expected - 1.0).abs() < 0.005, "{fraction}: {found} instead of {expected}");
        }
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        let empty = Histogram::default();
        assert_eq!((empty.quantile(0.5), empty.max(), empty.count()), (0, 0, 0));
        assert!(empty.mean().abs() < f64::EPSILON);
    }

    #[test]
    fn merging_is_recording_into_one() {
        let (mut left, mut right, mut both) = Default::default();
        for value in 0..5000_u64 {
            let half: &mut Histogram = if value % 3 == 0 { &mut left } else { &mut right };
            half.record(value * value);
            Histogram::record(&mut both, value * value);
        }
        left.merge(&right);
        assert_eq!(left.counts, both.counts);
        assert_eq!((left.count, left.sum, left.max), (both.count, both.sum, both.max));
    }

    proptest! {
        #[test]
        fn one_value_comes_back_within_half_a_percent(value: u64, larger: u64) {
            let mut histogram = Histogram::default();
            histogram.record(value);
            histogram.record(value.max(larger));
            let found = histogram.quantile(0.5) as f64;
            prop_assert!((found - value as f64).abs() <= value as f64 * 0.005);
        }

        #[test]
        fn buckets_are_ordered(a: u64, b: u64) {
            prop_assert_eq!(bucket(a.min(b)).min(bucket(a.max(b))), bucket(a.min(b)));
            prop_assert!(bucket(a) < BUCKETS);
        }
    }
}
