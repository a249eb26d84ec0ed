//! What a step has led to.

use super::{Keep, Scheduler};
use crate::engine::kv::BlockTable;
use crate::engine::planted::{Bug, planted};
use crate::engine::step::{ScheduledSequence, StepOutcome, StepPlan, StepResults};
use crate::engine::{FinishReason, SequenceError, TokenEvent};
use crate::model::HiddenStates;
use crate::sampling::{SampleError, SampledToken, TokenLogprobs};

/// How a sequence ends.
enum Ending {
    Finished(FinishReason),
    Failed(SequenceError),
}

/// Hidden states, one after the other.
struct HiddenRows<'a> {
    states: &'a HiddenStates,
    next: usize,
}

impl<'a> Iterator for HiddenRows<'a> {
    type Item = &'a [f32];

    fn next(&mut self) -> Option<&'a [f32]> {
        let row = self.next;
        self.next += 1;
        (row < self.states.num_rows()).then(|| self.states.row(row))
    }
}

impl Scheduler {
    /// Enters what the step computed; `results` are in the plan's order.
    ///
    /// # Panics
    /// If `plan` is not the open step's or `results` does not match it.
    pub fn commit(&mut self, plan: &StepPlan, results: impl Into<StepResults>) -> StepOutcome {
        self.close_step();
        let StepResults { sampled, scores, hidden } = results.into();
        assert_eq!(plan.num_samples(), sampled.len(), "every row that samples has one result");
        assert_eq!(plan.num_scores(), scores.len(), "every row that scores has one result");
        assert_eq!(plan.num_hidden(), hidden.num_rows(), "every hidden state that was wanted is there");
        let (mut sampled, mut scores, mut hidden) =
            (sampled.into_iter(), scores.into_iter(), HiddenRows { states: &hidden, next: 0 });
        let mut outcome = StepOutcome::default();
        for part in &plan.scheduled {
            let mut rows = sampled.by_ref().take(part.num_samples);
            let read = self.read_rows(part, scores.by_ref(), &mut hidden, &mut outcome);
            // Who only has its prompt scored has no use for what would follow.
            if read.is_err() || !self.at(part.slot).generates() {
                rows.by_ref().for_each(drop);
            }
            let ending = self.commit_part(part, read.err(), &mut rows, &mut outcome);
            let ending = ending.or_else(|| self.end_without_output(part, &mut outcome));
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

    /// Enters one part, with what is wrong with its other rows and one result per sampled row, and says how the sequence
    /// ends if it does.
    fn commit_part(
        &mut self,
        part: &ScheduledSequence,
        unread: Option<SequenceError>,
        rows: &mut dyn Iterator<Item = Result<SampledToken, SampleError>>,
        outcome: &mut StepOutcome,
    ) -> Option<Ending> {
        let sequence = self.sequences[part.slot].as_mut().expect("the slot is taken");
        assert_eq!(sequence.id(), part.id, "the plan is the open step's");
        let drafts = std::mem::take(&mut sequence.drafts);
        assert_eq!(drafts.len(), part.num_drafts(), "the plan is the open step's");
        sequence.num_computed = part.start + part.num_tokens - drafts.len();
        let is_first = sequence.num_output() == 0 || (planted(Bug::PromptCountsAgain) && part.start == 0);
        let completes_prompt = part.completes && is_first;
        if completes_prompt {
            outcome.num_prompt_tokens += sequence.num_prompt();
        }
        let mut ending = unread.map(Ending::Failed);
        let (mut num_right, mut num_sampled) = (0, 0);
        for (row, sampled) in rows.enumerate() {
            let SampledToken { token_id, logprobs, completes } = match sampled {
                Ok(sampled) => sampled,
                Err(SampleError::NotReached) => break,
                Err(error) => {
                    ending = Some(Ending::Failed(sampling_fault(error)));
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

    /// Enters what is read off the rows of a part besides tokens: scores of its prompt, or hidden states.
    fn read_rows(
        &mut self,
        part: &ScheduledSequence,
        scores: &mut dyn Iterator<Item = Result<TokenLogprobs, SampleError>>,
        hidden: &mut HiddenRows<'_>,
        outcome: &mut StepOutcome,
    ) -> Result<(), SequenceError> {
        let sequence = self.sequences[part.slot].as_mut().expect("the slot is taken");
        let scores: Vec<_> = scores.take(part.num_scores).collect();
        let rows: Vec<&[f32]> = hidden.take(part.num_hidden).collect();
        let is_finite = |row: &&[f32]| row.iter().all(|value| value.is_finite());
        if scores.iter().any(Result::is_err) || !rows.iter().all(is_finite) {
            return Err(SequenceError::InvalidLogits);
        }
        rows.into_iter().for_each(|row| sequence.readout.take_hidden(row));
        if let Some(scores) = sequence.take_scores(scores.into_iter().flatten()) {
            outcome.events.push((part.id, TokenEvent::PromptScores { scores }));
        }
        Ok(())
    }

    /// A sequence that generates nothing ends when its prompt is computed.
    fn end_without_output(&self, part: &ScheduledSequence, outcome: &mut StepOutcome) -> Option<Ending> {
        let sequence = self.at(part.slot);
        if sequence.generates() || !part.completes {
            return None;
        }
        let Some(values) = sequence.readout.embedding() else {
            return Some(Ending::Finished(FinishReason::Length));
        };
        outcome.events.push((part.id, TokenEvent::Embedding { values }));
        Some(Ending::Finished(FinishReason::Pooled))
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
        let num_left = match part.completes {
            // The known tokens' blocks that are still to be completed, a partly filled last one included.
            false => {
                let size = self.kv.block_size();
                BlockTable::blocks_for(sequence.num_tokens(), size) - num_computed / size as usize
            }
            true => 0,
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
fn sampling_fault(error: SampleError) -> SequenceError {
    match error {
        SampleError::Masked | SampleError::Constraint(_) => SequenceError::Constraint(error.to_string()),
        SampleError::Invalid | SampleError::NoCandidate | SampleError::NotReached => {
            SequenceError::InvalidLogits
        }
    }
}
