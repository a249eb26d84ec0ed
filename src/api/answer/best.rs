//! The best of several choices.

use crate::serving::ChoiceOutput;

/// The `wanted` best choices, best first: those whose tokens were likeliest in the mean. Equals keep their order.
pub(in crate::api) fn best(mut choices: Vec<ChoiceOutput>, wanted: usize) -> Vec<ChoiceOutput> {
    choices.sort_by(|a, b| mean_logprob(b).total_cmp(&mean_logprob(a)));
    choices.truncate(wanted);
    choices
}

fn mean_logprob(choice: &ChoiceOutput) -> f64 {
    let (sum, count) = choice
        .tokens
        .iter()
        .filter_map(|token| token.logprob)
        .fold((0.0, 0_u32), |(sum, count), logprob| (sum + f64::from(logprob), count + 1));
    // A choice without tokens is as good as none.
    if count == 0 { f64::NEG_INFINITY } else { sum / f64::from(count) }
}
