//! A seed made into an engine, its sequences and their fates.

use maru::engine::{NewSequence, StepLimits};
use maru::model::KvCapacity;
use maru::sampling::SamplingParams;

use crate::dice::Dice;

pub(crate) const VOCAB_SIZE: usize = 24;

/// Everything that happens in one simulated run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) limits: StepLimits,
    pub(crate) capacity: KvCapacity,
    /// In order of arrival.
    pub(crate) arrivals: Vec<Arrival>,
    /// Steps whose forward pass fails.
    pub(crate) failing_steps: Vec<usize>,
    /// Steps in which one row, this one modulo the number of rows, holds a NaN.
    pub(crate) nan_steps: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) step: usize,
    pub(crate) sequence: NewSequence,
    pub(crate) fate: Fate,
}

/// When the reader of a sequence leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// So many steps after its arrival, wherever it is then.
    LeavesAfterSteps(usize),
    /// When so many tokens were computed: in mid-prefill or in decode.
    LeavesAtComputed(usize),
    /// When so many tokens came out.
    LeavesAfterTokens(usize),
}

impl Scenario {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let max_num_seqs = dice.between(1, 8);
        let limits = StepLimits {
            max_num_seqs,
            max_num_batched_tokens: max_num_seqs + if dice.chance(30) { 0 } else { dice.between(1, 24) },
        };
        let capacity =
            KvCapacity { num_blocks: dice.between(1, 20) as u32, block_size: 1 << dice.between(0, 3) };
        let pool_tokens = capacity.num_tokens() as usize;
        let bursty = dice.chance(50);
        let mut step = 0;
        let mut arrivals = Vec::new();
        for _ in 0..dice.between(1, 20) {
            step += if bursty && dice.chance(80) { 0 } else { dice.between(0, 6) };
            let sequence = sequence(dice, pool_tokens);
            let fate = fate(dice, &sequence);
            arrivals.push(Arrival { step, sequence, fate });
        }
        let faulty = dice.chance(25);
        let mut steps = |percent| {
            if faulty { (0..200).filter(|_| dice.chance(percent)).collect() } else { Vec::new() }
        };
        let failing_steps = steps(2);
        let nan_steps = steps(4).into_iter().map(|step| (step, step / 3)).collect();
        Self { limits, capacity, arrivals, failing_steps, nan_steps }
    }
}

fn sequence(dice: &mut Dice, pool_tokens: usize) -> NewSequence {
    // Mostly what fits; now and then exactly the pool, one token more, or far too much.
    let total = match dice.between(0, 19) {
        0 => pool_tokens + 1,
        1 => pool_tokens + 2,
        2 => pool_tokens * 3 + 5,
        _ => dice.between(1, pool_tokens.min(60)) + 1,
    };
    let num_prompt = dice.between(1, total - 1);
    let sampling = if dice.chance(30) {
        SamplingParams::greedy()
    } else {
        SamplingParams {
            temperature: [0.3, 1.0, 2.0][dice.between(0, 2)],
            top_k: [0, 4, 100][dice.between(0, 2)],
            top_p: [1.0, 0.9, 0.5][dice.between(0, 2)],
            seed: dice.next() % 4,
            choice_index: dice.between(0, 2) as u32,
            logprobs: None,
        }
    };
    let prompt: Vec<u32> = (0..num_prompt).map(|_| dice.between(0, VOCAB_SIZE - 1) as u32).collect();
    NewSequence {
        sampling,
        stop_token_ids: (0..dice.between(0, 2)).map(|_| dice.between(0, VOCAB_SIZE - 1) as u32).collect(),
        ..NewSequence::greedy(prompt, (total - num_prompt) as u32)
    }
}

fn fate(dice: &mut Dice, sequence: &NewSequence) -> Fate {
    match dice.between(0, 11) {
        0 => Fate::LeavesAfterSteps(dice.between(0, 20)),
        1 => Fate::LeavesAtComputed(dice.between(1, sequence.prompt.len())),
        2 => Fate::LeavesAfterTokens(dice.between(1, sequence.max_new_tokens as usize)),
        _ => Fate::Stays,
    }
}
