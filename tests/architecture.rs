//! The floors of the house, held: reads every source file under `src/` and checks what it may name.
//!
//! Comments and what is compiled for tests only are left out: the rules are about the code that runs. A new rule is a
//! row of a table below, and a planted violation in `every_rule_bites` shows that it works.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// What each module may import of ours. A name after `::` narrows that to the listed items.
const FLOORS: &[(&str, &[&str])] = &[
    ("main", ANY),
    ("app", ANY),
    ("cli", ANY),
    ("config", ANY),
    ("api", &["serving", "telemetry"]),
    (
        "serving",
        &[
            "text",
            "sampling",
            "telemetry",
            "engine::DraftCounts",
            "engine::EngineHandle",
            "engine::EngineLimits",
            "engine::EnginePulse",
            "engine::FinishReason",
            "engine::NewSequence",
            "engine::Overload",
            "engine::Pooling",
            "engine::Priority",
            "engine::SequenceError",
            "engine::SubmitError",
            "engine::TenantId",
            "engine::TokenEvent",
            "engine::TokenStream",
        ],
    ),
    ("engine", &["model", "sampling", "telemetry"]),
    (
        "text",
        &["sampling::Constraint", "sampling::ConstraintError", "sampling::GrammarSpec", "sampling::TokenSet"],
    ),
    ("model", &["maru_kernels"]),
    ("sampling", &["maru_kernels"]),
    ("telemetry", &[]),
];
const ANY: &[&str] = &["*"];

/// Where a foreign crate or a part of the standard library may be named: (path, places).
const KEPT_TO: &[(&str, &[&str])] = &[
    ("std::env", &["config"]),
    ("anyhow", &["main", "app", "cli"]),
    ("axum", &["api", "app"]),
    ("hyper", &["api", "app", "cli/bench"]),
    ("hyper_util", &["api", "app", "cli/bench"]),
    ("tower", &["api", "app"]),
    ("tower_http", &["api", "app"]),
    ("http", &["api", "app"]),
    ("tokenizers", &["text"]),
    ("minijinja", &["text"]),
    ("candle_core", &["model"]),
    ("candle_nn", &["model"]),
    ("safetensors", &["model"]),
    ("clap", &["cli", "main"]),
    ("prometheus", &["telemetry", "api"]),
];

/// What may not be named where, whoever it comes from: (place, path, why).
const BANNED: &[(&str, &str, &str)] = &[
    ("engine/scheduler", "tokio", "the scheduler is a pure state machine"),
    ("engine/scheduler", "std::time", "the scheduler has no clock"),
    ("engine/scheduler", "std::thread", "the scheduler is a pure state machine"),
    ("model", "tokio", "the model is called by one thread"),
    ("sampling", "tokio", "the sampler is called by one thread"),
    ("sampling", "std::time", "a sample depends on its seed, not on the clock"),
];

/// Model families, by the words of an identifier or a string. `llama3` is not here: it is the name of a way to scale
/// rotary frequencies, which many families use.
const FAMILIES: &[&str] = &[
    "exaone", "exaone4", "llama", "llama2", "qwen", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi",
    "phi3",
];
/// The places that know families: one file each, the registry, output formats, and the examples of the command line.
const FAMILY_PLACES: &[&str] = &["model/families", "model/registry", "text/format", "cli"];

const MAX_LINES: usize = 700;

#[test]
fn the_floors_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    assert!(files.len() > 20, "only {} files were found under src/", files.len());
    let sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let place = place_of(file.strip_prefix(root.join("src")).expect("it was found there"));
            Source::parse(&place, &fs::read_to_string(file).expect("a source file is readable text"))
        })
        .collect();
    let for_tests: Vec<String> = sources.iter().flat_map(|source| source.for_tests.clone()).collect();
    let mut faults = Vec::new();
    for source in sources {
        if !is_in(&source.place, &for_tests) {
            faults.extend(source.faults());
        }
    }
    for file in rust_files(&root.join("kernels/src")) {
        let place =
            format!("kernels/{}", place_of(file.strip_prefix(root.join("kernels/src")).expect("as above")));
        let text = fs::read_to_string(&file).expect("a source file is readable text");
        faults.extend(form_faults(&place, &text));
    }
    let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(list.is_empty(), "{} faults:\n{}", list.len(), list.join("\n"));
}

