//! How requests come: as many streams as are told, or at times that do not ask whether the server keeps up.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dice::{ConversationId, Dice, Purpose};

/// One load of a sweep; in reports its kind and its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "lowercase")]
pub(super) enum Load {
    /// A closed loop: so many streams, each with its next request once the last is answered.
    Concurrency(u32),
    /// An open loop: so many requests per second arrive, whatever becomes of them.
    Rate(f64),
}

impl Load {
    /// Streams, or requests per second.
    pub(super) fn value(self) -> f64 {
        match self {
            Load::Concurrency(streams) => f64::from(streams),
            Load::Rate(rate) => rate,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Concurrency(1) => write!(f, "1 stream"),
            Load::Concurrency(streams) => write!(f, "{streams} streams"),
            Load::Rate(rate) => write!(f, "{rate} requests/s"),
        }
    }
}

/// How arrivals of an open loop are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Arrivals {
    /// Evenly.
    Fixed,
    /// At random and independent of each other, as those of many users are.
    Poisson,
}

impl Arrivals {
    /// The times of all arrivals, counted from the start; without end.
    pub(super) fn times(self, rate: f64, seed: u64, point: u32) -> impl Iterator<Item = Duration> + Send {
        let mut dice = Dice::new(seed, ConversationId { point, purpose: Purpose::Arrivals, number: 0 });
        let mut last = 0.0;
        (0_u32..).map(move |number| {
            let seconds = match self {
                Arrivals::Fixed => f64::from(number) / rate,
                Arrivals::Poisson => {
                    last += dice.exponential() / rate;
                    last
                }
            };
            Duration::from_secs_f64(seconds)
        })
    }
}

/// How long one load lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Requests begin for this time; those that then run are answered to the end.
    Time(Duration),
    /// So many requests.
    Requests(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_arrivals_are_evenly_spaced() {
        let times: Vec<_> = Arrivals::Fixed.times(4.0, 1, 0).take(5).map(|time| time.as_secs_f64()).collect();
        assert_eq!(times, [0.0, 0.25, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_vary_and_repeat() {
        const COUNT: usize = 10_000;
        let times = |seed, point| {
            let times = Arrivals::Poisson.times(50.0, seed, point);
            times.take(COUNT).map(|time| time.as_secs_f64()).collect::<Vec<_>>()
        };
        let first = times(1, 0);
        assert_eq!(first, times(1, 0));
        assert_ne!(first, times(2, 0));
        assert_ne!(first, times(1, 1));
        let gaps: Vec<f64> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean - 0.02).abs() < 0.001, "{mean}");
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.05,
            "the gaps of a Poisson process vary by their mean"
        );
    }
}
