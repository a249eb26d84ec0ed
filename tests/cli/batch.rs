//! `maru batch` from outside, with the demo model.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::program::{Running, maru, run, run_with, stderr, stdout};

const CHAT: &str = "/v1/chat/completions";

/// A folder with the files of one batch.
struct Batch {
    folder: TempDir,
}

impl Batch {
    fn of(lines: &[String]) -> Self {
        let batch = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        batch.write("in.jsonl", &(lines.join("\n") + "\n"));
        batch
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writable");
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let (input, output) = (self.path("in.jsonl"), self.path("out.jsonl"));
        run(&[&["batch", &input, "--output", &output], arguments].concat(), "")
    }

    fn run_well(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    /// The ids of the results in their order.
    fn ids(&self, name: &str) -> Vec<String> {
        let id = |result: &Value| result["custom_id"].as_str().unwrap_or("null").to_owned();
        results(&self.read(name)).iter().map(id).collect()
    }

    /// What was said to each id, without what is new each time.
    fn answers(&self) -> BTreeMap<String, Value> {
        let results = results(&self.read("out.jsonl"));
        let num_results = results.len();
        let answers: BTreeMap<_, _> = results.into_iter().map(id_and_answer).collect();
        assert_eq!(answers.len(), num_results, "each id is answered once");
        answers
    }
}

fn results(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn id_and_answer(result: Value) -> (String, Value) {
    assert!(result["id"].as_str().is_some_and(|id| id.starts_with("batch_req_")), "{result}");
    assert_eq!(
        (&result["response"]["status_code"], &result["error"]),
        (&200.into(), &Value::Null),
        "{result}"
    );
    assert!(result["response"]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{result}");
    let id = result["custom_id"].as_str().expect("an id").to_owned();
    (id, without_stamps(result["response"]["body"].clone()))
}

/// An answer without its id, its time and what depends on who asked before.
fn without_stamps(mut answer: Value) -> Value {
    let members = answer.as_object_mut().expect("an object");
    members.retain(|name, _| !["id", "created"].contains(&name.as_str()));
    if let Some(usage) = answer["usage"].as_object_mut() {
        usage.remove("prompt_tokens_details");
    }
    answer
}

fn body(question: &str, max_tokens: u32) -> Value {
    json!({
        "model": "maru-demo", "max_tokens": max_tokens, "seed": 7, "temperature": 0.8,
        "messages": [{ "role": "user", "content": question }],
    })
}

fn line(custom_id: &str, body: &Value) -> String {
    json!({ "custom_id": custom_id, "method": "POST", "url": CHAT, "body": body }).to_string()
}

/// A request that fails.
fn of_another_model() -> Value {
    let mut body = body("Hello", 2);
    body["model"] = "another".into();
    body
}

/// Lines with a short question each.
fn questions(count: usize) -> Vec<String> {
    (0..count).map(|i| line(&format!("q-{i}"), &body(&format!("Question {i}"), 4))).collect()
}

#[test]
fn answers_are_those_of_the_server() {
    let bodies = ["Hello", "안녕하세요", "Tell me a story"].map(|question| {
        let mut body = body(question, 8);
        (body["logprobs"], body["top_logprobs"]) = (true.into(), 2.into());
        body
    });
    let lines: Vec<String> = bodies.iter().map(|body| line(&body.to_string(), body)).collect();
    let batch = Batch::of(&lines);
    batch.run_well(&[]);
    let server = Running::start_with(&[], &[]);
    for (id, answer) in batch.answers() {
        let whole = server.send("POST", CHAT, "", &id);
        let (_, body) = whole.split_once("\r\n\r\n").expect("a body");
        assert_eq!(without_stamps(serde_json::from_str(body).expect("JSON")), answer);
    }
    assert!(!batch.has("out.errors.jsonl"), "nothing failed");
}

#[test]
fn every_route_that_answers_whole_can_be_asked() {
    let of = |route: &str| -> Value {
        let message = json!([{ "role": "user", "content": "Hello" }]);
        match route {
            "/v1/chat/completions" | "/v1/chat/completions/render" => body("Hello", 2),
            "/v1/completions" | "/v1/completions/render" => json!({ "prompt": "Hello", "max_tokens": 2 }),
            "/v1/embeddings" => json!({ "input": "Hello" }),
            "/v1/responses" => json!({ "input": "Hello", "max_output_tokens": 16, "store": false }),
            "/v1/responses/input_tokens" => json!({ "input": "Hello" }),
            "/v1/messages" => json!({ "max_tokens": 2, "messages": message }),
            "/v1/messages/count_tokens" => json!({ "messages": message }),
            "/generate" => json!({ "inputs": "Hello", "parameters": { "max_new_tokens": 2 } }),
            "/tokenize" => json!({ "prompt": "Hello" }),
            "/detokenize" => json!({ "tokens": [1, 2] }),
            other => panic!("{other} has no example"),
        }
    };
    let line = |route: &&str| {
        let mut body = of(route);
        body["model"] = "maru-demo".into();
        json!({ "custom_id": route, "method": "POST", "url": route, "body": body }).to_string()
    };
    let lines: Vec<String> = maru::api::BATCH_ROUTES.iter().map(line).collect();
    let batch = Batch::of(&lines);
    let output = batch.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stderr(&output), batch.read("out.errors.jsonl"));
    assert_eq!(batch.ids("out.jsonl").len(), lines.len());
}

#[test]
fn every_one_of_many_lines_is_answered_once() {
    let batch = Batch::of(&questions(200));
    let output = batch.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(batch.answers().len(), 200);
    assert!(stderr(&output).contains("200 answered, 0 failed"), "{}", stderr(&output));
}

#[test]
fn answers_are_written_in_the_order_of_their_ends_and_concurrency_is_bounded() {
    let lines = [
        line(
            "long",
            &json!({
                "model": "maru-demo", "max_tokens": 200, "ignore_eos": true,
                "messages": [{ "role": "user", "content": "Hello" }],
            }),
        ),
        line("short", &body("Hello", 1)),
    ];
    let batch = Batch::of(&lines);
    batch.run_well(&["--concurrency", "2"]);
    assert_eq!(batch.ids("out.jsonl"), ["short", "long"]);
    batch.run_well(&["--concurrency", "1", "--overwrite"]);
    assert_eq!(batch.ids("out.jsonl"), ["long", "short"]);
}

#[test]
fn what_the_server_is_too_busy_for_is_sent_again() {
    let batch = Batch::of(&questions(6));
    let small = ["--set", "engine.max_num_seqs=1", "--set", "engine.max_waiting=1", "--concurrency", "6"];
    batch.run_well(&small);
    assert_eq!(batch.answers().len(), 6);
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let lines = [questions(12), vec![line("bad", &of_another_model())]].concat();
    let batch = Batch::of(&lines);
    assert_eq!(batch.run(&[]).status.code(), Some(1));
    let (whole, failures) = (batch.answers(), batch.read("out.errors.jsonl"));
    let refused = batch.run(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("--resume goes on with it"), "{}", stderr(&refused));

    let written = batch.read("out.jsonl");
    let kept: usize = written.split_inclusive('\n').take(5).map(str::len).sum();
    batch.write("out.jsonl", &written[..kept + 30]);
    let output = batch.run(&["--resume"]);
    assert_eq!(output.status.code(), Some(1), "one has failed before: {}", stderr(&output));
    assert!(stderr(&output).contains("7 answered, 0 failed"), "{}", stderr(&output));
    assert!(stderr(&output).contains("6 were done before, of which 1 failed"), "{}", stderr(&output));
    assert!(batch.read("out.jsonl").starts_with(&written[..kept]), "what was whole stays");
    assert_eq!(batch.answers(), whole);
    assert_eq!(batch.read("out.errors.jsonl"), failures);

    let again = batch.run(&["--resume", "--backend", "reference"]);
    assert!(stderr(&again).contains("nothing is left to do"), "{}", stderr(&again));
    std::fs::remove_file(batch.path("out.errors.jsonl")).expect("it exists");
    assert!(
        stderr(&batch.run(&["--resume"])).contains("0 answered, 1 failed"),
        "failures can be tried again"
    );
}

#[test]
fn lines_that_are_no_requests_are_named_before_a_model_is_looked_for() {
    let mut lines = questions(3);
    lines.push(String::new());
    lines.push("{".to_owned());
    lines.push(lines[1].clone());
    lines.push(lines[2].replace(CHAT, "/v1/files").replace("q-2", "x"));
    lines.push(lines[2].replace("POST", "GET").replace("q-2", "y"));
    lines.push(line("z", &json!({ "model": "maru-demo", "user": "u".repeat(5000) })));
    let batch = Batch::of(&lines);
    let output = batch.run(&["--model", "./nowhere", "--set", "server.max_body_bytes=1024"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for part in [
        "line 5: the line is not JSON",
        "line 6: the custom_id \"q-1\" stands on line 2 already",
        "line 7: 'url' must be one of /v1/chat/completions",
        "line 8: 'method' must be \"POST\"; it is \"GET\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("line 9"), "the body's length is the server's to judge: {said}");
    assert!(!batch.has("out.jsonl"), "nothing was begun");
}

#[test]
fn what_fails_stands_apart_with_its_reason() {
    let (mut hot, mut stream) = (body("Hello", 2), body("Hello", 2));
    hot["temperature"] = 9.into();
    stream["stream"] = true.into();
    let lines = [
        line("good", &body("Hello", 2)),
        line("hot", &hot),
        line("stream", &stream),
        "{".to_owned(),
        line("good", &body("Hello", 2)),
        line("long", &json!({ "model": "maru-demo", "user": "u".repeat(100_000) })),
    ];
    let batch = Batch::of(&lines);
    let output = batch.run(&["--no-check", "--concurrency", "1", "--set", "server.max_body_bytes=1024"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(batch.ids("out.jsonl"), ["good"]);
    let failures = results(&batch.read("out.errors.jsonl"));
    let found = |id: &str, code: &str| {
        let is_it = |failure: &&Value| failure["custom_id"] == id || failure["error"]["code"] == code;
        failures.iter().find(is_it).unwrap_or_else(|| panic!("{id} {code}: {failures:?}"))
    };
    let hot = found("hot", "");
    assert_eq!((&hot["response"]["status_code"], &hot["error"]), (&400.into(), &Value::Null));
    assert_eq!(hot["response"]["body"]["error"]["param"], "temperature", "{hot}");
    let stream = found("stream", "");
    assert_eq!(
        (&stream["response"], &stream["error"]["code"]),
        (&Value::Null, &"stream_not_supported".into())
    );
    assert_eq!(found("", "invalid_json_line")["error"]["line"], 4);
    assert_eq!(found("", "duplicate_custom_id")["custom_id"], "good");
    assert_eq!(found("", "line_too_long")["error"]["line"], 6);
    assert_eq!(failures.len(), 5);
    assert!(stderr(&output).contains("out.errors.jsonl"), "{}", stderr(&output));
}

#[test]
fn dashes_are_the_standard_streams() {
    let lines = [line("good", &body("Hello", 2)), line("bad", &of_another_model())].join("\n");
    let output = run(&["batch", "-", "--output", "-"], &lines);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let mut results = results(stdout(&output));
    results.sort_by_key(|result| result["custom_id"].to_string());
    let status = |result: &Value| result["response"]["status_code"].as_u64();
    assert_eq!(results.iter().map(status).collect::<Vec<_>>(), [Some(404), Some(200)]);
}

#[test]
fn an_interrupted_run_ends_with_130_and_says_how_to_go_on() {
    let batch = Batch::of(&questions(3));
    let (output, errors) = (batch.path("out.jsonl"), batch.path("errors.jsonl"));
    let mut child = maru(&["batch", "-", "-o", &output, "--errors", &errors])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The input stays open: only a signal can end the run.
    let mut stdin = child.stdin.take().expect("piped");
    let bad = line("bad", &of_another_model());
    stdin.write_all(format!("{}{bad}\n", batch.read("in.jsonl")).as_bytes()).expect("the program reads");
    while batch.read("errors.jsonl").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
    let said: Vec<String> =
        BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{said:?}");
    assert!(said.iter().any(|line| line.contains("--resume goes on")), "{said:?}");
    assert_eq!(batch.answers().len(), 3, "what ran has finished");
}

#[test]
fn paths_that_make_no_sense_are_refused() {
    let batch = Batch::of(&questions(1));
    let input = batch.path("in.jsonl");
    let output = run(&["batch", &input, "--output", &input], "");
    assert!(stderr(&output).contains("--output names the input"), "{}", stderr(&output));
    let output = run(&["batch", &input, "--output", "-", "--resume"], "");
    assert!(stderr(&output).contains("names standard output"), "{}", stderr(&output));
    let output = run(&["batch", &input, "--output", "x", "--resume", "--overwrite"], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(results(&batch.read("in.jsonl")).len(), 1, "the input is untouched");
}

/// Planned faults are part of debug builds alone.
#[cfg(debug_assertions)]
#[test]
fn an_engine_that_dies_ends_the_run_and_fails_no_request() {
    let batch = Batch::of(&questions(8));
    let (input, output) = (batch.path("in.jsonl"), batch.path("out.jsonl"));
    let arguments = ["batch", &input, "-o", &output, "--concurrency", "2"];
    let died = run_with(&arguments, &[("MARU_FAILPOINTS", "forward=panic@9")]);
    assert_eq!(died.status.code(), Some(1));
    assert!(stderr(&died).contains("the engine has died"), "{}", stderr(&died));
    let before = batch.answers();
    assert!(!before.is_empty() && before.len() < 8 && !batch.has("out.errors.jsonl"), "{before:?}");
    batch.run_well(&["--resume"]);
    assert_eq!(batch.answers().len(), 8);
}

#[cfg(debug_assertions)]
#[test]
fn a_second_signal_ends_a_run_at_once() {
    let batch = Batch::of(&questions(4));
    let (input, output) = (batch.path("in.jsonl"), batch.path("out.jsonl"));
    // A pass takes a minute: nothing is answered while the test runs.
    let mut child = maru(&["batch", &input, "-o", &output])
        .env("MARU_FAILPOINTS", "forward=slow:60000")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let interrupt = |child: &std::process::Child| {
        let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    };
    let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut wait_for = |text: &str| {
        let line = said.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        assert!(line.is_some(), "{text} is not said");
    };
    wait_for("at the same time");
    interrupt(&child);
    wait_for("another signal ends it now");
    interrupt(&child);
    wait_for("--resume goes on");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(batch.ids("out.jsonl").is_empty());
}
