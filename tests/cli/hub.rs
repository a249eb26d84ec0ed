//! Downloads from the hub, against a stand-in of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use maru::model::hub::{DownloadProgress, Hub, HubError, HubModel, HubSettings, Patience};
use tempfile::TempDir;

use crate::hub_stand_in::{Behaviour, COMMIT, REPO, StandIn, etag};

/// Writes down what a download reports.
#[derive(Default)]
struct Notes {
    announced: Vec<(usize, u64)>,
    files: Vec<(String, u64, u64)>,
    advanced: u64,
    retries: usize,
    ended: usize,
}

impl DownloadProgress for Notes {
    fn begin(&mut self, num_files: usize, num_bytes: u64) {
        self.announced.push((num_files, num_bytes));
    }
    fn begin_file(&mut self, name: &str, num_bytes: u64, num_present: u64) {
        self.files.push((name.to_owned(), num_bytes, num_present));
    }
    fn advance(&mut self, num_bytes: u64) {
        self.advanced += num_bytes;
    }
    fn retry(&mut self, _reason: &str, _wait: Duration) {
        self.retries += 1;
    }
    fn end_file(&mut self) {
        self.ended += 1;
    }
}

fn weights(seed: u8) -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

/// The files of a small repository, with two that no model needs.
fn files() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("config.json".to_owned(), b"{}".to_vec()),
        ("tokenizer.json".to_owned(), b"{\"model\": {}}".to_vec()),
        ("generation_config.json".to_owned(), b"{\"eos_token_id\": 1}".to_vec()),
        ("model.safetensors".to_owned(), weights(0)),
        ("pytorch_model.bin".to_owned(), weights(1)),
        ("README.md".to_owned(), b"# tiny".to_vec()),
    ])
}

fn hub(endpoint: &str, cache: &TempDir) -> Hub {
    Hub::new(settings(endpoint, cache))
}

fn settings(endpoint: &str, cache: &TempDir) -> HubSettings {
    HubSettings {
        endpoint: endpoint.to_owned(),
        cache_dir: cache.path().join("hub"),
        token: None,
        offline: false,
        patience: Patience {
            max_idle_attempts: 3,
            first_wait: Duration::from_millis(1),
            read_timeout: Duration::from_secs(20),
        },
    }
}

fn tiny() -> HubModel {
    HubModel::new(REPO, "main").expect("a valid name")
}

fn cache() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn repo_folder(cache: &TempDir) -> std::path::PathBuf {
    cache.path().join("hub/models--maru--tiny")
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn only_the_needed_files_come_and_lie_where_huggingface_hub_looks() {
    let (server, cache) = (StandIn::start(Behaviour { files: files(), ..Behaviour::default() }), cache());
    let mut notes = Notes::default();
    let folder = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut notes).expect("a model");

    assert_eq!(folder, repo_folder(&cache).join("snapshots").join(COMMIT));
    let wanted = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
    assert_eq!(names_in(&folder), wanted);
    assert_eq!(fs::read_to_string(repo_folder(&cache).join("refs/main")).expect("a ref"), COMMIT);
    assert_eq!(names_in(&repo_folder(&cache).join("refs")), ["main"]);
    let mut blobs: Vec<_> = wanted.iter().map(|name| etag(name, &files()[*name])).collect();
    blobs.sort();
    assert_eq!(names_in(&repo_folder(&cache).join("blobs")), blobs);
    for name in wanted {
        assert_eq!(fs::read(folder.join(name)).expect("readable"), files()[name]);
        let target = fs::read_link(folder.join(name)).expect("a symbolic link");
        assert_eq!(target, Path::new("../../blobs").join(etag(name, &files()[name])));
    }
    let all: u64 = wanted.iter().map(|name| files()[*name].len() as u64).sum();
    assert_eq!((notes.announced.as_slice(), notes.advanced, notes.ended), ([(4, all)].as_slice(), all, 4));
}

