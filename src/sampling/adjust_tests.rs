use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::sampling::{Penalties, SampleError, Sampler};

const MAX_VOCAB: u32 = 80;

/// Everything that a row depends on, owned.
#[derive(Debug, Clone)]
struct Case {
    logits: Vec<f32>,
    params: SamplingParams,
    prompt: Vec<u32>,
    output: Vec<u32>,
    /// How many of the output are in `Row::guessed`.
    num_guessed: usize,
    stop_token_ids: Vec<u32>,
    mask: Option<TokenSet>,
}

impl Case {
    fn new(logits: &[f32]) -> Self {
        Self {
            logits: logits.to_vec(),
            params: SamplingParams::greedy(),
            prompt: Vec::new(),
            output: Vec::new(),
            num_guessed: 0,
            stop_token_ids: Vec::new(),
            mask: None,
        }
    }

    fn row(&self) -> Row<'_> {
        let (output, guessed) =
            self.output.split_at(self.output.len() - self.num_guessed.min(self.output.len()));
        Row {
            prompt: &self.prompt,
            output,
            guessed,
            stop_token_ids: &self.stop_token_ids,
            mask: self.mask.as_ref(),
            ..Row::new(&self.logits, &self.params, (self.prompt.len() + self.output.len()) as u64)
        }
    }

    fn adjusted(&self) -> Vec<f32> {
        Adjuster::default().adjust(&self.row()).to_vec()
    }

    /// The same, token by token, from the definitions.
    fn expected(&self) -> Vec<f32> {
        (0_u32..).zip(&self.logits).map(|(token_id, &logit)| self.expected_of(token_id, logit)).collect()
    }

    fn expected_of(&self, token_id: u32, mut logit: f32) -> f32 {
        let params = &self.params;
        if let Some((_, bias)) = params.bias.iter().find(|(id, _)| *id == token_id) {
            logit += bias;
        }
        let Penalties { frequency, presence, repetition } = params.penalties;
        if self.prompt.contains(&token_id) || self.output.contains(&token_id) {
            logit = if logit > 0.0 { logit / repetition } else { logit * repetition };
        }
        let num_times = self.output.iter().filter(|&&id| id == token_id).count();
        if num_times > 0 {
            logit = logit - frequency * num_times as f32 - presence;
        }
        let is_allowed = params.allowed.as_ref().is_none_or(|allowed| allowed.contains(token_id));
        let ends_bad_word = params
            .bad_words
            .iter()
            .any(|word| word.last() == Some(&token_id) && self.output.ends_with(&word[..word.len() - 1]));
        let stops_early =
            self.stop_token_ids.contains(&token_id) && self.output.len() < params.min_tokens as usize;
        let is_in_mask = self.mask.as_ref().is_none_or(|mask| mask.contains(token_id));
        if is_allowed && !ends_bad_word && !stops_early && is_in_mask { logit } else { f32::NEG_INFINITY }
    }
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

prop_compose! {
    fn tokens(max_len: usize)(ids in prop::collection::vec(0..MAX_VOCAB + 5, 0..max_len)) -> Vec<u32> { ids }
}

fn maybe<T: std::fmt::Debug + Clone + 'static>(
    none: T,
    some: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = T> {
    prop_oneof![1 => Just(none), 1 => some]
}

fn token_set() -> impl Strategy<Value = TokenSet> {
    (1..MAX_VOCAB as usize + 10, prop::collection::vec(any::<u32>(), 3)).prop_map(|(size, words)| {
        let mut set = TokenSet::new(size);
        set.copy_words(&words);
        set
    })
}

