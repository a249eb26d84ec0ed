//! A seed made into an engine, its sequences and their fates.

use super::dice::Dice;
use super::oracle;
use super::rule::Rule;
use crate::engine::kv::HashKey;
use crate::engine::{
    MAX_SCORED_ROWS, NewSequence, Pooling, Priority, SchedulerConfig, SpeculationConfig, StepLimits, TenantId,
};
use crate::model::{KvCapacity, KvGroup};
use crate::sampling::{Penalties, SamplingParams, TokenSet};

/// Everything that happens in one simulated run.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) engine: SchedulerConfig,
    pub(super) vocab_size: usize,
    /// In order of arrival.
    pub(super) arrivals: Vec<Arrival>,
    /// Steps whose forward pass fails.
    pub(super) failing_steps: Vec<usize>,
    /// Steps in which one row, this one modulo the number of rows, holds a NaN.
    pub(super) nan_steps: Vec<(usize, usize)>,
    /// From these steps on outputs leave prompts so many tokens.
    pub(super) prefill_limits: Vec<(usize, usize)>,
    /// Who comes in this step or later is not let in any more.
    pub(super) drains_at: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) step: usize,
    pub(super) sequence: NewSequence,
    /// What its constraint is made of, if it has one.
    pub(super) rule: Option<Rule>,
    pub(super) fate: Fate,
}

impl Clone for Arrival {
    fn clone(&self) -> Self {
        let Self { step, sequence, rule, fate } = self;
        Self { step: *step, sequence: sequence.without_constraint(), rule: *rule, fate: *fate }
    }
}

/// When the reader of a sequence leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    /// So many steps after its arrival, wherever it is then: a deadline.
    LeavesAfterSteps(usize),
    /// When so many tokens were computed: in mid-prefill or in decode.
    LeavesAtComputed(usize),
    /// When so many tokens came out.
    LeavesAfterTokens(usize),
    /// It has not read so many tokens that came out: it is given up while the step's events are handed out.
    ReadsTooSlowly(usize),
    /// When it waits for a neighbour's blocks.
    LeavesWhenParked,
    /// When it has lost its blocks.
    LeavesWhenPreempted,
}

impl Scenario {
    pub(super) fn from_seed(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let mut engine = engine(dice);
        let vocab_size = *one_of(dice, &[2, 3, 5, 24]);
        let mut arrivals = Arrivals::new(dice, &engine, vocab_size).draw(dice);
        // From dice of their own, so that they are as likely as they are and the rest is as it was.
        let wishes = &mut Dice::new(!seed);
        arrivals.iter_mut().for_each(|arrival| arrival.wish(wishes, &engine.groups, vocab_size));
        let faulty = dice.chance(25);
        let mut steps = |percent| {
            if faulty { (0..100).filter(|_| dice.chance(percent)).collect() } else { Vec::new() }
        };
        let failing_steps = steps(3);
        let nan_steps = steps(5).into_iter().map(|step| (step, step / 3)).collect();
        let num_limits = if dice.chance(40) { dice.between(1, 4) } else { 0 };
        let mut prefill_limits: Vec<_> =
            (0..num_limits).map(|_| (dice.between(0, 30), dice.between(0, 12))).collect();
        prefill_limits.sort_unstable();
        let drains_at = dice.chance(10).then(|| dice.between(0, 20));
        if dice.chance(50) {
            engine.max_scored_rows = dice.between(1, 4);
        }
        arrivals.iter_mut().for_each(|arrival| draw_readout(dice, &mut arrival.sequence));
        Self { engine, vocab_size, arrivals, failing_steps, nan_steps, prefill_limits, drains_at }
    }
}

