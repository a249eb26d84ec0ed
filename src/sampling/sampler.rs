//! Logits to token: bias, penalties and masks, then temperature, top-k, top-p and min-p, then one draw.
//!
//! The result is a pure function of the row, its parameters, its history and its position: sums run in a fixed order
//! in f64, equal logits rank by the lower id, and the vocabulary is never sorted further than the cut needs.

use std::cmp::Ordering;

use super::adjust::Adjuster;
use super::logprobs::LogSoftmax;
use super::{ConstraintError, SampledToken, SamplingParams, TokenLogprobs, TokenSet, rng};

/// How many candidates the search for the top-p cut ranks first; it tries four times as many if they do not do.
const FIRST_RANKED: usize = 64;
/// Logits that are tested together before they are looked at one by one.
const BLOCK: usize = 64;
/// Independent lanes of the maximum search, wide enough to fill a vector register.
const LANES: usize = 16;

/// A row of logits, and all that its token depends on.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The logits as the model gave them, `[vocab_size]`. Negative infinity masks a token.
    pub logits: &'a [f32],
    /// How the token is chosen.
    pub params: &'a SamplingParams,
    /// The token's own position in the sequence.
    pub position: u64,
    /// The prompt.
    pub prompt: &'a [u32],
    /// The output before it.
    pub output: &'a [u32],
    /// The end of the output before it that was guessed in this very step, rightly.
    pub guessed: &'a [u32],
    /// Tokens that end the sequence.
    pub stop_token_ids: &'a [u32],
    /// What a constraint lets come, if there is one.
    pub mask: Option<&'a TokenSet>,
}

impl<'a> Row<'a> {
    /// A row that stands for itself, without history, stop tokens and mask.
    pub fn new(logits: &'a [f32], params: &'a SamplingParams, position: u64) -> Self {
        let none: &[u32] = &[];
        Self {
            logits,
            params,
            position,
            prompt: none,
            output: none,
            guessed: none,
            stop_token_ids: none,
            mask: None,
        }
    }
}

/// A row of logits gives no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A logit is not a number or is positive infinity.
    #[error("the logits hold a NaN or an infinite value")]
    Invalid,
    /// No token may be chosen: every logit is negative infinity, or the row is empty.
    #[error("no logit is finite")]
    NoCandidate,
    /// The model would give a token, but bias, bad words and the sets of allowed tokens leave none.
    #[error("every token is masked")]
    Masked,
    /// The row comes after a wrong guess or after the sequence's last token: nobody asks for its token.
    #[error("the row is not reached")]
    NotReached,
    /// The sequence's constraint failed.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
}

/// Chooses tokens; owns the scratch memory, so that a step allocates nothing once it is warm.
#[derive(Debug, Default)]
pub struct Sampler {
    candidates: Vec<Candidate>,
    weights: Vec<f64>,
    adjuster: Adjuster,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    logit: f32,
    token_id: u32,
}

impl Candidate {
    /// Most likely first, equals by the lower id. Logits are no NaN here.
    fn rank(a: &Self, b: &Self) -> Ordering {
        b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.token_id.cmp(&b.token_id))
    }
}

impl Sampler {
    /// A sampler without scratch memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that follows.
    ///
    /// # Errors
    /// [`SampleError`] if a logit is NaN or positive infinity, if none is finite, or if none is left.
    pub fn sample(&mut self, row: &Row<'_>) -> Result<SampledToken, SampleError> {
        let Row { logits, params, position, .. } = *row;
        let max = highest(logits)?;
        let token_id = if row.is_plain() {
            self.choose(logits, max, params, position)
        } else {
            // Out of the sampler for as long as its memory is read.
            let mut adjuster = std::mem::take(&mut self.adjuster);
            let token_id = self.choose_from(adjuster.adjust(row), params, position);
            self.adjuster = adjuster;
            token_id?
        };
        let logprobs =
            params.logprobs.map(|k| Box::new(self.logprobs(logits, max, token_id, usize::from(k))));
        Ok(SampledToken { token_id, logprobs, completes: false })
    }

    /// Chooses from logits that were changed.
    fn choose_from(
        &mut self,
        logits: &[f32],
        params: &SamplingParams,
        position: u64,
    ) -> Result<u32, SampleError> {
        match highest(logits) {
            Ok(max) => Ok(self.choose(logits, max, params, position)),
            Err(SampleError::NoCandidate) => Err(SampleError::Masked),
            Err(error) => Err(error),
        }
    }

