//! Settings of request preparation.

use std::time::Duration;

/// Bounds on what is done for a request before the engine sees it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServingConfig {
    /// Most bytes of prompt text, all messages together; more is refused before it is tokenised.
    pub max_prompt_bytes: usize,
    /// Most choices (`n`) of one request.
    pub max_choices: u32,
    /// Prompts rendered and tokenised at the same time.
    pub prepare_threads: usize,
    /// Most requests that may wait for one of those places; more are refused as busy.
    pub max_preparing: usize,
    /// Milliseconds that waiting, rendering and tokenising may take together.
    pub prepare_timeout_ms: u64,
    /// Whether reasoning that only repeats itself, for 512 tokens, is closed; answers are never cut.
    pub close_reasoning_loops: bool,
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            max_prompt_bytes: 4 * 1024 * 1024,
            max_choices: 128,
            prepare_threads: 2,
            max_preparing: 256,
            prepare_timeout_ms: 30_000,
            close_reasoning_loops: true,
        }
    }
}

impl ServingConfig {
    /// Every invalid key with its reason.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !(1..=64 * 1024 * 1024).contains(&self.max_prompt_bytes) {
            faults.push(("max_prompt_bytes", "must lie between 1 and 67108864".to_owned()));
        }
        if !(1..=128).contains(&self.max_choices) {
            faults.push(("max_choices", "must lie between 1 and 128".to_owned()));
        }
        if !(1..=256).contains(&self.prepare_threads) {
            faults.push(("prepare_threads", "must lie between 1 and 256".to_owned()));
        }
        if self.max_preparing == 0 {
            faults.push(("max_preparing", "must be at least 1".to_owned()));
        }
        if !(1..=600_000).contains(&self.prepare_timeout_ms) {
            faults.push(("prepare_timeout_ms", "must lie between 1 and 600000".to_owned()));
        }
        faults
    }

    pub(super) fn prepare_timeout(&self) -> Duration {
        Duration::from_millis(self.prepare_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invalid_key_is_named() {
        assert!(ServingConfig::default().faults().is_empty());
        let zeros = ServingConfig {
            max_prompt_bytes: 0,
            max_choices: 0,
            prepare_threads: 0,
            max_preparing: 0,
            prepare_timeout_ms: 0,
            close_reasoning_loops: false,
        };
        let named: Vec<&str> = zeros.faults().into_iter().map(|(key, _)| key).collect();
        let keys =
            ["max_prompt_bytes", "max_choices", "prepare_threads", "max_preparing", "prepare_timeout_ms"];
        assert_eq!(named, keys);
    }
}
