//! Several prompts of one request: their generations, merged.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use super::{Generation, GenerationOutput, OutputDelta, SequenceError};

/// The generations of a request's prompts, each with as many choices. Dropping it aborts all of them.
#[derive(Debug)]
pub struct GenerationSet {
    generations: Vec<Generation>,
    /// Where the next look for a delta begins, so that no prompt waits behind a busy one.
    turn: usize,
}

impl GenerationSet {
    /// Of these prompts, in order.
    pub fn new(generations: Vec<Generation>) -> Self {
        Self { generations, turn: 0 }
    }

    /// The prompts' generations, in order.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// The next delta of any prompt; `None` after the last of all. Choices are numbered through: those of the first
    /// prompt, then those of the second, and so on. The first deltas of one prompt's choices come in order. A call that
    /// is dropped before it is ready loses nothing.
    pub async fn next(&mut self) -> Option<OutputDelta> {
        let (number, mut delta) = poll_fn(|context| self.poll_any(context)).await?;
        let number = u32::try_from(number).expect("a list of prompts is short");
        delta.choice += number * self.generations[0].num_choices();
        Some(delta)
    }

    /// The next delta and the number of its prompt.
    fn poll_any(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, OutputDelta)>> {
        let mut open = false;
        let count = self.generations.len();
        for number in (self.turn..count).chain(0..self.turn) {
            match pin!(self.generations[number].next()).poll(context) {
                Poll::Ready(Some(delta)) => {
                    self.turn = (number + 1) % count;
                    return Poll::Ready(Some((number, delta)));
                }
                Poll::Ready(None) => {}
                Poll::Pending => open = true,
            }
        }
        if open { Poll::Pending } else { Poll::Ready(None) }
    }

    /// All choices of each prompt whole, numbered from 0 for each.
    ///
    /// # Errors
    /// The first fault of any choice; the others are aborted.
    pub async fn collect(mut self) -> Result<Vec<GenerationOutput>, SequenceError> {
        let begun = |generation: &Generation| GenerationOutput::new(generation.num_choices());
        let mut outputs: Vec<GenerationOutput> = self.generations.iter().map(begun).collect();
        while let Some((number, delta)) = poll_fn(|context| self.poll_any(context)).await {
            outputs[number].take(delta)?;
        }
        Ok(outputs)
    }
}
