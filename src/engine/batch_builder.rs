//! From a step's plan to the packed input of the forward pass.

use super::scheduler::{Scheduler, StepPlan};
use crate::model::{ForwardBatch, KvGroupBatch};

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
        batch.kv.resize_with(1, KvGroupBatch::default);
        batch.query_start.push(0);
        for part in &plan.scheduled {
            let sequence = scheduler.scheduled(part);
            let end = part.start + part.num_tokens;
            for position in part.start..end {
                batch.token_ids.push(sequence.token(position));
                batch.positions.push(position as u32);
                batch.kv[0].slot_mapping.push(sequence.blocks().slot(position));
            }
            batch.query_start.push(batch.token_ids.len() as u32);
            batch.context_lens.push(end as u32);
            if part.samples {
                batch.sample_rows.push(batch.token_ids.len() as u32 - 1);
            }
        }
        self.fill_block_tables(plan, scheduler);
        &self.batch
    }

    fn fill_block_tables(&mut self, plan: &StepPlan, scheduler: &Scheduler) {
        let rows = || plan.scheduled.iter().map(|part| scheduler.scheduled(part).blocks().blocks());
        let tables = &mut self.batch.kv[0].block_tables;
        tables.max_blocks = rows().map(<[_]>::len).max().unwrap_or(0);
        for row in rows() {
            tables.data.extend(row.iter().map(|block| block.0));
            tables.data.resize(tables.data.len() + tables.max_blocks - row.len(), 0);
        }
    }

    fn clear(&mut self) {
        let ForwardBatch { token_ids, positions, query_start, context_lens, kv, block_copies, sample_rows } =
            &mut self.batch;
        for list in [token_ids, positions, query_start, context_lens, sample_rows] {
            list.clear();
        }
        block_copies.clear();
        for KvGroupBatch { slot_mapping, block_tables } in kv {
            slot_mapping.clear();
            block_tables.data.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{NewSequence, SequenceId, StepLimits};
    use crate::model::{BlockTables, KvCapacity};

    fn sequence(prompt: &[u32]) -> NewSequence {
        NewSequence::greedy(prompt, 4)
    }

    #[test]
    fn decode_and_a_piece_of_a_prompt_share_a_batch() {
        let limits = StepLimits { max_num_seqs: 2, max_num_batched_tokens: 4 };
        let mut scheduler = Scheduler::new(limits, KvCapacity { num_blocks: 8, block_size: 2 });
        let mut builder = BatchBuilder::new();
        scheduler.add(SequenceId(0), sequence(&[10, 11, 12])).expect("it fits");
        let plan = scheduler.schedule();
        builder.build(&plan, &scheduler);
        scheduler.commit(&plan, &[Ok(13)]);
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
        };
        assert_eq!(batch, &expected);
    }
}
