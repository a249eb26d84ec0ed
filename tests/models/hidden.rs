//! The hidden states that a step gives are those that the head makes logits of.

use maru::model::{HiddenStates, ModelConfig, Runner};

use crate::support::{
    CHECKPOINTS, F32_TOLERANCE, Sequence, Wanted, assert_close, backends, cases, folder, forward, load,
    read_config, read_tensors,
};

fn rows(hidden: &HiddenStates) -> Vec<Vec<f32>> {
    (0..hidden.num_rows()).map(|row| hidden.row(row).to_vec()).collect()
}

/// The hidden states of all positions of `ids`, computed alone in chunks of `chunk` tokens.
fn hidden_in_chunks(runner: &mut dyn Runner, ids: &[u32], chunk: usize, wanted: Wanted) -> Vec<Vec<f32>> {
    let mut sequence = Sequence::new(runner, 0, ids);
    let mut hidden = Vec::new();
    while sequence.num_computed < ids.len() {
        let num_tokens = chunk.min(ids.len() - sequence.num_computed);
        hidden.extend(rows(&forward(runner, &mut [(&mut sequence, num_tokens)], wanted).hidden));
    }
    hidden
}

/// The head of a checkpoint, `[vocab][hidden]`.
fn head(checkpoint: &str) -> Vec<Vec<f32>> {
    let tensors = read_tensors(&folder(checkpoint));
    let is_tied = read_config(&folder(checkpoint))["tie_word_embeddings"] == true;
    let is_head = |name: &str| match is_tied {
        true => name.ends_with("wte.weight") || name.ends_with("embed_tokens.weight"),
        false => name == "lm_head.weight",
    };
    let (_, tensor) = tensors.iter().find(|(name, _)| is_head(name)).expect("a checkpoint has a head");
    tensor.to_f32().chunks(tensor.shape[1]).map(<[f32]>::to_vec).collect()
}

#[test]
fn the_head_makes_the_expected_logits_of_them_on_every_backend() {
    for checkpoint in CHECKPOINTS {
        let head = head(checkpoint);
        for case in cases(checkpoint) {
            for (backend, config) in backends() {
                let mut runner = load(&folder(checkpoint), &config).runner;
                for (chunk, wanted) in [(usize::MAX, Wanted::Both), (3, Wanted::Hidden)] {
                    let hidden = hidden_in_chunks(&mut *runner, &case.input_ids, chunk, wanted);
                    let logit = |row: &[f32], weights: &[f32]| {
                        let products = row.iter().zip(weights).map(|(&a, &b)| f64::from(a) * f64::from(b));
                        products.sum::<f64>() as f32
                    };
                    let logits: Vec<Vec<f32>> = hidden
                        .iter()
                        .map(|row| head.iter().map(|weights| logit(row, weights)).collect())
                        .collect();
                    let what = format!("{checkpoint} {} on {backend}, {wanted:?}", case.name);
                    assert_close(&logits, &case.logits, F32_TOLERANCE, &what);
                }
            }
        }
    }
}

#[test]
fn chunks_and_company_change_no_bit_of_them_on_the_cpu() {
    for checkpoint in CHECKPOINTS {
        let cases = cases(checkpoint);
        let (ids, other) = (&cases[0].input_ids, &cases[1].input_ids);
        for (backend, config) in backends().into_iter().filter(|(name, _)| name != "reference") {
            let config = ModelConfig { block_size: 4, ..config };
            let mut runner = load(&folder(checkpoint), &config).runner;
            let whole = hidden_in_chunks(&mut *runner, ids, usize::MAX, Wanted::Hidden);
            assert_eq!(whole.len(), ids.len());
            for (chunk, wanted) in [(1, Wanted::Hidden), (5, Wanted::Both), (16, Wanted::Hidden)] {
                let hidden = hidden_in_chunks(&mut *runner, ids, chunk, wanted);
                assert!(hidden == whole, "{checkpoint} on {backend}, chunks of {chunk}");
            }
            let mut neighbour = Sequence::new(&*runner, 1, other);
            let mut sequence = Sequence::new(&*runner, 2, ids);
            let mut work = [(&mut neighbour, other.len()), (&mut sequence, ids.len())];
            let together = rows(&forward(&mut *runner, &mut work, Wanted::Both).hidden);
            assert!(together[other.len()..] == whole, "{checkpoint} on {backend}, in a batch");
        }
    }
}
