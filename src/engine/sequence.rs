//! A request inside the engine: its tokens, how far they are computed, and its blocks.

use std::sync::Arc;

use super::kv::BlockTable;
use super::{NewSequence, SequenceId};
use crate::sampling::SamplingParams;

/// A sequence of the scheduler.
///
/// It knows `num_tokens` tokens, and the K and V of the first `num_computed` of them lie in its blocks. A step
/// computes some of the rest; when none is left, the last row's logits give the next token. A prompt, a piece of
/// one and a running output differ in the numbers only.
#[derive(Debug)]
pub struct Sequence {
    id: SequenceId,
    prompt: Arc<[u32]>,
    output: Vec<u32>,
    pub(super) num_computed: usize,
    pub(super) blocks: BlockTable,
    sampling: SamplingParams,
    max_new_tokens: usize,
    stop_token_ids: Arc<[u32]>,
}

/// Where a sequence is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its turn.
    Queued,
    /// It runs and has no output yet.
    Prefill,
    /// It runs and has output.
    Decode,
}

impl Phase {
    /// The phase as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        }
    }
}

impl Sequence {
    pub(super) fn new(id: SequenceId, new: NewSequence, block_size: u32) -> Self {
        Self {
            id,
            prompt: new.prompt,
            output: Vec::new(),
            num_computed: 0,
            blocks: BlockTable::new(block_size),
            sampling: new.sampling,
            max_new_tokens: new.max_new_tokens as usize,
            stop_token_ids: new.stop_token_ids,
        }
    }

    /// Its number.
    pub fn id(&self) -> SequenceId {
        self.id
    }

    /// Tokens of the prompt.
    pub fn num_prompt(&self) -> usize {
        self.prompt.len()
    }

    /// Tokens generated.
    pub fn num_output(&self) -> usize {
        self.output.len()
    }

    /// Tokens known, prompt and output together.
    pub fn num_tokens(&self) -> usize {
        self.prompt.len() + self.output.len()
    }

    /// Tokens whose K and V are written.
    pub fn num_computed(&self) -> usize {
        self.num_computed
    }

    /// Tokens known but not computed yet; a running sequence has at least one.
    pub fn num_uncomputed(&self) -> usize {
        self.num_tokens() - self.num_computed
    }

    /// Most tokens that it can ever compute: the last one that it generates is not fed back.
    pub fn max_computed(&self) -> usize {
        self.prompt.len() + self.max_new_tokens - 1
    }

    /// The token at `position`.
    pub fn token(&self, position: usize) -> u32 {
        match position.checked_sub(self.prompt.len()) {
            None => self.prompt[position],
            Some(index) => self.output[index],
        }
    }

    /// Its blocks in order.
    pub fn blocks(&self) -> &BlockTable {
        &self.blocks
    }

    /// How its tokens are chosen.
    pub fn sampling(&self) -> &SamplingParams {
        &self.sampling
    }

    /// Whether this token ends it.
    pub(super) fn stops_at(&self, token_id: u32) -> bool {
        self.stop_token_ids.contains(&token_id)
    }

    /// Appends a generated token and says whether it was the last allowed.
    pub(super) fn push(&mut self, token_id: u32) -> bool {
        self.output.push(token_id);
        self.output.len() == self.max_new_tokens
    }
}
