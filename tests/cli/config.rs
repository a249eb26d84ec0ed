//! The files in `config/`, and the order of file, environment and flags.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use maru::config::{Config, Environment, Origin, Setting, Sources, entries, keys};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn sources(file: PathBuf) -> Sources {
    Sources { file: Some(file), ..Sources::default() }
}

#[test]
fn default_toml_equals_the_defaults() {
    let config = sources(shipped("default.toml")).load().expect("no faults");
    assert_eq!(config, Config::default());
}

#[test]
fn default_toml_names_every_key_with_a_sentence() {
    let text = std::fs::read_to_string(shipped("default.toml")).expect("readable");
    let (mut section, mut found, mut explained) = (String::new(), BTreeSet::new(), false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            explained = false;
        } else if let Some(name) = assigned_name(line) {
            assert!(explained, "no sentence above {section}.{name}");
            assert!(found.insert(format!("{section}.{name}")), "{section}.{name} stands there twice");
            explained = false;
        } else {
            explained = line.starts_with("# ");
        }
    }
    assert_eq!(found, keys::<Config>().into_iter().collect());
}

/// The key that a line sets, be it commented out because it has no default.
fn assigned_name(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()).then_some(name)
}

#[test]
fn an_example_in_default_toml_is_a_valid_value() {
    let text = std::fs::read_to_string(shipped("default.toml")).expect("readable");
    let unset: Vec<_> =
        entries(&Config::default()).into_iter().filter(|(_, value)| value.is_null()).collect();
    assert!(!unset.is_empty());
    for (key, _) in unset {
        let name = key.rsplit('.').next().expect("a name");
        let commented = format!("# {name} = ");
        assert_eq!(text.matches(&commented).count(), 1, "{key}");
        let used = text.replace(&commented, &format!("{name} = "));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("example.toml");
        std::fs::write(&file, used).expect("writable");
        let config = sources(file).load().unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_ne!(config, Config::default(), "{key}");
    }
}

#[test]
fn every_other_shipped_file_is_free_of_faults() {
    let folder = std::fs::read_dir(shipped("")).expect("a folder");
    let files = folder.map(|entry| entry.expect("an entry").path());
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "toml")) {
        sources(file.clone()).load().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

#[test]
fn flags_stand_above_the_environment_and_that_above_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("maru.toml");
    std::fs::write(&file, "[server]\nport = 1\nhost = \"::1\"\n[engine]\nmax_num_seqs = 3")
        .expect("writable");
    let sources = Sources {
        file: Some(file),
        environment: Environment::of([
            ("MARU__SERVER__PORT", "2"),
            ("MARU__ENGINE__MAX_NUM_SEQS", "4"),
            ("MARU_API_KEY", "sk-one,sk-two"),
        ]),
        flags: vec![Setting::typed("server.port", 3_u16, Origin::Flag("--port".to_owned()))],
        ..Sources::default()
    };
    let config = sources.load().expect("no faults");
    assert_eq!((config.server.port, config.server.host.as_str()), (3, "::1"));
    assert_eq!(config.engine.max_num_seqs, 4);
    let keys: Vec<_> = config.server.api_keys.iter().map(|key| key.expose()).collect();
    assert_eq!(keys, ["sk-one", "sk-two"]);
}

#[test]
fn faults_of_all_sections_and_kinds_come_together() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("maru.toml");
    let text =
        "[server]\nport = 99999\ndrain_delay_s = -1\n[model]\nbackend = \"tpu\"\nblock_size = 24\n[enigne]\n";
    std::fs::write(&file, text).expect("writable");
    let sources = Sources {
        environment: Environment::of([("MARU__ENGINE__MAX_NUM_SEQS", "many"), ("MARU__LOG__LEVEL", "loud")]),
        flags: vec![Setting::text(
            "engine.block_size",
            "32",
            Origin::Flag("--set engine.block_size".to_owned()),
        )],
        ..sources(file)
    };
    let report = sources.load().expect_err("eight faults").to_string();
    let expected = [
        "server.port = 99999 (",
        "server.drain_delay_s = -1 (",
        "model.backend = \"tpu\" (",
        "model.block_size = 24 (",
        "enigne = {} (",
        "engine.max_num_seqs = \"many\" (environment variable MARU__ENGINE__MAX_NUM_SEQS)",
        "log.level = \"loud\" (environment variable MARU__LOG__LEVEL)",
        "engine.block_size = 32 (--set engine.block_size): there is no such key; did you mean model.block_size?",
    ];
    for fault in expected {
        assert!(report.contains(fault), "{fault} is not in:\n{report}");
    }
    assert!(report.starts_with("the configuration has 8 faults"), "{report}");
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let missing = sources(PathBuf::from("/nonexistent/maru.toml")).load().expect_err("missing").to_string();
    assert!(missing.starts_with("/nonexistent/maru.toml: "), "{missing}");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), "[server\n").expect("writable");
    let broken = sources(file.path().to_owned()).load().expect_err("broken").to_string();
    assert!(
        broken.starts_with(file.path().to_str().expect("UTF-8")) && broken.contains("line 1"),
        "{broken}"
    );
}
