//! What the engine learns from its steps: how fast it is, which new sequences want to know, and how many prompt tokens
//! the next step may compute.

use std::time::Duration;

use super::admission::{Speed, SpeedMeter, StepFacts};
use super::pacer::{Pacer, StepTime};
use super::{Scheduler, StepPlan};

/// Measures steps. A step is `begin`, `planned`, then `end` if it did what it was to do.
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
            left_prompt_tokens: plan.sampling().count() < plan.scheduled.len(),
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
