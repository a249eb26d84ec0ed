use proptest::prelude::*;

use super::*;

fn params(temperature: f32, top_k: u32, top_p: f32) -> SamplingParams {
    SamplingParams { temperature, top_k, top_p, seed: 11, ..SamplingParams::greedy() }
}

fn sample(logits: &[f32], params: &SamplingParams, position: u64) -> Result<u32, SampleError> {
    Sampler::new().sample(&Row::new(logits, params, position)).map(|sampled| sampled.token_id)
}

/// The kept tokens with their probabilities, by sorting everything: temperature, top-k, top-p, then min-p.
fn reference(logits: &[f32], params: &SamplingParams) -> Vec<(u32, f64)> {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let mut ranked: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if params.top_k > 0 {
        ranked.truncate(params.top_k as usize);
    }
    let weight = |logit: f32| ((f64::from(logit) - max) / f64::from(params.temperature)).exp();
    let mut by_id = ranked.clone();
    by_id.sort_by_key(|&(id, _)| id);
    let total: f64 = by_id.iter().map(|&(_, logit)| weight(logit)).sum();
    let mut kept = Vec::new();
    let mut sum = 0.0;
    for (id, logit) in ranked {
        kept.push((id, weight(logit)));
        sum += weight(logit);
        if params.top_p < 1.0 && sum >= f64::from(params.top_p) * total {
            break;
        }
    }
    kept.retain(|&(_, weight)| weight >= f64::from(params.min_p));
    let sum: f64 = kept.iter().map(|&(_, weight)| weight).sum();
    kept.iter().map(|&(id, weight)| (id, weight / sum)).collect()
}

/// What the sampler leaves of `logits` before the draw.
fn kept(logits: &[f32], params: &SamplingParams) -> Vec<u32> {
    let mut sampler = Sampler::new();
    sampler.sample(&Row::new(logits, params, 0)).expect("valid logits");
    sampler.candidates.iter().map(|candidate| candidate.token_id).collect()
}

/// Chi-square statistic of `draws` samples against exact probabilities.
fn chi_square(logits: &[f32], params: &SamplingParams, draws: u64) -> f64 {
    let expected = reference(logits, params);
    let mut counts = vec![0_u32; logits.len()];
    let mut sampler = Sampler::new();
    for position in 0..draws {
        let sampled = sampler.sample(&Row::new(logits, params, position)).expect("valid logits");
        counts[sampled.token_id as usize] += 1;
    }
    let seen: u32 = expected.iter().map(|&(id, _)| counts[id as usize]).sum();
    assert_eq!(u64::from(seen), draws, "a token outside the kept set was drawn");
    let term = |&(id, probability): &(u32, f64)| {
        let mean = probability * draws as f64;
        (f64::from(counts[id as usize]) - mean).powi(2) / mean
    };
    expected.iter().map(term).sum()
}

#[test]
fn greedy_takes_the_highest_and_the_lowest_id_of_equals() {
    let mut logits = vec![0.0; 40];
    logits[17] = 3.5;
    logits[35] = 3.5;
    assert_eq!(sample(&logits, &SamplingParams::greedy(), 0), Ok(17));
    assert_eq!(sample(&logits, &params(1.0, 1, 1.0), 0), Ok(17));
    assert_eq!(sample(&[-0.0, 0.0], &SamplingParams::greedy(), 0), Ok(0));
    assert_eq!(sample(&[f32::NEG_INFINITY, -1e30], &SamplingParams::greedy(), 0), Ok(1));
}

#[test]
fn a_nan_or_infinity_anywhere_is_an_error() {
    for params in [SamplingParams::greedy(), params(1.0, 0, 1.0), params(1.0, 3, 0.5)] {
        for bad in [f32::NAN, f32::INFINITY] {
            for place in 0..33 {
                let mut logits = vec![1.0; 33];
                logits[place] = bad;
                assert_eq!(sample(&logits, &params, 0), Err(SampleError::Invalid));
            }
        }
        assert_eq!(sample(&[f32::NEG_INFINITY; 5], &params, 0), Err(SampleError::NoCandidate));
        assert_eq!(sample(&[], &params, 0), Err(SampleError::NoCandidate));
    }
}

#[test]
fn a_masked_token_is_never_drawn() {
    let mut logits = [f32::NEG_INFINITY; 20];
    logits[4] = -2.0;
    for params in [params(2.0, 0, 1.0), params(2.0, 5, 1.0), params(2.0, 0, 0.999), params(2.0, 5, 0.999)] {
        for position in 0..200 {
            assert_eq!(sample(&logits, &params, position), Ok(4));
        }
    }
}

