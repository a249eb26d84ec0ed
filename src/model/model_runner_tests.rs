//! A hybrid model, three layers with a window to one without, over blocks that leave the window,
//! are handed out again at once, and are copied.

use std::num::NonZeroUsize;

use maru_kernels::Isa;

use super::*;
use crate::model::backend::{CpuBackend, KvDtype, KvLayout, ReferenceBackend};
use crate::model::decoder::Loading;
use crate::model::families::exaone::FAMILY;
use crate::model::kv_groups::kv_groups;
use crate::model::spec::{DecoderSpec, HeadShape, LayerSpec, NormPlacement, RopeScaling, RopeSpec};
use crate::model::test_support::random_checkpoint;
use crate::model::{BlockCopy, BlockTables, KvGroupBatch, KvSizing, StepBounds};

const WINDOW: u32 = 5;
const NUM_GROUPS: usize = 4;
const MAX_POSITIONS: u32 = 64;
const BLOCK_SIZES: [u32; 5] = [1, 2, 3, 16, 64];

fn spec(window: Option<u32>) -> DecoderSpec {
    let near = LayerSpec { rope: Some(0), window };
    let far = LayerSpec { rope: None, window: None };
    DecoderSpec {
        vocab_size: 11,
        hidden_size: 8,
        intermediate_size: 12,
        heads: HeadShape { num_heads: 2, num_kv_heads: 1, head_dim: 4 },
        qk_norm: false,
        norm_placement: NormPlacement::BeforeBranch,
        norm_eps: 1e-5,
        ropes: vec![RopeSpec { theta: 100.0, scaling: RopeScaling::None }],
        layers: [near, near, near, far].repeat(2),
        tied_output: true,
        max_positions: MAX_POSITIONS,
    }
}

fn tokens(len: u32) -> Vec<u32> {
    (0..len).map(|position| (position * position + 3 * position / 2) % 11).collect()
}

/// A runner and the blocks that nobody has; the last that came back is the first to go.
struct Rig {
    name: String,
    runner: Box<dyn Runner>,
    free: Vec<u32>,
}

#[derive(Clone)]
struct Sequence {
    ids: Vec<u32>,
    num_computed: u32,
    /// `[num_groups][num_blocks]`
    tables: Vec<Vec<u32>>,
}

impl Sequence {
    fn new(ids: &[u32], rig: &Rig) -> Self {
        let num_groups = rig.runner.kv_groups().len();
        Self { ids: ids.to_vec(), num_computed: 0, tables: vec![Vec::new(); num_groups] }
    }
}