#[test]
fn every_rule_bites() {
    let planted = [
        ("text/detokenizer", "use crate::engine::EngineHandle;"),
        ("text/detokenizer", "fn f() { let _ = crate::model::Logits::default(); }"),
        ("text/detokenizer", "use super::super::engine::kv;"),
        ("text/mod", "use crate::{sampling::GrammarSpec, serving::{GenerateError as E}};"),
        ("text/mod", "use crate::sampling::Sampler;"),
        ("serving/mod", "use crate::engine::Scheduler;"),
        ("serving/mod", "pub use crate::engine::*;"),
        ("serving/stream", "use axum::Json;"),
        ("api/mod", "use crate::engine::EngineHandle;"),
        ("api/chat/request", "use candle_core::Tensor;"),
        ("model/decoder", "use crate::engine::Command;"),
        ("telemetry", "use crate::config::Config;"),
        ("sampling/sampler", "fn now() { std::time::Instant::now(); }"),
        ("engine/scheduler", "use tokio::sync::mpsc;"),
        ("engine/runner_thread", "use std::{thread, env};"),
        ("engine/runner_thread", "fn f() -> Result<(), anyhow::Error> { Ok(()) }"),
        ("engine/runner_thread", "struct S { books: Arc<Mutex<u32>> }"),
        ("model/kv_cache", "struct S { books: std::sync::Arc<std::sync::RwLock<u32>> }"),
        ("model/decoder", "fn f() { unsafe { g() } }"),
        ("model/decoder", "#[cfg(feature = \"cuda\")] fn f() {}"),
        ("serving/mod", "fn f() { if cfg!(all(unix, feature = \"cuda\")) {} }"),
        ("model/decoder", "fn load_exaone4() {}"),
        ("text/template", "const NAME: &str = \"qwen2\";"),
        ("engine/mod", "struct Gemma3Policy;"),
        ("attic", "fn f() {}"),
    ];
    for (place, code) in planted {
        let faults = Source::parse(place, &format!("//! Planted.\n{code}\n")).faults();
        assert_eq!(faults.len(), 1, "{place}: {code}\n{faults:?}");
        assert_eq!(faults[0].line, 2, "{place}: {code}");
    }
    let declares = Source::parse("engine/mod", "//! Planted.\n#[cfg(test)]\nmod fake;\nmod real;\n");
    assert_eq!(declares.for_tests, ["engine/fake"]);
    let declares = "#[cfg(test)]\n#[path = \"plan_tests.rs\"]\nmod tests;\n#[cfg(test)]\nmod more;\n";
    let declares = Source::parse("engine/plan", &format!("//! Planted.\n{declares}"));
    assert_eq!(declares.for_tests, ["engine/plan_tests", "engine/plan/more"]);
    let headless = Source::parse("model/decoder", "fn f() {}\n").faults();
    assert!(matches!(&headless[..], [one] if one.what.contains("//!")), "{headless:?}");
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(MAX_LINES));
    let faults = Source::parse("model/decoder", &long).faults();
    assert!(matches!(&faults[..], [one] if one.what.contains("lines")), "{faults:?}");
}

#[test]
fn what_is_allowed_passes() {
    let allowed = [
        ("serving/mod", "use crate::engine::{EngineHandle, NewSequence, TokenEvent};"),
        ("text/mod", "use crate::sampling::GrammarSpec; use super::text::ChatMessage;"),
        ("text/mod", "/// Like `crate::engine::Command` of exaone.\nfn f() {} // unsafe, std::env"),
        ("text/mod", "#[cfg(test)] mod tests { use crate::engine::Command; const M: &str = \"exaone\"; }"),
        (
            "text/mod",
            "#[cfg(test)] use crate::engine::Command; #[cfg(test)] #[allow(dead_code)] fn t() { unsafe {} }",
        ),
        ("model/families/exaone", "struct Exaone; const NAME: &str = \"exaone4\";"),
        ("model/spec", "enum Rope { Llama3 } fn graphics_morphine() {}"),
        ("model/backend/mod", "#[cfg(feature = \"cuda\")] mod cuda;"),
        ("config/mod", "use std::env; fn f() { crate::engine::x(); }"),
        ("cli/serve", "use anyhow::Context; const EXAMPLE: &str = \"LGAI-EXAONE/EXAONE-3.5\";"),
        (
            "engine/mod",
            "struct S { sync: Arc<AtomicUsize>, one: Mutex<u32> } const V: &str = env!(\"CARGO_PKG_VERSION\");",
        ),
    ];
    for (place, code) in allowed {
        let faults = Source::parse(place, &format!("//! Fine.\n{code}\n")).faults();
        assert!(faults.is_empty(), "{place}: {code}\n{faults:?}");
    }
}

