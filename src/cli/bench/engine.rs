//! `maru bench engine`: loads a model as `maru generate` does and puts load on its engine.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::args::EngineBenchArgs;
use super::engine_target::{EngineTarget, Lengths};
use super::extra::Schema;
use super::load::Load;
use super::report::{Comparison, Report, Settings, TargetReport};
use super::summary::PointReport;
use super::sweep::sweep;
use crate::sampling::GrammarSpec;

/// Loads the model, puts the loads on its engine and reports.
pub(super) fn run(args: &EngineBenchArgs) -> anyhow::Result<()> {
    let seed = args.load.seed_or_new();
    let others = args.lengths_from.as_deref().map(read_report).transpose()?;
    let (config, located) = crate::cli::prepare(&args.model)?;
    let service = crate::cli::load(&config, &located)?;
    let vocab_size = u32::try_from(service.description.vocab_size).context("the vocabulary")?;
    let loads = match &others {
        Some(others) => others.iter().map(|other| other.load).collect(),
        None => args.load.loads(),
    };
    let lengths = |point: usize| match &others {
        Some(others) => Lengths::Listed(others[point].lengths.clone()),
        None => Lengths::Drawn { prompt: args.load.prompt_tokens, output: args.load.output_tokens },
    };
    let compile = |schema: &Schema| {
        let spec = GrammarSpec::JsonSchema { schema: schema.0.clone() };
        service.generator.text().grammars().compile(&spec)
    };
    let grammar = args.json_schema.as_ref().map(compile).transpose().context("--json-schema")?;
    let shared_prefix = EngineTarget::shared_prefix(seed, args.load.shared_prefix_tokens, vocab_size);
    let target_of = |point| {
        Arc::new(EngineTarget {
            engine: service.engine().clone(),
            vocab_size,
            seed,
            temperature: args.load.temperature,
            lengths: lengths(point),
            shared_prefix: shared_prefix.clone(),
            grammar: grammar.clone(),
        })
    };
    let runtime = Runtime::new()?;
    let points = runtime.block_on(sweep(&args.load, &loads, seed, target_of))?;
    let mut settings = Settings::of(&args.load, seed);
    settings.json_schema = args.json_schema.as_ref().map(|schema| schema.0.clone());
    if let Some(path) = &args.lengths_from {
        settings.lengths_from = Some(path.display().to_string());
    }
    let report = Report {
        tool: "maru bench engine",
        version: env!("CARGO_PKG_VERSION"),
        target: TargetReport { model: service.model.id.clone(), url: None },
        settings,
        compared: others.iter().flatten().zip(&points).map(|(other, point)| compare(other, point)).collect(),
        points,
    };
    report.publish(&args.load)
}

/// A report over HTTP, as far as it is read.
#[derive(Deserialize)]
struct OtherReport {
    points: Vec<OtherPoint>,
}

/// One load of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct OtherPoint {
    load: Load,
    output_tokens_per_s: f64,
    lengths: Vec<(u32, u32)>,
}

fn read_report(path: &Path) -> anyhow::Result<Vec<OtherPoint>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse_report(&text).with_context(|| path.display().to_string())
}

fn parse_report(text: &str) -> anyhow::Result<Vec<OtherPoint>> {
    let mut report: OtherReport =
        serde_json::from_str(text).context("expected a report that `maru bench serve --json` wrote")?;
    ensure!(!report.points.is_empty(), "the report holds no load");
    for OtherPoint { load, lengths, .. } in &mut report.points {
        ensure!(load.value() > 0.0, "the report holds a load of {load}");
        ensure!(!lengths.is_empty(), "the report holds a load of {load} without an answered request");
        ensure!(
            lengths.iter().all(|(prompt, _)| *prompt > 0),
            "the report does not know the lengths of its prompts: the server did not count them"
        );
        // An answer that ended at once still took the step that found its end.
        lengths.iter_mut().for_each(|(_, output)| *output = (*output).max(1));
    }
    Ok(report.points)
}

fn compare(other: &OtherPoint, point: &PointReport) -> Comparison {
    Comparison {
        load: other.load.to_string(),
        http_output_tokens_per_s: other.output_tokens_per_s,
        engine_output_tokens_per_s: point.output_tokens_per_s,
        ratio: other.output_tokens_per_s / point.output_tokens_per_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gives_back_its_loads_and_lengths() {
        let text = r#"{"tool":"x","points":[
            {"load":{"kind":"concurrency","value":16},"output_tokens_per_s":800.5,"lengths":[[128,64],[100,0]]},
            {"load":{"kind":"rate","value":2.5},"output_tokens_per_s":80.0,"lengths":[[1,1]]}]}"#;
        let points = parse_report(text).expect("a report");
        let first = OtherPoint {
            load: Load::Concurrency(16),
            output_tokens_per_s: 800.5,
            lengths: vec![(128, 64), (100, 1)],
        };
        assert_eq!(points[0], first);
        assert_eq!(points[1].load, Load::Rate(2.5));
        for (text, fault) in [
            (r#"{"points":[]}"#, "no load"),
            ("[]", "expected a report"),
            (
                r#"{"points":[{"load":{"kind":"speed","value":1},"output_tokens_per_s":0,"lengths":[[1,1]]}]}"#,
                "expected",
            ),
            (
                r#"{"points":[{"load":{"kind":"rate","value":0},"output_tokens_per_s":0,"lengths":[[1,1]]}]}"#,
                "a load of 0",
            ),
            (
                r#"{"points":[{"load":{"kind":"rate","value":1},"output_tokens_per_s":0,"lengths":[]}]}"#,
                "answered",
            ),
            (
                r#"{"points":[{"load":{"kind":"rate","value":1},"output_tokens_per_s":0,"lengths":[[0,1]]}]}"#,
                "count",
            ),
        ] {
            let error = format!("{:#}", parse_report(text).expect_err(text));
            assert!(error.contains(fault), "{error}");
        }
    }
}
