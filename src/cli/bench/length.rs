//! How long prompts and answers are: a number of tokens, or a distribution of it.

use std::fmt;
use std::str::FromStr;

use super::dice::Dice;

/// Longest prompt or answer that may be asked for.
const MAX_TOKENS: u32 = 1 << 20;

/// A distribution of lengths, in tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Length {
    /// Always the same.
    Fixed(u32),
    /// Every length from `min` to `max` alike.
    Uniform { min: u32, max: u32 },
    /// Normal, cut off below 1.
    Normal { mean: f64, deviation: f64 },
    /// Log-normal: many short ones and a long tail. Mean and deviation are those of the lengths, not of their logarithms.
    LogNormal { mean: f64, deviation: f64 },
}

impl Length {
    /// A length, at least 1.
    pub(super) fn draw(&self, dice: &mut Dice) -> u32 {
        let length = match *self {
            Length::Fixed(length) => return length,
            Length::Uniform { min, max } => return min + dice.below(max - min + 1),
            Length::Normal { mean, deviation } => mean + deviation * dice.normal(),
            Length::LogNormal { mean, deviation } => {
                let variance = (deviation / mean).powi(2).ln_1p();
                (mean.ln() - variance / 2.0 + variance.sqrt() * dice.normal()).exp()
            }
        };
        length.round().clamp(1.0, f64::from(MAX_TOKENS)) as u32
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.split_once(':') {
            None => text.parse().ok().map(Length::Fixed),
            Some(("uniform", range)) => range.split_once("..").and_then(|(min, max)| {
                let (min, max) = (min.parse().ok()?, max.parse().ok()?);
                (min <= max).then_some(Length::Uniform { min, max })
            }),
            Some((shape @ ("normal" | "lognormal"), moments)) => {
                moments.split_once(',').and_then(|(mean, deviation)| {
                    let (mean, deviation): (f64, f64) = (mean.parse().ok()?, deviation.parse().ok()?);
                    let makes_sense = mean >= 1.0 && deviation >= 0.0 && deviation.is_finite();
                    makes_sense.then_some(match shape {
                        "normal" => Length::Normal { mean, deviation },
                        _ => Length::LogNormal { mean, deviation },
                    })
                })
            }
            Some(_) => None,
        };
        let fits = |length: &Length| match *length {
            Length::Fixed(length) => (1..=MAX_TOKENS).contains(&length),
            Length::Uniform { min, max } => min >= 1 && max <= MAX_TOKENS,
            Length::Normal { mean, .. } | Length::LogNormal { mean, .. } => mean <= f64::from(MAX_TOKENS),
        };
        parsed.filter(fits).ok_or_else(|| {
            "expected tokens such as 128, uniform:64..256, normal:MEAN,DEVIATION or lognormal:MEAN,DEVIATION"
                .to_owned()
        })
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Fixed(length) => write!(f, "{length}"),
            Length::Uniform { min, max } => write!(f, "uniform:{min}..{max}"),
            Length::Normal { mean, deviation } => write!(f, "normal:{mean},{deviation}"),
            Length::LogNormal { mean, deviation } => write!(f, "lognormal:{mean},{deviation}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::dice::tests::dice;

    #[test]
    fn lengths_read_as_they_are_written() {
        for text in ["128", "uniform:64..256", "normal:128,32", "lognormal:512,300.5"] {
            assert_eq!(text.parse::<Length>().expect(text).to_string(), text);
        }
        let wrong = [
            "",
            "0",
            "-1",
            "9999999",
            "uniform:9..8",
            "uniform:0..8",
            "normal:128",
            "normal:0,1",
            "normal:1,nan",
        ];
        for text in wrong {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }

    #[test]
    fn draws_have_the_moments_that_were_asked_for() {
        for text in ["uniform:50..150", "normal:100,20", "lognormal:100,60"] {
            let length: Length = text.parse().expect(text);
            let mut dice = dice(1);
            let draws: Vec<u32> = (0..20_000).map(|_| length.draw(&mut dice)).collect();
            let mean = draws.iter().map(|&draw| f64::from(draw)).sum::<f64>() / draws.len() as f64;
            assert!((mean - 100.0).abs() < 2.0, "{text}: {mean}");
            let square =
                draws.iter().map(|&draw| (f64::from(draw) - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            let expected = match length {
                Length::Uniform { .. } => 29.2,
                Length::Normal { deviation, .. } | Length::LogNormal { deviation, .. } => deviation,
                Length::Fixed(_) => 0.0,
            };
            assert!((square.sqrt() - expected).abs() < 0.05 * expected, "{text}: {}", square.sqrt());
        }
    }

    #[test]
    fn no_length_is_below_one_or_outside_its_range() {
        let mut dice = dice(2);
        let normal = Length::Normal { mean: 2.0, deviation: 50.0 };
        assert!((0..1000).all(|_| normal.draw(&mut dice) >= 1));
        let uniform = Length::Uniform { min: 3, max: 5 };
        let draws: Vec<u32> = (0..1000).map(|_| uniform.draw(&mut dice)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&3), Some(&5)));
    }
}
