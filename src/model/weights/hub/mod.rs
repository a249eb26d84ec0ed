//! Files of a model repository, fetched from the hub into the cache that Python's `huggingface_hub` shares.
//!
//! Layout, addresses and names are `hf-hub`'s. The transfer is our own: it resumes after a cut connection, gives up
//! on a silent one, checks what arrived, and reports its progress. A snapshot is one commit: the revision is resolved
//! once and every file is fetched at that commit, so an update in between cannot mix two versions.

mod error;
mod transfer;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::RepoInfo;
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

pub use error::HubError;

/// Files without which a folder is not a model.
const REQUIRED_FILES: [&str; 2] = ["config.json", "tokenizer.json"];
/// Files that are fetched where the repository has them.
const OPTIONAL_FILES: [&str; 4] =
    ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];
/// The weights in one file.
const WEIGHTS: &str = "model.safetensors";
/// The table of shards of weights in several files.
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// Relative redirects followed for a file's facts; those to another host end the search.
const MAX_RELATIVE_REDIRECTS: usize = 5;

/// Where the hub is, where its files are kept, and how long to wait for them.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Folder of the cache: the one that holds `models--OWNER--NAME`.
    pub cache_dir: PathBuf,
    /// Access token, sent to the hub only.
    pub token: Option<String>,
    /// Use the cache alone and open no connection.
    pub offline: bool,
    /// What to do about a slow or broken connection.
    pub patience: Patience,
}

/// How long a transfer waits and how often it tries again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts in a row that may end without one new byte.
    pub max_idle_attempts: u32,
    /// Wait after the first idle attempt; it doubles with each further one, up to 8 s.
    pub first_wait: Duration,
    /// Longest silence of an open connection.
    pub read_timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            max_idle_attempts: 6,
            first_wait: Duration::from_millis(500),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// Is told how a download goes.
pub trait DownloadProgress {
    /// `num_files` files of `num_bytes` bytes in all are about to be fetched.
    fn begin(&mut self, num_files: usize, num_bytes: u64);
    /// The next file begins; `num_present` of its `num_bytes` bytes are there from an earlier attempt.
    fn begin_file(&mut self, name: &str, num_bytes: u64, num_present: u64);
    /// `num_bytes` more bytes have arrived.
    fn advance(&mut self, num_bytes: u64);
    /// The connection failed; the transfer goes on after `wait`.
    fn retry(&mut self, reason: &str, wait: Duration);
    /// The file is complete and checked.
    fn end_file(&mut self);
}

/// A model repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    repo_id: String,
    revision: String,
}

impl HubModel {
    /// The model `OWNER/NAME` at a branch, tag or commit.
    ///
    /// # Errors
    /// If the name or the revision cannot be one.
    pub fn new(repo_id: &str, revision: &str) -> Result<Self, HubError> {
        if !is_repo_id(repo_id) {
            return Err(HubError::InvalidId(repo_id.to_owned()));
        }
        let revision_is_valid = revision.split('/').all(is_plain_name);
        if !revision_is_valid {
            return Err(HubError::InvalidRevision(revision.to_owned()));
        }
        Ok(Self { repo_id: repo_id.to_owned(), revision: revision.to_owned() })
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo_id.clone(), RepoType::Model, revision.to_owned())
    }
}

/// Whether `text` has the form `OWNER/NAME` of a model on the hub.
pub fn is_repo_id(text: &str) -> bool {
    text.split('/').count() == 2 && text.split('/').all(is_plain_name)
}

/// Whether `name` is a single, visible path component made of the letters that the hub allows.
fn is_plain_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && !name.starts_with('.') && !name.contains("..") && name.chars().all(allowed)
}

/// A client of the hub.
#[derive(Debug)]
pub struct Hub {
    settings: HubSettings,
    cache: Cache,
    agent: ureq::Agent,
    /// Follows no redirect: the facts of a large file are in the redirect itself.
    facts_agent: ureq::Agent,
}

/// What the hub says of a file before it is fetched.
#[derive(Debug)]
struct RemoteFile {
    name: String,
    /// Name of the blob: SHA-256 of large files, git's SHA-1 of small ones.
    etag: String,
    num_bytes: u64,
}

