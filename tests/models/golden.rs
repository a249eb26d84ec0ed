//! The checkpoints against the logits that the reference implementation gave.

use maru::model::ModelConfig;

use crate::support::{
    CHECKPOINTS, Case, F32_TOLERANCE, Sequence, argmax, assert_close, backends, cases, folder, load,
    logits_in_chunks, step,
};

/// Calls `test` for every checkpoint, case and backend.
fn for_all(test: impl Fn(&str, &str, &ModelConfig, &Case)) {
    for checkpoint in CHECKPOINTS {
        for case in cases(checkpoint) {
            for (backend, config) in backends() {
                let what = format!("{checkpoint} {} on {backend}", case.name);
                test(&what, checkpoint, &config, &case);
            }
        }
    }
}

#[test]
fn one_pass_gives_the_expected_logits_at_every_block_size() {
    for_all(|what, checkpoint, config, case| {
        for block_size in [1, 4, 16] {
            let config = ModelConfig { block_size, ..config.clone() };
            let mut runner = load(&folder(checkpoint), &config).runner;
            let logits = logits_in_chunks(&mut *runner, &case.input_ids, usize::MAX);
            assert_close(&logits, &case.logits, F32_TOLERANCE, &format!("{what}, blocks of {block_size}"));
        }
    });
}

#[test]
fn chunks_give_the_expected_logits() {
    for_all(|what, checkpoint, config, case| {
        let config = ModelConfig { block_size: 4, ..config.clone() };
        let mut runner = load(&folder(checkpoint), &config).runner;
        for chunk in [1, 2, 3, 7, 16] {
            let logits = logits_in_chunks(&mut *runner, &case.input_ids, chunk);
            assert_close(&logits, &case.logits, F32_TOLERANCE, &format!("{what}, chunks of {chunk}"));
        }
    });
}

#[test]
fn greedy_decoding_gives_the_expected_ids() {
    for_all(|what, checkpoint, config, case| {
        let mut runner = load(&folder(checkpoint), config).runner;
        let mut sequence = Sequence::new(&*runner, 3, &case.input_ids);
        let mut num_tokens = case.input_ids.len();
        let mut greedy_ids = Vec::new();
        while greedy_ids.len() < case.greedy_ids.len() {
            let logits = step(&mut *runner, &mut [(&mut sequence, num_tokens)]);
            let id = argmax(logits.last().unwrap());
            greedy_ids.push(id);
            sequence.ids.push(id);
            num_tokens = 1;
        }
        assert_eq!(greedy_ids, case.greedy_ids, "{what}");
    });
}

#[test]
fn sequences_of_one_batch_give_the_logits_that_they_have_alone() {
    for checkpoint in CHECKPOINTS {
        let cases = cases(checkpoint);
        for (backend, config) in backends() {
            let config = ModelConfig { block_size: 4, ..config };
            let mut runner = load(&folder(checkpoint), &config).runner;
            // Two long prompts and two short ones that start one step apart, in chunks of 5, 1, 9
            // and 2: prefill and decode mix in most steps.
            let chunks = [5, 1, 9, 2];
            let mut sequences: Vec<_> = (0..chunks.len())
                .map(|i| Sequence::new(&*runner, i as u32, &cases[i % 2].input_ids))
                .collect();
            let mut logits = vec![Vec::new(); chunks.len()];
            for turn in 0.. {
                let mut work = Vec::new();
                let mut rows = Vec::new();
                for (i, sequence) in sequences.iter_mut().enumerate() {
                    let num_tokens = chunks[i].min(sequence.ids.len() - sequence.num_computed);
                    if turn >= i && num_tokens > 0 {
                        rows.extend(std::iter::repeat_n(i, num_tokens));
                        work.push((sequence, num_tokens));
                    }
                }
                if work.is_empty() {
                    break;
                }
                for (i, row) in rows.into_iter().zip(step(&mut *runner, &mut work)) {
                    logits[i].push(row);
                }
            }
            for (i, logits) in logits.iter().enumerate() {
                let what = format!("{checkpoint} on {backend}, sequence {i}");
                assert_close(logits, &cases[i % 2].logits, F32_TOLERANCE, &what);
            }
        }
    }
}
