//! What the engine learns from its steps: how fast it is, which new sequences want to know, and how many prompt tokens
//! the next step may compute.

use std::time::Duration;

use super::admission::{Speed, SpeedMeter, StepFacts};
use super::pacer::{Pacer, StepTime};
use super::{Scheduler, StepPlan};

/// Measures steps. A step is `begin`, `planned`, `end`.
#[derive(Debug)]
pub(super) struct StepMeter {
    speed: SpeedMeter,
    pacer: Option<Pacer>,
    /// The last step, without what ended in it: sequences still end between steps.
    last: Option<StepFacts>,
    planned: Planned,
}

/// A step as it was planned.
#[derive(Debug, Clone, Copy, Default)]
struct Planned {
    num_rows: usize,
    num_prompt_tokens: usize,
    num_admitted_tokens: usize,
    num_cached_tokens: usize,
    left_prompt_tokens: bool,
    left_sequences: bool,
    num_running: usize,
    num_used_blocks: usize,
}

impl StepMeter {
    /// A meter that paces prompts if it has a pacer.
    pub(super) fn new(pacer: Option<Pacer>) -> Self {
        Self { speed: SpeedMeter::default(), pacer, last: None, planned: Planned::default() }
    }

    /// Learns what ended since the last step was planned, and limits the next one.
    pub(super) fn begin(&mut self, scheduler: &mut Scheduler) {
        if let Some(last) = self.last.take() {
            let Planned { num_running, num_used_blocks, .. } = self.planned;
            self.speed.observe(StepFacts {
                num_ended: num_running.saturating_sub(scheduler.running().len()),
                num_freed_blocks: num_used_blocks.saturating_sub(scheduler.kv().pool().num_used()),
                ..last
            });
        }
        if let Some(pacer) = &self.pacer {
            scheduler.limit_prefill(pacer.allowance());
        }
    }

    /// Looks at what the next step is going to do.
    pub(super) fn planned(&mut self, plan: &StepPlan, scheduler: &Scheduler) {
        let num_rows = plan.num_samples();
        self.planned = Planned {
            num_rows,
            num_prompt_tokens: plan.num_tokens() - num_rows,
            num_admitted_tokens: plan.admitted.iter().map(|admission| admission.num_prompt).sum(),
            num_cached_tokens: plan.admitted.iter().map(|admission| admission.num_cached).sum(),
            left_prompt_tokens: plan.scheduled.iter().any(|part| !part.completes),
            left_sequences: scheduler.waiting().len() > 0,
            num_running: scheduler.running().len(),
            num_used_blocks: scheduler.kv().pool().num_used(),
        };
    }

    /// Learns how long the planned step took.
    pub(super) fn end(&mut self, elapsed: Duration) {
        let planned = self.planned;
        if let Some(pacer) = &mut self.pacer {
            let Planned { num_rows, num_prompt_tokens, .. } = planned;
            pacer.observe(StepTime { num_rows, num_prompt_tokens, elapsed });
        }
        self.last = Some(StepFacts {
            elapsed,
            num_prompt_tokens: planned.num_prompt_tokens,
            num_admitted_tokens: planned.num_admitted_tokens,
            num_cached_tokens: planned.num_cached_tokens,
            left_prompt_tokens: planned.left_prompt_tokens,
            left_sequences: planned.left_sequences,
            num_ended: 0,
            num_freed_blocks: 0,
        });
    }

