//! Settings of the engine.

use serde::{Deserialize, Serialize};

/// Settings of the scheduler and of its queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { max_num_seqs: 128, max_num_batched_tokens: 512, max_waiting: 1024, max_buffered_events: 1024 }
    }
}

/// Highest value of any setting: far above use, low enough that no product of two overflows.
const MAX_SETTING: usize = 1 << 20;

impl EngineConfig {
    /// Every invalid key with its reason.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let keys = [
            ("max_num_seqs", self.max_num_seqs),
            ("max_num_batched_tokens", self.max_num_batched_tokens),
            ("max_waiting", self.max_waiting),
            ("max_buffered_events", self.max_buffered_events),
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
        };
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["max_waiting", "max_buffered_events", "max_num_batched_tokens"]);
    }
}
