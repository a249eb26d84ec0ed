//! Samples the rows of a step, each sequence under its own parameters and constraint.

use super::guide::Guide;
use super::masks::{Errand, MaskWorkers};
use super::planted::{Bug, planted};
use super::step::ScheduledSequence;
use super::{Scheduler, StepPlan, StepResults};
use crate::model::{ForwardOutput, Logits};
use crate::sampling::{Row, SampleError, SampledToken, Sampler, SamplingParams};

/// The sampler of an engine. Around a forward pass it is told twice: [`Self::prepare`] before it, [`Self::read`]
/// after it, or [`Self::cancel`] if it failed.
#[derive(Debug, Default)]
pub struct StepSampler {
    sampler: Sampler,
    masks: MaskWorkers,
    /// Width of a row, known once there was one.
    vocab_size: Option<usize>,
}

impl StepSampler {
    /// A sampler without scratch memory and threads yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the masks of the step's first rows be worked out while the forward pass runs.
    pub fn prepare(&mut self, plan: &StepPlan, scheduler: &mut Scheduler) {
        let Some(vocab_size) = self.vocab_size else { return };
        for part in plan.sampling() {
            let sequence = scheduler.scheduled_mut(part);
            // A greedy row hardly ever needs its mask: see `choose`.
            if sequence.sampling().is_greedy() {
                continue;
            }
            let Some(guide) = &mut sequence.guide else { continue };
            // A fault shows when the row is sampled.
            if guide.is_free().unwrap_or(false) {
                continue;
            }
            let errand = Errand { slot: part.slot, vocab_size, guide: guide.lend() };
            if let Err(refused) = self.masks.take(errand) {
                *guide = refused.guide;
            }
        }
        self.masks.dispatch();
    }

    /// Takes back what [`Self::prepare`] has sent, of a step that gives no logits.
    pub fn cancel(&mut self, scheduler: &mut Scheduler) {
        for Errand { slot, guide, .. } in self.masks.collect() {
            scheduler.at_mut(slot).guide = Some(guide);
        }
    }

    /// What the rows of a step give, in the plan's order: a score for each that scores, a result for each that samples.
    /// A row that gives nothing concerns its sequence alone, and rows that come after a sequence's wrong guess or after
    /// its end are [`SampleError::NotReached`].
    pub fn read(&mut self, plan: &StepPlan, scheduler: &mut Scheduler, output: ForwardOutput) -> StepResults {
        self.cancel(scheduler);
        let ForwardOutput { logits, hidden } = output;
        self.vocab_size = Some(logits.vocab_size());
        let mut sampled = Vec::with_capacity(plan.num_samples());
        let mut scores = Vec::with_capacity(plan.num_scores());
        for part in &plan.scheduled {
            let sequence = scheduler.scheduled(part);
            let num_top = sequence.prompt_scores().unwrap_or(0);
            for position in part.score_positions() {
                let row = logits.row(scores.len() + sampled.len());
                scores.push(self.sampler.score(row, sequence.token(position), num_top));
            }
            self.sample_part(part, scheduler, &logits, scores.len() + sampled.len(), &mut sampled);
        }
        StepResults { sampled, scores, hidden }
    }

    /// Samples the rows of a part for as long as the guesses are right.
    fn sample_part(
        &mut self,
        part: &ScheduledSequence,
        scheduler: &mut Scheduler,
        logits: &Logits,
        first_row: usize,
        sampled: &mut Vec<Result<SampledToken, SampleError>>,
    ) {
        if part.num_samples == 0 {
            return;
        }
        let end = sampled.len() + part.num_samples;
        let sequence = scheduler.scheduled_mut(part);
        if !sequence.generates() {
            // Its prompt is scored, and what would follow is nobody's concern.
            sampled.resize_with(end, || Err(SampleError::NotReached));
            return;
        }
        let looks_ahead = sequence.lookup.is_some();
        let (history, mut guide) = sequence.history_and_guide();
        for (index, position) in part.sample_positions().enumerate() {
            let row = Row {
                prompt: history.prompt,
                output: history.output,
                guessed: if planted(Bug::GuessesAreNotHistory) { &[] } else { &history.drafts[..index] },
                stop_token_ids: history.stop_token_ids,
                ..Row::new(logits.row(first_row + index), history.sampling, position as u64)
            };
            let is_held = index == 0 || !planted(Bug::GuideIsNotToldOfGuesses);
            let result = self.choose(&row, guide.as_deref_mut().filter(|_| is_held));
            let ends =
                |token: &SampledToken| token.completes || history.stop_token_ids.contains(&token.token_id);
            let known = result.as_ref().ok().filter(|token| !ends(token)).map(|token| token.token_id);
            sampled.push(result);
            if known.is_some() && history.drafts.get(index) == known.as_ref() {
                continue;
            }
            if let (Some(_), Some(guide), true) = (known, guide, looks_ahead) {
                guide.look_ahead();
            }
            break;
        }
        sampled.resize_with(end, || Err(SampleError::NotReached));
    }

    /// The token of a row, which the guide is told of.
    fn choose(&mut self, row: &Row<'_>, guide: Option<&mut Guide>) -> Result<SampledToken, SampleError> {
        let Some(guide) = guide else { return self.sampler.sample(row) };
        let mut sampled =
            if guide.is_free()? { self.sampler.sample(row)? } else { self.sample_under(row, guide)? };
        if !row.stop_token_ids.contains(&sampled.token_id) {
            sampled.completes = guide.accept(sampled.token_id)?;
        }
        Ok(sampled)
    }

    /// Samples what the guide allows.
    fn sample_under(&mut self, row: &Row<'_>, guide: &mut Guide) -> Result<SampledToken, SampleError> {
        if row.params.is_greedy() {
            // The mask is the last change to a row before the best token is taken. So the best of all, the lowest id
            // among equals, is the best of those that the mask leaves if it is one of them; and where nothing is left
            // without the mask, nothing is left with it.
            let best = self.sampler.sample(row)?;
            if guide.allows(best.token_id)? || planted(Bug::BestIsNotAskedFor) {
                return Ok(best);
            }
        }
        let mask = guide.mask(row.logits.len())?;
        match self.sampler.sample(&Row { mask: Some(mask), ..*row }) {
            // The form cannot go on without its only token: it comes even if the client's own words bar it.
            Err(SampleError::Masked) if mask.num_tokens() == 1 => {
                let params = SamplingParams { logprobs: row.params.logprobs, ..SamplingParams::greedy() };
                self.sampler.sample(&Row { mask: Some(mask), params: &params, ..*row })
            }
            sampled => sampled,
        }
    }
}
