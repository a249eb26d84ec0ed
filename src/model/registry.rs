//! Which families there are. A new family is one line here.

use super::LoadError;
use super::families::{ConfigJson, Family, exaone, exaone4};

const FAMILIES: &[Family] = &[exaone::FAMILY, exaone4::FAMILY];

/// The family of a `config.json`: by `model_type`, or by `architectures` where that is absent.
///
/// # Errors
/// [`LoadError::UnsupportedModel`] with what the file says and what is supported.
pub(super) fn family_of(config: &ConfigJson) -> Result<&'static Family, LoadError> {
    let model_type = config.text(&["model_type"])?;
    let architectures = config.texts("architectures");
    let family = FAMILIES.iter().find(|family| match &model_type {
        Some(model_type) => family.model_types.contains(&model_type.as_str()),
        None => architectures.iter().any(|architecture| family.architectures.contains(architecture)),
    });
    family.ok_or_else(|| LoadError::UnsupportedModel {
        path: config.path().to_owned(),
        found: match model_type {
            Some(model_type) => format!("model_type {model_type:?}"),
            None if architectures.is_empty() => "a file without model_type and architectures".to_owned(),
            None => format!("architecture {:?}", architectures.join(", ")),
        },
        supported: FAMILIES
            .iter()
            .flat_map(|family| family.model_types)
            .map(|model_type| format!("model_type {model_type:?}"))
            .collect::<Vec<_>>()
            .join(", "),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::families::parse_config;

    fn family_name(json: &str) -> Result<&'static str, String> {
        let config = parse_config(Path::new("config.json"), json.as_bytes()).unwrap();
        family_of(&config).map(|family| family.name).map_err(|error| error.to_string())
    }

    #[test]
    fn a_family_is_found_by_model_type_or_by_architecture() {
        assert_eq!(family_name(r#"{"model_type": "exaone"}"#), Ok("exaone"));
        assert_eq!(family_name(r#"{"model_type": "exaone4"}"#), Ok("exaone4"));
        assert_eq!(family_name(r#"{"architectures": ["ExaoneForCausalLM"]}"#), Ok("exaone"));
        assert_eq!(family_name(r#"{"architectures": ["Exaone4ForCausalLM"]}"#), Ok("exaone4"));
    }

    #[test]
    fn an_unknown_model_is_refused_with_what_is_supported() {
        let error =
            family_name(r#"{"model_type": "bert", "architectures": ["ExaoneForCausalLM"]}"#).unwrap_err();
        assert_eq!(
            error,
            "config.json: model_type \"bert\" is not supported; supported are model_type \"exaone\", \
             model_type \"exaone4\""
        );
        assert!(family_name(r#"{"architectures": ["BertModel"]}"#).unwrap_err().contains("BertModel"));
        assert!(family_name("{}").unwrap_err().contains("without model_type"));
    }
}