#[test]
fn a_second_start_fetches_nothing() {
    let (server, cache) = (StandIn::start(Behaviour { files: files(), ..Behaviour::default() }), cache());
    hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default()).expect("a model");
    let before = server.seen().len();
    let mut notes = Notes::default();
    hub(&server.endpoint(), &cache).fetch(&tiny(), &mut notes).expect("a model");
    assert_eq!(server.seen().len(), before + 1, "one question for the commit");
    assert!(notes.files.is_empty());
}

#[test]
fn a_cut_connection_is_resumed_to_equal_bytes() {
    let cuts = BTreeMap::from([("model.safetensors".to_owned(), vec![100_000, 0, 50_000])]);
    let (server, cache) =
        (StandIn::start(Behaviour { files: files(), cuts, ..Behaviour::default() }), cache());
    let mut notes = Notes::default();
    let folder = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut notes).expect("a model");
    assert_eq!(fs::read(folder.join("model.safetensors")).expect("readable"), weights(0));
    let starts = ["bytes=0-", "bytes=100000-", "bytes=100000-", "bytes=150000-"];
    assert_eq!(server.ranges_of("model.safetensors"), starts);
    assert_eq!(notes.retries, 3);
}

#[test]
fn a_download_given_up_is_resumed_by_the_next_start() {
    let cuts = BTreeMap::from([("model.safetensors".to_owned(), vec![100_000, 0, 0])]);
    let (server, cache) =
        (StandIn::start(Behaviour { files: files(), cuts, ..Behaviour::default() }), cache());
    let given_up = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default());
    assert!(matches!(given_up, Err(HubError::Unreachable { .. })), "{given_up:?}");
    assert!(!repo_folder(&cache).join("refs").exists(), "half a snapshot has no name");

    let mut notes = Notes::default();
    let folder = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut notes).expect("a model");
    assert_eq!(fs::read(folder.join("model.safetensors")).expect("readable"), weights(0));
    assert_eq!(notes.files, [("model.safetensors".to_owned(), 300_000, 100_000)]);
    assert_eq!(notes.advanced, 200_000);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let cuts = BTreeMap::from([("model.safetensors".to_owned(), vec![100_000])]);
    let behaviour = Behaviour { files: files(), cuts, no_ranges: true, ..Behaviour::default() };
    let (server, cache) = (StandIn::start(behaviour), cache());
    let folder = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default()).expect("a model");
    assert_eq!(fs::read(folder.join("model.safetensors")).expect("readable"), weights(0));
}

#[test]
fn a_damaged_file_is_removed_and_named() {
    let damaged = Some("model.safetensors".to_owned());
    let (server, cache) =
        (StandIn::start(Behaviour { files: files(), damaged, ..Behaviour::default() }), cache());
    let error = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default());
    assert!(matches!(&error, Err(HubError::Corrupt { file }) if file == "model.safetensors"), "{error:?}");
    let left = names_in(&repo_folder(&cache).join("blobs"));
    assert!(left.iter().all(|name| name.len() == 40), "no weights: {left:?}");
}

#[test]
fn shards_come_by_the_index() {
    let mut files = files();
    files.remove("model.safetensors");
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    files.insert("model.safetensors.index.json".to_owned(), index.as_bytes().to_vec());
    for shard in 1..=3 {
        files.insert(format!("model-{shard}.safetensors"), weights(shard));
    }
    let (server, cache) = (StandIn::start(Behaviour { files, ..Behaviour::default() }), cache());
    let folder = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default()).expect("a model");
    assert_eq!(fs::read(folder.join("model-2.safetensors")).expect("readable"), weights(2));
    assert!(!folder.join("model-3.safetensors").exists(), "a shard that the index does not name");

    fs::remove_file(folder.join("model-2.safetensors")).expect("removable");
    let offline = Hub::new(HubSettings { offline: true, ..settings(&server.endpoint(), &cache) });
    let error = offline.fetch(&tiny(), &mut Notes::default()).expect_err("incomplete").to_string();
    assert!(error.contains("model-2.safetensors is not in the cache"), "{error}");
}

