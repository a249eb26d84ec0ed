//! A request inside the engine: its tokens, how far they are computed, and its blocks.

use std::sync::Arc;

use super::guide::Guide;
use super::kv::{BlockKey, SequenceBlocks};
use super::planted::{Bug, planted};
use super::prompt_lookup::PromptLookup;
use super::readout::Readout;
use super::{DraftCounts, NewSequence, Priority, ScoredToken, SequenceId, TenantId};
use crate::sampling::{SamplingParams, TokenLogprobs};

/// A sequence of the scheduler.
///
/// It knows `num_tokens` tokens, and the K and V of the first `num_computed` of them lie in its blocks. A step
/// computes some of the rest; when none is left, the last row's logits give the next token. A prompt, a piece of
/// one, what is left after a hit in the prefix cache, a sequence that comes back after its blocks were taken away and
/// a running output differ in the numbers only.
#[derive(Debug)]
pub struct Sequence {
    id: SequenceId,
    /// Prompt and output.
    tokens: Vec<u32>,
    num_prompt: usize,
    sampling: SamplingParams,
    max_new_tokens: usize,
    stop_token_ids: Arc<[u32]>,
    tenant: TenantId,
    priority: Priority,
    pub(super) num_computed: usize,
    pub(super) blocks: SequenceBlocks,
    /// Guesses that the open step checks.
    pub(super) drafts: Vec<u32>,
    /// Whether the guesses are tokens that the constraint asks for, which say nothing of the lookup.
    pub(super) drafts_are_forced: bool,
    pub(super) draft_counts: DraftCounts,
    pub(super) lookup: Option<PromptLookup>,
    pub(super) readout: Readout,
    /// What holds its output to a form.
    pub(super) guide: Option<Guide>,
    pub(super) stage: Stage,
    /// Prompt tokens found in the prefix cache when it computed for the first time; none before that.
    pub(super) num_cached: Option<usize>,
    /// Whether its tenant has paid for its prompt.
    pub(super) is_charged: bool,
    /// Whether it was admitted because it had waited for long enough: the more urgent do not take its place again.
    pub(super) is_overdue: bool,
    /// Names of the blocks that it computes for others too.
    pub(super) claims: Vec<BlockKey>,
}

/// What the choice of a sequence's next tokens depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct History<'a> {
    pub(super) prompt: &'a [u32],
    pub(super) output: &'a [u32],
    pub(super) drafts: &'a [u32],
    pub(super) sampling: &'a SamplingParams,
    pub(super) stop_token_ids: &'a [u32],
}

/// How far a sequence has come since it was admitted, or was admitted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits in the queue.
    Waiting,
    /// It runs, but has computed nothing itself; `Some` block of its prompt is being computed by a neighbour.
    Admitted {
        /// Name of that block.
        awaits: Option<BlockKey>,
    },
    /// It computes.
    Computing,
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

/// The order in which running sequences keep their blocks when these run out: the first in it keeps them longest.
/// Who came first is never overtaken by its equals, so the first always advances.
pub(super) type Rank = (bool, Priority, SequenceId);

impl Sequence {
    pub(super) fn new(id: SequenceId, new: NewSequence, blocks: SequenceBlocks) -> Self {
        let (readout, generates) = (Readout::new(&new), new.generates());
        Self {
            id,
            tokens: new.prompt.to_vec(),
            num_prompt: new.prompt.len(),
            sampling: new.sampling,
            max_new_tokens: if generates { new.max_new_tokens as usize } else { 0 },
            stop_token_ids: new.stop_token_ids,
            tenant: new.tenant,
            priority: new.priority,
            num_computed: 0,
            blocks,
            drafts: Vec::new(),
            drafts_are_forced: false,
            draft_counts: DraftCounts::default(),
            lookup: None,
            readout,
            guide: new.constraint.map(Guide::new),
            stage: Stage::Waiting,
            num_cached: None,
            is_charged: false,
            is_overdue: false,
            claims: Vec::new(),
        }
    }

    /// Its number.
    pub fn id(&self) -> SequenceId {
        self.id
    }

