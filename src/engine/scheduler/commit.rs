//! What a step has led to.

use super::{Keep, Scheduler};
use crate::engine::kv::BlockTable;
use crate::engine::planted::{Bug, planted};
use crate::engine::step::{ScheduledSequence, StepOutcome, StepPlan};
use crate::engine::{FinishReason, SequenceError, TokenEvent};
use crate::sampling::{SampleError, SampledToken};

/// How a sequence ends.
enum Ending {
    Finished(FinishReason),
    Failed(SequenceError),
}

impl Scheduler {
    /// Enters what the step computed. `sampled` has one result per row that samples, in the plan's order.
    ///
    /// # Panics
    /// If `plan` is not the open step's or `sampled` does not match it.
    pub fn commit(
        &mut self,
        plan: &StepPlan,
        sampled: Vec<Result<SampledToken, SampleError>>,
    ) -> StepOutcome {
        self.close_step();
        assert_eq!(plan.num_samples(), sampled.len(), "every row that samples has one result");
        let mut sampled = sampled.into_iter();
        let mut outcome = StepOutcome::default();
        for part in &plan.scheduled {
            let mut rows = sampled.by_ref().take(part.num_samples);
            let ending = self.commit_part(part, &mut rows, &mut outcome);
            // What was guessed after a wrong guess is worth nothing.
            rows.for_each(drop);
            match ending {
                None => {}
                Some(Ending::Finished(reason)) => {
                    let drafts = self.at(part.slot).draft_counts;
                    outcome.events.push((part.id, TokenEvent::Finished { reason, drafts }));
                    self.end(part.slot, Keep::All);
                }
                Some(Ending::Failed(error)) => {
                    outcome.events.push((part.id, TokenEvent::Failed { error }));
                    self.end(part.slot, Keep::Nothing);
                }
            }
        }
        self.check_books();
        outcome
    }

    /// Enters one part, with one result per sampled row, and says how the sequence ends if it does.
    fn commit_part(
        &mut self,
        part: &ScheduledSequence,
        rows: &mut dyn Iterator<Item = Result<SampledToken, SampleError>>,
        outcome: &mut StepOutcome,
    ) -> Option<Ending> {
        let sequence = self.sequences[part.slot].as_mut().expect("the slot is taken");
        assert_eq!(sequence.id(), part.id, "the plan is the open step's");
        let drafts = std::mem::take(&mut sequence.drafts);
        assert_eq!(drafts.len(), part.num_drafts(), "the plan is the open step's");
        sequence.num_computed = part.start + part.num_tokens - drafts.len();
        let is_first = sequence.num_output() == 0 || (planted(Bug::PromptCountsAgain) && part.start == 0);
        let completes_prompt = part.num_samples > 0 && is_first;
        if completes_prompt {
            outcome.num_prompt_tokens += sequence.num_prompt();
        }
        let mut ending = None;
        let (mut num_right, mut num_sampled) = (0, 0);
        for (row, sampled) in rows.enumerate() {
            let SampledToken { token_id, logprobs, completes } = match sampled {
                Ok(sampled) => sampled,
                Err(SampleError::NotReached) => break,
                Err(error) => {
                    ending = Some(Ending::Failed(fault(error)));
                    break;
                }
            };
            num_sampled += 1;
            let is_guessed = match planted(Bug::GuessIsNotChecked) {
                true => row < drafts.len(),
                false => drafts.get(row) == Some(&token_id),
            };
            num_right += usize::from(is_guessed);
            if sequence.stops_at(token_id) {
                ending = Some(Ending::Finished(FinishReason::StopToken { token_id }));
                break;
            }
            outcome.events.push((part.id, TokenEvent::Token { token_id, logprobs }));
            let is_last = sequence.push(token_id);
            if completes || is_last {
                let reason = if completes { FinishReason::Complete } else { FinishReason::Length };
                ending = Some(Ending::Finished(reason));
                break;
            }
            if !is_guessed {
                break;
            }
            // The guess was computed along with its predecessor.
            sequence.num_computed += 1;
        }
        if planted(Bug::WrongGuessIsComputed) {
            sequence.num_computed = (part.start + part.num_tokens).min(sequence.num_tokens() - 1);
        }
        if planted(Bug::GuessCountsTwice) {
            outcome.num_accepted_tokens += num_right;
        }
        if !drafts.is_empty() {
            sequence.draft_counts.num_accepted += num_right as u32;
            sequence.draft_counts.num_rejected += (drafts.len() - num_right) as u32;
            if let (Some(lookup), false) = (&mut sequence.lookup, sequence.drafts_are_forced) {
                lookup.judge(drafts.len(), num_right);
            }
            outcome.num_drafts += 1;
            outcome.num_draft_tokens += drafts.len();
            outcome.num_accepted_tokens += num_right;
        }
        outcome.num_generated_tokens += num_sampled;
        self.tenants.charge(sequence.tenant(), 0, num_sampled);
        if !matches!(ending, Some(Ending::Failed(_))) {
            self.enter_computed(part, completes_prompt);
        }
        ending
    }

    /// Lets the prefix cache find what a sequence has computed, and those go on who waited for it.
    fn enter_computed(&mut self, part: &ScheduledSequence, completes_prompt: bool) {
        let sequence = self.sequences[part.slot].as_mut().expect("the slot is taken");
        let num_computed = sequence.num_computed;
        let (tokens, blocks) = sequence.tokens_and_blocks();
        self.kv.computed(blocks, tokens, num_computed, completes_prompt);
        if sequence.claims.is_empty() {
            return;
        }
        let num_left = match part.num_samples {
            // The known tokens' blocks that are still to be completed, a partly filled last one included.
            0 => {
                let size = self.kv.block_size();
                BlockTable::blocks_for(sequence.num_tokens(), size) - num_computed / size as usize
            }
            _ => 0,
        };
        let num_done = sequence.claims.len().saturating_sub(num_left);
        self.in_flight.leave(sequence.id(), sequence.claims.drain(..num_done));
    }

    /// Ends every sequence of a step whose forward pass failed.
    pub fn fail_step(&mut self, plan: &StepPlan, error: &SequenceError) -> StepOutcome {
        self.close_step();
        let mut outcome = StepOutcome::default();
        for part in &plan.scheduled {
            self.end(part.slot, if planted(Bug::FailedIsOffered) { Keep::All } else { Keep::Nothing });
            outcome.events.push((part.id, TokenEvent::Failed { error: error.clone() }));
        }
        self.check_books();
        outcome
    }

    fn close_step(&mut self) {
        assert!(self.step_is_open, "a step is entered once");
        self.step_is_open = false;
    }

    fn end(&mut self, slot: usize, keep: Keep) {
        self.stop(slot, keep);
        self.forget(slot);
    }
}

/// What a sequence fails of if one of its rows gives no token.
fn fault(error: SampleError) -> SequenceError {
    match error {
        SampleError::Masked | SampleError::Constraint(_) => SequenceError::Constraint(error.to_string()),
        SampleError::Invalid | SampleError::NoCandidate | SampleError::NotReached => {
            SequenceError::InvalidLogits
        }
    }
}
