//! The figures as a table for the terminal, with what needs words below it.

use std::fmt::Write;

use super::load::Load;
use super::percentiles::Percentiles;
use super::summary::{CountedBy, PointReport};

/// Lag of the client from which on it is worth a word, in milliseconds.
const NOTABLE_LAG_MS: f64 = 10.0;
/// Kinds of failure that are listed for one load.
const MAX_REASONS: usize = 3;

/// Columns under one heading.
struct Group {
    heading: &'static str,
    columns: Vec<Column>,
}

/// A column, its cells aligned to the right.
struct Column {
    name: &'static str,
    cells: Vec<String>,
}

impl Column {
    fn of(name: &'static str, points: &[PointReport], cell: impl Fn(&PointReport) -> String) -> Self {
        Self { name, cells: points.iter().map(cell).collect() }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.chars().count()).chain([self.name.len()]).max().unwrap_or(0)
    }
}

impl Group {
    /// Width of its columns with two spaces between them.
    fn width(&self) -> usize {
        self.columns.iter().map(|column| column.width() + 2).sum::<usize>().saturating_sub(2)
    }
}

/// The table, one line for each load, and its notes.
pub(super) fn table(points: &[PointReport]) -> String {
    let mut text = String::new();
    let groups = groups(points);
    // A heading wider than its columns widens the first of them.
    let widths: Vec<usize> = groups.iter().map(|group| group.width().max(group.heading.len())).collect();
    let headings = groups.iter().zip(&widths).map(|(group, width)| format!("{:^width$}", group.heading));
    let _ = writeln!(text, "{}", headings.collect::<Vec<_>>().join("   ").trim_end());
    for row in std::iter::once(None).chain((0..points.len()).map(Some)) {
        let line = groups.iter().zip(&widths).map(|(group, width)| {
            let cells = group.columns.iter().map(|column| {
                let cell = row.map_or(column.name, |row| column.cells[row].as_str());
                let width = column.width();
                format!("{cell:>width$}")
            });
            format!("{:>width$}", cells.collect::<Vec<_>>().join("  "))
        });
        let _ = writeln!(text, "{}", line.collect::<Vec<_>>().join("   "));
    }
    let notes: Vec<String> = points.iter().flat_map(notes).chain(counting_note(points)).collect();
    if !notes.is_empty() {
        let _ = writeln!(text, "\n{}", notes.join("\n"));
    }
    text
}

fn groups(points: &[PointReport]) -> Vec<Group> {
    let is_rate = points.first().is_some_and(|point| matches!(point.load, Load::Rate(_)));
    let per_s =
        |name, cell: fn(&PointReport) -> f64| Column::of(name, points, move |point| short(cell(point)));
    let mean = |name, cell: fn(&PointReport) -> Option<Percentiles>| {
        Column::of(name, points, move |point| or_dash(cell(point).map(|lengths| lengths.mean)))
    };
    let percentiles = |heading, scale: f64, cell: fn(&PointReport) -> Option<Percentiles>| {
        let column = |name, pick: fn(&Percentiles) -> f64| {
            Column::of(name, points, move |point| or_dash(cell(point).map(|times| pick(&times) * scale)))
        };
        let columns = vec![column("p50", |p| p.p50), column("p90", |p| p.p90), column("p99", |p| p.p99)];
        Group { heading, columns }
    };
    let count = |name, cell: fn(&PointReport) -> usize| {
        Column::of(name, points, move |point| cell(point).to_string())
    };
    let mut groups = vec![
        Group {
            heading: if is_rate { "offered" } else { "" },
            columns: vec![Column::of(if is_rate { "req/s" } else { "streams" }, points, |point| {
                point.load.value().to_string()
            })],
        },
        Group {
            heading: "per second",
            columns: vec![
                per_s("answers", |point| point.requests_per_s),
                per_s("prompt tok", |point| point.prompt_tokens_per_s),
                per_s("output tok", |point| point.output_tokens_per_s),
            ],
        },
        Group {
            heading: "mean tokens",
            columns: vec![
                mean("prompt", |point| point.prompt_tokens),
                mean("output", |point| point.output_tokens),
            ],
        },
        percentiles("TTFT, ms", 1.0, |point| point.ttft_ms),
        percentiles("ITL, ms", 1.0, |point| point.itl_ms),
        percentiles("end to end, s", 1e-3, |point| point.e2e_ms),
        Group {
            heading: "requests",
            columns: vec![
                count("answered", |point| point.requests.completed),
                count("refused", |point| point.requests.refused),
                count("failed", |point| point.requests.failed),
            ],
        },
    ];
    if points.iter().any(|point| point.goodput.is_some()) {
        let good = |name, cell: fn(&super::summary::Goodput) -> String| {
            Column::of(name, points, move |point| point.goodput.as_ref().map_or_else(dash, cell))
        };
        groups.push(Group {
            heading: "within the SLO",
            columns: vec![
                good("per s", |goodput| short(goodput.requests_per_s)),
                good("share", |goodput| format!("{:.1} %", 100.0 * goodput.share)),
            ],
        });
    }
    groups
}