/// A rule that a line breaks.
#[derive(Debug)]
struct Fault {
    place: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}.rs:{}: {}", self.place, self.line, self.what)
    }
}

/// One file as the rules see it.
struct Source {
    /// Its path under `src/` without the suffix, such as `engine/kv/block_pool`.
    place: String,
    tokens: Vec<Token>,
    /// Places of the modules that it declares for tests only.
    for_tests: Vec<String>,
    form: Vec<Fault>,
}

/// A word, a literal, a bracket, or punctuation (`::` is one token).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// A path that the code names, such as `crate::engine::Command`, with use trees spread out.
struct NamedPath {
    segments: Vec<String>,
    line: usize,
}

impl Source {
    fn parse(place: &str, text: &str) -> Self {
        let stream: TokenStream =
            text.parse().unwrap_or_else(|error| panic!("src/{place}.rs is not Rust: {error}"));
        let (mut tokens, mut for_tests) = (Vec::new(), Vec::new());
        flatten(stream, &mut tokens, &mut for_tests);
        let beside = place.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let is_root = place.ends_with("mod") || place == "lib";
        let below = if is_root { beside.clone() } else { format!("{place}/") };
        let file_of = |name: &String| match name.strip_prefix("./") {
            Some(name) => format!("{beside}{name}"),
            None => format!("{below}{name}"),
        };
        let for_tests = for_tests.iter().map(file_of).collect();
        Self { place: place.to_owned(), tokens, for_tests, form: form_faults(place, text) }
    }

    fn faults(self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |line, what: String| faults.push(Fault { place: self.place.clone(), line, what });
        let floor = self.place.split('/').next().unwrap_or_default();
        if floor != "lib" && !FLOORS.iter().any(|(name, _)| *name == floor) {
            fault(2, format!("`{floor}` has no row in the table of floors"));
        }
        for path in named_paths(&self.tokens) {
            let path = NamedPath { segments: self.absolute(path.segments), line: path.line };
            if let Some(what) = floor_fault(floor, &path.segments) {
                fault(path.line, what);
            }
            for (kept, places) in KEPT_TO {
                if starts_with(&path.segments, kept) && !is_in(&self.place, places) {
                    fault(path.line, format!("`{kept}` is kept to {}", places.join(", ")));
                }
            }
            for (place, banned, why) in BANNED {
                if starts_with(&path.segments, banned) && is_in(&self.place, &[place]) {
                    fault(path.line, format!("`{banned}` is banned here: {why}"));
                }
            }
        }
        for (at, token) in self.tokens.iter().enumerate() {
            if token.text == "unsafe" {
                fault(token.line, "`unsafe` is kept to the kernels crate".to_owned());
            }
            if token.text == "cfg"
                && names_feature(&self.tokens[at + 1..])
                && !is_in(&self.place, &["model/backend"])
            {
                fault(token.line, "features are kept to the kernels crate and model/backend".to_owned());
            }
            let silent = ["engine", "model", "sampling"].contains(&floor);
            if silent && token.text == "Arc" && wraps_lock(&self.tokens[at + 1..]) {
                fault(token.line, "a lock shared by Arc: send a message instead".to_owned());
            }
            if !is_in(&self.place, FAMILY_PLACES)
                && let Some(family) = words(&token.text).find(|word| FAMILIES.contains(&word.as_str()))
            {
                fault(token.line, format!("the family `{family}` is named in `{}`", token.text));
            }
        }
        faults.extend(self.form);
        faults
    }

    /// The path with `self::` and `super::` replaced by what they stand for in this file.
    fn absolute(&self, segments: Vec<String>) -> Vec<String> {
        let mut module: Vec<String> = self.place.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        let num_relative = segments.iter().take_while(|s| *s == "super" || *s == "self").count();
        if num_relative == 0 {
            return segments;
        }
        let num_up = segments.iter().take(num_relative).filter(|s| *s == "super").count();
        module.truncate(module.len().saturating_sub(num_up));
        let mut absolute = vec!["crate".to_owned()];
        absolute.extend(module);
        absolute.extend_from_slice(&segments[num_relative..]);
        absolute
    }
}

