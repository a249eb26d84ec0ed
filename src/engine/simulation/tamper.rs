//! Bugs between the product's parts: in what reaches the scheduler, in the batch, in what is sampled, in the events.

use crate::engine::{SequenceId, TokenEvent};
use crate::model::{ForwardBatch, KvCapacity};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tamper {
    /// An abort never reaches the scheduler: its blocks leak.
    AbortIsLost,
    /// The budget is passed by one token.
    OneTokenTooMany,
    /// One sequence more than may runs.
    OneSequenceTooMany,
    /// The books have a block that the cache has not.
    OneBlockTooMany,
    /// A sequence's stop tokens are forgotten.
    StopTokenIgnored,
    /// A sequence gets one token more than it may.
    OneTokenTooLong,
    /// A block is overwritten while its owner still reads it.
    BlockIsFreedEarly,
    /// A block table's first entry names a neighbouring block.
    TableNamesAnotherBlock,
    /// The tables of the first two sequences are exchanged.
    TablesAreExchanged,
    /// The last cached token is not read.
    ContextIsOneShort,
    /// A token is written one slot too far.
    WriteIsOneOff,
    /// Positions start again at zero in every piece of a prompt.
    PositionsStartAgain,
    /// Logits are taken from the row before.
    RowBeforeIsSampled,
    /// Blocks are not copied.
    CopyIsLost,
    /// Blocks are copied in the other direction.
    CopyIsReversed,
    /// The tables of the first and the last group of layers are exchanged.
    GroupsAreExchanged,
    /// The sampled tokens go to the wrong sequences.
    RowsAreMixedUp,
    /// The scores go to the wrong tokens.
    ScoresAreMixedUp,
    /// Hidden states are taken from the row before.
    RowBeforeIsPooled,
    /// Scores are lost.
    ScoresAreLost,
    /// Scores come twice.
    ScoresComeTwice,
    /// The random draw depends on the place in the batch.
    DrawDependsOnTheBatch,
    /// An invalid row gives a token all the same.
    NanIsIgnored,
    /// A failed forward pass gives tokens all the same.
    FailureIsSwallowed,
    /// A token event is lost.
    TokenIsLost,
    /// The last event is lost.
    EndIsLost,
    /// The last event comes twice.
    EndComesTwice,
    /// An output token comes twice.
    TokenComesTwice,
}

impl Tamper {
    pub(super) const ALL: [Self; 28] = [
        Self::AbortIsLost,
        Self::OneTokenTooMany,
        Self::OneSequenceTooMany,
        Self::OneBlockTooMany,
        Self::StopTokenIgnored,
        Self::OneTokenTooLong,
        Self::BlockIsFreedEarly,
        Self::TableNamesAnotherBlock,
        Self::TablesAreExchanged,
        Self::ContextIsOneShort,
        Self::WriteIsOneOff,
        Self::PositionsStartAgain,
        Self::RowBeforeIsSampled,
        Self::CopyIsLost,
        Self::CopyIsReversed,
        Self::GroupsAreExchanged,
        Self::RowsAreMixedUp,
        Self::ScoresAreMixedUp,
        Self::RowBeforeIsPooled,
        Self::ScoresAreLost,
        Self::ScoresComeTwice,
        Self::DrawDependsOnTheBatch,
        Self::NanIsIgnored,
        Self::FailureIsSwallowed,
        Self::TokenIsLost,
        Self::EndIsLost,
        Self::EndComesTwice,
        Self::TokenComesTwice,
    ];

    pub(super) fn spoil_batch(self, batch: &mut ForwardBatch, capacity: KvCapacity) {
        let seq_of_cached = |batch: &ForwardBatch| {
            (0..batch.num_seqs()).find(|&seq| batch.positions[batch.query_start[seq] as usize] > 0)
        };
        match self {
            Self::TableNamesAnotherBlock => {
                let entry = &mut batch.kv[0].block_tables.data[0];
                *entry = (*entry).wrapping_add(1) % capacity.num_blocks;
            }
            Self::TablesAreExchanged if batch.num_seqs() > 1 => {
                let width = batch.kv[0].block_tables.max_blocks;
                let (first, second) = batch.kv[0].block_tables.data.split_at_mut(width);
                first.swap_with_slice(&mut second[..width]);
            }
            Self::ContextIsOneShort => {
                if let Some(seq) = seq_of_cached(batch) {
                    batch.context_lens[seq] -= 1;
                }
            }
            Self::WriteIsOneOff => {
                let slot = batch.kv[0].slot_mapping.last_mut().expect("a batch has tokens");
                // Within the block where possible, so that only the content is wrong.
                *slot = if (*slot + 1).is_multiple_of(capacity.block_size) { *slot } else { *slot + 1 };
            }
            Self::PositionsStartAgain => {
                if let Some(seq) = seq_of_cached(batch) {
                    let rows = batch.query_start[seq] as usize..batch.query_start[seq + 1] as usize;
                    let start = batch.positions[rows.start];
                    batch.positions[rows].iter_mut().for_each(|position| *position -= start);
                }
            }
            Self::RowBeforeIsSampled => {
                batch.sample_rows.iter_mut().for_each(|row| *row = row.saturating_sub(1));
            }
            Self::RowBeforeIsPooled => {
                batch.hidden_rows.iter_mut().for_each(|row| *row = row.saturating_sub(1));
            }
            Self::CopyIsLost => batch.block_copies.clear(),
            Self::CopyIsReversed => {
                batch.block_copies.iter_mut().for_each(|copy| std::mem::swap(&mut copy.from, &mut copy.to));
            }
            Self::GroupsAreExchanged => {
                let last = batch.kv.len() - 1;
                batch.kv.swap(0, last);
            }
            _ => {}
        }
    }

    pub(super) fn spoil_events(self, events: &mut Vec<(SequenceId, TokenEvent)>, step: usize) {
        let is_token = |(_, event): &(SequenceId, TokenEvent)| matches!(event, TokenEvent::Token { .. });
        let is_end = |(_, event): &(SequenceId, TokenEvent)| {
            matches!(event, TokenEvent::Finished { .. } | TokenEvent::Failed { .. })
        };
        let is_score =
            |(_, event): &(SequenceId, TokenEvent)| matches!(event, TokenEvent::PromptScores { .. });
        let token = events.iter().position(is_token);
        let end = events.iter().position(is_end);
        match (self, events.iter().position(is_score)) {
            (Self::ScoresAreLost, Some(index)) => drop(events.remove(index)),
            (Self::ScoresComeTwice, Some(index)) => events.insert(index, events[index].clone()),
            _ => {}
        }
        match (self, token, end) {
            (Self::TokenIsLost, Some(index), _) if step % 7 == 3 => drop(events.remove(index)),
            (Self::TokenComesTwice, Some(index), _) if step % 7 == 3 => {
                events.insert(index, events[index].clone());
            }
            (Self::EndIsLost, _, Some(index)) => drop(events.remove(index)),
            (Self::EndComesTwice, _, Some(index)) => events.push(events[index].clone()),
            _ => {}
        }
    }
}
