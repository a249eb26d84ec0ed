//! The stream of one request's output: its choices, merged.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use crate::engine::TokenEvent;

use super::stream::Choice;
use super::{ChoiceUsage, DeltaKind, OutputDelta, OutputFinish, SequenceError};

/// A request that was admitted. Dropping it aborts all its choices and frees what they hold.
#[derive(Debug)]
pub struct Generation {
    num_prompt_tokens: usize,
    max_new_tokens: u32,
    seed: u64,
    choices: Vec<Choice>,
    /// Where the next look for an event begins, so that no choice waits behind a busy one.
    turn: usize,
    ready: VecDeque<OutputDelta>,
}

/// One whole choice.
#[derive(Debug, Clone, PartialEq)]
pub struct ChoiceOutput {
    /// Which choice.
    pub choice: u32,
    /// All of its text.
    pub text: String,
    /// Why it is complete.
    pub reason: OutputFinish,
    /// What it cost.
    pub usage: ChoiceUsage,
}

/// What is the same for all choices of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct GenerationFacts {
    pub(super) num_prompt_tokens: usize,
    pub(super) max_new_tokens: u32,
    pub(super) seed: u64,
}

impl Generation {
    pub(super) fn new(facts: GenerationFacts, choices: Vec<Choice>) -> Self {
        let GenerationFacts { num_prompt_tokens, max_new_tokens, seed } = facts;
        Self { num_prompt_tokens, max_new_tokens, seed, choices, turn: 0, ready: VecDeque::new() }
    }

    /// Tokens of the prompt.
    pub fn num_prompt_tokens(&self) -> usize {
        self.num_prompt_tokens
    }

    /// Most tokens that each choice generates: what the request asked for, or less where less fits the context.
    pub fn max_new_tokens(&self) -> u32 {
        self.max_new_tokens
    }

    /// The seed in use: the request's, or the one drawn for it.
    pub fn seed(&self) -> u64 {
        self.seed
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
            let mut kinds = VecDeque::new();
            self.choices[index].take(event, &mut kinds);
            let choice = u32::try_from(index).expect("the number of choices is a u32");
            self.ready.extend(kinds.into_iter().map(|kind| OutputDelta { choice, kind }));
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

    /// All choices whole, in the order of their numbers.
    ///
    /// # Errors
    /// The first fault of any choice; the others are aborted.
    pub async fn collect(mut self) -> Result<Vec<ChoiceOutput>, SequenceError> {
        let mut texts = vec![String::new(); self.choices.len()];
        let mut outputs = Vec::with_capacity(self.choices.len());
        while let Some(OutputDelta { choice, kind }) = self.next().await {
            let text = &mut texts[choice as usize];
            match kind {
                DeltaKind::Started => {}
                DeltaKind::Text(piece) => text.push_str(&piece),
                DeltaKind::Finished { reason, usage } => {
                    outputs.push(ChoiceOutput { choice, text: std::mem::take(text), reason, usage });
                }
                DeltaKind::Failed(error) => return Err(error),
            }
        }
        outputs.sort_by_key(|output| output.choice);
        Ok(outputs)
    }
}
