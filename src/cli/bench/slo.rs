//! What counts as served well enough: bounds on a request's latencies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::record::Latencies;

/// Upper bounds; a request that keeps all of them counts towards goodput.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Slo {
    ttft: Option<Duration>,
    itl: Option<Duration>,
    tpot: Option<Duration>,
    e2e: Option<Duration>,
}

impl Slo {
    /// Whether a request kept every bound. An answer without a token is judged by its end.
    pub(super) fn is_kept(&self, latencies: &Latencies) -> bool {
        let keeps = |bound: Option<Duration>, seconds: Option<f64>| match (bound, seconds) {
            (Some(bound), Some(seconds)) => seconds <= bound.as_secs_f64(),
            _ => true,
        };
        keeps(self.ttft, latencies.ttft.or(Some(latencies.e2e)))
            && keeps(self.itl, latencies.itl_p99)
            && keeps(self.tpot, latencies.tpot)
            && keeps(self.e2e, Some(latencies.e2e))
    }
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut slo = Self::default();
        for bound in text.split(',') {
            let (name, value) =
                bound.split_once('=').ok_or_else(|| format!("expected NAME=TIME, not {bound:?}"))?;
            let place = match name.trim() {
                "ttft" => &mut slo.ttft,
                "itl" => &mut slo.itl,
                "tpot" => &mut slo.tpot,
                "e2e" => &mut slo.e2e,
                other => return Err(format!("{other:?} is none of ttft, itl, tpot and e2e")),
            };
            *place = Some(duration(value.trim())?);
        }
        Ok(slo)
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = [("ttft", self.ttft), ("itl", self.itl), ("tpot", self.tpot), ("e2e", self.e2e)];
        let written = bounds.iter().filter_map(|(name, bound)| Some(format!("{name}={:?}", (*bound)?)));
        write!(f, "{}", written.collect::<Vec<_>>().join(","))
    }
}

/// Reads a time such as `500ms`, `1.5s`, `2m` or `30`, which is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "us" => Some(1e-6),
        "ms" => Some(1e-3),
        "" | "s" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = scale.and_then(|scale| Some(scale * number.parse::<f64>().ok()?));
    seconds
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("expected a time such as 500ms, 30s or 2m, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_seconds_are_understood() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        for text in ["", "0", "-1s", "5 days", "inf", "nan"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_has_to_keep_every_bound_that_is_set() {
        let slo: Slo = "ttft=500ms,itl=50ms,e2e=10s".parse().expect("valid");
        assert_eq!(slo.to_string(), "ttft=500ms,itl=50ms,e2e=10s");
        let good = Latencies { ttft: Some(0.5), itl_p99: Some(0.05), tpot: Some(9.0), e2e: 10.0 };
        assert!(slo.is_kept(&good));
        assert!(!slo.is_kept(&Latencies { ttft: Some(0.51), ..good }));
        assert!(!slo.is_kept(&Latencies { itl_p99: Some(0.06), ..good }));
        assert!(!slo.is_kept(&Latencies { e2e: 10.1, ..good }));
        assert!(slo.is_kept(&Latencies { itl_p99: None, ..good }), "one token has no gap");
        assert!(!slo.is_kept(&Latencies { ttft: None, ..good }), "an empty answer comes at its end");
        assert!("ttft".parse::<Slo>().is_err() && "speed=1s".parse::<Slo>().is_err());
    }
}
