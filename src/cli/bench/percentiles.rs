//! Exact percentiles of samples that are all kept.

use serde::Serialize;

/// What is told of a set of samples, in the samples' unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// Number of samples.
    pub(super) count: usize,
    /// Arithmetic mean.
    pub(super) mean: f64,
    /// Median.
    pub(super) p50: f64,
    /// 90th percentile.
    pub(super) p90: f64,
    /// 99th percentile.
    pub(super) p99: f64,
    /// Largest sample.
    pub(super) max: f64,
}

impl Percentiles {
    /// The figures of `samples` in any order; none of no samples.
    pub(super) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_unstable_by(f64::total_cmp);
        let count = samples.len();
        Some(Self {
            count,
            mean: samples.iter().sum::<f64>() / count as f64,
            p50: nearest_rank(&samples, 50)?,
            p90: nearest_rank(&samples, 90)?,
            p99: nearest_rank(&samples, 99)?,
            max: *samples.last()?,
        })
    }
}

/// The smallest of the sorted samples that `percent` % of them do not exceed: always a sample, never a mixture of two.
pub(super) fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_samples_have_known_percentiles() {
        // The example of the nearest-rank method: of 1 to 100, the 90th percentile is 90.
        let figures = Percentiles::of((1..=100).rev().map(f64::from).collect()).expect("samples");
        let expected = Percentiles { count: 100, mean: 50.5, p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 };
        assert_eq!(figures, expected);
        let five = [15.0, 20.0, 35.0, 40.0, 50.0];
        assert_eq!(nearest_rank(&five, 30), Some(20.0));
        assert_eq!(nearest_rank(&five, 40), Some(20.0));
        assert_eq!(nearest_rank(&five, 50), Some(35.0));
        assert_eq!(nearest_rank(&five, 100), Some(50.0));
    }

    #[test]
    fn one_sample_is_every_percentile_and_none_is_none() {
        let one = Percentiles::of(vec![3.0]).expect("a sample");
        assert_eq!((one.mean, one.p50, one.p90, one.p99, one.max), (3.0, 3.0, 3.0, 3.0, 3.0));
        assert_eq!(Percentiles::of(Vec::new()), None);
        assert_eq!(nearest_rank(&[], 50), None);
        assert_eq!(nearest_rank(&[2.0], 0), Some(2.0));
    }
}