fn engine(dice: &mut Dice) -> SchedulerConfig {
    let max_num_seqs = dice.between(1, 6);
    let slack = if dice.chance(25) { 0 } else { dice.between(1, 20) };
    let limits = StepLimits { max_num_seqs, max_num_batched_tokens: max_num_seqs + slack };
    let windows: &[Option<u32>] = match dice.between(0, 5) {
        0 => &[Some(dice.between(1, 12) as u32)],
        1 => &[None, Some(dice.between(1, 12) as u32)],
        2 => &[Some(dice.between(1, 12) as u32), None, Some(dice.between(1, 12) as u32)],
        _ => &[None],
    };
    let groups: Vec<KvGroup> = windows.iter().map(|&window| KvGroup { window }).collect();
    let block_size = dice.between(1, 8) as u32;
    // Often hardly more than one sequence needs.
    let num_tokens = if dice.chance(60) { dice.between(4, 40) } else { dice.between(4, 120) };
    let num_places = num_tokens.div_ceil(block_size as usize);
    let num_blocks = (num_places * groups.len()).max(groups.len()) as u32;
    let speculation = match dice.chance(50) {
        true => {
            let min_ngram = dice.between(1, 2);
            let max_ngram = min_ngram + dice.between(0, 2);
            SpeculationConfig { max_draft_tokens: dice.between(1, 6), max_ngram, min_ngram }
        }
        false => SpeculationConfig::default(),
    };
    SchedulerConfig {
        limits,
        capacity: KvCapacity { num_blocks, block_size },
        groups,
        prefix_cache: dice.chance(80).then(|| HashKey([dice.next() as u8; 16])),
        speculation,
        max_scored_rows: MAX_SCORED_ROWS,
    }
}

/// What the sequences of one scenario have in common.
struct Arrivals {
    vocab_size: usize,
    groups: Vec<KvGroup>,
    /// Tokens that a sequence may have.
    max_tokens: usize,
    beginnings: Vec<Vec<u32>>,
    num_salts: usize,
    num_tenants: usize,
    num_priorities: usize,
    bursty: bool,
}

impl Arrivals {
    fn new(dice: &mut Dice, engine: &SchedulerConfig, vocab_size: usize) -> Self {
        let max_tokens = (engine.capacity.num_tokens() as usize / engine.groups.len()).min(40);
        let num_beginnings = dice.between(1, 3);
        let beginnings = (0..num_beginnings)
            .map(|_| {
                let num_tokens = dice.between(0, max_tokens * 3 / 4);
                tokens(dice, num_tokens, vocab_size)
            })
            .collect();
        Self {
            vocab_size,
            groups: engine.groups.clone(),
            max_tokens,
            beginnings,
            num_salts: *one_of(dice, &[1, 1, 2]),
            num_tenants: *one_of(dice, &[1, 2, 3]),
            num_priorities: *one_of(dice, &[1, 1, 2, 3]),
            bursty: dice.chance(50),
        }
    }

    fn draw(&self, dice: &mut Dice) -> Vec<Arrival> {
        let mut step = 0;
        let mut arrivals: Vec<Arrival> = Vec::new();
        for _ in 0..if dice.chance(10) { dice.between(15, 30) } else { dice.between(1, 12) } {
            step += if self.bursty && dice.chance(80) { 0 } else { dice.between(0, 5) };
            let sequence = self.sequence(dice, &arrivals);
            let fate = fate(dice, &sequence);
            arrivals.push(Arrival { step, sequence, rule: None, fate });
        }
        arrivals
    }

    fn sequence(&self, dice: &mut Dice, earlier: &[Arrival]) -> NewSequence {
        let prompt = self.prompt(dice, earlier);
        // Mostly what fits; now and then one token more than that, or far too much.
        let room = self.max_tokens.saturating_sub(prompt.len()).clamp(1, 16);
        let max_new_tokens = match dice.between(0, 29) {
            0 => room + 1,
            1 => self.max_tokens * 3 + 5,
            _ => dice.between(1, room),
        };
        let sampling = if dice.chance(60) {
            SamplingParams::greedy()
        } else {
            SamplingParams {
                temperature: *one_of(dice, &[0.3, 1.0]),
                top_k: *one_of(dice, &[0, 4]),
                top_p: *one_of(dice, &[1.0, 0.5]),
                seed: dice.next() % 3,
                choice_index: dice.between(0, 1) as u32,
                ..SamplingParams::greedy()
            }
        };
        let num_stops = if dice.chance(30) { 1 } else { 0 };
        NewSequence {
            sampling,
            stop_token_ids: tokens(dice, num_stops, self.vocab_size).into(),
            tenant: TenantId(dice.between(1, self.num_tenants) as u64),
            priority: Priority(dice.between(0, self.num_priorities - 1) as i8),
            cache_salt: vec![b'x'; dice.between(0, self.num_salts - 1)].into(),
            ..NewSequence::greedy(prompt, max_new_tokens as u32)
        }
    }