impl Hub {
    /// A client with these settings.
    pub fn new(settings: HubSettings) -> Self {
        let config = || {
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .accept_encoding("identity")
                .user_agent(concat!("maru/", env!("CARGO_PKG_VERSION")))
                .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
                .timeout_connect(Some(settings.patience.read_timeout))
                .timeout_recv_response(Some(settings.patience.read_timeout))
                .timeout_per_read(Some(settings.patience.read_timeout))
        };
        let agent = config().build().new_agent();
        let facts_agent = config().max_redirects(0).max_redirects_will_error(false).build().new_agent();
        let cache = Cache::new(settings.cache_dir.clone());
        Self { settings, cache, agent, facts_agent }
    }

    /// Makes the files of `model` present and returns their folder.
    ///
    /// # Errors
    /// [`HubError`] says what is missing and what to do about it.
    pub fn fetch(&self, model: &HubModel, progress: &mut dyn DownloadProgress) -> Result<PathBuf, HubError> {
        if self.settings.offline {
            return self.cached_snapshot(model);
        }
        let info = match self.repo_info(model) {
            Ok(info) => info,
            Err(unreachable @ HubError::Unreachable { .. }) => {
                return match self.cached_snapshot(model) {
                    Ok(folder) => {
                        tracing::warn!(error = %unreachable, "the hub is out of reach: using the cached model");
                        Ok(folder)
                    }
                    Err(_) => Err(unreachable),
                };
            }
            Err(error) => return Err(error),
        };
        let names: BTreeSet<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
        let snapshot = Snapshot {
            model,
            commit: &info.sha,
            repo: self.cache.repo(model.at(&info.sha)),
            folder: self.cache.repo(model.at(&info.sha)).pointer_path(&info.sha),
        };
        self.fetch_files(&snapshot, &snapshot.plain_files(&names)?, progress)?;
        if !names.contains(WEIGHTS) {
            let shards = snapshot.shards(&names)?;
            self.fetch_files(&snapshot, &shards, progress)?;
        }
        self.write_ref(model, &info.sha)?;
        Ok(snapshot.folder)
    }

    /// The folder of the cached snapshot, if it is whole.
    fn cached_snapshot(&self, model: &HubModel) -> Result<PathBuf, HubError> {
        let not_cached = |file: &str| HubError::NotCached {
            repo: model.repo_id.clone(),
            revision: model.revision.clone(),
            file: file.to_owned(),
            cache_dir: self.settings.cache_dir.clone(),
        };
        let reference = self.repo_folder(model).join("refs").join(&model.revision);
        let commit = fs::read_to_string(reference).unwrap_or_else(|_| model.revision.clone());
        let folder = self.cache.repo(model.at(&model.revision)).pointer_path(commit.trim());
        for file in REQUIRED_FILES {
            if !folder.join(file).exists() {
                return Err(not_cached(file));
            }
        }
        if folder.join(WEIGHTS).exists() {
            return Ok(folder);
        }
        let index = folder.join(WEIGHTS_INDEX);
        if !index.exists() {
            return Err(not_cached(WEIGHTS));
        }
        match shard_names(&index, &model.repo_id)?.iter().find(|shard| !folder.join(shard).exists()) {
            Some(shard) => Err(not_cached(shard)),
            None => Ok(folder),
        }
    }

    fn repo_folder(&self, model: &HubModel) -> PathBuf {
        self.cache.path().join(model.at(&model.revision).folder_name())
    }

    /// Notes which commit a branch or tag stood for. A commit needs no note.
    fn write_ref(&self, model: &HubModel, commit: &str) -> Result<(), HubError> {
        if model.revision == commit {
            return Ok(());
        }
        let repo = self.cache.repo(model.at(&model.revision));
        repo.create_ref(commit).map_err(|source| HubError::Io { path: self.repo_folder(model), source })
    }

    /// The commit and the files of a revision.
    fn repo_info(&self, model: &HubModel) -> Result<RepoInfo, HubError> {
        let repo = model.at(&model.revision);
        let url = format!("{}/api/{}", self.settings.endpoint, repo.api_url());
        let mut response = self.call_with_retries(&url, || self.authorized(self.agent.get(&url)))?;
        self.check_status(model, &url, response.status().as_u16())?;
        let info: RepoInfo = response
            .body_mut()
            .read_json()
            .map_err(|error| HubError::Protocol { url: url.clone(), reason: error.to_string() })?;
        if !is_plain_name(&info.sha) {
            return Err(HubError::Protocol { url, reason: format!("`{}` is not a commit", info.sha) });
        }
        Ok(info)
    }