#[test]
fn offline_opens_no_connection_and_names_what_is_missing() {
    let (server, cache) = (StandIn::start(Behaviour { files: files(), ..Behaviour::default() }), cache());
    let offline = Hub::new(HubSettings { offline: true, ..settings(&server.endpoint(), &cache) });
    let error = offline.fetch(&tiny(), &mut Notes::default()).expect_err("an empty cache").to_string();
    assert!(error.contains("maru/tiny at main: config.json is not in the cache"), "{error}");
    assert!(server.seen().is_empty());

    let folder = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default()).expect("a model");
    let before = server.seen().len();
    assert_eq!(offline.fetch(&tiny(), &mut Notes::default()).expect("cached"), folder);
    let pinned = HubModel::new(REPO, COMMIT).expect("a commit");
    assert_eq!(offline.fetch(&pinned, &mut Notes::default()).expect("cached"), folder);
    assert_eq!(server.seen().len(), before);
}

#[test]
fn a_cached_model_serves_while_the_hub_is_out_of_reach() {
    let (server, cache) = (StandIn::start(Behaviour { files: files(), ..Behaviour::default() }), cache());
    let folder = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default()).expect("a model");
    let down = StandIn::start(Behaviour { status: Some(503), ..Behaviour::default() });
    assert_eq!(hub(&down.endpoint(), &cache).fetch(&tiny(), &mut Notes::default()).expect("cached"), folder);
}

#[test]
fn a_busy_hub_is_asked_again() {
    let behaviour = Behaviour { files: files(), busy: 2, ..Behaviour::default() };
    let (server, cache) = (StandIn::start(behaviour), cache());
    hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default()).expect("a model");
}

#[test]
fn refusals_say_what_to_do() {
    let cases = [(401, "HF_TOKEN"), (403, "ask for it"), (404, "no such model or no revision `main`")];
    for (status, hint) in cases {
        let (server, cache) =
            (StandIn::start(Behaviour { status: Some(status), ..Behaviour::default() }), cache());
        let error = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default());
        let text = error.expect_err("refused").to_string();
        assert!(text.contains(hint) && text.contains(REPO), "{text}");
    }
}

#[test]
fn a_repository_without_safetensors_is_refused_by_name() {
    let mut files = files();
    files.remove("model.safetensors");
    let (server, cache) = (StandIn::start(Behaviour { files, ..Behaviour::default() }), cache());
    let error = hub(&server.endpoint(), &cache).fetch(&tiny(), &mut Notes::default());
    assert!(
        matches!(&error, Err(HubError::MissingFile { file, .. }) if file == "model.safetensors"),
        "{error:?}"
    );
}

#[test]
fn the_token_goes_to_the_hub() {
    let (server, cache) = (StandIn::start(Behaviour { files: files(), ..Behaviour::default() }), cache());
    let token = Some("hf_secret".to_owned());
    let hub = Hub::new(HubSettings { token, ..settings(&server.endpoint(), &cache) });
    hub.fetch(&tiny(), &mut Notes::default()).expect("a model");
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret")), "{seen:?}");
}

#[test]
fn weights_on_another_host_come_without_the_token() {
    let weights_host = Some("localhost".to_owned());
    let behaviour = Behaviour { files: files(), weights_host, ..Behaviour::default() };
    let (server, cache) = (StandIn::start(behaviour), cache());
    let token = Some("hf_secret".to_owned());
    let hub = Hub::new(HubSettings { token, ..settings(&server.endpoint(), &cache) });
    let folder = hub.fetch(&tiny(), &mut Notes::default()).expect("a model");
    assert_eq!(fs::read(folder.join("model.safetensors")).expect("readable"), weights(0));
    let elsewhere: Vec<_> =
        server.seen().into_iter().filter(|seen| seen.path.starts_with("/elsewhere/")).collect();
    assert!(
        !elsewhere.is_empty() && elsewhere.iter().all(|seen| seen.authorization.is_none()),
        "{elsewhere:?}"
    );
}
