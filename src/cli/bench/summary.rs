//! From the records of a load to the figures that are reported.

use std::collections::BTreeMap;

use serde::Serialize;

use super::driver::Run;
use super::load::Load;
use super::percentiles::Percentiles;
use super::record::{Outcome, Record};
use super::slo::Slo;

/// The figures of one load. Latencies are of all requests that began in the window, rates of what happened in it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PointReport {
    /// What was put on.
    pub(super) load: Load,
    /// Length of the window in seconds.
    pub(super) window_s: f64,
    /// Whether the user cut it short.
    pub(super) interrupted: bool,
    /// Requests by what became of them.
    pub(super) requests: RequestCounts,
    /// Requests answered in the window, per second.
    pub(super) requests_per_s: f64,
    /// Prompt tokens whose answer began in the window, per second.
    pub(super) prompt_tokens_per_s: f64,
    /// Output tokens that came in the window, per second.
    pub(super) output_tokens_per_s: f64,
    /// Lengths of the prompts, where the server tells.
    pub(super) prompt_tokens: Option<Percentiles>,
    /// Prompt tokens from the server's prefix cache, where it tells.
    pub(super) cached_tokens: Option<Percentiles>,
    /// Lengths of the answers.
    pub(super) output_tokens: Option<Percentiles>,
    /// Where the lengths of the answers come from.
    pub(super) counted_by: CountedBy,
    /// Time to the first piece of the answer.
    pub(super) ttft_ms: Option<Percentiles>,
    /// Gaps between the pieces, of all answers together.
    pub(super) itl_ms: Option<Percentiles>,
    /// Each answer's mean time per token after the first.
    pub(super) tpot_ms: Option<Percentiles>,
    /// Time to the end of the answer.
    pub(super) e2e_ms: Option<Percentiles>,
    /// How late the load generator itself sent.
    pub(super) send_lag_ms: Option<Percentiles>,
    /// Requests that were turned away.
    pub(super) refusals: Refusals,
    /// Failed requests by reason.
    pub(super) failures: BTreeMap<String, usize>,
    /// What kept the SLO, if one was given.
    pub(super) goodput: Option<Goodput>,
    /// What a long prompt did to the others, if one was sent.
    pub(super) long_prompt: Option<Disturbance>,
    /// Prompt and output tokens of each answered request, in the order of their starts.
    pub(super) lengths: Vec<(u32, u32)>,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct RequestCounts {
    /// All that ended.
    pub(super) total: usize,
    /// Answered to the end.
    pub(super) completed: usize,
    /// Turned away.
    pub(super) refused: usize,
    /// The rest.
    pub(super) failed: usize,
}

/// Who counted the tokens of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CountedBy {
    /// The server.
    Usage,
    /// Nobody: the pieces of the answers were counted.
    Deltas,
    /// The server for some.
    Mixed,
}

/// Requests that were turned away.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Refusals {
    /// Their number by status.
    pub(super) by_status: BTreeMap<String, usize>,
    /// How many said when to come again.
    pub(super) with_retry_after: usize,
    /// Time to the refusal.
    pub(super) time_ms: Option<Percentiles>,
}

/// What kept the SLO.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Goodput {
    /// The bounds.
    pub(super) slo: String,
    /// Requests answered in the window within the bounds, per second.
    pub(super) requests_per_s: f64,
    /// Output tokens of those requests that came in the window, per second.
    pub(super) output_tokens_per_s: f64,
    /// Share of all requests, refused and failed ones included, that kept the bounds.
    pub(super) share: f64,
}

/// What a long prompt did to the others.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Disturbance {
    /// Its length, where the server tells.
    pub(super) prompt_tokens: Option<u32>,
    /// From sending it to its answer; none if there was none.
    pub(super) prefill_ms: Option<f64>,
    /// Why there was no answer.
    pub(super) failure: Option<String>,
    /// Gaps between the pieces of the other answers that touch that time.
    pub(super) itl_during_ms: Option<Percentiles>,
    /// All other gaps.
    pub(super) itl_idle_ms: Option<Percentiles>,
    /// The first p99 over the second.
    pub(super) p99_ratio: Option<f64>,
}