    /// How fast the engine is.
    pub(super) fn speed(&self) -> Speed {
        self.speed.speed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{NewSequence, SchedulerConfig, SequenceId, StepLimits};
    use crate::model::KvCapacity;

    /// Milliseconds of a step on a machine where a prompt token costs what a row costs.
    fn cost_ms(plan: &StepPlan) -> f64 {
        2.0 + 0.5 * plan.num_tokens() as f64
    }

    /// Latencies of seven running outputs in milliseconds: the longest of two hundred steps alone, and of those while
    /// a prompt of four thousand tokens is read.
    fn longest_steps(pacer: Option<Pacer>) -> (f64, f64) {
        let limits = StepLimits { max_num_seqs: 8, max_num_batched_tokens: 512 };
        let capacity = KvCapacity { num_blocks: 4_096, block_size: 16 };
        let mut scheduler = Scheduler::new(SchedulerConfig::new(limits, capacity));
        let mut meter = StepMeter::new(pacer);
        let mut step = |scheduler: &mut Scheduler| {
            meter.begin(scheduler);
            let plan = scheduler.schedule();
            meter.planned(&plan, scheduler);
            let sampled = (0..plan.num_samples()).map(|_| Ok(7.into())).collect::<Vec<_>>();
            scheduler.commit(&plan, sampled);
            let millis = cost_ms(&plan);
            meter.end(Duration::from_secs_f64(millis / 1e3));
            millis
        };
        let add = |scheduler: &mut Scheduler, id, num_prompt| {
            let sequence = NewSequence::greedy(vec![1; num_prompt], 5_000);
            scheduler.add(SequenceId(id), sequence).expect("it fits");
        };
        let is_reading = |scheduler: &Scheduler| {
            scheduler.sequence(SequenceId(7)).is_some_and(|sequence| sequence.num_output() == 0)
        };
        for id in 0..7 {
            add(&mut scheduler, id, 5);
        }
        step(&mut scheduler);
        let alone = (0..200).map(|_| step(&mut scheduler)).fold(0.0, f64::max);
        add(&mut scheduler, 7, 4_000);
        let mut beside = 0.0;
        while is_reading(&scheduler) {
            beside = step(&mut scheduler).max(beside);
        }
        (alone, beside)
    }

    #[test]
    fn outputs_beside_a_long_prompt_are_at_most_as_much_slower_as_asked_for() {
        let (alone, beside) = longest_steps(Some(Pacer::new(3.0)));
        assert!(
            alone == 5.5 && beside <= 3.0 * alone && beside > 2.5 * alone,
            "{alone} ms, then {beside} ms"
        );
        let (alone, beside) = longest_steps(None);
        assert!(beside > 40.0 * alone, "without a pacer {alone} ms, then {beside} ms");
    }

    #[test]
    fn a_step_that_was_cut_short_is_measured_for_the_queue() {
        let limits = StepLimits { max_num_seqs: 2, max_num_batched_tokens: 10 };
        let capacity = KvCapacity { num_blocks: 64, block_size: 4 };
        let mut scheduler = Scheduler::new(SchedulerConfig::new(limits, capacity));
        let mut meter = StepMeter::new(None);
        for id in 0..40 {
            let prompt: Vec<u32> = (0..15).map(|token| token + 20 * id as u32).collect();
            scheduler.add(SequenceId(id), NewSequence::greedy(prompt, 1)).expect("it fits");
        }
        while scheduler.has_work() {
            meter.begin(&mut scheduler);
            let plan = scheduler.schedule();
            meter.planned(&plan, &scheduler);
            let sampled = (0..plan.num_samples()).map(|_| Ok(7.into())).collect::<Vec<_>>();
            scheduler.commit(&plan, sampled);
            meter.end(Duration::from_millis(100));
        }
        let speed = meter.speed();
        // Ten tokens in a tenth of a second; some rows are those that give a token, which do not count as prompts.
        assert!((85.0..=100.0).contains(&speed.prompt_tokens_per_s), "{speed:?}");
        // Fifteen tokens are an end and four blocks.
        assert!((6.0..7.0).contains(&speed.ends_per_s), "{speed:?}");
        assert!((speed.freed_blocks_per_s / speed.ends_per_s - 4.0).abs() < 0.5, "{speed:?}");
        assert_eq!(speed.num_cached_per_token, 0.0);
    }
}