#[test]
fn draws_follow_the_exact_probabilities() {
    let logits: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
    // Bounds: 99.9 % quantile of chi-square with (kept tokens - 1) degrees of freedom.
    let full = params(1.0, 0, 1.0);
    assert!(chi_square(&logits, &full, 40_000) < 31.26, "11 degrees of freedom");
    let hot = params(1.7, 0, 1.0);
    assert!(chi_square(&logits, &hot, 40_000) < 31.26, "11 degrees of freedom");
    let cut = params(0.8, 5, 1.0);
    assert!(chi_square(&logits, &cut, 40_000) < 18.47, "4 degrees of freedom");
    let nucleus = params(1.0, 0, 0.7);
    assert_eq!(reference(&logits, &nucleus).len(), 4);
    assert!(chi_square(&logits, &nucleus, 40_000) < 16.27, "3 degrees of freedom");
    let likely = SamplingParams { min_p: 0.3, ..params(1.0, 0, 1.0) };
    assert_eq!(reference(&logits, &likely).len(), 5);
    assert!(chi_square(&logits, &likely, 40_000) < 18.47, "4 degrees of freedom");
    // A hotter softmax has more tokens that are likely enough.
    let hot = SamplingParams { min_p: 0.3, ..params(2.0, 0, 1.0) };
    assert!(reference(&logits, &hot).len() > 5);
}

#[test]
fn a_wrong_temperature_would_be_seen() {
    let logits: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
    let mut counts = vec![0_u32; logits.len()];
    for position in 0..40_000 {
        counts[sample(&logits, &params(1.1, 0, 1.0), position).expect("valid logits") as usize] += 1;
    }
    let expected = reference(&logits, &params(1.0, 0, 1.0));
    let term = |&(id, p): &(u32, f64)| (f64::from(counts[id as usize]) - p * 4e4).powi(2) / (p * 4e4);
    assert!(expected.iter().map(term).sum::<f64>() > 31.26);
}

#[test]
fn a_tiny_temperature_is_greedy_and_a_huge_one_is_even() {
    let logits = [0.5, 0.6, 0.1, 0.55];
    for temperature in [1e-4, 1e-20, f32::MIN_POSITIVE, 1e-44] {
        for position in 0..100 {
            assert_eq!(sample(&logits, &params(temperature, 0, 1.0), position), Ok(1));
            assert_eq!(sample(&logits, &params(temperature, 3, 0.9), position), Ok(1));
        }
    }
    let mut counts = [0_u32; 4];
    for position in 0..8_000 {
        counts[sample(&logits, &params(1e20, 0, 1.0), position).expect("valid logits") as usize] += 1;
    }
    assert!(counts.iter().all(|&count| (1_850..2_150).contains(&count)), "{counts:?}");
}

#[test]
fn seed_choice_and_position_make_the_draw_and_nothing_else_does() {
    let logits = [0.0_f32; 1000];
    let draws = |seed, choice_index| -> Vec<u32> {
        let params = SamplingParams { seed, choice_index, ..params(1.0, 0, 1.0) };
        (0..32).map(|position| sample(&logits, &params, position).expect("valid logits")).collect()
    };
    assert_eq!(draws(5, 0), draws(5, 0));
    assert_ne!(draws(5, 0), draws(6, 0));
    assert_ne!(draws(5, 0), draws(5, 1));

    let mut used = Sampler::new();
    used.sample(&Row::new(&[1.0; 3000], &params(1.0, 50, 0.9), 3)).expect("valid logits");
    let params = params(1.0, 20, 0.9);
    for position in 0..32 {
        let fresh = Sampler::new().sample(&Row::new(&logits, &params, position));
        assert_eq!(used.sample(&Row::new(&logits, &params, position)), fresh);
    }
}

#[test]
fn a_flat_row_is_ranked_by_id_past_the_first_batch() {
    let logits = [0.25_f32; 1000];
    assert_eq!(kept(&logits, &params(1.0, 0, 0.5)), (0..500).collect::<Vec<_>>());
    assert_eq!(kept(&logits, &params(1.0, 300, 1.0)), (0..300).collect::<Vec<_>>());
}

/// Log probabilities of all tokens, most likely first, by the definition.
fn naive_logprobs(logits: &[f32]) -> Vec<(u32, f32)> {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let mut sum = 0.0;
    for &logit in logits {
        sum += (f64::from(logit) - max).exp();
    }
    let logprob = |logit: f32| (f64::from(logit) - max - sum.ln()) as f32;
    let mut ranked: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    // As numbers, not by their bits: 0 and -0 are equals.
    ranked.sort_by(|a, b| b.1.partial_cmp(&a.1).expect("no NaN").then(a.0.cmp(&b.0)));
    ranked.into_iter().map(|(id, logit)| (id, logprob(logit))).collect()
}

fn logprobs(logits: &[f32], params: &SamplingParams, k: u8) -> (u32, TokenLogprobs) {
    let params = SamplingParams { logprobs: Some(k), ..params.clone() };
    let sampled = Sampler::new().sample(&Row::new(logits, &params, 3)).expect("valid logits");
    (sampled.token_id, *sampled.logprobs.expect("they were asked for"))
}

#[test]
fn log_probabilities_come_only_when_asked_for_and_change_no_token() {
    let logits: Vec<f32> = (0..300).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
    for params in [SamplingParams::greedy(), params(1.3, 0, 1.0), params(1.3, 40, 1.0), params(1.3, 0, 0.8)] {
        let plain = Sampler::new().sample(&Row::new(&logits, &params, 3)).expect("valid logits");
        assert_eq!(plain.logprobs, None);
        assert_eq!(logprobs(&logits, &params, 20).0, plain.token_id);
    }
}

