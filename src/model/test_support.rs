//! Weights for tests of any spec.

use safetensors::tensor::{Dtype, TensorView};

use super::families::exaone::FAMILY;
use super::spec::DecoderSpec;
use super::weights::Checkpoint;
use super::{EmbeddedFile, ModelSource};

/// A checkpoint of EXAONE's names in the shape of `spec`, with a tied head and weights between -1
/// and 1 that are always the same.
pub(super) fn random_checkpoint(spec: &DecoderSpec) -> Checkpoint {
    let (names, hidden, intermediate) = (&FAMILY.names, spec.hidden_size, spec.intermediate_size);
    let (query_width, kv_width) = (spec.heads.query_width(), spec.heads.kv_width());
    let mut shapes = vec![
        (names.embedding.to_owned(), vec![spec.vocab_size, hidden]),
        (names.final_norm.to_owned(), vec![hidden]),
    ];
    for layer in 0..spec.layers.len() {
        let of_layer = &names.layer;
        for (name, shape) in [
            (of_layer.attention_norm, vec![hidden]),
            (of_layer.mlp_norm, vec![hidden]),
            (of_layer.query, vec![query_width, hidden]),
            (of_layer.key, vec![kv_width, hidden]),
            (of_layer.value, vec![kv_width, hidden]),
            (of_layer.attention_output, vec![hidden, query_width]),
            (of_layer.gate, vec![intermediate, hidden]),
            (of_layer.up, vec![intermediate, hidden]),
            (of_layer.down, vec![hidden, intermediate]),
        ] {
            shapes.push((names.in_layer(layer, name), shape));
        }
    }
    let mut state = 1u32;
    let mut weight = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let tensors: Vec<_> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let bytes: Vec<u8> = (0..count).flat_map(|_| weight().to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the bytes fill the shape"))
    });
    let bytes = safetensors::serialize(views, None).expect("the views are right").leak();
    let files = vec![EmbeddedFile { name: "model.safetensors", bytes }].leak();
    Checkpoint::open(&ModelSource::Embedded(files)).expect("the file is whole")
}
