//! The checks of what a step led to: tokens, ends, and the counts beside them.

use std::collections::BTreeMap;

use super::Checked;
use super::scenario::Fate;
use super::world::World;
use crate::engine::kv::BlockId;
use crate::engine::{FinishReason, SequenceId, StepOutcome, StepPlan, TokenEvent};

/// What a step's outcome must count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    prompt_tokens: usize,
    generated_tokens: usize,
    drafts: usize,
    draft_tokens: usize,
    accepted_tokens: usize,
}

impl Counts {
    pub(super) fn check(&self, outcome: &StepOutcome) -> Checked {
        let counted = Self {
            prompt_tokens: outcome.num_prompt_tokens,
            generated_tokens: outcome.num_generated_tokens,
            drafts: outcome.num_drafts,
            draft_tokens: outcome.num_draft_tokens,
            accepted_tokens: outcome.num_accepted_tokens,
        };
        ensure!(counted == *self, "{counted:?} are counted, {self:?} are the truth");
        Ok(())
    }
}

impl World {
    /// What a step with this plan must count, worked out from what must come out.
    pub(super) fn expected_counts(&mut self, plan: &StepPlan) -> Counts {
        let mut counts = Counts::default();
        let size = self.scenario.engine.capacity.block_size as usize;
        for part in &plan.scheduled {
            let drafts = &self.scheduler.scheduled(part).drafts;
            let Some(tracked) = self.open.get_mut(&part.id) else { continue };
            let num_valid = tracked.disturbed.as_ref().map(|(_, after)| after - tracked.tokens.len());
            let num_telling = if part.num_samples == 0 { 0 } else { tracked.num_telling(drafts) };
            let num_right = tracked.num_right(drafts).min(num_valid.unwrap_or(usize::MAX));
            if part.start + part.num_tokens >= tracked.sequence.prompt.len() && tracked.tokens.is_empty() {
                counts.prompt_tokens += tracked.sequence.prompt.len();
            }
            let num_generated = num_valid.unwrap_or(num_telling);
            counts.generated_tokens += num_generated;
            self.ledger.charge_output(tracked.sequence.tenant, num_generated);
            if !drafts.is_empty() {
                tracked.drafts.num_accepted += num_right as u32;
                tracked.drafts.num_rejected += (drafts.len() - num_right) as u32;
                counts.drafts += 1;
                counts.draft_tokens += drafts.len();
                counts.accepted_tokens += num_right;
            }
            let end = (part.start + part.num_tokens - drafts.len() + num_right).min(tracked.names.len());
            let ends = (1..=end).filter(|end| end % size == 0);
            self.computed.extend(ends.skip(part.start / size).map(|end| tracked.names[end - 1]));
        }
        self.tally.drafts += counts.draft_tokens;
        self.tally.accepted_drafts += counts.accepted_tokens;
        counts
    }

    /// Blocks that only sequences with invalid logits hold: what lies in them must not be found.
    pub(super) fn blocks_of_the_disturbed(&mut self, plan: &StepPlan) -> Vec<u32> {
        let mut blocks = Vec::new();
        for part in &plan.scheduled {
            let is_disturbed = self.open.get(&part.id).is_some_and(|tracked| tracked.disturbed.is_some());
            if is_disturbed {
                self.was_disturbed = true;
                let tables = self.scheduler.scheduled(part).blocks().tables();
                blocks.extend(tables.iter().flat_map(|table| table.held()).map(|block| block.0));
            }
        }
        blocks.retain(|&block| self.scheduler.kv().pool().ref_count(BlockId(block)) == 1);
        blocks
    }

    pub(super) fn check_outcome(
        &mut self,
        plan: &StepPlan,
        mut outcome: StepOutcome,
        failing: bool,
    ) -> Checked {
        if let Some(tamper) = self.tamper {
            tamper.spoil_events(&mut outcome.events, self.step);
        }
        let before: BTreeMap<_, _> =
            self.open.iter().map(|(&id, tracked)| (id, tracked.tokens.len())).collect();
        for (id, event) in outcome.events {
            self.check_event(id, event, &before)?;
        }
        for part in plan.sampling().filter(|_| !failing) {
            let Some(tracked) = self.open.get(&part.id) else { continue };
            ensure!(before[&part.id] < tracked.tokens.len(), "{:?} lost a token", part.id);
            let is_complete = tracked.to_come().next().is_none();
            ensure!(!is_complete, "{:?} has all its tokens and no end", part.id);
        }
        for part in plan.scheduled.iter().filter(|_| !failing) {
            let Some(tracked) = self.open.get(&part.id) else { continue };
            let is_computed = part.start + part.num_tokens >= tracked.sequence.prompt.len();
            let is_over = !tracked.sequence.generates() && is_computed;
            ensure!(!is_over, "{:?} has computed its prompt and no end", part.id);
        }
        for (id, tracked) in &self.open {
            ensure!(tracked.disturbed.is_none(), "{id:?} outlived a fault");
        }
        Ok(())
    }

