//! The engine under load, without HTTP or text: the only place of the benchmark that knows what the engine takes.

use std::time::Instant;

use super::dice::{ConversationId, Dice, Purpose};
use super::length::Length;
use super::record::{Refusal, TokenCounts, Unanswered};
use super::target::{Deltas, Target};
use crate::engine::{EngineHandle, NewSequence, SubmitError, TokenEvent};
use crate::sampling::SamplingParams;
use crate::text::CompiledGrammar;

/// How long prompts and answers are.
#[derive(Debug, Clone)]
pub(super) enum Lengths {
    /// Drawn at random.
    Drawn { prompt: Length, output: Length },
    /// Listed, and taken in turn: those of a run over HTTP.
    Listed(Vec<(u32, u32)>),
}

/// An engine and what it is given.
#[derive(Debug)]
pub(super) struct EngineTarget {
    pub(super) engine: EngineHandle,
    pub(super) vocab_size: u32,
    pub(super) seed: u64,
    pub(super) temperature: f32,
    pub(super) lengths: Lengths,
    /// What every first prompt begins with.
    pub(super) shared_prefix: Vec<u32>,
    /// What every answer is held to.
    pub(super) grammar: Option<CompiledGrammar>,
}

/// A conversation so far.
#[derive(Debug)]
pub(super) struct Talk {
    id: ConversationId,
    dice: Dice,
    tokens: Vec<u32>,
    /// Length of the only prompt, where it is not drawn.
    long: Option<u32>,
}

impl EngineTarget {
    /// So many random tokens, the same for each seed.
    pub(super) fn shared_prefix(seed: u64, num_tokens: u32, vocab_size: u32) -> Vec<u32> {
        let id = ConversationId { point: 0, purpose: Purpose::SharedPrefix, number: 0 };
        let mut dice = Dice::new(seed, id);
        (0..num_tokens).map(|_| dice.below(vocab_size)).collect()
    }

    /// Adds the next prompt and returns the length of the answer.
    fn continue_talk(&self, talk: &mut Talk) -> u32 {
        let (prompt, output) = match (&self.lengths, talk.long) {
            (_, Some(long)) => (long, 1),
            (Lengths::Drawn { prompt, output }, None) => {
                let output = output.draw(&mut talk.dice);
                (prompt.draw(&mut talk.dice), output)
            }
            (Lengths::Listed(list), None) => list[talk.id.number as usize % list.len()],
        };
        if talk.tokens.is_empty() && talk.long.is_none() {
            talk.tokens.extend_from_slice(&self.shared_prefix);
        }
        talk.tokens.extend((0..prompt).map(|_| talk.dice.below(self.vocab_size)));
        output
    }

    /// A sequence that runs to its full length: no token stops it, only the end of a grammar does.
    fn sequence(&self, talk: &mut Talk, max_new_tokens: u32) -> NewSequence {
        let sampling = SamplingParams {
            temperature: self.temperature,
            seed: u64::from(talk.dice.below(u32::MAX)),
            ..SamplingParams::greedy()
        };
        let constraint = self.grammar.as_ref().map(CompiledGrammar::start);
        NewSequence { sampling, constraint, ..NewSequence::greedy(talk.tokens.as_slice(), max_new_tokens) }
    }
}

impl Target for EngineTarget {
    type Talk = Talk;

    fn open(&self, id: ConversationId) -> Talk {
        Talk { id, dice: Dice::new(self.seed, id), tokens: Vec::new(), long: None }
    }

    fn open_long(&self, id: ConversationId, num_tokens: u32) -> Talk {
        Talk { long: Some(num_tokens), ..self.open(id) }
    }

    async fn ask(&self, talk: &mut Talk, deltas: &mut Deltas) -> Result<TokenCounts, Unanswered> {
        let max_new_tokens = self.continue_talk(talk);
        let num_prompt_tokens = u32::try_from(talk.tokens.len()).unwrap_or(u32::MAX);
        let sequence = self.sequence(talk, max_new_tokens);
        let mut stream = self.engine.submit(sequence).map_err(|error| match error {
            SubmitError::Overloaded { .. } => {
                Unanswered::Refused(Refusal { status: "overloaded".to_owned(), retry_after: true })
            }
            error => Unanswered::Failed(error.to_string()),
        })?;
        let mut cached = 0;
        let mut num_output_tokens = 0;
        while let Some(event) = stream.next().await {
            match event {
                TokenEvent::Scheduled { num_cached_tokens } => cached = num_cached_tokens,
                TokenEvent::Token { token_id, .. } => {
                    deltas.note(Instant::now());
                    num_output_tokens += 1;
                    talk.tokens.push(token_id);
                }
                TokenEvent::PromptScores { .. } | TokenEvent::Embedding { .. } => {}
                TokenEvent::Finished { .. } => {}
                TokenEvent::Failed { error } => return Err(Unanswered::Failed(error.to_string())),
            }
        }
        let (prompt, output) = (Some(num_prompt_tokens), Some(num_output_tokens));
        Ok(TokenCounts { prompt, output, cached: Some(cached) })
    }
}
