//! Where a model's files are: a folder, or bytes inside the executable.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maru_kernels::MappedFile;

use super::LoadError;
use super::weights::WeightBytes;

/// Largest file that is read whole (`config.json`, an index, a tokenizer).
pub const MAX_TEXT_FILE_BYTES: u64 = 256 << 20;

/// Where a model's files are.
#[derive(Debug, Clone)]
pub enum ModelSource {
    /// A folder in Hugging Face format.
    Folder(PathBuf),
    /// Files that are part of the executable.
    Embedded(&'static [EmbeddedFile]),
}

/// A file that is part of the executable.
#[derive(Clone, Copy)]
pub struct EmbeddedFile {
    /// The name that it would have in a model's folder.
    pub name: &'static str,
    /// Its contents.
    pub bytes: &'static [u8],
}

impl fmt::Debug for EmbeddedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

impl ModelSource {
    /// The path of a file, for messages; embedded files are below `<embedded>`.
    pub fn path(&self, name: &str) -> PathBuf {
        match self {
            ModelSource::Folder(folder) => folder.join(name),
            ModelSource::Embedded(_) => Path::new("<embedded>").join(name),
        }
    }

    /// The contents of a small file, or none if the source does not have it.
    ///
    /// # Errors
    /// [`LoadError::Io`] if it exists and cannot be read, [`LoadError::Malformed`] if it is larger
    /// than [`MAX_TEXT_FILE_BYTES`].
    pub fn read_optional(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, LoadError> {
        let folder = match self {
            ModelSource::Folder(folder) => folder,
            ModelSource::Embedded(files) => {
                let file = files.iter().find(|file| file.name == name);
                return Ok(file.map(|file| Cow::Borrowed(file.bytes)));
            }
        };
        let path = folder.join(name);
        let io = |source| LoadError::Io { path: path.clone(), source };
        let length = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        if length > MAX_TEXT_FILE_BYTES {
            let reason = format!("{length} bytes are more than the limit of {MAX_TEXT_FILE_BYTES}");
            return Err(LoadError::Malformed { path, reason });
        }
        std::fs::read(&path).map(|bytes| Some(Cow::Owned(bytes))).map_err(io)
    }

    /// The contents of a small file that has to be there.
    ///
    /// # Errors
    /// As [`ModelSource::read_optional`], and [`LoadError::Io`] if it is missing.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, LoadError> {
        self.read_optional(name)?.ok_or_else(|| LoadError::Io {
            path: self.path(name),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })
    }

    /// The names of the files, sorted; sub-folders are left out.
    ///
    /// # Errors
    /// [`LoadError::Io`] if the folder cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, LoadError> {
        let folder = match self {
            ModelSource::Folder(folder) => folder,
            ModelSource::Embedded(files) => {
                return Ok(files.iter().map(|file| file.name.to_owned()).collect());
            }
        };
        let io = |source| LoadError::Io { path: folder.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            if !entry.path().is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The bytes of a weight file, mapped or embedded. `name` has to be a plain file name.
    ///
    /// # Errors
    /// [`LoadError::Io`] if the file is missing or cannot be mapped.
    pub(super) fn weight_bytes(&self, name: &str) -> Result<WeightBytes, LoadError> {
        let path = self.path(name);
        let io = |source| LoadError::Io { path: path.clone(), source };
        match self {
            ModelSource::Folder(_) => {
                MappedFile::open(&path).map(|map| WeightBytes::Mapped(Arc::new(map))).map_err(io)
            }
            ModelSource::Embedded(files) => {
                let file = files.iter().find(|file| file.name == name);
                let missing = || io(std::io::Error::from(std::io::ErrorKind::NotFound));
                file.map(|file| WeightBytes::Static(file.bytes)).ok_or_else(missing)
            }
        }
    }
}