    fn check_event(
        &mut self,
        id: SequenceId,
        event: TokenEvent,
        before: &BTreeMap<SequenceId, usize>,
    ) -> Checked {
        let Some(tracked) = self.open.get_mut(&id) else {
            // One that was given up while this step's events were handed out has some left.
            let was_open = before.contains_key(&id) && self.given_up == Some(id);
            ensure!(was_open, "{id:?} has an event after its end: {event:?}");
            return Ok(());
        };
        ensure!(tracked.was_announced, "{id:?} has an event before it was scheduled");
        match event {
            TokenEvent::Scheduled { .. } => return Err(format!("{id:?} was announced by a commit")),
            TokenEvent::PromptScores { scores } => {
                ensure!(tracked.tokens.is_empty(), "{id:?} has scores of its prompt after a token");
                ensure!(!scores.is_empty(), "{id:?} has a piece without scores");
                let wanted = tracked.expected.scores[tracked.num_scores..].get(..scores.len());
                let wanted = wanted.ok_or(format!("{id:?} has more scores than its prompt"))?;
                let wrong = scores.iter().zip(wanted).find(|(score, wanted)| score != wanted);
                ensure!(wrong.is_none(), "{id:?} has a score, and alone another: {wrong:?}");
                tracked.num_scores += scores.len();
                self.tally.scores += scores.len();
            }
            TokenEvent::Embedding { values } => {
                ensure!(!tracked.has_embedding, "{id:?} has two embeddings");
                let wanted = &tracked.expected.embedding;
                ensure!(Some(&values) == wanted.as_ref(), "{id:?} has {values:?}, alone {wanted:?}");
                tracked.has_embedding = true;
                self.tally.embeddings += 1;
            }
            TokenEvent::Token { token_id, .. } => {
                ensure!(tracked.num_scores == tracked.expected.scores.len(), "{id:?} lost scores");
                let num_tokens = tracked.tokens.len();
                let is_valid = tracked.disturbed.as_ref().is_none_or(|(_, after)| num_tokens < *after);
                ensure!(is_valid, "{id:?} has a token out of a fault");
                let wanted = tracked.expected.tokens.get(num_tokens);
                ensure!(wanted == Some(&token_id), "{id:?} has {token_id}, alone it would have {wanted:?}");
                tracked.tokens.push(token_id);
                if tracked.fate == Fate::ReadsTooSlowly(tracked.tokens.len())
                    && tracked.disturbed.is_none()
                    && self.scheduler.sequence(id).is_some()
                {
                    self.given_up = Some(id);
                    return self.abort(id);
                }
            }
            TokenEvent::Finished { reason, drafts } => {
                ensure!(tracked.tokens == tracked.expected.tokens, "{id:?} ended too early");
                ensure!(tracked.num_scores == tracked.expected.scores.len(), "{id:?} lost scores");
                ensure!(
                    tracked.has_embedding == tracked.expected.embedding.is_some(),
                    "{id:?} lost its embedding"
                );
                ensure!(reason == tracked.expected.reason, "{id:?} ended for {reason:?}");
                ensure!(drafts == tracked.drafts, "{id:?} had {:?}, it says {drafts:?}", tracked.drafts);
                self.close(id);
                self.tally.finished += 1;
                self.tally.completed += usize::from(reason == FinishReason::Complete);
            }
            TokenEvent::Failed { error } => {
                let disturbed = tracked.disturbed.as_ref();
                let wanted = disturbed
                    .is_some_and(|(wanted, after)| *wanted == error && *after == tracked.tokens.len());
                ensure!(wanted, "{id:?} failed: {error}, but {disturbed:?}");
                self.close(id);
                self.tally.failed += 1;
            }
        }
        Ok(())
    }

    fn close(&mut self, id: SequenceId) {
        let tracked = self.open.remove(&id).expect("it is open");
        self.ledger.leave(tracked.sequence.tenant);
    }
}
