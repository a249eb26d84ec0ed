//! From the name of a model to its files.

use std::path::Path;

use anyhow::{Context, bail};

use super::demo;
use crate::config::SourceConfig;
use crate::model::ModelSource;
use crate::model::hub::{DownloadProgress, Hub, HubModel, HubSettings, is_repo_id};

/// A model whose files are here.
#[derive(Debug, Clone)]
pub struct Located {
    /// Its files.
    pub source: ModelSource,
    /// Name that clients call it by.
    pub name: String,
    /// Who made it, as far as its name says.
    pub owner: String,
    /// Where it came from.
    pub root: String,
}

/// Finds the model that `config` names: inside the program, in a folder, or on the hub, from where what is missing is
/// fetched.
///
/// # Errors
/// If there is no such folder, or the hub does not give the model.
pub fn locate(
    config: &SourceConfig,
    hub: HubSettings,
    progress: &mut dyn DownloadProgress,
) -> anyhow::Result<Located> {
    let served_name = |own: &str| config.served_model_name.clone().unwrap_or_else(|| own.to_owned());
    let Some(model) = &config.model else {
        return Ok(Located {
            source: ModelSource::Embedded(demo::FILES),
            name: served_name(demo::NAME),
            owner: "maru".to_owned(),
            root: demo::NAME.to_owned(),
        });
    };
    let path = Path::new(model);
    if path.is_dir() {
        let folder = path.canonicalize().with_context(|| model.clone())?;
        let own =
            folder.file_name().map_or_else(|| model.clone(), |name| name.to_string_lossy().into_owned());
        return Ok(Located {
            source: ModelSource::Folder(folder),
            name: served_name(&own),
            owner: "local".to_owned(),
            root: model.clone(),
        });
    }
    if path.exists() {
        bail!(
            "{model} is a file; --model takes the folder that holds config.json, tokenizer.json and the weights"
        );
    }
    if !is_repo_id(model) {
        bail!("{model}: there is no such folder, and it is not OWNER/NAME on the hub either");
    }
    let repo = HubModel::new(model, &config.revision)?;
    let folder = Hub::new(hub).fetch(&repo, progress)?;
    let owner = model.split('/').next().expect("OWNER/NAME has an owner").to_owned();
    Ok(Located { source: ModelSource::Folder(folder), name: served_name(model), owner, root: model.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    struct NoDownload;

    impl DownloadProgress for NoDownload {
        fn begin(&mut self, _: usize, _: u64) {}
        fn begin_file(&mut self, _: &str, _: u64, _: u64) {}
        fn advance(&mut self, _: u64) {}
        fn retry(&mut self, _: &str, _: std::time::Duration) {}
        fn end_file(&mut self) {}
    }

    fn find(model: Option<&str>, served: Option<&str>) -> anyhow::Result<Located> {
        let config = SourceConfig {
            model: model.map(str::to_owned),
            served_model_name: served.map(str::to_owned),
            ..SourceConfig::default()
        };
        locate(&config, Environment::default().hub(true), &mut NoDownload)
    }

    #[test]
    fn without_a_name_it_is_the_demo_model() {
        assert_eq!(find(None, None).expect("embedded").name, "maru-demo");
        assert_eq!(find(None, Some("mine")).expect("embedded").name, "mine");
    }

    #[test]
    fn a_folder_serves_under_its_own_name() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("tiny");
        std::fs::create_dir(&folder).expect("writable");
        let located = find(folder.to_str(), None).expect("a folder");
        assert_eq!((located.name.as_str(), located.owner.as_str()), ("tiny", "local"));
    }

    #[test]
    fn what_is_neither_folder_nor_hub_id_is_refused() {
        let error = find(Some("./nowhere"), None).expect_err("nowhere").to_string();
        assert!(error.contains("no such folder"), "{error}");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = find(file.path().to_str(), None).expect_err("a file").to_string();
        assert!(error.contains("is a file"), "{error}");
    }
}