/// What is wrong with a path to a module of ours, seen from `floor`.
fn floor_fault(floor: &str, path: &[String]) -> Option<String> {
    let (module, rest) = match path {
        [first, module, rest @ ..] if first == "crate" => (module.as_str(), rest),
        [first, rest @ ..] if first == "maru_kernels" => (first.as_str(), rest),
        _ => return None,
    };
    let (_, allowed) = FLOORS.iter().find(|(name, _)| *name == floor)?;
    if module == floor || allowed.contains(&"*") || allowed.contains(&module) {
        return None;
    }
    let narrowed = rest.first().map(|item| format!("{module}::{item}"));
    if narrowed.is_some_and(|item| allowed.contains(&item.as_str())) {
        return None;
    }
    Some(format!("`{}`: {floor} may import {}", path.join("::"), or_nothing(allowed)))
}

fn or_nothing(allowed: &[&str]) -> String {
    if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") }
}

fn form_faults(place: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |line, what| faults.push(Fault { place: place.to_owned(), line, what });
    let num_lines = text.lines().count();
    if num_lines >= MAX_LINES {
        fault(num_lines, format!("has {num_lines} lines; below {MAX_LINES}, please"));
    }
    if !text.starts_with("//! ") {
        fault(1, "does not begin with `//!` and what it is for".to_owned());
    }
    faults
}

/// Appends the tokens of `stream` without documentation and without what is compiled for tests only; the modules among
/// the latter go to `for_tests`.
fn flatten(stream: TokenStream, tokens: &mut Vec<Token>, for_tests: &mut Vec<String>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while let Some(tree) = trees.get(at) {
        let attribute = attribute_at(&trees, at).unwrap_or_default();
        if attribute.starts_with("doc=") {
            at = after_attribute(&trees, at);
        } else if attribute == "cfg(test)" {
            let item = after_attribute(&trees, at);
            at = after_item(&trees, item);
            for_tests.extend(declared_file(&trees[item..at]));
        } else if is_path_separator(&trees[at..]) {
            tokens.push(Token { text: "::".to_owned(), line: line_of(tree) });
            at += 2;
        } else if let TokenTree::Group(group) = tree {
            let (open, close) = match group.delimiter() {
                Delimiter::Brace => ("{", "}"),
                Delimiter::Bracket => ("[", "]"),
                Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
            };
            tokens.push(Token { text: open.to_owned(), line: line_of(tree) });
            flatten(group.stream(), tokens, for_tests);
            tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            at += 1;
        } else {
            tokens.push(Token { text: tree.to_string(), line: line_of(tree) });
            at += 1;
        }
    }
}

/// The file of the module that an item declares: `name` beside a `mod.rs` or below the file, `./name` beside the file.
fn declared_file(item: &[TokenTree]) -> Option<String> {
    let mut at = 0;
    let mut path = None;
    while let Some(attribute) = attribute_at(item, at) {
        let named = attribute.strip_prefix("path=\"").and_then(|rest| rest.strip_suffix(".rs\""));
        path = path.or(named.map(|name| format!("./{name}")));
        at = after_attribute(item, at);
    }
    match item.get(at..)? {
        [TokenTree::Ident(word), TokenTree::Ident(name), ..] if word == "mod" => {
            path.or(Some(name.to_string()))
        }
        _ => None,
    }
}

fn line_of(tree: &TokenTree) -> usize {
    tree.span().start().line
}

fn is_punct(tree: &TokenTree, c: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == c)
}

fn is_path_separator(trees: &[TokenTree]) -> bool {
    let [TokenTree::Punct(first), second, ..] = trees else { return false };
    first.as_char() == ':' && first.spacing() == Spacing::Joint && is_punct(second, ':')
}

/// The inside of the attribute that starts at `at`, as text without blanks.
fn attribute_at(trees: &[TokenTree], at: usize) -> Option<String> {
    if !is_punct(trees.get(at)?, '#') {
        return None;
    }
    match trees.get(after_attribute(trees, at) - 1)? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
            Some(group.stream().to_string().replace(' ', ""))
        }
        _ => None,
    }
}

