//! From a step's plan to the packed input of the forward pass.

use super::kv::BlockTable;
use super::{Scheduler, StepPlan};
use crate::model::{BlockTables, ForwardBatch, KvGroupBatch};

/// Builds batches in memory that it keeps from step to step.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: ForwardBatch,
}

impl BatchBuilder {
    /// A builder without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The batch of the scheduler's open step.
    pub fn build(&mut self, plan: &StepPlan, scheduler: &Scheduler) -> &ForwardBatch {
        self.clear();
        let batch = &mut self.batch;
        batch.query_start.push(0);
        for part in &plan.scheduled {
            let sequence = scheduler.scheduled(part);
            let end = part.start + part.num_tokens;
            batch.token_ids.extend((part.start..end).map(|position| sequence.token(position)));
            batch.positions.extend(part.start as u32..end as u32);
            let num_rows = batch.token_ids.len() as u32;
            batch.query_start.push(num_rows);
            batch.context_lens.push(end as u32);
            batch.sample_rows.extend(num_rows - part.num_logits() as u32..num_rows);
            batch.hidden_rows.extend(num_rows - part.num_hidden as u32..num_rows);
        }
        batch.block_copies.extend_from_slice(&plan.block_copies);
        batch.kv.resize_with(scheduler.kv().groups().len(), KvGroupBatch::default);
        for (group, kv) in batch.kv.iter_mut().enumerate() {
            fill_group(kv, group, plan, scheduler);
        }
        &self.batch
    }

    fn clear(&mut self) {
        let ForwardBatch {
            token_ids,
            positions,
            query_start,
            context_lens,
            kv,
            block_copies,
            sample_rows,
            hidden_rows,
        } = &mut self.batch;
        for list in [token_ids, positions, query_start, context_lens, sample_rows, hidden_rows] {
            list.clear();
        }
        block_copies.clear();
        for KvGroupBatch { slot_mapping, block_tables } in kv {
            slot_mapping.clear();
            block_tables.data.clear();
        }
    }
}

/// Where one group of layers reads and writes.
fn fill_group(kv: &mut KvGroupBatch, group: usize, plan: &StepPlan, scheduler: &Scheduler) {
    let size = scheduler.kv().block_size();
    let table = |part| &scheduler.scheduled(part).blocks().tables()[group];
    let KvGroupBatch { slot_mapping, block_tables } = kv;
    block_tables.max_blocks = plan.scheduled.iter().map(|part| table(part).places().len()).max().unwrap_or(0);
    for part in &plan.scheduled {
        let table = table(part);
        slot_mapping.extend((part.start..part.start + part.num_tokens).map(|at| table.slot(at, size)));
        // A block that left the window has the number by which the batch says that there is none.
        const { assert!(BlockTable::DROPPED.0 == BlockTables::NONE) };
        block_tables.data.extend(table.places().iter().map(|block| block.0));
        let num_padding = block_tables.max_blocks - table.places().len();
        block_tables.data.resize(block_tables.data.len() + num_padding, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{NewSequence, Pooling, SchedulerConfig, SequenceId, StepLimits};
    use crate::model::KvCapacity;

    fn sequence(prompt: &[u32]) -> NewSequence {
        NewSequence::greedy(prompt, 4)
    }

    #[test]
    fn rows_are_asked_for_to_score_to_sample_and_to_pool() {
        let limits = StepLimits { max_num_seqs: 3, max_num_batched_tokens: 20 };
        let mut scheduler =
            Scheduler::new(SchedulerConfig::new(limits, KvCapacity { num_blocks: 8, block_size: 2 }));
        let scored = NewSequence { prompt_scores: Some(0), ..sequence(&[10, 11, 12]) };
        let averaged = NewSequence { pooling: Some(Pooling::Mean), ..sequence(&[20, 21]) };
        let last = NewSequence { pooling: Some(Pooling::Last), ..sequence(&[30, 31, 32]) };
        for (id, new) in (0..).zip([scored, averaged, last]) {
            scheduler.add(SequenceId(id), new).expect("it fits");
        }
        let plan = scheduler.schedule();
        let mut builder = BatchBuilder::new();
        let batch = builder.build(&plan, &scheduler);
        // Two rows score a token, the third samples.
        assert_eq!((&batch.sample_rows[..], &batch.hidden_rows[..]), (&[0, 1, 2][..], &[3, 4, 7][..]));
        assert_eq!(plan.scheduled[0].score_positions(), 1..3);
        assert_eq!(plan.scheduled[0].sample_positions(), 3..4);
    }

    #[test]
    fn decode_and_a_piece_of_a_prompt_share_a_batch() {
        let limits = StepLimits { max_num_seqs: 2, max_num_batched_tokens: 4 };
        let mut scheduler =
            Scheduler::new(SchedulerConfig::new(limits, KvCapacity { num_blocks: 8, block_size: 2 }));
        let mut builder = BatchBuilder::new();
        scheduler.add(SequenceId(0), sequence(&[10, 11, 12])).expect("it fits");
        let plan = scheduler.schedule();
        builder.build(&plan, &scheduler);
        scheduler.commit(&plan, vec![Ok(13.into())]);
        scheduler.add(SequenceId(1), sequence(&[20, 21, 22, 23, 24])).expect("it fits");

        let plan = scheduler.schedule();
        let batch = builder.build(&plan, &scheduler);
        let expected = ForwardBatch {
            token_ids: vec![13, 20, 21, 22],
            positions: vec![3, 0, 1, 2],
            query_start: vec![0, 1, 4],
            context_lens: vec![4, 3],
            kv: vec![KvGroupBatch {
                slot_mapping: vec![3, 4, 5, 6],
                block_tables: BlockTables { data: vec![0, 1, 2, 3], max_blocks: 2 },
            }],
            block_copies: vec![],
            sample_rows: vec![0],
            hidden_rows: vec![],
        };
        assert_eq!(batch, &expected);
    }
}