impl Rig {
    fn new<B: Backend + 'static>(
        name: String,
        backend: B,
        spec: DecoderSpec,
        kv_capacity: KvCapacity,
    ) -> Self {
        let layout = KvLayout {
            num_layers: kv_groups(&spec).layers_per_group,
            heads: spec.heads,
            block_size: kv_capacity.block_size,
            dtype: KvDtype::F32,
        };
        let limits = BatchLimits { vocab_size: spec.vocab_size, max_positions: MAX_POSITIONS, kv_capacity };
        let mut ignore = |_| {};
        let loading = Loading::new(random_checkpoint(&spec), &FAMILY.names, &spec, &mut ignore);
        let decoder = Decoder::load(&backend, spec, MAX_POSITIONS, loading).unwrap();
        let cache = backend.kv_cache(&layout, kv_capacity.num_blocks).unwrap();
        let runner = Box::new(ModelRunner::new(backend, decoder, cache, limits));
        Self { name, runner, free: (0..kv_capacity.num_blocks).collect() }
    }

    /// One rig per instruction set of the `cpu` backend.
    fn on_cpu(spec: &DecoderSpec, kv_capacity: KvCapacity) -> impl Iterator<Item = Self> {
        Isa::available().into_iter().map(move |isa| {
            let backend = CpuBackend::new(isa, NonZeroUsize::new(2).unwrap()).unwrap();
            Self::new(isa.to_string(), backend, spec.clone(), kv_capacity)
        })
    }

    fn on_reference(spec: &DecoderSpec, kv_capacity: KvCapacity) -> Self {
        Self::new("reference".to_owned(), ReferenceBackend::new(), spec.clone(), kv_capacity)
    }

    /// Computes `num_tokens` more of each sequence after `copies`; returns the logits of all rows.
    fn step(&mut self, work: &mut [(&mut Sequence, u32)], copies: &[BlockCopy]) -> Vec<Vec<f32>> {
        let size = self.runner.kv_capacity().block_size;
        let mut batch = ForwardBatch { query_start: vec![0], ..ForwardBatch::default() };
        batch.kv = vec![KvGroupBatch::default(); self.runner.kv_groups().len()];
        batch.block_copies = copies.to_vec();
        for (sequence, num_tokens) in work.iter_mut() {
            let end = sequence.num_computed + *num_tokens;
            for (table, kv) in sequence.tables.iter_mut().zip(&mut batch.kv) {
                while table.len() < end.div_ceil(size) as usize {
                    table.push(self.free.pop().expect("the pool has blocks enough"));
                }
                let slot = |position: u32| table[(position / size) as usize] * size + position % size;
                kv.slot_mapping.extend((sequence.num_computed..end).map(slot));
            }
            batch.positions.extend(sequence.num_computed..end);
            batch.token_ids.extend(&sequence.ids[sequence.num_computed as usize..end as usize]);
            batch.query_start.push(batch.token_ids.len() as u32);
            batch.context_lens.push(end);
            sequence.num_computed = end;
        }
        for (group, kv) in batch.kv.iter_mut().enumerate() {
            let tables: Vec<&[u32]> = work.iter().map(|(s, _)| s.tables[group].as_slice()).collect();
            kv.block_tables = BlockTables::from_rows(tables.into_iter());
        }
        batch.sample_rows = (0..batch.token_ids.len() as u32).collect();
        let logits = self.runner.forward(&batch).unwrap().logits;
        (0..logits.num_rows()).map(|row| logits.row(row).to_vec()).collect()
    }

    /// Takes back the blocks that the next row of `sequence` does not see.
    fn forget(&mut self, sequence: &mut Sequence) {
        let size = self.runner.kv_capacity().block_size;
        for (table, group) in sequence.tables.iter_mut().zip(self.runner.kv_groups()) {
            let num_hidden = group.first_visible(sequence.num_computed) / size;
            let hidden = table.iter_mut().take(num_hidden as usize);
            self.free.extend(hidden.map(|block| std::mem::replace(block, BlockTables::NONE)));
            self.free.retain(|&block| block != BlockTables::NONE);
        }
    }

    /// The logits of all positions in chunks, forgetting or not.
    fn logits(&mut self, ids: &[u32], chunk: u32, forgets: bool) -> Vec<Vec<f32>> {
        let (mut sequence, mut logits) = (Sequence::new(ids, self), Vec::new());
        while sequence.num_computed < ids.len() as u32 {
            if forgets {
                self.forget(&mut sequence);
            }
            let num_tokens = chunk.min(ids.len() as u32 - sequence.num_computed);
            logits.extend(self.step(&mut [(&mut sequence, num_tokens)], &[]));
        }
        let blocks = sequence.tables.iter().flatten().filter(|&&block| block != BlockTables::NONE);
        self.free.extend(blocks);
        logits
    }

    /// Writes keys and values of other tokens to every slot of the pool.
    fn fill_with_garbage(&mut self) {
        let KvCapacity { num_blocks, block_size } = self.runner.kv_capacity();
        for first in 0..num_blocks {
            let mut garbage = Sequence::new(&vec![7; block_size as usize], self);
            for (group, table) in (0..).zip(&mut garbage.tables) {
                table.push((first + group) % num_blocks);
            }
            self.step(&mut [(&mut garbage, block_size)], &[]);
        }
    }
}

fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |max, d| if d.is_nan() { f32::INFINITY } else { max.max(d) })
}

/// A pool that holds three whole sequences in every group.
fn roomy(block_size: u32) -> KvCapacity {
    KvCapacity { num_blocks: 3 * NUM_GROUPS as u32 * MAX_POSITIONS.div_ceil(block_size), block_size }
}

/// What [`KvSizing`] gives to one sequence in chunks of `max_num_batched_tokens`.
fn tight(spec: &DecoderSpec, block_size: u32, max_num_batched_tokens: u32) -> KvCapacity {
    let sizing = KvSizing {
        kv_cache_memory: Some(1 << 20),
        available_memory: None,
        weight_bytes: 0,
        groups: &kv_groups(spec).groups,
        block_bytes: 1,
        block_size,
        bounds: StepBounds { max_num_seqs: 1, max_num_batched_tokens },
        max_model_len: MAX_POSITIONS,
    };
    KvCapacity { num_blocks: sizing.num_blocks().unwrap(), block_size }
}

#[test]
fn chunks_and_forgotten_blocks_give_equal_bits_on_every_isa() {
    let (spec, ids) = (spec(Some(WINDOW)), tokens(MAX_POSITIONS));
    let reference = Rig::on_reference(&spec, roomy(16)).logits(&ids, MAX_POSITIONS, false);
    let mut expected: Option<Vec<Vec<f32>>> = None;
    for block_size in BLOCK_SIZES {
        for mut rig in Rig::on_cpu(&spec, roomy(block_size)) {
            let whole = rig.logits(&ids, MAX_POSITIONS, false);
            assert!(difference(&whole, &reference) < 2e-5, "{} is not the reference", rig.name);
            let expected = expected.get_or_insert(whole);
            for chunk in [1, 4, 5, 6, MAX_POSITIONS] {
                let kept = rig.logits(&ids, chunk, false);
                assert!(kept == *expected, "{}, blocks of {block_size}, chunks of {chunk}", rig.name);
            }
        }
        for chunk in [1, 2, 4, 5, 6, 17, MAX_POSITIONS] {
            for mut rig in Rig::on_cpu(&spec, tight(&spec, block_size, chunk)) {
                rig.fill_with_garbage();
                let forgetful = rig.logits(&ids, chunk, true);
                let what = format!("{}, blocks of {block_size}, chunks of {chunk}", rig.name);
                assert!(Some(&forgetful) == expected.as_ref(), "{what}, forgetful");
            }
        }
    }
}