impl PointReport {
    /// The figures of a run.
    pub(super) fn of(run: &Run, slo: Option<&Slo>) -> Self {
        let window = run.window;
        let per_second = |amount: f64| if window.is_zero() { 0.0 } else { amount / window.as_secs_f64() };
        let mut completed: Vec<&Record> =
            run.records.iter().filter(|record| record.counts().is_some()).collect();
        completed.sort_by_key(|record| record.intended);
        let ended_in_time = |record: &&&Record| record.end <= window;
        // A delta stands for as many tokens as the answer has per delta.
        let tokens_in_window = |record: &Record| {
            let num_in_window = record.deltas.iter().filter(|delta| **delta <= window).count();
            record.num_output_tokens() * num_in_window as f64 / record.deltas.len().max(1) as f64
        };
        let num_tokens: f64 = run.records.iter().map(tokens_in_window).sum();
        let num_prompt_tokens: f64 = completed
            .iter()
            .filter(|record| record.deltas.first().is_some_and(|first| *first <= window))
            .filter_map(|record| record.counts()?.prompt)
            .map(f64::from)
            .sum();
        let counts = |pick: fn(&Record) -> Option<u32>| {
            Percentiles::of(completed.iter().filter_map(|record| pick(record)).map(f64::from).collect())
        };
        let goodput = slo.map(|slo| {
            let good: Vec<&&Record> =
                completed.iter().filter(|record| slo.is_kept(&record.latencies())).collect();
            Goodput {
                slo: slo.to_string(),
                requests_per_s: per_second(good.iter().copied().filter(ended_in_time).count() as f64),
                output_tokens_per_s: per_second(good.iter().map(|record| tokens_in_window(record)).sum()),
                share: good.len() as f64 / run.records.len().max(1) as f64,
            }
        });
        let refusals = Refusals::of(&run.records);
        let failures = failures(&run.records);
        Self {
            load: run.load,
            window_s: window.as_secs_f64(),
            interrupted: run.interrupted,
            requests: RequestCounts {
                total: run.records.len(),
                completed: completed.len(),
                refused: refusals.by_status.values().sum(),
                failed: failures.values().sum(),
            },
            requests_per_s: per_second(completed.iter().filter(ended_in_time).count() as f64),
            prompt_tokens_per_s: per_second(num_prompt_tokens),
            output_tokens_per_s: per_second(num_tokens),
            prompt_tokens: counts(|record| record.counts()?.prompt),
            cached_tokens: counts(|record| record.counts()?.cached),
            output_tokens: Percentiles::of(
                completed.iter().map(|record| record.num_output_tokens()).collect(),
            ),
            counted_by: CountedBy::of(&completed),
            ttft_ms: in_ms(completed.iter().filter_map(|record| record.ttft())),
            itl_ms: in_ms(completed.iter().flat_map(|record| record.gaps())),
            tpot_ms: in_ms(completed.iter().filter_map(|record| record.latencies().tpot)),
            e2e_ms: in_ms(completed.iter().map(|record| record.e2e())),
            send_lag_ms: in_ms(
                run.records.iter().map(|record| record.sent.saturating_sub(record.intended).as_secs_f64()),
            ),
            refusals,
            failures,
            goodput,
            long_prompt: run.long_prompt.as_ref().map(|long| Disturbance::of(long, &run.records)),
            lengths: completed
                .iter()
                .map(|record| {
                    let prompt = record.counts().and_then(|counts| counts.prompt).unwrap_or(0);
                    (prompt, record.num_output_tokens() as u32)
                })
                .collect(),
        }
    }
}

impl CountedBy {
    fn of(completed: &[&Record]) -> Self {
        let is_counted = |record: &&&Record| record.counts().is_some_and(|counts| counts.output.is_some());
        match completed.iter().filter(is_counted).count() {
            0 => Self::Deltas,
            counted if counted == completed.len() => Self::Usage,
            _ => Self::Mixed,
        }
    }
}

impl Refusals {
    fn of(records: &[Record]) -> Self {
        let (mut by_status, mut with_retry_after, mut times) = (BTreeMap::new(), 0, Vec::new());
        for record in records {
            if let Outcome::Refused(refusal) = &record.outcome {
                *by_status.entry(refusal.status.clone()).or_default() += 1;
                with_retry_after += usize::from(refusal.retry_after);
                times.push(record.e2e());
            }
        }
        Self { by_status, with_retry_after, time_ms: in_ms(times.into_iter()) }
    }
}

impl Disturbance {
    fn of(long: &Record, others: &[Record]) -> Self {
        // An answer without a visible piece has read its prompt by its end.
        let until = long.deltas.first().copied().unwrap_or(long.end);
        let (mut during, mut idle) = (Vec::new(), Vec::new());
        for pair in others.iter().flat_map(|record| record.deltas.windows(2)) {
            let touches = pair[0] < until && pair[1] > long.sent;
            let gaps = if touches { &mut during } else { &mut idle };
            gaps.push((pair[1] - pair[0]).as_secs_f64());
        }
        let (during, idle) = (in_ms(during.into_iter()), in_ms(idle.into_iter()));
        let failure = match &long.outcome {
            Outcome::Completed(_) => None,
            Outcome::Refused(refusal) => Some(format!("refused: {}", refusal.status)),
            Outcome::Failed(reason) => Some(reason.clone()),
        };
        Self {
            prompt_tokens: long.counts().and_then(|counts| counts.prompt),
            prefill_ms: long.counts().map(|_| until.saturating_sub(long.sent).as_secs_f64() * 1e3),
            failure,
            p99_ratio: during.zip(idle).map(|(during, idle)| during.p99 / idle.p99),
            itl_during_ms: during,
            itl_idle_ms: idle,
        }
    }
}

/// Failed requests by reason.
pub(super) fn failures(records: &[Record]) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for record in records {
        if let Outcome::Failed(reason) = &record.outcome {
            *reasons.entry(reason.clone()).or_default() += 1;
        }
    }
    reasons
}

fn in_ms(seconds: impl Iterator<Item = f64>) -> Option<Percentiles> {
    Percentiles::of(seconds.map(|time| time * 1e3).collect())
}