    /// How likely `token_id` is after a row of `logits` as it came, with the `num_top` most likely tokens.
    ///
    /// # Errors
    /// [`SampleError`] as [`Self::sample`] gives it.
    ///
    /// # Panics
    /// If the row has no such token.
    pub fn score(
        &mut self,
        logits: &[f32],
        token_id: u32,
        num_top: u8,
    ) -> Result<TokenLogprobs, SampleError> {
        let max = highest(logits)?;
        Ok(self.logprobs(logits, max, token_id, usize::from(num_top)))
    }

    fn choose(&mut self, logits: &[f32], max: f32, params: &SamplingParams, position: u64) -> u32 {
        if params.is_greedy() {
            return first_at(logits, max) as u32;
        }
        let draw = rng::uniform(params.seed, params.choice_index, position);
        let softmax = Softmax { max, temperature: params.temperature };
        let limits_k = params.top_k != 0 && (params.top_k as usize) < logits.len();
        match (limits_k, params.top_p < 1.0) {
            (false, false) => return self.draw_from_all(logits, softmax, params.min_p, draw),
            (true, _) => self.keep_top_k_then_p(logits, softmax, params),
            (false, true) => self.keep_top_p(logits, softmax, params.top_p),
        }
        // They stand by their likelihood, so that what is too unlikely stands behind the rest.
        let is_likely = |weight: &f64| *weight >= f64::from(params.min_p);
        self.weights.truncate(self.weights.partition_point(is_likely));
        self.candidates.truncate(self.weights.len());
        let chosen = pick(&self.weights, draw);
        self.candidates[chosen].token_id
    }

    /// How likely `chosen` and the `k` most likely tokens are.
    fn logprobs(&mut self, logits: &[f32], max: f32, chosen: u32, k: usize) -> TokenLogprobs {
        let softmax = LogSoftmax::new(logits, max);
        self.candidates.clear();
        if k > 0 {
            self.keep_top_k(logits, k);
            self.candidates.sort_unstable_by(Candidate::rank);
        }
        let of = |candidate: &Candidate| (candidate.token_id, softmax.of(candidate.logit));
        let top = self.candidates.iter().map(of).collect();
        TokenLogprobs { logprob: softmax.of(logits[chosen as usize]), top }
    }

    /// Draws from the whole vocabulary in order of ids: nothing is ranked.
    fn draw_from_all(&mut self, logits: &[f32], softmax: Softmax, min_p: f32, draw: f64) -> u32 {
        self.weights.clear();
        self.weights.extend(logits.iter().map(|&logit| softmax.weight(logit)));
        if min_p > 0.0 {
            let cut = |weight: &mut f64| *weight = if *weight >= f64::from(min_p) { *weight } else { 0.0 };
            self.weights.iter_mut().for_each(cut);
        }
        pick(&self.weights, draw) as u32
    }

    /// Leaves the `top_k` best, or the smallest set of these that has `top_p` of their probability.
    fn keep_top_k_then_p(&mut self, logits: &[f32], softmax: Softmax, params: &SamplingParams) {
        self.keep_top_k(logits, params.top_k as usize);
        // Summed in order of ids, so that the total does not depend on how the selection moved the candidates.
        self.candidates.sort_unstable_by_key(|candidate| candidate.token_id);
        let total: f64 = self.candidates.iter().map(|candidate| softmax.weight(candidate.logit)).sum();
        let share = if params.top_p < 1.0 { f64::from(params.top_p) * total } else { f64::INFINITY };
        self.cut_at(share, softmax);
    }

    /// Leaves the smallest set that has `top_p` of the whole probability. A model's nucleus is small as a rule, so
    /// few candidates are ranked first, and more only if these do not reach the share.
    fn keep_top_p(&mut self, logits: &[f32], softmax: Softmax, top_p: f32) {
        let total: f64 = logits.iter().map(|&logit| softmax.weight(logit)).sum();
        let mut num_ranked = FIRST_RANKED;
        loop {
            self.keep_top_k(logits, num_ranked);
            if self.cut_at(f64::from(top_p) * total, softmax) || num_ranked >= logits.len() {
                return;
            }
            num_ranked *= 4;
        }
    }