#[test]
fn the_reference_forgets_and_chunks_without_a_difference() {
    let (spec, ids) = (spec(Some(WINDOW)), tokens(MAX_POSITIONS));
    let expected = Rig::on_reference(&spec, roomy(16)).logits(&ids, MAX_POSITIONS, false);
    for block_size in BLOCK_SIZES {
        for chunk in [1, 6, 17] {
            let mut rig = Rig::on_reference(&spec, tight(&spec, block_size, chunk));
            rig.fill_with_garbage();
            let forgetful = rig.logits(&ids, chunk, true);
            assert!(difference(&forgetful, &expected) < 2e-5, "blocks of {block_size}, chunks of {chunk}");
        }
    }
}

#[test]
fn a_window_hides_what_is_before_it_and_nothing_else() {
    let ids = tokens(20);
    let rows = |window| Rig::on_reference(&spec(window), roomy(16)).logits(&ids, 20, false);
    let all = rows(None);
    for window in [1, WINDOW, 19] {
        let near = rows(Some(window));
        let first_different = window as usize;
        assert!(difference(&near[..first_different], &all[..first_different]) == 0.0, "window {window}");
        assert!(difference(&near[first_different..], &all[first_different..]) > 1e-2, "window {window}");
    }
    assert!(rows(Some(20)) == all);
}

/// Forks a sequence: both read the full blocks of the first, and the last one is copied through a
/// spare block, so that the order of the copies counts.
fn fork(rig: &mut Rig, original: &Sequence, ids: &[u32], copies: &mut Vec<BlockCopy>) -> Sequence {
    let mut fork = Sequence { ids: ids.to_vec(), ..original.clone() };
    for table in &mut fork.tables {
        let [spare, to] = [(); 2].map(|()| rig.free.remove(0));
        let last = table.last_mut().expect("the sequence has blocks");
        copies.extend([BlockCopy { from: *last, to: spare }, BlockCopy { from: spare, to }]);
        *last = to;
    }
    fork
}

fn forks_agree_with(rig: &mut Rig, ids: [&[u32]; 2], num_shared: u32) -> [Vec<Vec<f32>>; 2] {
    let mut first = Sequence::new(ids[0], rig);
    rig.step(&mut [(&mut first, num_shared)], &[]);
    rig.forget(&mut first);
    let mut copies = Vec::new();
    let mut second = fork(rig, &first, ids[1], &mut copies);
    let mut logits = [Vec::new(), Vec::new()];
    let num_left = ids[0].len() as u32 - num_shared;
    for step in 0..num_left {
        let rows = rig.step(&mut [(&mut first, 1), (&mut second, 1)], &copies);
        for (logits, row) in logits.iter_mut().zip(rows) {
            logits.push(row);
        }
        copies.clear();
        assert_eq!(first.num_computed, num_shared + step + 1);
    }
    logits
}

#[test]
fn a_sequence_goes_on_from_a_copied_block_as_from_the_original() {
    let spec = spec(Some(WINDOW));
    let first = tokens(30);
    let mut second = first.clone();
    // Inside of blocks and at their ends.
    for num_shared in [11, 12, 16] {
        for (position, id) in second.iter_mut().enumerate().skip(num_shared as usize) {
            *id = (first[position] + 1 + position as u32 % 9) % 11;
        }
        for block_size in BLOCK_SIZES {
            let alone =
                |rig: &mut Rig, ids: &[u32]| rig.logits(ids, 30, false).split_off(num_shared as usize);
            for mut rig in Rig::on_cpu(&spec, roomy(block_size)) {
                let expected = [alone(&mut rig, &first), alone(&mut rig, &second)];
                let logits = forks_agree_with(&mut rig, [&first, &second], num_shared);
                assert!(logits == expected, "{}, blocks of {block_size}, {num_shared} shared", rig.name);
            }
            let mut rig = Rig::on_reference(&spec, roomy(block_size));
            let expected = [alone(&mut rig, &first), alone(&mut rig, &second)];
            let logits = forks_agree_with(&mut rig, [&first, &second], num_shared);
            for (logits, expected) in logits.iter().zip(&expected) {
                assert!(difference(logits, expected) < 2e-5, "blocks of {block_size}, {num_shared} shared");
            }
        }
        second.clone_from(&first);
    }
}