/// What is to be said of one load.
fn notes(point: &PointReport) -> Vec<String> {
    let load = point.load;
    let mut notes = Vec::new();
    if point.interrupted {
        notes.push(format!("{load}: interrupted after {:.1} s", point.window_s));
    }
    if let Some(times) = point.refusals.time_ms {
        let statuses =
            point.refusals.by_status.iter().map(|(status, count)| format!("{count} with {status}"));
        notes.push(format!(
            "{load}: refused {}; after p50 {} ms, p99 {} ms; {} with retry-after",
            statuses.collect::<Vec<_>>().join(", "),
            short(times.p50),
            short(times.p99),
            point.refusals.with_retry_after
        ));
    }
    let mut failures: Vec<_> = point.failures.iter().collect();
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    notes.extend(
        failures.iter().take(MAX_REASONS).map(|(reason, count)| format!("{load}: {count} failed: {reason}")),
    );
    if let Some(lag) = point.send_lag_ms.filter(|lag| lag.p99 >= NOTABLE_LAG_MS) {
        notes.push(format!(
            "{load}: requests waited in the client before they were sent, p99 {} ms, which counts: see --max-in-flight",
            short(lag.p99)
        ));
    }
    if let Some(long) = &point.long_prompt {
        let tokens = long
            .prompt_tokens
            .map_or_else(|| "a long prompt".to_owned(), |n| format!("a prompt of {n} tokens"));
        notes.push(match (&long.failure, long.itl_during_ms, long.itl_idle_ms, long.p99_ratio) {
            (Some(failure), ..) => format!("{load}: the long prompt was not answered: {failure}"),
            (None, Some(during), Some(idle), Some(ratio)) => format!(
                "{load}: while {tokens} was read ({} ms), the others' ITL had p99 {} ms, against {} ms else: {ratio:.1} times",
                or_dash(long.prefill_ms),
                short(during.p99),
                short(idle.p99),
            ),
            _ => format!("{load}: {tokens} was read in {} ms; no other answer ran", or_dash(long.prefill_ms)),
        });
    }
    notes
}

fn counting_note(points: &[PointReport]) -> Option<String> {
    let counted = |by| points.iter().any(|point| point.counted_by == by && point.requests.completed > 0);
    let who = match (counted(CountedBy::Deltas), counted(CountedBy::Mixed) || counted(CountedBy::Usage)) {
        (true, false) => "The server sends no usage",
        (true, true) => "The server sends usage for some loads only",
        (false, _) if counted(CountedBy::Mixed) => "The server sends usage for some answers only",
        _ => return None,
    };
    Some(format!("{who}: pieces of the stream are counted as output tokens, which may be fewer."))
}

fn dash() -> String {
    "-".to_owned()
}

fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(dash, short)
}

/// Three digits or so.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
