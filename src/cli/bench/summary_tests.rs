//! Figures of made-up records, worked out by hand; and their table and plot.

use std::time::Duration;

use super::driver::Run;
use super::load::Load;
use super::record::tests::answered;
use super::record::{Outcome, Record, Refusal};
use super::slo::Slo;
use super::summary::{CountedBy, PointReport};
use super::{plot, table};

fn run(records: Vec<Record>) -> Run {
    Run {
        load: Load::Concurrency(2),
        records,
        long_prompt: None,
        window: Duration::from_secs(1),
        interrupted: false,
    }
}

fn refused(intended: u64, end: u64, retry_after: bool) -> Record {
    let refusal = Refusal { status: "429".to_owned(), retry_after };
    Record { outcome: Outcome::Refused(refusal), ..answered(intended, &[], end, None) }
}

fn failed(reason: &str) -> Record {
    Record { outcome: Outcome::Failed(reason.to_owned()), ..answered(0, &[], 1, None) }
}

#[test]
fn rates_are_of_the_window_and_latencies_of_all_requests() {
    let run = run(vec![
        answered(0, &[100, 200, 300, 400], 400, Some(4)),
        // Half of its four pieces, which are eight tokens, come after the window.
        answered(800, &[900, 950, 1100, 1200], 1300, Some(8)),
    ]);
    let point = PointReport::of(&run, None);
    assert_eq!(point.requests.completed, 2);
    assert_eq!(point.requests_per_s, 1.0);
    assert_eq!(point.output_tokens_per_s, 8.0);
    assert_eq!(point.prompt_tokens_per_s, 20.0);
    let ttft = point.ttft_ms.expect("answers");
    assert_eq!((ttft.count, ttft.p50.round(), ttft.max.round()), (2, 100.0, 100.0));
    let itl = point.itl_ms.expect("gaps");
    assert_eq!((itl.count, itl.p50.round(), itl.max.round()), (6, 100.0, 150.0));
    assert_eq!(point.e2e_ms.expect("answers").max.round(), 500.0);
    assert_eq!(point.lengths, [(10, 4), (10, 8)]);
    assert_eq!(point.counted_by, CountedBy::Usage);
}

#[test]
fn refusals_and_failures_are_told_apart_and_spoil_no_latency() {
    let run = run(vec![
        answered(0, &[100], 100, None),
        refused(0, 4, true),
        refused(0, 8, false),
        failed("broken off"),
        failed("broken off"),
    ]);
    let point = PointReport::of(&run, None);
    let requests = point.requests;
    assert_eq!((requests.total, requests.completed, requests.refused, requests.failed), (5, 1, 2, 2));
    assert_eq!((point.refusals.by_status["429"], point.refusals.with_retry_after), (2, 1));
    assert_eq!(point.refusals.time_ms.expect("refusals").p99, 8.0);
    assert_eq!(point.failures["broken off"], 2);
    assert_eq!(point.e2e_ms.expect("an answer").count, 1);
    assert_eq!(point.counted_by, CountedBy::Deltas);
}

#[test]
fn goodput_counts_what_kept_the_bounds_among_all_that_came() {
    let slo: Slo = "ttft=150ms".parse().expect("valid");
    let run = run(vec![
        answered(0, &[100, 200], 200, Some(2)),
        answered(0, &[200, 300], 300, Some(2)),
        refused(0, 1, true),
        failed("x"),
    ]);
    let goodput = PointReport::of(&run, Some(&slo)).goodput.expect("an SLO");
    assert_eq!((goodput.requests_per_s, goodput.output_tokens_per_s, goodput.share), (1.0, 2.0, 0.25));
}

#[test]
fn gaps_that_touch_the_long_prefill_are_set_against_the_others() {
    let mut run = run(vec![answered(0, &[100, 110, 120, 180, 190, 200], 200, Some(6))]);
    // Sent at 125, first piece at 175: only the gap from 120 to 180 touches it.
    run.long_prompt = Some(answered(125, &[175], 176, Some(1)));
    let long = PointReport::of(&run, None).long_prompt.expect("one was sent");
    assert_eq!(long.prefill_ms.map(f64::round), Some(50.0));
    let (during, idle) = (long.itl_during_ms.expect("a gap"), long.itl_idle_ms.expect("gaps"));
    assert_eq!((during.count, during.p99.round()), (1, 60.0));
    assert_eq!((idle.count, idle.p99.round()), (4, 10.0));
    assert_eq!(long.p99_ratio.map(f64::round), Some(6.0));
}

#[test]
fn a_load_without_an_answer_has_no_figures_but_a_table_and_a_plot() {
    let points =
        [PointReport::of(&run(Vec::new()), None), PointReport::of(&run(vec![failed("no route")]), None)];
    assert_eq!((points[0].ttft_ms, points[0].requests_per_s), (None, 0.0));
    let table = table::table(&points);
    assert!(table.contains("2 streams: 1 failed: no route"), "{table}");
    assert!(plot::svg("nothing", &points).contains("no answer"));
}

#[test]
fn the_table_aligns_its_columns_and_says_who_counted() {
    let slo: Slo = "ttft=150ms".parse().expect("valid");
    let points: Vec<PointReport> = [None, Some(3)]
        .map(|output| PointReport::of(&run(vec![answered(0, &[100, 200, 300], 300, output)]), Some(&slo)))
        .into();
    let table = table::table(&points);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].contains("TTFT, ms") && lines[0].contains("within the SLO"), "{table}");
    let widths: Vec<usize> = lines[1..4].iter().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    assert!(table.contains("sends usage for some loads only"), "{table}");
}

#[test]
fn the_plot_has_a_dot_for_every_figure() {
    let points: Vec<PointReport> = [1, 4, 16]
        .map(|streams| {
            let run = Run { load: Load::Concurrency(streams), ..run(vec![answered(0, &[50, 60], 70, None)]) };
            PointReport::of(&run, None)
        })
        .into();
    let drawing = plot::svg("a sweep", &points);
    assert_eq!(drawing.matches("<circle").count(), 3 * 3 * 3 + 3);
    assert!(drawing.contains("concurrency, streams") && drawing.contains("Output, tokens/s"));
    assert!(drawing.contains("prefers-color-scheme:dark"));
}
