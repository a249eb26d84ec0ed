//! A checkpoint: which weight files a model has, and its tensors by name.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::safetensors::{self, TensorEntry};
use super::{Weight, WeightBytes, WeightFormat};
use crate::model::{LoadError, ModelSource};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Most files that an index may name.
const MAX_SHARDS: usize = 10_000;

/// The tensors of a model; each is taken once.
#[derive(Debug)]
pub(in crate::model) struct Checkpoint {
    /// The single file or the index, for messages about tensors that are missing.
    path: PathBuf,
    tensors: HashMap<String, Located>,
}

#[derive(Debug)]
struct Located {
    path: PathBuf,
    file: WeightBytes,
    entry: TensorEntry,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

impl Checkpoint {
    /// Finds and maps the weight files of a model, and reads their headers.
    ///
    /// # Errors
    /// [`LoadError`] if there is no safetensors file, or an index or header is not right.
    pub(in crate::model) fn open(source: &ModelSource) -> Result<Self, LoadError> {
        refuse_file(source)?;
        let names = source.names()?;
        let has = |name: &str| names.iter().any(|other| other == name);
        match (has(SINGLE), has(INDEX)) {
            (true, _) => Self::open_files(source, SINGLE, [SINGLE].map(str::to_owned).into()),
            (false, true) => Self::open_index(source),
            (false, false) => Err(unsupported(source, &names)),
        }
    }

    fn open_index(source: &ModelSource) -> Result<Self, LoadError> {
        let path = source.path(INDEX);
        let malformed = |reason: String| LoadError::Malformed { path: path.clone(), reason };
        let index: Index = serde_json::from_slice(&source.read(INDEX)?)
            .map_err(|error| malformed(format!("not an index of weights: {error}")))?;
        let files: BTreeSet<String> = index.weight_map.values().cloned().collect();
        if files.is_empty() || files.len() > MAX_SHARDS {
            return Err(malformed(format!("{} files, expected 1 to {MAX_SHARDS}", files.len())));
        }
        if let Some(name) = files.iter().find(|name| !is_plain_file_name(name)) {
            return Err(malformed(format!("{name:?} is not the name of a safetensors file of this folder")));
        }
        let checkpoint = Self::open_files(source, INDEX, files)?;
        for (tensor, file) in &index.weight_map {
            let located = checkpoint.tensors.get(tensor);
            if located.is_none_or(|located| located.path != source.path(file)) {
                let path = source.path(file);
                return Err(LoadError::MissingTensor { path, tensor: tensor.clone() });
            }
        }
        Ok(checkpoint)
    }

    fn open_files(source: &ModelSource, listed_in: &str, files: BTreeSet<String>) -> Result<Self, LoadError> {
        let mut tensors = HashMap::new();
        for name in files {
            check_link(source, &name)?;
            let path = source.path(&name);
            let file = source.weight_bytes(&name)?;
            for (tensor, entry) in safetensors::read_header(&path, file.as_slice())? {
                let located = Located { path: path.clone(), file: file.clone(), entry };
                if let Some(other) = tensors.insert(tensor.clone(), located) {
                    let reason = format!("also in {}", other.path.display());
                    return Err(LoadError::Tensor { path, tensor, reason });
                }
            }
        }
        Ok(Self { path: source.path(listed_in), tensors })
    }

    /// Takes the tensor `name` out, checked for its shape.
    ///
    /// # Errors
    /// [`LoadError::MissingTensor`], or [`LoadError::Tensor`] with the shape or type that is wrong.
    pub(in crate::model) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Weight, LoadError> {
        let Some(Located { path, file, entry }) = self.tensors.remove(name) else {
            return Err(LoadError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() });
        };
        let wrong = |reason: String| LoadError::Tensor { path, tensor: name.to_owned(), reason };
        if entry.shape != shape {
            return Err(wrong(format!("shape {:?}, expected {shape:?} by config.json", entry.shape)));
        }
        let Some(format) = format_of(&entry.dtype) else {
            return Err(wrong(format!(
                "type {} is not supported; supported are F32, BF16, F16",
                entry.dtype
            )));
        };
        Ok(Weight::new(entry.shape, format, file, entry.range))
    }