    /// Asks for what is needed to name, place and check each file, then fetches what is not there yet.
    fn fetch_files(
        &self,
        snapshot: &Snapshot<'_>,
        names: &[String],
        progress: &mut dyn DownloadProgress,
    ) -> Result<(), HubError> {
        let mut missing = Vec::new();
        for name in names.iter().filter(|name| !snapshot.folder.join(name).exists()) {
            missing.push(self.remote_file(snapshot, name)?);
        }
        if missing.is_empty() {
            return Ok(());
        }
        progress.begin(missing.len(), missing.iter().map(|file| file.num_bytes).sum());
        for file in &missing {
            self.fetch_file(snapshot, file, progress)?;
        }
        Ok(())
    }

    /// The address of a file at the snapshot's commit.
    fn file_url(&self, snapshot: &Snapshot<'_>, name: &str) -> String {
        format!("{}/{}/resolve/{}/{name}", self.settings.endpoint, snapshot.model.repo_id, snapshot.commit)
    }

    fn remote_file(&self, snapshot: &Snapshot<'_>, name: &str) -> Result<RemoteFile, HubError> {
        let mut url = self.file_url(snapshot, name);
        for _ in 0..=MAX_RELATIVE_REDIRECTS {
            let response = self.call_with_retries(&url, || self.authorized(self.facts_agent.head(&url)))?;
            let header = |key: &str| response.headers().get(key).and_then(|value| value.to_str().ok());
            let is_redirect = response.status().is_redirection();
            if let (true, Some(path)) = (is_redirect, header("location").filter(|to| to.starts_with('/'))) {
                url = format!("{}{path}", origin_of(&self.settings.endpoint));
                continue;
            }
            if !is_redirect {
                self.check_status(snapshot.model, &url, response.status().as_u16())?;
            }
            let missing = |what: &str| HubError::Protocol { url: url.clone(), reason: format!("no {what}") };
            let etag = header("x-linked-etag").or(header("etag")).ok_or_else(|| missing("etag"))?;
            let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
            if !is_plain_name(&etag) {
                return Err(HubError::Protocol {
                    url,
                    reason: format!("`{etag}` is not an etag of the hub"),
                });
            }
            let num_bytes = header("x-linked-size")
                .or(header("content-length"))
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| missing("size"))?;
            return Ok(RemoteFile { name: name.to_owned(), etag, num_bytes });
        }
        Err(HubError::Protocol { url, reason: "too many redirects".to_owned() })
    }

    /// Sends a request without a body until it is answered; waits longer each time.
    fn call_with_retries(
        &self,
        url: &str,
        request: impl Fn() -> ureq::RequestBuilder<ureq::typestate::WithoutBody>,
    ) -> Result<ureq::http::Response<ureq::Body>, HubError> {
        let mut attempts = 0;
        loop {
            let reason = match request().call() {
                Ok(response) if !is_transient(response.status().as_u16()) => return Ok(response),
                Ok(response) => format!("status {}", response.status().as_u16()),
                Err(error) => error.to_string(),
            };
            attempts += 1;
            if attempts >= self.settings.patience.max_idle_attempts {
                return Err(HubError::Unreachable { url: url.to_owned(), reason });
            }
            std::thread::sleep(self.wait_after(attempts));
        }
    }

    fn wait_after(&self, attempts: u32) -> Duration {
        let doubled = self.settings.patience.first_wait * 2_u32.pow(attempts.saturating_sub(1).min(10));
        doubled.min(Duration::from_secs(8))
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.settings.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn check_status(&self, model: &HubModel, url: &str, status: u16) -> Result<(), HubError> {
        let repo = model.repo_id.clone();
        match status {
            200..=299 => Ok(()),
            401 => Err(HubError::Unauthorized { repo, status }),
            403 => Err(HubError::Forbidden { repo, endpoint: self.settings.endpoint.clone() }),
            404 => Err(HubError::NotFound { repo, revision: model.revision.clone() }),
            _ => Err(HubError::Protocol { url: url.to_owned(), reason: format!("status {status}") }),
        }
    }
}

