//! `maru bench` from outside: against a stand-in of a server, and on the engine with the demo model.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::bench_stand_in::{Behaviour, Fault, MODEL, NUM_PIECES, StandIn};
use super::program::{maru, run, stderr, stdout};

/// A finished benchmark with what it wrote.
struct Bench {
    output: Output,
    report: Value,
    plot: String,
}

/// Runs `maru bench serve` on the stand-in, without warm-up.
fn bench(server: &StandIn, arguments: &[&str]) -> Bench {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (json, plot) = (file(&folder, "report.json"), file(&folder, "plot.svg"));
    let url = server.url();
    let fixed = ["bench", "serve", "--url", &url, "--warm-up", "0", "--json", &json, "--plot", &plot];
    let output = run(&[&fixed[..], arguments].concat(), "");
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let report = serde_json::from_str(&read(&json))
        .unwrap_or_else(|error| panic!("{error}: {}{}", stdout(&output), stderr(&output)));
    Bench { output, report, plot: read(&plot) }
}

fn file(folder: &TempDir, name: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    path.to_str().expect("UTF-8").to_owned()
}

fn usage() -> Behaviour {
    Behaviour { usage: true, ..Behaviour::default() }
}

#[test]
fn a_sweep_reports_every_load_as_table_json_and_plot() {
    let server = StandIn::start(Behaviour { packet: 7, ..usage() });
    let slo = "ttft=60s,itl=60s,tpot=60s,e2e=60s";
    let Bench { output, report, plot } =
        bench(&server, &["--concurrency", "1,3", "--num-requests", "6", "--seed", "5", "--slo", slo]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(report["tool"], "maru bench serve");
    assert_eq!((&report["target"]["model"], &report["settings"]["seed"]), (&MODEL.into(), &5.into()));
    let docs = include_str!("../../docs/benchmarking.md");
    let points = report["points"].as_array().expect("points");
    assert_eq!(points.len(), 2);
    for (point, streams) in points.iter().zip([1, 3]) {
        assert_eq!(
            (&point["load"]["kind"], &point["load"]["value"]),
            (&"concurrency".into(), &streams.into())
        );
        let requests = serde_json::json!({ "total": 6, "completed": 6, "refused": 0, "failed": 0 });
        assert_eq!(point["requests"], requests);
        assert_eq!((&point["ttft_ms"]["count"], &point["e2e_ms"]["count"]), (&6.into(), &6.into()));
        assert_eq!(point["itl_ms"]["count"], 6 * (NUM_PIECES - 1), "packets cut events, not pieces");
        assert_eq!(point["counted_by"], "usage");
        assert_eq!(point["output_tokens"]["mean"], 10.0);
        let prompt = point["prompt_tokens"]["mean"].as_f64().expect("a mean");
        assert!((127.0..=129.0).contains(&prompt), "the stand-in counts 128 tokens: {prompt}");
        assert_eq!(point["lengths"].as_array().map(Vec::len), Some(6));
        assert_eq!(point["goodput"]["share"], 1.0);
        let fields = point.as_object().expect("an object").keys();
        assert_eq!(fields.len(), 21);
        for field in fields {
            assert!(docs.contains(&format!("`{field}`")), "docs/benchmarking.md explains {field}");
        }
        let percentiles = point["ttft_ms"].as_object().expect("an object");
        assert_eq!(percentiles.keys().collect::<Vec<_>>(), ["count", "mean", "p50", "p90", "p99", "max"]);
    }
    let table = stdout(&output);
    assert!(table.contains("TTFT, ms") && table.contains("seed 5"), "{table}");
    assert!(plot.starts_with("<svg ") && plot.contains("concurrency, streams"), "{plot}");
}

#[test]
fn one_seed_asks_the_same_and_another_asks_otherwise() {
    let ask = |seed: &str| {
        let server = StandIn::start(usage());
        bench(
            &server,
            &[
                "--concurrency",
                "1",
                "--num-requests",
                "3",
                "--seed",
                seed,
                "--prompt-tokens",
                "uniform:20..60",
            ],
        );
        server.seen()
    };
    let first = ask("1");
    assert_eq!(first, ask("1"));
    assert_ne!(first, ask("2"));
    assert_eq!(first[0]["stream_options"]["include_usage"], true);
    assert!(first.iter().all(|request| request.get("ignore_eos").is_none()));
}

#[test]
fn conversations_go_on_with_the_real_answers_behind_a_shared_prefix() {
    let server = StandIn::start(usage());
    let arguments =
        ["--concurrency", "1", "--num-requests", "4", "--turns", "2", "--shared-prefix-tokens", "30"];
    bench(&server, &[&arguments[..], &["--prompt-tokens", "20", "--ignore-eos"]].concat());
    // The first three are the probes of the tokens' cost.
    let seen = &server.seen()[3..];
    let text =
        |request: &Value, i: usize| request["messages"][i]["content"].as_str().expect("text").to_owned();
    assert_eq!(seen.len(), 4);
    let (first, second, other) = (&seen[0], &seen[1], &seen[2]);
    assert_eq!(second["messages"].as_array().map(Vec::len), Some(3));
    assert_eq!(text(second, 0), text(first, 0));
    assert_eq!(text(second, 1), "조각0 조각1 조각2 조각3 조각4 ");
    assert_eq!(other["messages"].as_array().map(Vec::len), Some(1));
    let prefix = |request: &Value| text(request, 0).split_once("\n\n").map(|(prefix, _)| prefix.to_owned());
    assert_eq!(prefix(first), prefix(other));
    assert_ne!(text(first, 0), text(other, 0));
    assert_eq!(prefix(first).map(|prefix| prefix.split(' ').count()), Some(30));
    assert!(seen.iter().all(|request| request["ignore_eos"] == true));
}

#[test]
fn without_usage_pieces_are_counted_and_that_is_said() {
    let server = StandIn::start(Behaviour { packet: 11, ..Behaviour::default() });
    let Bench { output, report, .. } = bench(&server, &["--concurrency", "2", "--num-requests", "4"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let point = &report["points"][0];
    assert_eq!((&point["counted_by"], &point["output_tokens"]["mean"]), (&"deltas".into(), &5.0.into()));
    assert_eq!(point["prompt_tokens"], Value::Null);
    assert!(stdout(&output).contains("sends no usage"), "{}", stdout(&output));
    assert!(stderr(&output).contains("lengths of prompts are guessed"), "{}", stderr(&output));
}

#[test]
fn refusals_are_counted_apart_with_their_time() {
    for status in [429, 503] {
        let server = StandIn::start(Behaviour { refuse: Some((2, status)), ..usage() });
        let arguments = ["--rate", "200", "--arrivals", "fixed", "--num-requests", "10"];
        let Bench { output, report, .. } = bench(&server, &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        let point = &report["points"][0];
        let requests = serde_json::json!({ "total": 10, "completed": 5, "refused": 5, "failed": 0 });
        assert_eq!(point["requests"], requests);
        assert_eq!(point["load"]["kind"], "rate");
        assert_eq!(point["refusals"]["by_status"][status.to_string()], 5);
        assert_eq!(point["refusals"]["with_retry_after"], 5);
        assert_eq!(point["refusals"]["time_ms"]["count"], 5);
        assert_eq!(point["e2e_ms"]["count"], 5, "a quick refusal is no quick answer");
        assert!(stdout(&output).contains(&format!("refused 5 with {status}")), "{}", stdout(&output));
    }
}

#[test]
fn streams_that_break_stall_or_end_in_an_error_have_failed() {
    let cases = [
        (Fault::Broken, "broken off"),
        (Fault::Stalled, "no end of the answer within"),
        (Fault::Error, "error event: the engine stopped"),
    ];
    for (fault, reason) in cases {
        let server = StandIn::start(Behaviour { fault: Some((4, fault)), ..usage() });
        let Bench { output, report, .. } =
            bench(&server, &["--concurrency", "1", "--num-requests", "6", "--timeout", "2s"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let point = &report["points"][0];
        let requests = serde_json::json!({ "total": 6, "completed": 4, "refused": 0, "failed": 2 });
        assert_eq!(point["requests"], requests, "{fault:?}");
        let failures = point["failures"].as_object().expect("an object");
        assert!(failures.keys().all(|key| key.contains(reason)), "{failures:?}");
        assert!(stdout(&output).contains(reason), "{}", stdout(&output));
    }
}

#[test]
fn a_long_prompt_among_the_others_is_reported() {
    let server = StandIn::start(usage());
    let arguments = ["--concurrency", "1", "--duration", "1s", "--long-prompt", "900@200ms"];
    let Bench { output, report, .. } = bench(&server, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let long = &report["points"][0]["long_prompt"];
    assert_eq!((&long["prompt_tokens"], &long["failure"]), (&900.into(), &Value::Null));
    assert!(long["itl_idle_ms"]["count"].as_u64().is_some_and(|count| count > 0), "{long}");
    let longest =
        server.seen().into_iter().max_by_key(|request| request.to_string().len()).expect("requests");
    assert_eq!(longest["max_tokens"], 1);
}

#[test]
fn prompts_of_a_file_are_asked_in_turn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = file(&folder, "prompts.jsonl");
    let lines = "{\"prompt\":\"하나\",\"max_tokens\":3}\n{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"둘\"}]}\n";
    std::fs::write(&path, lines).expect("writable");
    let server = StandIn::start(usage());
    bench(
        &server,
        &["--concurrency", "1", "--num-requests", "3", "--output-tokens", "9", "--prompts", &path],
    );
    let seen = server.seen();
    let asked: Vec<_> = seen
        .iter()
        .map(|request| {
            let messages = request["messages"].as_array().expect("messages");
            (messages.last().expect("one")["content"].as_str().expect("text"), request["max_tokens"].as_u64())
        })
        .collect();
    assert_eq!(asked, [("하나", Some(3)), ("둘", Some(9)), ("하나", Some(3))]);
}

#[test]
fn what_stands_in_the_way_is_said_with_a_hint() {
    let server = StandIn::start(Behaviour { key: Some("Bearer sk-right"), ..usage() });
    let refusing = StandIn::start(Behaviour { refuse: Some((1, 429)), ..usage() });
    let (url, busy) = (server.url(), refusing.url());
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--url", "http://127.0.0.1:9"], 1, "start one, such as `maru serve`"),
        (&["--url", "https://127.0.0.1:9"], 1, "https is not spoken here"),
        (&["--url", &url], 1, "set MARU_API_KEY or --api-key (status 401: Incorrect API key provided.)"),
        (&["--url", &busy, "--model", "other"], 1, "has no model \"other\"; it has stand-in"),
        (&["--url", &busy], 1, "every request of the warm-up was refused"),
        (&["--url", &busy, "--long-prompt", "9@20s"], 1, "--long-prompt comes at 20s"),
        (&["--rate", "1", "--concurrency", "1"], 2, "cannot be used with"),
        (&["--plot", "plot.png"], 2, "ends in .svg"),
    ];
    for (arguments, code, message) in cases {
        let output = run(&[&["bench", "serve"], arguments].concat(), "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    // As OpenAI's clients are given it.
    let base_url = format!("{url}/v1/");
    let arguments = ["bench", "serve", "--url", &base_url, "--concurrency", "1", "--num-requests", "1"];
    let output = maru(&arguments).env("MARU_API_KEY", "sk-right,sk-second").output().expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_server_that_tokenizes_needs_no_probes() {
    let server = StandIn::start(Behaviour { tokenize: true, ..usage() });
    let arguments = ["--concurrency", "1", "--num-requests", "2", "--prompt-tokens", "200"];
    let Bench { report, .. } = bench(&server, &arguments);
    assert_eq!(server.seen().len(), 2);
    assert_eq!(report["points"][0]["prompt_tokens"]["mean"], 200.0);
}

#[test]
fn a_server_that_hangs_up_after_each_answer_costs_no_request() {
    let server = StandIn::start(Behaviour { hang_up: true, ..usage() });
    let Bench { report, .. } = bench(&server, &["--concurrency", "3", "--num-requests", "30"]);
    let requests = serde_json::json!({ "total": 30, "completed": 30, "refused": 0, "failed": 0 });
    assert_eq!(report["points"][0]["requests"], requests, "{}", report["points"][0]["failures"]);
}

#[test]
fn ctrl_c_ends_the_sweep_and_reports_what_was_answered() {
    let server = StandIn::start(usage());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (url, json) = (server.url(), file(&folder, "report.json"));
    let arguments = ["bench", "serve", "--url", &url, "--duration", "1h", "--warm-up", "0", "--json", &json];
    let child = maru(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // The probes are answered, and the first load is well under way.
    while server.seen().len() < 20 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let status =
        Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 stream: interrupted after"), "{}", stdout(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("written")).expect("JSON");
    let points = report["points"].as_array().expect("points");
    assert_eq!((points.len(), &points[0]["interrupted"]), (1, &true.into()));
    assert!(points[0]["requests"]["completed"].as_u64().is_some_and(|count| count >= 15), "{}", points[0]);
}

#[test]
fn if_nothing_was_answered_the_table_stands_and_the_exit_code_is_1() {
    let server = StandIn::start(Behaviour { refuse: Some((1, 503)), ..usage() });
    let Bench { output, report, .. } = bench(&server, &["--concurrency", "1", "--num-requests", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["points"][0]["requests"]["refused"], 2);
    assert!(stderr(&output).contains("not one request was answered"), "{}", stderr(&output));
}

#[test]
fn the_engine_repeats_the_lengths_of_a_report_and_compares() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (file(&folder, "serve.json"), file(&folder, "engine.json"));
    let report = serde_json::json!({ "points": [{
        "load": { "kind": "concurrency", "value": 2 },
        "output_tokens_per_s": 1.0,
        "lengths": [[9, 4], [5, 3]],
    }] });
    std::fs::write(&from, report.to_string()).expect("writable");
    let arguments = ["bench", "engine", "--lengths-from", &from, "--num-requests", "4", "--json", &to];
    let output = run(&arguments, "");
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(&to).expect("written")).expect("JSON");
    let point = &report["points"][0];
    let mut lengths: Vec<_> =
        point["lengths"].as_array().expect("a list").iter().map(Value::to_string).collect();
    lengths.sort();
    assert_eq!(lengths, ["[5,3]", "[5,3]", "[9,4]", "[9,4]"]);
    assert_eq!((&report["tool"], &report["target"]["url"]), (&"maru bench engine".into(), &Value::Null));
    assert!(report["compared"][0]["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0));
    assert!(stdout(&output).contains("2 streams: over HTTP 1.0 of the engine's"), "{}", stdout(&output));
}

#[test]
fn an_extra_body_goes_with_every_request() {
    let server = StandIn::start(usage());
    let extra = r#"{"top_k":5,"response_format":{"type":"json_object"}}"#;
    let arguments = ["--concurrency", "1", "--num-requests", "2", "--extra-body", extra];
    let Bench { output, report, .. } = bench(&server, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(server.seen().iter().all(|request| request["response_format"]["type"] == "json_object"));
    assert!(server.seen().iter().all(|request| request["top_k"] == 5 && request["stream"] == true));
    assert_eq!(report["settings"]["extra_body"]["top_k"], 5);
    assert!(stdout(&output).contains("with top_k, response_format"), "{}", stdout(&output));
    let refused = run(&["bench", "serve", "--extra-body", r#"{"model":"x"}"#], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("belongs to the benchmark"), "{}", stderr(&refused));
}

#[test]
fn an_answer_of_the_engine_can_be_held_to_a_schema() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = file(&folder, "engine.json");
    let lengths = |schema: &str| -> Vec<Value> {
        let load = ["--concurrency", "2", "--num-requests", "4", "--output-tokens", "12"];
        let fixed = ["bench", "engine", "--json", &path, "--json-schema", schema];
        let output = run(&[&fixed[..], &load].concat(), "");
        assert!(output.status.success(), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&std::fs::read(&path).expect("written")).expect("JSON");
        assert!(stdout(&output).contains("held to a schema"), "{}", stdout(&output));
        let lengths = report["points"][0]["lengths"].as_array().expect("a list").iter();
        lengths.map(|length| length[1].clone()).collect()
    };
    assert_eq!(lengths(r#"{"type":"string","minLength":1000}"#), [12, 12, 12, 12], "it never ends");
    let ended = lengths(r#"{"const":7}"#);
    assert!(ended.iter().all(|length| length.as_u64().is_some_and(|length| length <= 2)), "{ended:?}");
    let output = run(&["bench", "engine", "--json-schema", r#"{"type":"nothing"}"#], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--json-schema: "), "{}", stderr(&output));
}