#[test]
fn log_probabilities_are_of_the_row_as_it_came() {
    let logits = [2.0_f32.ln(), 1.0_f32.ln(), 5.0_f32.ln()];
    // Neither temperature nor cuts show: 5 of 8 parts, 2 of 8.
    let (token_id, cold) = logprobs(&logits, &params(0.1, 1, 0.5), 2);
    assert_eq!(token_id, 2);
    assert!((cold.logprob - 0.625_f32.ln()).abs() < 1e-6, "{cold:?}");
    assert_eq!(cold.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [2, 0]);
    assert!((cold.top[1].1 - 0.25_f32.ln()).abs() < 1e-6, "{cold:?}");
    assert_eq!(logprobs(&logits, &params(5.0, 0, 1.0), 2).1.top, cold.top);
}

#[test]
fn a_chosen_token_beyond_the_top_still_has_its_log_probability() {
    let logits = [1.0, 3.0, 2.0];
    let draws = |position| {
        let params = SamplingParams { logprobs: Some(1), ..params(4.0, 0, 1.0) };
        Sampler::new().sample(&Row::new(&logits, &params, position)).expect("valid logits")
    };
    let unlikely = (0..100).map(draws).find(|sampled| sampled.token_id == 0).expect("one in five draws");
    let logprobs = unlikely.logprobs.expect("they were asked for");
    let naive = naive_logprobs(&logits);
    assert_eq!((logprobs.logprob, logprobs.top), (naive[2].1, vec![naive[0]]));
}

#[test]
fn a_masked_token_has_the_log_probability_of_what_cannot_be() {
    let masked = f32::NEG_INFINITY;
    let (_, logprobs) = logprobs(&[masked, 0.5, masked, 0.5], &SamplingParams::greedy(), 4);
    let half = 0.5_f32.ln();
    assert_eq!(
        logprobs,
        TokenLogprobs { logprob: half, top: vec![(1, half), (3, half), (0, masked), (2, masked)] }
    );
}

#[test]
fn a_certain_token_has_log_probability_zero_however_large_its_logit() {
    let (_, logprobs) = logprobs(&[-3e38, 3e38, 0.0], &SamplingParams::greedy(), 1);
    assert_eq!(logprobs, TokenLogprobs { logprob: 0.0, top: vec![(1, 0.0)] });
}

proptest! {
    #[test]
    fn log_probabilities_are_the_naive_ones_to_the_bit(
        logits in prop::collection::vec(
            prop_oneof![9 => (-40_i32..40).prop_map(|x| x as f32 / 8.0), 1 => Just(f32::NEG_INFINITY)],
            1..300,
        ),
        k in 0_u8..=20,
        temperature in prop_oneof![Just(0.0_f32), 0.1_f32..3.0],
    ) {
        prop_assume!(logits.iter().any(|logit| logit.is_finite()));
        let (token_id, logprobs) = logprobs(&logits, &params(temperature, 0, 1.0), k);
        let naive = naive_logprobs(&logits);
        let of_chosen = naive.iter().find(|&&(id, _)| id == token_id).expect("all are there").1;
        prop_assert_eq!(logprobs.logprob.to_bits(), of_chosen.to_bits());
        let first: Vec<_> = naive.into_iter().take(usize::from(k)).collect();
        prop_assert_eq!(logprobs.top, first);
    }

    #[test]
    fn the_kept_set_is_the_naive_one(
        // Few distinct values, so that ties are common.
        logits in prop::collection::vec((-40_i32..40).prop_map(|x| x as f32 / 8.0), 1..600),
        temperature in 0.05_f32..3.0,
        top_k in 0_u32..620,
        top_p in prop_oneof![Just(1.0_f32), Just(0.0), 0.01_f32..1.0],
        min_p in prop_oneof![Just(0.0_f32), Just(1.0), 0.0_f32..1.0],
        position in 0_u64..1_000,
    ) {
        let params = SamplingParams { min_p, ..params(temperature, top_k, top_p) };
        let expected: Vec<u32> = reference(&logits, &params).into_iter().map(|(id, _)| id).collect();
        let drawn = sample(&logits, &params, position).expect("valid logits");
        prop_assert!(expected.contains(&drawn));
        let is_cut = (top_k > 0 && (top_k as usize) < logits.len()) || top_p < 1.0;
        if is_cut && !params.is_greedy() {
            prop_assert_eq!(kept(&logits, &params), expected);
        }
    }

    #[test]
    fn the_greedy_token_is_the_first_of_the_ranking(
        logits in prop::collection::vec((-40_i32..40).prop_map(|x| x as f32), 1..100),
    ) {
        let ranked = reference(&logits, &params(1.0, 1, 1.0));
        prop_assert_eq!(sample(&logits, &SamplingParams::greedy(), 0), Ok(ranked[0].0));
    }
}
