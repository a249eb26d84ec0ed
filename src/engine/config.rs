//! Settings of the engine.

use serde::{Deserialize, Serialize};

/// Settings of the scheduler and of its queues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Most sequences that run at the same time.
    pub max_num_seqs: usize,
    /// Most tokens computed in one step, prompts and running outputs together; a longer prompt is computed in
    /// pieces. A smaller number keeps running outputs fluent while a long prompt is read.
    pub max_num_batched_tokens: usize,
    /// Most sequences that wait for their turn; more are refused.
    pub max_waiting: usize,
    /// Most tokens that lie unread by a client before its sequence is given up.
    pub max_buffered_events: usize,
    /// Most prompt tokens that wait for their turn; more are refused.
    pub max_waiting_tokens: usize,
    /// Milliseconds that a sequence may wait for its turn; one that waited longer is given up. One that would wait
    /// for more than four fifths of it at the measured speed is refused at once.
    pub max_queue_time_ms: u64,
    /// While outputs run, prompts are read in pieces so small that a step takes at most about this many times as long
    /// as one without; 0 for no such limit.
    pub max_decode_slowdown: f64,
    /// Whether the K and V of prompts and outputs are kept for later prompts that begin in the same way.
    pub prefix_cache: bool,
    /// Guessing ahead.
    pub speculation: SpeculationConfig,
    /// Planned faults; from the environment alone.
    #[cfg(debug_assertions)]
    #[serde(skip)]
    pub failpoints: super::Failpoints,
}

/// Settings of speculative decoding by prompt lookup: the tokens that followed the last few tokens when these stood
/// in the sequence before are guessed to follow again, and one step checks all guesses. The output is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeculationConfig {
    /// Most tokens guessed at a time; 0 turns it off.
    pub max_draft_tokens: usize,
    /// Most tokens that have to agree for a guess; tried first.
    pub max_ngram: usize,
    /// Fewest.
    pub min_ngram: usize,
}

impl Default for SpeculationConfig {
    fn default() -> Self {
        Self { max_draft_tokens: 0, max_ngram: 4, min_ngram: 2 }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_num_seqs: 128,
            max_num_batched_tokens: 512,
            max_waiting: 1024,
            max_buffered_events: 1024,
            max_waiting_tokens: 1 << 20,
            max_queue_time_ms: 60_000,
            max_decode_slowdown: 3.0,
            prefix_cache: true,
            speculation: SpeculationConfig::default(),
            #[cfg(debug_assertions)]
            failpoints: super::Failpoints::default(),
        }
    }
}

/// Highest value of any setting: far above use, low enough that no product of two overflows.
const MAX_SETTING: usize = 1 << 24;
/// Guesses beyond this are hardly ever right.
const MAX_DRAFT_TOKENS: usize = 64;
/// Longest run of tokens that is looked up.
const MAX_NGRAM: usize = 16;

impl EngineConfig {
    /// Every invalid key with its reason.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let keys = [
            ("max_num_seqs", self.max_num_seqs),
            ("max_num_batched_tokens", self.max_num_batched_tokens),
            ("max_waiting", self.max_waiting),
            ("max_buffered_events", self.max_buffered_events),
            ("max_waiting_tokens", self.max_waiting_tokens),
            ("max_queue_time_ms", usize::try_from(self.max_queue_time_ms).unwrap_or(usize::MAX)),
        ];
        let mut faults: Vec<_> = keys
            .into_iter()
            .filter(|(_, value)| !(1..=MAX_SETTING).contains(value))
            .map(|(key, value)| (key, format!("is {value}, must lie between 1 and {MAX_SETTING}")))
            .collect();
        if self.max_num_batched_tokens < self.max_num_seqs {
            faults.push((
                "max_num_batched_tokens",
                format!(
                    "is {}, less than max_num_seqs ({}): not every running sequence could advance in a step",
                    self.max_num_batched_tokens, self.max_num_seqs
                ),
            ));
        }
        if self.max_decode_slowdown != 0.0 && !(1.1..=1000.0).contains(&self.max_decode_slowdown) {
            let reason = format!("is {}, must be 0 or lie between 1.1 and 1000", self.max_decode_slowdown);
            faults.push(("max_decode_slowdown", reason));
        }
        let SpeculationConfig { max_draft_tokens, max_ngram, min_ngram } = self.speculation;
        if max_draft_tokens > MAX_DRAFT_TOKENS {
            let reason = format!("is {max_draft_tokens}, must be at most {MAX_DRAFT_TOKENS}");
            faults.push(("speculation.max_draft_tokens", reason));
        }
        if !(1..=max_ngram.min(MAX_NGRAM)).contains(&min_ngram) || max_ngram > MAX_NGRAM {
            let reason = format!(
                "is {max_ngram} with a min_ngram of {min_ngram}: expected 1 <= min_ngram <= max_ngram <= {MAX_NGRAM}"
            );
            faults.push(("speculation.max_ngram", reason));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_fault() {
        assert_eq!(EngineConfig::default().faults(), []);
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let config = EngineConfig {
            max_num_seqs: 8,
            max_num_batched_tokens: 7,
            max_waiting: 0,
            max_buffered_events: usize::MAX,
            max_decode_slowdown: 0.5,
            speculation: SpeculationConfig { max_draft_tokens: 65, max_ngram: 1, min_ngram: 2 },
            ..EngineConfig::default()
        };
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "max_waiting",
                "max_buffered_events",
                "max_num_batched_tokens",
                "max_decode_slowdown",
                "speculation.max_draft_tokens",
                "speculation.max_ngram"
            ]
        );
    }
}
