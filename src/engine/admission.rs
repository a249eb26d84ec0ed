//! How long a new sequence would wait, and how fast the engine is: arithmetic without clock, channel or lock.
//!
//! # The model
//!
//! A sequence that joins the queue now runs when three things have happened, which happen at the same time:
//!
//! | what | takes |
//! |---|---|
//! | the prompts ahead of it are computed | prompt tokens ahead / prompt tokens computed per second |
//! | there are places for it and for those ahead | places missing / sequences that end per second |
//! | there are blocks for its prompt and for those ahead | blocks missing / blocks freed per second |
//!
//! The expected wait is the longest of the three. Each is less than the truth: it leaves out the prompts that are being
//! computed, the output that prompts ahead still get, and blocks that running sequences still take. So the model
//! refuses too late rather than too early, and what it lets through by mistake is caught by the queue's age limit.
//! What was never measured takes no time, and neither does a queue on an idle engine. Of the prompt tokens ahead, and
//! of its own, as large a part is left out as the prefix cache had of late.
//!
//! Classes, that is, tenants and priorities, take turns: what is ahead of a sequence is what waits of its own class,
//! once for every class in the queue, and never more than all that waits. So a tenant with a long queue does not
//! lengthen another's wait by more than its turn.
//!
//! # When to try again
//!
//! After half of the expected wait, but not before [`MIN_RETRY`] and no later than [`MAX_RETRY`]. By then about half
//! of the queue has gone, so that those who were refused and come back find room; where nothing was measured yet it is
//! [`MIN_RETRY`].

use std::time::Duration;

/// Soonest time to try again.
pub(super) const MIN_RETRY: Duration = Duration::from_secs(1);
/// Latest time to try again; the official SDKs ignore anything longer.
pub(super) const MAX_RETRY: Duration = Duration::from_secs(120);

/// Half-life of what was measured, in seconds of measured time.
const HALF_LIFE_S: f64 = 15.0;
/// The same of the prefix cache's share, in prompt tokens.
const HALF_LIFE_TOKENS: f64 = 20_000.0;
/// Measurements before a rate is believed.
const MIN_MEASUREMENTS: u32 = 8;

/// Bounds of the queue besides its length, and the sizes that the expected wait depends on. Fixed at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Most prompt tokens that may wait; a longer prompt is taken when nothing else waits.
    pub max_waiting_tokens: usize,
    /// Longest wait of a sequence.
    pub max_queue_time: Duration,
    /// Most sequences that run at the same time.
    pub max_num_seqs: usize,
    /// Tokens per block of the KV pool.
    pub block_size: usize,
}

impl Default for QueueLimits {
    /// No bounds.
    fn default() -> Self {
        Self {
            max_waiting_tokens: usize::MAX,
            max_queue_time: Duration::MAX,
            max_num_seqs: usize::MAX,
            block_size: 1,
        }
    }
}

impl QueueLimits {
    /// The longest wait that is let in: less than the longest wait there may be, because it is an estimate, and who is
    /// refused at once is better off than who is given up after a long wait.
    pub(super) fn longest_expected_wait(&self) -> Duration {
        self.max_queue_time / 5 * 4
    }
}

/// What a new sequence finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Sequences that go first.
    pub(super) sequences_ahead: usize,
    /// Tokens of their prompts.
    pub(super) tokens_ahead: usize,
    /// Sequences that run.
    pub(super) num_running: usize,
    /// Blocks that nobody holds.
    pub(super) num_free_blocks: usize,
}

/// Measured rates; 0 stands for one that was not measured yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Speed {
    /// Prompt tokens computed per second while there are more of them than a step takes.
    pub prompt_tokens_per_s: f64,
    /// Sequences that end per second while others wait.
    pub ends_per_s: f64,
    /// Blocks that these free per second.
    pub freed_blocks_per_s: f64,
    /// Share of prompt tokens that the prefix cache had, 0 to 1.
    pub num_cached_per_token: f64,
}

/// How long a sequence of `num_prompt` tokens would wait.
pub(super) fn expected_wait(load: &Load, limits: &QueueLimits, speed: Speed, num_prompt: usize) -> Duration {
    let places = limits.max_num_seqs.saturating_sub(load.num_running);
    let places_missing = (load.sequences_ahead + 1).saturating_sub(places);
    let uncached = |tokens: usize| tokens as f64 * (1.0 - speed.num_cached_per_token);
    let blocks_needed = uncached(load.tokens_ahead + num_prompt) / limits.block_size as f64;
    let blocks_missing = (blocks_needed - load.num_free_blocks as f64).max(0.0);
    let waits = [
        (uncached(load.tokens_ahead), speed.prompt_tokens_per_s),
        (places_missing as f64, speed.ends_per_s),
        (blocks_missing, speed.freed_blocks_per_s),
    ];
    let seconds = |(amount, rate): (f64, f64)| if rate > 0.0 { amount / rate } else { 0.0 };
    let longest = waits.into_iter().map(seconds).fold(0.0, f64::max);
    Duration::try_from_secs_f64(longest).unwrap_or(Duration::MAX)
}

