//! The stream of one request's output: its choices, merged.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::engine::TokenEvent;

use super::choice::Choice;
use super::{GenerationOutput, OutputDelta, SequenceError};

/// A request that was admitted. Dropping it aborts all its choices and frees what they hold.
#[derive(Debug)]
pub struct Generation {
    facts: GenerationFacts,
    choices: Vec<Choice>,
    /// Where the next look for an event begins, so that no choice waits behind a busy one.
    turn: usize,
    ready: VecDeque<OutputDelta>,
}

/// What is the same for all choices of a request.
#[derive(Debug, Clone)]
pub(super) struct GenerationFacts {
    pub(super) prompt: Arc<[u32]>,
    pub(super) max_new_tokens: u32,
    pub(super) seed: u64,
}

impl Generation {
    pub(super) fn new(facts: GenerationFacts, choices: Vec<Choice>) -> Self {
        Self { facts, choices, turn: 0, ready: VecDeque::new() }
    }

    pub(super) fn num_choices(&self) -> u32 {
        u32::try_from(self.choices.len()).expect("the number of choices is a u32")
    }

    /// Tokens of the prompt.
    pub fn num_prompt_tokens(&self) -> usize {
        self.facts.prompt.len()
    }

    /// The prompt as the model reads it.
    pub fn prompt_token_ids(&self) -> &Arc<[u32]> {
        &self.facts.prompt
    }

    /// Most tokens that each choice generates: what the request asked for, or less where less fits the context.
    pub fn max_new_tokens(&self) -> u32 {
        self.facts.max_new_tokens
    }

    /// The seed in use: the request's, or the one drawn for it.
    pub fn seed(&self) -> u64 {
        self.facts.seed
    }

    /// The next delta of any choice; `None` after every choice has had its `Finished` or `Failed`. The first deltas
    /// of the choices come in the order of their numbers. A call that is dropped before it is ready loses nothing,
    /// so it may stand in a `select!`.
    pub async fn next(&mut self) -> Option<OutputDelta> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some(delta);
            }
            let (index, event) = poll_fn(|context| self.poll_event(context)).await?;
            self.choices[index].take(event, &mut self.ready);
        }
    }

    /// The next event of any choice, looked for in turn; `None` once all have ended.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, TokenEvent)>> {
        // A choice is listened to when those before it have started, which keeps their beginnings in order.
        let started = self.choices.iter().take_while(|choice| choice.has_started()).count();
        let audible = self.choices.len().min(started + 1);
        let mut open = false;
        for index in (self.turn..audible).chain(0..self.turn.min(audible)) {
            let Some(events) = self.choices[index].events() else { continue };
            open = true;
            let polled = pin!(events.next()).poll(context);
            if let Poll::Ready(Some(event)) = polled {
                self.turn = (index + 1) % self.choices.len();
                return Poll::Ready(Some((index, event)));
            }
        }
        if open { Poll::Pending } else { Poll::Ready(None) }
    }

    /// All choices whole.
    ///
    /// # Errors
    /// The first fault of any choice; the others are aborted.
    pub async fn collect(mut self) -> Result<GenerationOutput, SequenceError> {
        let mut output = GenerationOutput::new(self.num_choices());
        while let Some(delta) = self.next().await {
            output.take(delta)?;
        }
        Ok(output)
    }
}