    /// Leaves the `k` best in `candidates`, unranked. A candidate that is no better than the worst of `k` seen
    /// before never enters, so that a large vocabulary costs one comparison per token.
    fn keep_top_k(&mut self, logits: &[f32], k: usize) {
        self.candidates.clear();
        let mut bar = f32::NEG_INFINITY;
        let room = 2 * k;
        for (first, block) in (0_u32..).step_by(BLOCK).zip(logits.chunks(BLOCK)) {
            // An equal logit comes later and thus has the higher id: it ranks below what set the bar.
            if self.candidates.len() >= k && !any(block, |logit| logit > bar) {
                continue;
            }
            for (token_id, &logit) in (first..).zip(block) {
                if self.candidates.len() >= k && logit <= bar {
                    continue;
                }
                self.candidates.push(Candidate { logit, token_id });
                if self.candidates.len() == room {
                    bar = self.cut_to(k);
                }
            }
        }
        if self.candidates.len() > k {
            self.cut_to(k);
        }
    }

    /// Drops all but the `k` best and returns the worst logit kept.
    fn cut_to(&mut self, k: usize) -> f32 {
        let (_, worst, _) = self.candidates.select_nth_unstable_by(k - 1, Candidate::rank);
        let bar = worst.logit;
        self.candidates.truncate(k);
        bar
    }

    /// Ranks the candidates, drops those behind the one with which their weights reach `share`, and says whether
    /// they do.
    fn cut_at(&mut self, share: f64, softmax: Softmax) -> bool {
        self.candidates.sort_unstable_by(Candidate::rank);
        self.weights.clear();
        let mut sum = 0.0;
        for candidate in &self.candidates {
            let weight = softmax.weight(candidate.logit);
            self.weights.push(weight);
            sum += weight;
            if sum >= share {
                break;
            }
        }
        self.candidates.truncate(self.weights.len());
        sum >= share
    }
}

/// Unnormalised softmax in f64, the most likely token having weight 1.
#[derive(Debug, Clone, Copy)]
struct Softmax {
    max: f32,
    temperature: f32,
}

impl Softmax {
    fn weight(self, logit: f32) -> f64 {
        // A form may mask nearly all of a row: that is not worth an exponential each.
        if logit == f32::NEG_INFINITY {
            return 0.0;
        }
        ((f64::from(logit) - f64::from(self.max)) / f64::from(self.temperature)).exp()
    }
}

/// Whether any logit of a block fulfils a condition, without a jump for each, so that a register tests several.
fn any(block: &[f32], condition: impl Fn(f32) -> bool) -> bool {
    block.iter().fold(false, |any, &logit| any | condition(logit))
}

/// Where the first logit that equals `max` stands.
fn first_at(logits: &[f32], max: f32) -> usize {
    let is_max = |logit: f32| logit == max;
    let block =
        logits.chunks(BLOCK).position(|block| any(block, is_max)).expect("the maximum is one of the logits");
    let start = block * BLOCK;
    let place = logits[start..].iter().position(|&logit| is_max(logit));
    start + place.expect("it is in this block")
}

/// The highest logit of a row that is fit to be sampled from.
fn highest(logits: &[f32]) -> Result<f32, SampleError> {
    let mut best = [f32::NEG_INFINITY; LANES];
    let mut invalid = [false; LANES];
    // Whole chunks without a bounds check, so that the lanes become a register.
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            best[lane] = if chunk[lane] > best[lane] { chunk[lane] } else { best[lane] };
            invalid[lane] |= chunk[lane].is_nan() || chunk[lane] == f32::INFINITY;
        }
    }
    for (lane, &logit) in rest.iter().enumerate() {
        best[lane] = if logit > best[lane] { logit } else { best[lane] };
        invalid[lane] |= logit.is_nan() || logit == f32::INFINITY;
    }
    if invalid.contains(&true) {
        return Err(SampleError::Invalid);
    }
    let max = best.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY { Err(SampleError::NoCandidate) } else { Ok(max) }
}

/// The first index at which the running sum of `weights` passes the share `draw` of their total.
fn pick(weights: &[f64], draw: f64) -> usize {
    let target = draw * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let mut last_possible = 0;
    for (index, &weight) in weights.iter().enumerate() {
        sum += weight;
        if sum > target {
            return index;
        }
        if weight > 0.0 {
            last_possible = index;
        }
    }
    // Only if the product above was rounded up to the whole total.
    last_possible
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