/// When a sequence that would wait for so long is worth another try.
pub(super) fn retry_after(expected_wait: Duration) -> Duration {
    (expected_wait / 2).clamp(MIN_RETRY, MAX_RETRY)
}

/// Whole milliseconds, as errors and metrics tell them.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A finished step, as far as the speed of the engine shows in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepFacts {
    /// How long it took.
    pub(super) elapsed: Duration,
    /// Prompt tokens computed.
    pub(super) num_prompt_tokens: usize,
    /// Prompt tokens of the sequences that computed for the first time.
    pub(super) num_admitted_tokens: usize,
    /// Those of them that the prefix cache had.
    pub(super) num_cached_tokens: usize,
    /// Whether a prompt was left unfinished: there were more prompt tokens than the step took.
    pub(super) left_prompt_tokens: bool,
    /// Whether sequences waited.
    pub(super) left_sequences: bool,
    /// Sequences that ended.
    pub(super) num_ended: usize,
    /// Blocks that they freed.
    pub(super) num_freed_blocks: usize,
}

/// Learns the engine's speed from its steps, and only from those that show it: a step that had little to do says
/// nothing about what a full one could.
#[derive(Debug, Default)]
pub(super) struct SpeedMeter {
    prompt_tokens: Rate,
    ends: Rate,
    freed_blocks: Rate,
    /// Cached tokens, by prompt tokens instead of seconds.
    cached: Rate,
}

impl SpeedMeter {
    pub(super) fn observe(&mut self, step: StepFacts) {
        let seconds = step.elapsed.as_secs_f64();
        if step.num_admitted_tokens > 0 {
            let kept = 0.5_f64.powf(step.num_admitted_tokens as f64 / HALF_LIFE_TOKENS);
            self.cached.add(step.num_cached_tokens, step.num_admitted_tokens as f64, kept, 1);
        }
        let kept = 0.5_f64.powf(seconds / HALF_LIFE_S);
        if step.left_prompt_tokens {
            self.prompt_tokens.add(step.num_prompt_tokens, seconds, kept, 1);
        }
        if step.left_sequences {
            let ends = u32::try_from(step.num_ended).unwrap_or(u32::MAX);
            self.ends.add(step.num_ended, seconds, kept, ends);
            self.freed_blocks.add(step.num_freed_blocks, seconds, kept, ends);
        }
    }

    pub(super) fn speed(&self) -> Speed {
        Speed {
            prompt_tokens_per_s: self.prompt_tokens.value(),
            ends_per_s: self.ends.value(),
            freed_blocks_per_s: self.freed_blocks.value(),
            num_cached_per_token: self.cached.value(),
        }
    }
}

/// One amount per another, the past counting less and less.
#[derive(Debug, Default)]
struct Rate {
    amount: f64,
    of: f64,
    num_measurements: u32,
}

impl Rate {
    /// Adds `amount` per `of` to what was measured before, of which the part `kept` still counts.
    fn add(&mut self, amount: usize, of: f64, kept: f64, num_measurements: u32) {
        self.amount = self.amount * kept + amount as f64;
        self.of = self.of * kept + of;
        self.num_measurements = self.num_measurements.saturating_add(num_measurements);
    }

