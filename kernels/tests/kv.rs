//! The paged KV cache: what copying a block takes along, and what it leaves alone.

mod common;

use common::*;
use maru_kernels::cpu::{
    AttentionBatch, AttentionParams, KvDtype, PagedKv, PagedKvLayout, Rows, paged_attention,
};

#[test]
fn a_copied_block_is_equal_in_every_layer() {
    let mut random = Random::new(6);
    let params = AttentionParams {
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 18,
        scale: 0.25,
        window: None,
        soft_cap: None,
    };
    let (q_width, kv_width) = (4 * 18, 2 * 18);
    for dtype in [KvDtype::F32, KvDtype::Bf16] {
        for block_size in [1, 16, 20, 256] {
            for ctx in contexts().into_iter().chain(threaded_contexts()) {
                let layout = PagedKvLayout {
                    num_layers: 3,
                    num_blocks: 4,
                    block_size,
                    num_kv_heads: params.num_kv_heads,
                    head_dim: params.head_dim,
                    dtype,
                };
                let mut kv = PagedKv::new(layout).unwrap();
                let slots: Vec<u32> = (0..4 * block_size as u32).collect();
                for layer in 0..3 {
                    let [keys, values] = [(); 2].map(|()| random.floats(slots.len() * kv_width));
                    let rows = |data| Rows::contiguous(data, kv_width).unwrap();
                    kv.write(&ctx, layer, &slots, rows(&keys), rows(&values)).unwrap();
                }
                let q = random.floats(q_width);
                let read = |kv: &PagedKv, block: u32| -> Vec<Vec<u32>> {
                    let batch = AttentionBatch {
                        query_start: &[0, 1],
                        context_lens: &[block_size as u32],
                        block_tables: &[block],
                        max_blocks: 1,
                    };
                    let read = |layer| {
                        let mut out = vec![0.0; q_width];
                        let q = Rows::contiguous(&q, q_width).unwrap();
                        paged_attention(&ctx, &params, kv, layer, q, &batch, &mut out).unwrap();
                        bits(&out)
                    };
                    (0..3).map(read).collect()
                };
                let before = [0, 1, 2, 3].map(|block| read(&kv, block));
                kv.copy_block(&ctx, 1, 3).unwrap();
                kv.copy_block(&ctx, 3, 0).unwrap();
                (0..3).for_each(|layer| spoil(&mut kv, layer, 1));
                for (block, original) in [(0, 1), (2, 2), (3, 1)] {
                    assert_eq!(read(&kv, block), before[original], "{} {dtype:?} {block_size}", ctx.isa());
                }
                assert_ne!(before[0], before[1]);
                let refused =
                    |kv: &mut PagedKv, from, to| kv.copy_block(&ctx, from, to).unwrap_err().to_string();
                assert_eq!(refused(&mut kv, 4, 0), "kv_copy: `from`[0] is 4, beyond the limit 4");
                assert_eq!(refused(&mut kv, 0, 4), "kv_copy: `to`[0] is 4, beyond the limit 4");
                assert!(refused(&mut kv, 2, 2).contains("not copied to itself"));
            }
        }
    }
}