    /// Who asks.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// How urgent it is.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    pub(super) fn rank(&self) -> Rank {
        (!self.is_overdue, self.priority, self.id)
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        match self.stage {
            Stage::Waiting => Phase::Queued,
            _ if self.num_output() == 0 => Phase::Prefill,
            _ => Phase::Decode,
        }
    }

    /// Tokens of the prompt.
    pub fn num_prompt(&self) -> usize {
        self.num_prompt
    }

    /// Tokens generated.
    pub fn num_output(&self) -> usize {
        self.tokens.len() - self.num_prompt
    }

    /// Prompt and output.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens known, prompt and output together.
    pub fn num_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens whose K and V are written.
    pub fn num_computed(&self) -> usize {
        self.num_computed
    }

    /// Tokens known but not computed yet; a running sequence has at least one.
    pub fn num_uncomputed(&self) -> usize {
        self.num_tokens() - self.num_computed
    }

    /// Whether it runs and needs a single token to go on, as a running output does.
    pub(super) fn is_decoding(&self) -> bool {
        self.stage == Stage::Computing && self.num_uncomputed() == 1
    }

    /// Most tokens that it can ever compute: the last one that it generates is not fed back.
    pub fn max_computed(&self) -> usize {
        self.num_prompt + self.max_new_tokens.saturating_sub(1)
    }

    /// Whether any token comes after the prompt.
    pub fn generates(&self) -> bool {
        self.max_new_tokens > 0
    }

    /// Most tokens that it may take over from the prefix cache: the last is computed in any case, because what follows
    /// comes from it, and so are the rows that are still to be read.
    pub(super) fn max_cached(&self) -> usize {
        let last = self.num_tokens() - 1;
        match self.readout.first_open() {
            Some(first) if !planted(Bug::ScoredIsCached) => last.min(first),
            _ => last,
        }
    }

    /// How many of the most likely tokens are wanted beside each score of the prompt, if it is scored.
    pub fn prompt_scores(&self) -> Option<u8> {
        self.readout.num_top()
    }

    /// Enters scores of the next tokens of the prompt; gives those that are to be handed out now.
    pub(super) fn take_scores(
        &mut self,
        scores: impl Iterator<Item = TokenLogprobs>,
    ) -> Option<Vec<ScoredToken>> {
        self.readout.take_scores(&self.tokens[..self.num_prompt], scores)
    }

    /// The token at `position`, known or guessed.
    pub fn token(&self, position: usize) -> u32 {
        match position.checked_sub(self.tokens.len()) {
            None => self.tokens[position],
            Some(index) => self.drafts[index],
        }
    }

    /// Its blocks in order.
    pub fn blocks(&self) -> &SequenceBlocks {
        &self.blocks
    }

    /// How its tokens are chosen.
    pub fn sampling(&self) -> &SamplingParams {
        &self.sampling
    }

    /// Loses its output: only as a planted bug.
    pub(super) fn forget_output(&mut self) {
        self.tokens.truncate(self.num_prompt);
    }

    /// Tokens and blocks at once, for who moves blocks.
    pub(super) fn tokens_and_blocks(&mut self) -> (&[u32], &mut SequenceBlocks) {
        (&self.tokens, &mut self.blocks)
    }

    /// What the choice of its next tokens depends on, and what holds them to a form.
    pub(super) fn history_and_guide(&mut self) -> (History<'_>, Option<&mut Guide>) {
        let (prompt, output) = self.tokens.split_at(self.num_prompt);
        let history = History {
            prompt,
            output,
            drafts: &self.drafts,
            sampling: &self.sampling,
            stop_token_ids: &self.stop_token_ids,
        };
        (history, self.guide.as_mut())
    }

    /// Guesses at most `max_tokens` tokens that come next, as many as may still come and be followed by another.
    pub(super) fn guess(&mut self, max_tokens: usize) {
        let max_useful = self.max_new_tokens - self.num_output() - 1;
        let max_tokens = max_tokens.min(max_useful);
        let Some(lookup) = &mut self.lookup else { return };
        let forced = self.guide.as_ref().map_or(&[][..], Guide::forced);
        self.drafts_are_forced = !forced.is_empty();
        self.drafts = match forced {
            [] => lookup.guess(&self.tokens, self.num_prompt, max_tokens),
            forced => forced[..forced.len().min(max_tokens).min(lookup.max_draft_tokens())].to_vec(),
        };
    }

    /// Whether this token ends it.
    pub(super) fn stops_at(&self, token_id: u32) -> bool {
        self.stop_token_ids.contains(&token_id)
    }

    /// Appends a generated token and says whether it was the last allowed.
    pub(super) fn push(&mut self, token_id: u32) -> bool {
        self.tokens.push(token_id);
        self.num_output() == self.max_new_tokens
    }
}