    /// 0 until enough was measured.
    fn value(&self) -> f64 {
        let is_known = self.num_measurements >= MIN_MEASUREMENTS && self.of > 0.0;
        if is_known { self.amount / self.of } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QueueLimits = QueueLimits {
        max_waiting_tokens: 1_000_000,
        max_queue_time: Duration::from_secs(60),
        max_num_seqs: 4,
        block_size: 10,
    };
    const SPEED: Speed = Speed {
        prompt_tokens_per_s: 1_000.0,
        ends_per_s: 2.0,
        freed_blocks_per_s: 5.0,
        num_cached_per_token: 0.0,
    };
    /// Two run, and there is room.
    const CALM: Load = Load { sequences_ahead: 0, tokens_ahead: 0, num_running: 2, num_free_blocks: 1_000 };

    fn wait_s(load: Load, speed: Speed, num_prompt: usize) -> f64 {
        expected_wait(&load, &LIMITS, speed, num_prompt).as_secs_f64()
    }

    #[test]
    fn who_finds_room_and_nobody_ahead_does_not_wait() {
        assert_eq!(wait_s(CALM, SPEED, 10_000), 0.0);
        let full = Load { num_running: 4, ..CALM };
        assert_eq!(wait_s(full, SPEED, 1), 0.5, "one place is missing");
    }

    #[test]
    fn the_longest_of_prompts_places_and_blocks_is_the_wait() {
        let prompts = Load { tokens_ahead: 3_000, sequences_ahead: 1, ..CALM };
        assert_eq!(wait_s(prompts, SPEED, 100), 3.0);
        let places = Load { tokens_ahead: 30, sequences_ahead: 12, ..CALM };
        assert_eq!(wait_s(places, SPEED, 100), 5.5, "thirteen come, two fit, eleven ends at two per second");
        let blocks = Load { tokens_ahead: 900, sequences_ahead: 1, num_free_blocks: 40, ..CALM };
        assert_eq!(wait_s(blocks, SPEED, 100), 12.0, "a hundred blocks, sixty missing at five per second");
        let all = Load { tokens_ahead: 3_000, sequences_ahead: 12, num_free_blocks: 309, ..CALM };
        assert_eq!(wait_s(all, SPEED, 100), 5.5);
    }

    #[test]
    fn what_the_prefix_cache_is_likely_to_have_takes_no_time_and_no_blocks() {
        let cached = Speed { num_cached_per_token: 0.75, ..SPEED };
        let prompts = Load { tokens_ahead: 4_000, sequences_ahead: 1, ..CALM };
        assert_eq!(wait_s(prompts, cached, 100), 1.0);
        let blocks = Load { tokens_ahead: 900, sequences_ahead: 1, num_free_blocks: 5, ..CALM };
        assert_eq!(wait_s(blocks, cached, 100), 4.0, "twenty-five blocks, twenty missing at five per second");
        assert_eq!(wait_s(blocks, Speed { num_cached_per_token: 1.0, ..SPEED }, 100), 0.0);
    }

    #[test]
    fn what_was_not_measured_takes_no_time() {
        let load = Load { sequences_ahead: 900, tokens_ahead: 1 << 40, num_running: 4, num_free_blocks: 0 };
        assert_eq!(wait_s(load, Speed::default(), 1 << 20), 0.0);
        let slow = Speed { prompt_tokens_per_s: f64::MIN_POSITIVE, ..Speed::default() };
        assert_eq!(expected_wait(&load, &LIMITS, slow, 1), Duration::MAX);
    }

    #[test]
    fn another_try_is_due_after_half_of_the_wait_within_bounds() {
        let retry_s = |wait_s: u64| retry_after(Duration::from_secs(wait_s)).as_secs_f64();
        assert_eq!([0, 1, 30, 239, 240, 100_000].map(retry_s), [1.0, 1.0, 15.0, 119.5, 120.0, 120.0]);
        assert_eq!(retry_after(Duration::MAX), MAX_RETRY);
    }

    fn step(millis: u64) -> StepFacts {
        StepFacts {
            elapsed: Duration::from_millis(millis),
            num_prompt_tokens: 0,
            num_admitted_tokens: 0,
            num_cached_tokens: 0,
            left_prompt_tokens: false,
            left_sequences: false,
            num_ended: 0,
            num_freed_blocks: 0,
        }
    }

    #[test]
    fn prompt_speed_is_learnt_from_steps_that_had_more_than_they_took() {
        let mut meter = SpeedMeter::default();
        for _ in 0..100 {
            meter.observe(StepFacts { num_prompt_tokens: 3, ..step(10) });
        }
        assert_eq!(meter.speed(), Speed::default());
        let full = StepFacts { num_prompt_tokens: 512, left_prompt_tokens: true, ..step(100) };
        for _ in 1..MIN_MEASUREMENTS {
            meter.observe(full);
            assert_eq!(meter.speed().prompt_tokens_per_s, 0.0, "too few to be believed");
        }
        meter.observe(full);
        assert!((meter.speed().prompt_tokens_per_s - 5_120.0).abs() < 1e-6);
    }

    #[test]
    fn ends_are_counted_while_sequences_wait() {
        let mut meter = SpeedMeter::default();
        // One end in every fourth step, three blocks each.
        for turn in 0..4 * MIN_MEASUREMENTS {
            meter.observe(StepFacts { num_ended: 1, num_freed_blocks: 3, ..step(100) });
            let num_ended = usize::from(turn % 4 == 3);
            let busy = StepFacts { num_ended, num_freed_blocks: 3 * num_ended, ..step(100) };
            meter.observe(StepFacts { left_sequences: true, ..busy });
        }
        let speed = meter.speed();
        assert!((speed.ends_per_s - 2.5).abs() < 0.2, "{speed:?}");
        assert!((speed.freed_blocks_per_s - 7.5).abs() < 0.6, "{speed:?}");
    }

    #[test]
    fn the_share_of_the_prefix_cache_is_learnt_from_those_admitted() {
        let mut meter = SpeedMeter::default();
        for turn in 0..2 * MIN_MEASUREMENTS as usize {
            let num_cached_tokens = if turn % 2 == 0 { 60 } else { 0 };
            meter.observe(StepFacts { num_admitted_tokens: 100, num_cached_tokens, ..step(10) });
            meter.observe(step(10));
        }
        let share = meter.speed().num_cached_per_token;
        assert!((share - 0.3).abs() < 0.01, "{share}");
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut meter = SpeedMeter::default();
        let at = |tokens| StepFacts { num_prompt_tokens: tokens, left_prompt_tokens: true, ..step(1_000) };
        for _ in 0..600 {
            meter.observe(at(8_000));
        }
        for _ in 0..60 {
            meter.observe(at(1_000));
        }
        // Four half-lives leave a sixteenth of the past.
        let speed = meter.speed().prompt_tokens_per_s;
        assert!((speed - (1_000.0 + 7_000.0 / 16.0)).abs() < 50.0, "{speed}");
    }
}
