//! The scheduler, fact by fact. What holds whatever happens is the simulation's.

use super::*;
use crate::engine::{
    FinishReason, Priority, SequenceError, StepOutcome, TenantId, TokenEvent, kv::BlockTable,
};
use crate::model::BlockCopy;
use crate::sampling::SampleError;

/// 8 blocks of 4 tokens.
fn config(max_num_seqs: usize, max_num_batched_tokens: usize) -> SchedulerConfig {
    let limits = StepLimits { max_num_seqs, max_num_batched_tokens };
    SchedulerConfig::new(limits, KvCapacity { num_blocks: 8, block_size: 4 })
}

fn scheduler(max_num_seqs: usize, max_num_batched_tokens: usize) -> Scheduler {
    Scheduler::new(config(max_num_seqs, max_num_batched_tokens))
}

fn caching(max_num_seqs: usize, max_num_batched_tokens: usize) -> Scheduler {
    let prefix_cache = Some(HashKey([3; 16]));
    Scheduler::new(SchedulerConfig { prefix_cache, ..config(max_num_seqs, max_num_batched_tokens) })
}

/// A sequence whose prompt is `first, first + 1, ...` and that stops at 99.
fn sequence(first: u32, num_prompt: u32, max_new_tokens: u32) -> NewSequence {
    let prompt: Vec<u32> = (first..first + num_prompt).collect();
    NewSequence { stop_token_ids: [99].into(), ..NewSequence::greedy(prompt, max_new_tokens) }
}

fn add(scheduler: &mut Scheduler, id: u64, num_prompt: u32, max_new_tokens: u32) {
    add_sequence(scheduler, id, sequence(1000 * id as u32, num_prompt, max_new_tokens));
}

fn add_sequence(scheduler: &mut Scheduler, id: u64, sequence: NewSequence) {
    scheduler.add(SequenceId(id), sequence).expect("it fits");
}

/// The parts of a plan as (id, start, number of tokens, number of samples).
fn parts(plan: &StepPlan) -> Vec<(u64, usize, usize, usize)> {
    plan.scheduled.iter().map(|part| (part.id.0, part.start, part.num_tokens, part.num_samples)).collect()
}

/// Admissions of a plan as (id, cached tokens).
fn admitted(plan: &StepPlan) -> Vec<(u64, usize)> {
    plan.admitted.iter().map(|admission| (admission.id.0, admission.num_cached)).collect()
}

fn preempted(plan: &StepPlan) -> Vec<u64> {
    plan.preempted.iter().map(|id| id.0).collect()
}

/// Runs a step in which every sample is `token_id`.
fn step(scheduler: &mut Scheduler, token_id: u32) -> (StepPlan, StepOutcome) {
    let plan = scheduler.schedule();
    let sampled = vec![Ok(token_id.into()); plan.num_samples()];
    let outcome = scheduler.commit(&plan, sampled);
    (plan, outcome)
}

/// Runs a step and gives its parts.
fn step_parts(scheduler: &mut Scheduler) -> Vec<(u64, usize, usize, usize)> {
    parts(&step(scheduler, 7).0)
}

fn token(token_id: u32) -> TokenEvent {
    TokenEvent::Token { token_id, logprobs: None }
}

fn num_used(scheduler: &Scheduler) -> usize {
    scheduler.kv().pool().num_used()
}

fn running(scheduler: &Scheduler) -> Vec<u64> {
    scheduler.running().map(|sequence| sequence.id().0).collect()
}

fn waiting(scheduler: &Scheduler) -> Vec<u64> {
    scheduler.waiting().map(|sequence| sequence.id().0).collect()
}

mod caching;
mod guesses;
mod limits_and_ends;
mod readout;
mod turns;