fn changes() -> impl Strategy<Value = SamplingParams> {
    let penalties = (-2.0_f32..2.0, -2.0_f32..2.0, prop_oneof![Just(1.0_f32), 0.25_f32..4.0])
        .prop_map(|(frequency, presence, repetition)| Penalties { frequency, presence, repetition });
    let bias = prop::collection::btree_map(0..MAX_VOCAB + 5, -100.0_f32..100.0, 0..6)
        .prop_map(|bias| bias.into_iter().collect::<Vec<_>>());
    let bad_words = prop::collection::vec(prop::collection::vec(0_u32..4, 1..4), 0..6);
    (
        maybe(Penalties::default(), penalties),
        maybe(Vec::new(), bias),
        maybe(None, token_set().prop_map(Some)),
        maybe(Vec::new(), bad_words),
        0_u32..12,
    )
        .prop_map(|(penalties, bias, allowed, bad_words, min_tokens)| SamplingParams {
            penalties,
            bias: bias.into(),
            allowed: allowed.map(Arc::new),
            bad_words: bad_words.into(),
            min_tokens,
            ..SamplingParams::greedy()
        })
}

fn case() -> impl Strategy<Value = Case> {
    let logit = prop_oneof![20 => (-40_i32..40).prop_map(|x| x as f32 / 8.0), 1 => Just(f32::NEG_INFINITY)];
    // Few distinct tokens, so that some come often and bad words begin.
    let output = prop_oneof![prop::collection::vec(0_u32..4, 0..12), tokens(12)];
    (
        prop::collection::vec(logit, 1..MAX_VOCAB as usize),
        changes(),
        (tokens(20), output, 0_usize..4),
        tokens(4),
        maybe(None, token_set().prop_map(Some)),
    )
        .prop_map(|(logits, params, (prompt, output, num_guessed), stop_token_ids, mask)| Case {
            logits,
            params,
            prompt,
            output,
            num_guessed,
            stop_token_ids,
            mask,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_row_is_adjusted_as_the_definitions_say(case in case(), other in case()) {
        let expected = bits(&case.expected());
        prop_assert_eq!(bits(&case.adjusted()), expected.clone());
        // Nothing is left from a row before.
        let mut used = Adjuster::default();
        used.adjust(&other.row());
        prop_assert_eq!(bits(used.adjust(&case.row())), expected.clone());
        if case.row().is_plain() {
            prop_assert_eq!(expected, bits(&case.logits));
        }
    }

    #[test]
    fn a_token_is_drawn_from_the_adjusted_row_as_from_any(
        case in case(),
        temperature in prop_oneof![Just(0.0_f32), 0.1_f32..3.0],
        top_k in 0_u32..20,
        top_p in prop_oneof![Just(1.0_f32), 0.1_f32..1.0],
        min_p in prop_oneof![Just(0.0_f32), 0.0_f32..1.0],
        seed in 0_u64..1_000,
    ) {
        prop_assume!(case.logits.iter().any(|logit| logit.is_finite()));
        let plain = SamplingParams { temperature, top_k, top_p, min_p, seed, logprobs: Some(3), ..SamplingParams::greedy() };
        let case = Case {
            params: SamplingParams { temperature, top_k, top_p, min_p, seed, logprobs: Some(3), ..case.params.clone() },
            ..case
        };
        let position = case.row().position;
        let sampled = Sampler::new().sample(&case.row());
        let expected = Sampler::new().sample(&Row::new(&case.expected(), &plain, position));
        match (sampled, expected) {
            (Ok(sampled), Ok(expected)) => {
                prop_assert_eq!(sampled.token_id, expected.token_id);
                // Of the row as it came.
                let raw = Sampler::new().sample(&Row::new(&case.logits, &plain, position)).expect("finite logits");
                let raw = raw.logprobs.expect("they were asked for");
                let logprobs = sampled.logprobs.expect("they were asked for");
                prop_assert_eq!(&logprobs.top, &raw.top);
                if let Some(&(_, logprob)) = raw.top.iter().find(|(id, _)| *id == sampled.token_id) {
                    prop_assert_eq!(logprobs.logprob.to_bits(), logprob.to_bits());
                }
            }
            (sampled, expected) => {
                prop_assert_eq!(sampled, Err(SampleError::Masked));
                prop_assert_eq!(expected, Err(SampleError::NoCandidate));
            }
        }
    }
}

#[test]
fn repetition_divides_what_is_positive_and_multiplies_the_rest_once() {
    let mut case = Case::new(&[2.0, -2.0, 2.0, -2.0, 1.0]);
    case.params.penalties.repetition = 2.0;
    case.prompt = vec![0, 0];
    case.output = vec![1, 1, 0];
    assert_eq!(case.adjusted(), [1.0, -4.0, 2.0, -2.0, 1.0]);
}

#[test]
fn frequency_counts_and_presence_does_not_and_neither_reads_the_prompt() {
    let mut case = Case::new(&[1.0; 4]);
    case.prompt = vec![3, 3];
    case.output = vec![0, 0, 0, 1];
    case.params.penalties.frequency = 0.5;
    assert_eq!(case.adjusted(), [-0.5, 0.5, 1.0, 1.0]);
    case.params.penalties = Penalties { presence: 0.25, ..Penalties::default() };
    assert_eq!(case.adjusted(), [0.75, 0.75, 1.0, 1.0]);
}

#[test]
fn stop_tokens_wait_for_min_tokens_in_guessed_rows_too() {
    let mut case = Case::new(&[0.0, 9.0, 1.0]);
    case.stop_token_ids = vec![1];
    case.params.min_tokens = 3;
    for num_output in 0..5 {
        case.output = vec![2; num_output];
        for num_guessed in 0..=num_output {
            case.num_guessed = num_guessed;
            let sampled = Sampler::new().sample(&case.row()).expect("valid logits");
            assert_eq!(sampled.token_id, if num_output < 3 { 2 } else { 1 });
        }
    }
}

#[test]
fn a_bad_word_may_begin_but_not_end_and_the_prompt_does_not_count() {
    let mut case = Case::new(&[0.0; 4]);
    case.params.bad_words = vec![vec![1, 2, 3], vec![0]].into();
    let masked = |case: &Case| -> Vec<usize> {
        case.adjusted()
            .iter()
            .enumerate()
            .filter(|(_, logit)| logit.is_infinite())
            .map(|(id, _)| id)
            .collect()
    };
    case.prompt = vec![1, 2];
    assert_eq!(masked(&case), [0]);
    case.output = vec![1, 2];
    assert_eq!(masked(&case), [0, 3]);
    case.num_guessed = 1;
    assert_eq!(masked(&case), [0, 3], "half of it was guessed");
    case.output = vec![1, 2, 1];
    assert_eq!(masked(&case), [0]);
}

#[test]
fn a_row_without_any_token_left_says_so() {
    let mut case = Case::new(&[0.0, 1.0]);
    case.mask = Some(TokenSet::of(2, [1]));
    case.params.allowed = Some(Arc::new(TokenSet::of(2, [0])));
    assert_eq!(Sampler::new().sample(&case.row()), Err(SampleError::Masked));
    case.logits = vec![f32::NEG_INFINITY; 2];
    assert_eq!(Sampler::new().sample(&case.row()), Err(SampleError::NoCandidate), "the model's own fault");
}

#[test]
fn a_set_that_is_narrower_than_the_row_masks_the_rest() {
    let mut case = Case::new(&[0.0; 70]);
    case.mask = Some(TokenSet::of(40, 0..40));
    let num_left = case.adjusted().iter().filter(|logit| logit.is_finite()).count();
    assert_eq!(num_left, 40);
}

#[test]
fn warm_memory_is_not_allocated_again() {
    let mut case = Case::new(&[0.5; 64]);
    case.params.penalties.repetition = 1.5;
    case.prompt = (0..64).collect();
    case.output = (0..64).collect();
    let mut adjuster = Adjuster::default();
    adjuster.adjust(&case.row());
    let places =
        |adjuster: &Adjuster| (adjuster.logits.as_ptr(), adjuster.counts.as_ptr(), adjuster.touched.as_ptr());
    let before = places(&adjuster);
    adjuster.adjust(&case.row());
    assert_eq!(places(&adjuster), before);
    assert!(adjuster.touched.is_empty() && adjuster.counts.iter().all(|&count| count == 0));
}