/// The index after `#[...]` or `#![...]`.
fn after_attribute(trees: &[TokenTree], at: usize) -> usize {
    let is_inner = trees.get(at + 1).is_some_and(|tree| is_punct(tree, '!'));
    at + if is_inner { 3 } else { 2 }
}

/// The index after the item that starts at `at`: its other attributes, and all up to its block, `;` or `,`.
fn after_item(trees: &[TokenTree], mut at: usize) -> usize {
    while attribute_at(trees, at).is_some() {
        at = after_attribute(trees, at);
    }
    // The braces of a use tree do not end it.
    let to_semicolon = matches!(trees.get(at), Some(TokenTree::Ident(word)) if word == "use");
    let is_end = |tree: &TokenTree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !to_semicolon,
        other => is_punct(other, ';') || (is_punct(other, ',') && !to_semicolon),
    };
    let rest = trees.get(at..).unwrap_or_default();
    at + rest.iter().position(is_end).map_or(rest.len(), |last| last + 1)
}

/// Every path of two or more segments, use trees spread out.
fn named_paths(tokens: &[Token]) -> Vec<NamedPath> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if is_word(&tokens[at]) || tokens[at].text == "::" {
            spread(tokens, at, &[], &mut paths)
        } else {
            at + 1
        };
    }
    // A lone word is a variable or an item of this file.
    paths.retain(|path| path.segments.len() > 1);
    paths
}

/// Reads one path at `at`, appends it (or its branches) to `paths` behind `prefix`, and returns the index after it.
fn spread(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<NamedPath>) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens[at].line;
    if tokens[at].text == "::" {
        at += 1;
    }
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| token.text != "}") {
                at = if is_word(&tokens[at]) || ["::", "*"].contains(&tokens[at].text.as_str()) {
                    spread(tokens, at, &segments, paths)
                } else {
                    at + 1
                };
            }
            return at + 1;
        }
        if !is_word(token) && token.text != "*" {
            break;
        }
        segments.push(token.text.clone());
        at += 1;
        if tokens.get(at).is_none_or(|next| next.text != "::") {
            break;
        }
        at += 1;
    }
    if tokens.get(at).is_some_and(|token| token.text == "as") {
        at += 2;
    }
    paths.push(NamedPath { segments, line });
    at
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Whether `path` begins with the segments of `start`, such as `std::env`.
fn starts_with(path: &[String], start: &str) -> bool {
    let num_segments = start.split("::").count();
    path.len() >= num_segments && start.split("::").zip(path).all(|(wanted, segment)| wanted == segment)
}

/// Whether the file `place` is one of `places` or lies in one.
fn is_in(place: &str, places: &[impl AsRef<str>]) -> bool {
    places
        .iter()
        .any(|p| place.strip_prefix(p.as_ref()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether the brackets that follow `cfg` (or `cfg!`) name a feature.
fn names_feature(after_cfg: &[Token]) -> bool {
    let inside =
        if after_cfg.first().is_some_and(|token| token.text == "!") { &after_cfg[1..] } else { after_cfg };
    if inside.first().is_none_or(|token| token.text != "(") {
        return false;
    }
    let mut depth = 0;
    for token in inside {
        match token.text.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            "feature" => return true,
            _ => {}
        }
        if depth == 0 {
            return false;
        }
    }
    false
}

/// Whether the type arguments that follow `Arc` are a lock, by whatever path it is named.
fn wraps_lock(after_arc: &[Token]) -> bool {
    let mut inside = after_arc.iter().skip_while(|token| token.text == "::");
    inside.next().is_some_and(|token| token.text == "<")
        && inside
            .take_while(|token| is_word(token) || token.text == "::")
            .any(|token| ["Mutex", "RwLock"].contains(&token.text.as_str()))
}

/// The words of an identifier or a string in small letters: `Gemma3Policy` is `gemma3` and `policy`.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    for c in text.chars() {
        let is_hump = c.is_uppercase() && !previous.is_uppercase();
        if !c.is_alphanumeric() || is_hump {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("there is always one").extend(c.to_lowercase());
        }
        previous = c;
    }
    words.into_iter()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is part of the tree") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `engine/kv/mod` for the file `engine/kv/mod.rs`.
fn place_of(file: &Path) -> String {
    file.with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}