/// A model at one commit, on its way into the cache.
struct Snapshot<'a> {
    model: &'a HubModel,
    commit: &'a str,
    repo: CacheRepo,
    folder: PathBuf,
}

impl Snapshot<'_> {
    /// The files to fetch first: all but the shards.
    fn plain_files(&self, names: &BTreeSet<&str>) -> Result<Vec<String>, HubError> {
        let missing =
            |file: &str| HubError::MissingFile { repo: self.model.repo_id.clone(), file: file.to_owned() };
        if let Some(file) = REQUIRED_FILES.into_iter().find(|file| !names.contains(file)) {
            return Err(missing(file));
        }
        let weights = [WEIGHTS, WEIGHTS_INDEX].into_iter().find(|file| names.contains(file));
        let weights = weights.ok_or_else(|| missing(WEIGHTS))?;
        let optional = OPTIONAL_FILES.into_iter().filter(|file| names.contains(file));
        Ok(REQUIRED_FILES.into_iter().chain(optional).chain([weights]).map(str::to_owned).collect())
    }

    /// The shards that the fetched index names.
    fn shards(&self, names: &BTreeSet<&str>) -> Result<Vec<String>, HubError> {
        let shards = shard_names(&self.folder.join(WEIGHTS_INDEX), &self.model.repo_id)?;
        match shards.iter().find(|shard| !names.contains(shard.as_str())) {
            Some(shard) => Err(HubError::ForeignShard {
                repo: self.model.repo_id.clone(),
                file: WEIGHTS_INDEX.to_owned(),
                shard: shard.clone(),
            }),
            None => Ok(shards),
        }
    }
}

/// The files named in the `weight_map` of an index, each a plain name, sorted.
fn shard_names(index: &Path, repo_id: &str) -> Result<Vec<String>, HubError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let io_error = |source| HubError::Io { path: index.to_owned(), source };
    let text = fs::read_to_string(index).map_err(io_error)?;
    let index: Index = serde_json::from_str(&text).map_err(|error| io_error(error.into()))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if let Some(shard) = shards.iter().find(|shard| !is_plain_name(shard)) {
        return Err(HubError::ForeignShard {
            repo: repo_id.to_owned(),
            file: WEIGHTS_INDEX.to_owned(),
            shard: shard.clone(),
        });
    }
    Ok(shards.into_iter().collect())
}

/// Whether a status may go away by itself.
fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// Scheme and host of an address.
fn origin_of(endpoint: &str) -> &str {
    let host_start = endpoint.find("://").map_or(0, |at| at + 3);
    let end = endpoint[host_start..].find('/').map_or(endpoint.len(), |at| host_start + at);
    &endpoint[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owner_and_name_make_a_model_id() {
        assert!(is_repo_id("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct"));
        for text in ["demo", "a/b/c", "/a", "a/", "../a", "a/..", "./a", "a/b?c", "a/.git", "a b/c"] {
            assert!(!is_repo_id(text), "{text}");
        }
    }

    #[test]
    fn a_revision_cannot_leave_its_folder() {
        assert!(HubModel::new("a/b", "refs/pr/1").is_ok());
        for revision in ["", "../x", "a//b", "/x", "a\\b", "a b"] {
            assert!(
                matches!(HubModel::new("a/b", revision), Err(HubError::InvalidRevision(_))),
                "{revision}"
            );
        }
    }

    #[test]
    fn an_index_that_names_a_path_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let index = folder.path().join(WEIGHTS_INDEX);
        fs::write(&index, r#"{"weight_map": {"a": "../../evil.safetensors"}}"#).expect("writable");
        assert!(matches!(shard_names(&index, "a/b"), Err(HubError::ForeignShard { .. })));
    }

    #[test]
    fn the_origin_is_scheme_and_host() {
        assert_eq!(origin_of("http://127.0.0.1:80/mirror"), "http://127.0.0.1:80");
        assert_eq!(origin_of("https://hub.example"), "https://hub.example");
    }
}
