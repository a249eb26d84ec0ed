//! What is kept of each request: its times and how it ended.

use std::time::Duration;

use super::percentiles::nearest_rank;

/// One request, with times since the start of its load.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// When it should have been sent: its latencies count from here, so that a late client hides nothing.
    pub(super) intended: Duration,
    /// When it was sent.
    pub(super) sent: Duration,
    /// When each piece of the answer came.
    pub(super) deltas: Vec<Duration>,
    /// When it ended.
    pub(super) end: Duration,
    /// How it ended.
    pub(super) outcome: Outcome,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// It was answered to the end.
    Completed(TokenCounts),
    /// The server had no room for it.
    Refused(Refusal),
    /// Anything else, in words.
    Failed(String),
}

/// Tokens of an answered request, as far as the server tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TokenCounts {
    /// Tokens of the prompt.
    pub(super) prompt: Option<u32>,
    /// Tokens of the answer.
    pub(super) output: Option<u32>,
    /// Tokens of the prompt that were in the server's prefix cache.
    pub(super) cached: Option<u32>,
}

/// A request that was turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status code, or what stands for it.
    pub(super) status: String,
    /// Whether the server said when to come again.
    pub(super) retry_after: bool,
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The server had no room.
    Refused(Refusal),
    /// Anything else, in words.
    Failed(String),
}

/// The latencies of one answered request, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Latencies {
    /// To the first piece; none if the answer is empty.
    pub(super) ttft: Option<f64>,
    /// The 99th percentile of the gaps between pieces.
    pub(super) itl_p99: Option<f64>,
    /// Mean time per token after the first.
    pub(super) tpot: Option<f64>,
    /// To the end.
    pub(super) e2e: f64,
}

impl Record {
    /// The token counts, if it was answered.
    pub(super) fn counts(&self) -> Option<&TokenCounts> {
        match &self.outcome {
            Outcome::Completed(counts) => Some(counts),
            _ => None,
        }
    }

    /// Tokens of the answer: the server's count, else the number of pieces.
    pub(super) fn num_output_tokens(&self) -> f64 {
        let counted = self.counts().and_then(|counts| counts.output);
        counted.map_or(self.deltas.len() as f64, f64::from)
    }

    /// The gaps between the pieces, in seconds.
    pub(super) fn gaps(&self) -> impl Iterator<Item = f64> {
        self.deltas.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64())
    }

    /// The time from when it should have been sent to its end, in seconds.
    pub(super) fn e2e(&self) -> f64 {
        self.end.saturating_sub(self.intended).as_secs_f64()
    }

    /// The time to the first piece, in seconds.
    pub(super) fn ttft(&self) -> Option<f64> {
        self.deltas.first().map(|first| first.saturating_sub(self.intended).as_secs_f64())
    }

    /// Every latency.
    pub(super) fn latencies(&self) -> Latencies {
        let mut gaps: Vec<f64> = self.gaps().collect();
        gaps.sort_unstable_by(f64::total_cmp);
        let num_later_tokens = self.num_output_tokens() - 1.0;
        let after_first = self.deltas.first().map(|first| self.end.saturating_sub(*first).as_secs_f64());
        Latencies {
            ttft: self.ttft(),
            itl_p99: nearest_rank(&gaps, 99),
            tpot: after_first.filter(|_| num_later_tokens > 0.0).map(|time| time / num_later_tokens),
            e2e: self.e2e(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answered request with times in milliseconds.
    pub(crate) fn answered(intended: u64, deltas: &[u64], end: u64, output: Option<u32>) -> Record {
        let ms = Duration::from_millis;
        Record {
            intended: ms(intended),
            sent: ms(intended),
            deltas: deltas.iter().map(|&delta| ms(delta)).collect(),
            end: ms(end),
            outcome: Outcome::Completed(TokenCounts { prompt: Some(10), output, cached: None }),
        }
    }

    #[test]
    fn latencies_count_from_the_intended_start() {
        let record =
            Record { sent: Duration::from_millis(150), ..answered(100, &[300, 400, 600], 800, Some(5)) };
        let latencies = record.latencies();
        assert_eq!(latencies.ttft, Some(0.2));
        assert_eq!(latencies.itl_p99, Some(0.2));
        assert_eq!(latencies.tpot, Some(0.125));
        assert_eq!(latencies.e2e, 0.7);
    }

    #[test]
    fn pieces_stand_for_tokens_where_the_server_does_not_count() {
        assert_eq!(answered(0, &[1, 2, 3], 4, None).num_output_tokens(), 3.0);
        assert_eq!(answered(0, &[1, 2, 3], 4, Some(5)).num_output_tokens(), 5.0);
    }

    #[test]
    fn an_empty_answer_has_an_end_only() {
        let latencies = answered(0, &[], 40, Some(0)).latencies();
        assert_eq!(latencies, Latencies { ttft: None, itl_p99: None, tpot: None, e2e: 0.04 });
    }
}