    /// A common beginning with an end of its own, the same prompt again, or another's prompt and output and then more.
    fn prompt(&self, dice: &mut Dice, earlier: &[Arrival]) -> Vec<u32> {
        let mut prompt = match dice.between(0, 9) {
            0 | 1 if !earlier.is_empty() => return one_of(dice, earlier).sequence.prompt.to_vec(),
            2 | 3 if !earlier.is_empty() => {
                let turn = &one_of(dice, earlier).sequence;
                let mut known = turn.prompt.to_vec();
                known.extend(oracle::expect(turn, None, &self.groups, self.vocab_size).tokens);
                known.truncate(dice.between(1, known.len()));
                known
            }
            4 => Vec::new(),
            _ => {
                let beginning = one_of(dice, &self.beginnings);
                let num_common =
                    if dice.chance(70) { beginning.len() } else { dice.between(0, beginning.len()) };
                beginning[..num_common].to_vec()
            }
        };
        let num_own = if dice.chance(30) { 0 } else { dice.between(0, 8) };
        prompt.extend(tokens(dice, num_own, self.vocab_size));
        prompt.truncate(self.max_tokens);
        if prompt.is_empty() {
            prompt.push(dice.between(0, self.vocab_size - 1) as u32);
        }
        prompt
    }
}

impl Arrival {
    /// What it wants beyond a prompt and a temperature. Never so much that no token is left.
    fn wish(&mut self, dice: &mut Dice, groups: &[KvGroup], vocab_size: usize) {
        let new = &mut self.sequence;
        match dice.between(0, 9) {
            0..=2 => {
                let num_tokens = dice.between(1, 20);
                self.rule = Some(Rule { seed: dice.next(), vocab_size: vocab_size as u32, num_tokens });
            }
            3 => {
                let penalty = |dice: &mut Dice| dice.between(0, 4) as f32 / 2.0 - 1.0;
                let (frequency, presence) = (penalty(dice), penalty(dice));
                new.sampling.penalties = Penalties { frequency, presence, repetition: 1.25 };
                new.sampling.bias = [(dice.between(0, vocab_size - 1) as u32, penalty(dice))].into();
                new.sampling.min_p = 0.1;
            }
            4 if vocab_size > 3 => {
                new.sampling.min_tokens = dice.between(1, 6) as u32;
                let pair = tokens(dice, 2, vocab_size);
                new.sampling.bad_words = [pair].into();
                let [one, another] = [(); 2].map(|()| dice.between(0, vocab_size - 1) as u32);
                let all_but_one = (0..vocab_size as u32).filter(|&id| id != one || id == another);
                new.sampling.allowed = Some(TokenSet::of(vocab_size, all_but_one).into());
            }
            _ => {}
        }
        if dice.chance(15) {
            let mut prediction = oracle::expect(new, self.rule, groups, vocab_size).tokens;
            if let Some(place) = prediction.len().checked_sub(1) {
                prediction[dice.between(0, place)] = dice.between(0, vocab_size - 1) as u32;
            }
            new.prediction = prediction.into();
        }
    }
}

fn one_of<'a, T>(dice: &mut Dice, choices: &'a [T]) -> &'a T {
    &choices[dice.between(0, choices.len() - 1)]
}

fn tokens(dice: &mut Dice, num_tokens: usize, vocab_size: usize) -> Vec<u32> {
    (0..num_tokens).map(|_| dice.between(0, vocab_size - 1) as u32).collect()
}

/// Some are scored, some are pooled.
fn draw_readout(dice: &mut Dice, sequence: &mut NewSequence) {
    match dice.between(0, 19) {
        0..=2 => sequence.prompt_scores = Some(dice.between(0, 3) as u8),
        3 => sequence.pooling = Some(Pooling::Last),
        4 => sequence.pooling = Some(Pooling::Mean),
        _ => {}
    }
    if (sequence.pooling.is_some() || sequence.prompt_scores.is_some()) && dice.chance(30) {
        sequence.max_new_tokens = 0;
    }
}

fn fate(dice: &mut Dice, sequence: &NewSequence) -> Fate {
    match dice.between(0, 24) {
        0 => Fate::LeavesAfterSteps(dice.between(0, 20)),
        1 => Fate::LeavesAtComputed(dice.between(1, sequence.prompt.len())),
        2 => Fate::LeavesAfterTokens(dice.between(1, sequence.max_new_tokens as usize)),
        3 => Fate::ReadsTooSlowly(dice.between(1, sequence.max_new_tokens as usize)),
        4 => Fate::LeavesWhenParked,
        5 => Fate::LeavesWhenPreempted,
        _ => Fate::Stays,
    }
}
