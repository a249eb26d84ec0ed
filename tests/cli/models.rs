//! Models that come from elsewhere: the hub, through the program itself, and folders whose parts do not fit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hub_stand_in::{Behaviour, COMMIT, REPO, StandIn};
use crate::program::{maru, run, stderr, stdout};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo")
}

const MODEL_FILES: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

#[test]
fn a_model_of_the_hub_answers_like_the_same_model_in_a_folder() {
    let file = |name: &str| (name.to_owned(), fs::read(demo().join(name)).expect("readable"));
    let files: BTreeMap<_, _> = MODEL_FILES.into_iter().map(file).collect();
    let half = files["model.safetensors"].len() / 2;
    let cuts = BTreeMap::from([("model.safetensors".to_owned(), vec![half])]);
    let server = StandIn::start(Behaviour { files, cuts, ..Behaviour::default() });
    let home = tempfile::tempdir().expect("a temporary folder");
    let ask = |extra: &[&str]| {
        let arguments = ["generate", "--chat", "Hello", "--max-new-tokens", "6", "--model", REPO];
        let mut command = maru(&[&arguments[..], extra].concat());
        command.env("HF_ENDPOINT", server.endpoint()).env("HF_HOME", home.path());
        command.output().expect("the program runs")
    };
    let first = ask(&[]);
    assert!(first.status.success(), "{}", stderr(&first));
    let folder = demo();
    let folder = folder.to_str().expect("UTF-8");
    let local = run(&["generate", "--chat", "Hello", "--max-new-tokens", "6", "--model", folder], "");
    assert_eq!(stdout(&first), stdout(&local));
    let resumed = format!("bytes={half}-");
    assert_eq!(server.ranges_of("model.safetensors"), ["bytes=0-", resumed.as_str()]);

    let before = server.seen().len();
    assert_eq!(stdout(&ask(&["--offline"])), stdout(&first));
    assert_eq!(stdout(&ask(&["--offline", "--revision", COMMIT])), stdout(&first));
    let other = ask(&["--offline", "--revision", "v2"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr(&other).contains("maru/tiny at v2: config.json is not in the cache"),
        "{}",
        stderr(&other)
    );
    assert_eq!(server.seen().len(), before);
}

/// A copy of the demo model that may be spoilt.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in MODEL_FILES {
            fs::copy(demo().join(name), folder.path().join(name)).expect("copied");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(name)).expect("readable")).expect("JSON");
        edit(&mut value);
        fs::write(self.path(name), value.to_string()).expect("writable");
    }

    /// The one line with which the program refuses the model.
    fn refusal(&self) -> String {
        let folder = self.0.path().to_str().expect("UTF-8");
        let output = run(&["--port", "0", "--model", folder], "");
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
        let refusals: Vec<_> = stderr(&output).lines().filter(|line| line.starts_with("maru: ")).collect();
        assert_eq!(refusals.len(), 1, "{}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        refusals[0].to_owned()
    }
}

#[test]
fn a_token_without_an_embedding_is_refused() {
    let copy = Copy::new();
    copy.edit("tokenizer.json", |tokenizer| {
        let mut token = tokenizer["added_tokens"][0].clone();
        token["id"] = json!(9_999_999);
        token["content"] = json!("[|far|]");
        tokenizer["added_tokens"].as_array_mut().expect("a list").push(token);
    });
    let refusal = copy.refusal();
    assert!(refusal.contains("tokenizer.json") && refusal.contains("embedding rows"), "{refusal}");
}

#[test]
fn a_named_token_that_does_not_exist_is_refused() {
    let copy = Copy::new();
    copy.edit("tokenizer_config.json", |config| config["eos_token"] = json!("[|nope|]"));
    let refusal = copy.refusal();
    assert!(refusal.contains("tokenizer_config.json: eos_token is \"[|nope|]\""), "{refusal}");
}

#[test]
fn a_stop_token_outside_the_vocabulary_is_refused() {
    let copy = Copy::new();
    copy.edit("generation_config.json", |config| config["eos_token_id"] = json!([9_999_999]));
    let refusal = copy.refusal();
    assert!(refusal.contains("eos_token_id 9999999 is outside the vocabulary"), "{refusal}");
}

#[test]
fn a_template_with_unknown_control_strings_is_refused() {
    let copy = Copy::new();
    fs::write(copy.path("chat_template.jinja"), "[|bogus|]{{ messages[0].content }}").expect("writable");
    let refusal = copy.refusal();
    assert!(refusal.contains("the chat template writes \"[|bogus|]\""), "{refusal}");
}

#[test]
fn a_template_that_fails_is_refused() {
    let copy = Copy::new();
    fs::write(copy.path("chat_template.jinja"), "{{ raise_exception('no') }}").expect("writable");
    let refusal = copy.refusal();
    assert!(refusal.contains("the chat template"), "{refusal}");
}

#[test]
fn cut_weights_are_refused_by_name() {
    for length in [0, 7, 8, 1000, 200_000] {
        let copy = Copy::new();
        let bytes = fs::read(copy.path("model.safetensors")).expect("readable");
        fs::write(copy.path("model.safetensors"), &bytes[..length]).expect("writable");
        let refusal = copy.refusal();
        assert!(refusal.contains("model.safetensors"), "{length}: {refusal}");
    }
}

#[test]
fn a_missing_file_is_named() {
    for name in ["tokenizer.json", "config.json", "model.safetensors"] {
        let copy = Copy::new();
        fs::remove_file(copy.path(name)).expect("removable");
        let refusal = copy.refusal();
        let expected = if name == "model.safetensors" { "safetensors" } else { name };
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn a_context_longer_than_the_models_is_refused_with_the_number() {
    let output = run(&["--port", "0", "--max-model-len", "100000000"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("model.max_model_len: 100000000 is more than"), "{}", stderr(&output));
}