    /// How the tensor `name` is stored, or none if it is missing or of another type.
    pub(in crate::model) fn format(&self, name: &str) -> Option<WeightFormat> {
        self.tensors.get(name).and_then(|located| format_of(&located.entry.dtype))
    }

    /// Forgets the tensors that a model may have and nobody needs.
    pub(in crate::model) fn skip(&mut self, is_skipped: impl Fn(&str) -> bool) {
        self.tensors.retain(|name, _| !is_skipped(name));
    }

    /// Bytes of the tensors not yet taken.
    pub(in crate::model) fn num_bytes(&self) -> u64 {
        self.tensors.values().map(|located| located.entry.range.len() as u64).sum()
    }

    /// Checks that every tensor was taken: one that nobody asked for would be left out of the
    /// computation in silence.
    ///
    /// # Errors
    /// [`LoadError::Tensor`] with the first name in the alphabet.
    pub(in crate::model) fn finish(self) -> Result<(), LoadError> {
        let count = self.tensors.len();
        let Some((tensor, located)) = self.tensors.into_iter().min_by(|a, b| a.0.cmp(&b.0)) else {
            return Ok(());
        };
        let reason = format!("not part of the model that config.json describes ({count} such tensors)");
        Err(LoadError::Tensor { path: located.path, tensor, reason })
    }
}

fn format_of(dtype: &str) -> Option<WeightFormat> {
    match dtype {
        "F32" => Some(WeightFormat::F32),
        "BF16" => Some(WeightFormat::Bf16),
        "F16" => Some(WeightFormat::F16),
        _ => None,
    }
}

fn is_plain_file_name(name: &str) -> bool {
    let plain = !name.contains(['/', '\\', '\0', ':']) && Path::new(name).file_name().is_some();
    plain && name.ends_with(".safetensors")
}

/// Refuses a link that leads out of the model's folder, except into the `blobs` folder beside
/// `snapshots`, where the hub's cache keeps the files of a repository.
fn check_link(source: &ModelSource, name: &str) -> Result<(), LoadError> {
    let ModelSource::Folder(folder) = source else {
        return Ok(());
    };
    let path = folder.join(name);
    let resolve = |path: &Path| {
        std::fs::canonicalize(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })
    };
    let (folder, target) = (resolve(folder)?, resolve(&path)?);
    let snapshots =
        folder.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "snapshots"));
    let blobs = snapshots.and_then(Path::parent).map(|repository| repository.join("blobs"));
    if target.starts_with(&folder) || blobs.is_some_and(|blobs| target.starts_with(blobs)) {
        return Ok(());
    }
    let reason = format!("is a link to {}, outside the model's folder", target.display());
    Err(LoadError::Malformed { path, reason })
}

/// Refuses a path that is a file where a folder is needed.
fn refuse_file(source: &ModelSource) -> Result<(), LoadError> {
    match source {
        ModelSource::Folder(path) if path.is_file() => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let reason = reason_for_other(name.as_slice())
                .unwrap_or_else(|| "a file; give the folder with config.json and the weights".to_owned());
            Err(LoadError::UnsupportedFormat { path: path.clone(), reason })
        }
        _ => Ok(()),
    }
}

fn unsupported(source: &ModelSource, names: &[String]) -> LoadError {
    let path = match source {
        ModelSource::Folder(folder) => folder.clone(),
        ModelSource::Embedded(_) => source.path(""),
    };
    let reason =
        reason_for_other(names).unwrap_or_else(|| format!("no weights: neither {SINGLE} nor {INDEX}"));
    LoadError::UnsupportedFormat { path, reason }
}

/// Why the weights among `names` are not read, if they are of a kind that others read.
fn reason_for_other(names: &[String]) -> Option<String> {
    let with_suffix =
        |suffixes: &[&str]| names.iter().find(|name| suffixes.iter().any(|suffix| name.ends_with(suffix)));
    if let Some(name) = with_suffix(&[".gguf"]) {
        return Some(format!(
            "{name} is a GGUF file, which is not supported yet; use the safetensors files of the model"
        ));
    }
    let name = with_suffix(&[".bin", ".pt", ".pth", ".pkl", ".ckpt"])?;
    Some(format!(
        "{name} looks like a pickled checkpoint, which can run code when it is read and is never loaded; \
         use the safetensors files of the model"
    ))
}
