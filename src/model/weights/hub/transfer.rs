//! The way of one file from the hub into the cache: resumed, checked, then named.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{DownloadProgress, Hub, HubError, HubModel, RemoteFile, Snapshot, is_transient};

/// Bytes read from the socket at a time.
const READ_SIZE: usize = 64 * 1024;

/// How one attempt at a transfer ended.
enum Attempt {
    Complete,
    /// It may be tried again.
    Broken(String),
}

impl Hub {
    /// Fetches one file into its blob and links it into the snapshot.
    pub(super) fn fetch_file(
        &self,
        snapshot: &Snapshot<'_>,
        file: &RemoteFile,
        progress: &mut dyn DownloadProgress,
    ) -> Result<(), HubError> {
        let blob = snapshot.repo.blob_path(&file.etag);
        let pointer = snapshot.folder.join(&file.name);
        create_parent(&blob)?;
        create_parent(&pointer)?;
        let _lock = self.lock_blob(snapshot.model, &file.etag)?;
        if blob.exists() {
            progress.begin_file(&file.name, file.num_bytes, file.num_bytes);
        } else {
            let part = blob.with_extension("part");
            self.transfer(&self.file_url(snapshot, &file.name), file, &part, progress)?;
            check_blob(&part, file)?;
            fs::rename(&part, &blob).map_err(|source| HubError::Io { path: blob.clone(), source })?;
        }
        link(&blob, &pointer).map_err(|source| HubError::Io { path: pointer, source })?;
        progress.end_file();
        Ok(())
    }

    /// Keeps other processes, Python's included, from fetching the same blob at the same time.
    fn lock_blob(&self, model: &HubModel, etag: &str) -> Result<fs::File, HubError> {
        let folder = self.cache.path().join(".locks").join(model.at(&model.revision).folder_name());
        let path = folder.join(format!("{etag}.lock"));
        create_parent(&path)?;
        let open = || {
            let file = fs::File::options().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(|source| HubError::Io { path: path.clone(), source })
    }

    /// Appends to `part` until it is whole, over as many connections as that takes.
    fn transfer(
        &self,
        url: &str,
        file: &RemoteFile,
        part: &Path,
        progress: &mut dyn DownloadProgress,
    ) -> Result<(), HubError> {
        let io_error = |source| HubError::Io { path: part.to_owned(), source };
        let mut output = fs::File::options().create(true).append(true).open(part).map_err(io_error)?;
        let mut present = output.metadata().map_err(io_error)?.len();
        if present > file.num_bytes {
            output.set_len(0).map_err(io_error)?;
            present = 0;
        }
        progress.begin_file(&file.name, file.num_bytes, present);
        let mut idle_attempts = 0;
        while present < file.num_bytes {
            let before = present;
            let attempt = self.transfer_once(url, file, &mut output, &mut present, progress)?;
            let Attempt::Broken(reason) = attempt else { break };
            idle_attempts = if present > before { 1 } else { idle_attempts + 1 };
            if idle_attempts >= self.settings.patience.max_idle_attempts {
                return Err(HubError::Unreachable { url: url.to_owned(), reason });
            }
            let wait = self.wait_after(idle_attempts);
            progress.retry(&reason, wait);
            std::thread::sleep(wait);
        }
        output.sync_all().map_err(io_error)
    }

    /// One connection's worth of a transfer, from `present` on.
    fn transfer_once(
        &self,
        url: &str,
        file: &RemoteFile,
        output: &mut fs::File,
        present: &mut u64,
        progress: &mut dyn DownloadProgress,
    ) -> Result<Attempt, HubError> {
        let request = self.authorized(self.agent.get(url)).header("range", format!("bytes={present}-"));
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Broken(error.to_string())),
        };
        let status = response.status().as_u16();
        if is_transient(status) {
            return Ok(Attempt::Broken(format!("status {status}")));
        }
        let io_error = |source| HubError::Io { path: PathBuf::from(&file.name), source };
        match status {
            206 => {
                let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
                let expected = format!("bytes {present}-");
                if !range.is_some_and(|range| range.starts_with(&expected)) {
                    let reason = format!("asked for {expected}, got {}", range.unwrap_or("no range"));
                    return Err(HubError::Protocol { url: url.to_owned(), reason });
                }
            }
            // The whole file: the server knows no ranges, so what is there cannot be continued.
            200 => {
                output.set_len(0).map_err(io_error)?;
                *present = 0;
            }
            _ => {
                let reason = format!("status {status}");
                return Err(HubError::Protocol { url: url.to_owned(), reason });
            }
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) if *present < file.num_bytes => {
                    return Ok(Attempt::Broken("the connection was closed".to_owned()));
                }
                Ok(0) => return Ok(Attempt::Complete),
                Ok(count) => count,
                Err(error) => return Ok(Attempt::Broken(error.to_string())),
            };
            if *present + count as u64 > file.num_bytes {
                let reason = format!("more than the {} bytes announced", file.num_bytes);
                return Err(HubError::Protocol { url: url.to_owned(), reason });
            }
            output.write_all(&buffer[..count]).map_err(io_error)?;
            *present += count as u64;
            progress.advance(count as u64);
        }
    }
}

/// Holds a transferred file against its length and, where the etag is one, its SHA-256; removes it if it differs.
fn check_blob(part: &Path, file: &RemoteFile) -> Result<(), HubError> {
    let io_error = |source| HubError::Io { path: part.to_owned(), source };
    let is_sha256 = file.etag.len() == 64 && file.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    let whole = fs::metadata(part).map_err(io_error)?.len() == file.num_bytes;
    if whole && (!is_sha256 || sha256_of(part).map_err(io_error)? == file.etag.to_ascii_lowercase()) {
        return Ok(());
    }
    fs::remove_file(part).map_err(io_error)?;
    Err(HubError::Corrupt { file: file.name.clone() })
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn create_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().expect("a path inside the cache has a parent");
    fs::create_dir_all(parent).map_err(|source| HubError::Io { path: parent.to_owned(), source })
}

/// Points `snapshots/COMMIT/FILE` at `blobs/ETAG`, relatively, so that the cache can be moved.
#[cfg(unix)]
fn link(blob: &Path, pointer: &Path) -> io::Result<()> {
    let name = blob.file_name().expect("a blob has a name");
    match std::os::unix::fs::symlink(Path::new("../../blobs").join(name), pointer) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Without symbolic links the file itself moves into the snapshot, as `huggingface_hub` does there.
#[cfg(not(unix))]
fn link(blob: &Path, pointer: &Path) -> io::Result<()> {
    if pointer.exists() { Ok(()) } else { fs::rename(blob, pointer) }
}
