//! Everything of a model that concerns text: tokenizer, chat template, stop tokens, recommended sampling.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::prompt::Renderer;
use super::template::ChatTemplate;
use super::tool_support::ToolSupport;
use super::{
    ChatPrompt, Detokenizer, EncodedChat, GrammarCompiler, OutputFormat, PromptError, ReasoningLimits,
    ShownTokens, SpecialText, Tokenizer,
};
use crate::sampling::Constraint;

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const TEMPLATE: &str = "chat_template.jinja";
const GENERATION_CONFIG: &str = "generation_config.json";
const CONFIG: &str = "config.json";

/// Special tokens that the files name, under the names that chat templates know too.
const NAMED_TOKENS: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

/// The files of a model that concern text; all but `tokenizer.json` may be absent.
pub const TEXT_FILES: [&str; 6] =
    [TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, TEMPLATE, GENERATION_CONFIG, CONFIG];

/// Sampling settings that the model's `generation_config.json` recommends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationDefaults {
    /// Softmax temperature; 0 if the file says `do_sample: false`.
    pub temperature: Option<f32>,
    /// Probability mass to keep.
    pub top_p: Option<f32>,
    /// Number of tokens to keep; 0 keeps all.
    pub top_k: Option<u32>,
    /// Least probability as a share of the greatest; 0 keeps all.
    pub min_p: Option<f32>,
    /// Divides the logits of tokens that came before; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
}

/// A model's text files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TextError {
    /// The file at fault.
    pub file: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

/// The text side of a model.
#[derive(Debug)]
pub struct TextModel {
    tokenizer: Arc<Tokenizer>,
    template: Option<(ChatTemplate, ToolSupport)>,
    /// Variables that the chat template sees beside the conversation: the names of special tokens.
    variables: Map<String, Value>,
    tokenizer_config: Map<String, Value>,
    stop_token_ids: Arc<[u32]>,
    defaults: GenerationDefaults,
    format: OutputFormat,
    /// Special tokens that mark the parts of an output.
    marks: ShownTokens,
    /// Made when somebody first asks for a form: a large vocabulary takes a while.
    grammars: OnceLock<GrammarCompiler>,
}

impl TextModel {
    /// Reads the files of a model through `files`, which gives a file's bytes by its name, or `None` if there is
    /// no such file. `tokenizer.json` is required, the others of [`TEXT_FILES`] are used if they are there.
    ///
    /// # Errors
    /// [`TextError`] names the file.
    pub fn load(files: &dyn Fn(&str) -> std::io::Result<Option<Vec<u8>>>) -> Result<Self, TextError> {
        let read = |file: &str| files(file).map_err(|error| fault(file, error.to_string()));
        let bytes = read(TOKENIZER)?.ok_or_else(|| fault(TOKENIZER, "there is no such file"))?;
        let tokenizer = Tokenizer::from_bytes(&bytes).map_err(|reason| fault(TOKENIZER, reason))?;
        let object =
            |file: &str| read(file)?.map_or_else(|| Ok(Map::new()), |bytes| parse_object(file, &bytes));
        let tokenizer_config = object(TOKENIZER_CONFIG)?;
        let special_tokens = object(SPECIAL_TOKENS)?;
        let generation_config = object(GENERATION_CONFIG)?;
        let config = object(CONFIG)?;

        let named = |name: &str| {
            named_token(&tokenizer_config, name)
                .or_else(|| named_token(&special_tokens, name))
                .map(str::to_owned)
        };
        let eos_token = named("eos_token");
        let mut stop_token_ids = match token_ids(GENERATION_CONFIG, &generation_config)? {
            ids if ids.is_empty() => token_ids(CONFIG, &config)?,
            ids => ids,
        };
        stop_token_ids.extend(eos_token.as_deref().and_then(|token| tokenizer.token_to_id(token)));
        stop_token_ids.sort_unstable();
        stop_token_ids.dedup();

        let mut variables = Map::new();
        for name in NAMED_TOKENS {
            variables.extend(named(name).map(|token| (name.to_owned(), token.into())));
        }
        let source = match read(TEMPLATE)? {
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| fault(TEMPLATE, "it is not UTF-8"))?;
                Some((TEMPLATE, text))
            }
            None => inline_template(&tokenizer_config)?.map(|text| (TOKENIZER_CONFIG, text)),
        };
        let format = OutputFormat::detect(source.as_ref().map(|(_, text)| text.as_str()), &tokenizer);
        let marks = format.marks();
        let marks = marks.iter().filter_map(|mark| tokenizer.token_to_id(mark));
        let marks = ShownTokens::These(marks.collect());
        let compile = |(file, text)| {
            let template = ChatTemplate::new(text).map_err(|reason| fault(file, reason))?;
            let tools = ToolSupport::probe(&template, &tokenizer, &variables, eos_token.as_deref());
            Ok((template, tools))
        };
        let template = source.map(compile).transpose()?;
        let tokenizer = Arc::new(tokenizer);
        Ok(Self {
            format,
            marks,
            grammars: OnceLock::new(),
            tokenizer,
            template,
            variables,
            tokenizer_config,
            stop_token_ids: stop_token_ids.into(),
            defaults: generation_defaults(&generation_config)?,
        })
    }

    /// Reads the files of a model from a folder.
    ///
    /// # Errors
    /// [`TextError`] names the file.
    pub fn open(folder: &Path) -> Result<Self, TextError> {
        Self::load(&|file| match std::fs::read(folder.join(file)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Token ids of a conversation in the form of the model's chat template, ready for the assistant's next turn.
    /// Control strings inside messages are text.
    ///
    /// # Errors
    /// [`PromptError`] if the conversation cannot be put into the model's form.
    pub fn encode_chat(&self, chat: &ChatPrompt) -> Result<EncodedChat, PromptError> {
        self.renderer()?.encode(chat)
    }

    /// A conversation in the form of the model's chat template, as text.
    ///
    /// # Errors
    /// [`PromptError`] if the conversation cannot be put into the model's form.
    pub fn render_chat(&self, chat: &ChatPrompt) -> Result<String, PromptError> {
        let segments = self.renderer()?.render(chat)?;
        Ok(segments.into_iter().map(|segment| segment.text).collect())
    }

    fn renderer(&self) -> Result<Renderer<'_>, PromptError> {
        let (template, tools) = self.template.as_ref().ok_or(PromptError::NoTemplate)?;
        Ok(Renderer { template, tokenizer: &self.tokenizer, variables: &self.variables, tools })
    }

    /// Token ids of a text as it stands: control strings are read as control tokens. `add_special_tokens` adds what
    /// the tokenizer puts around a text, which a text that is to be continued needs.
    ///
    /// # Errors
    /// [`PromptError::Tokenizer`].
    pub fn encode_text(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, PromptError> {
        self.tokenizer.encode(text, SpecialText::Control, add_special_tokens).map_err(PromptError::Tokenizer)
    }

    /// Turns tokens back into text, one by one. Special tokens have no text if `skip_special`, but for those that mark
    /// the parts of an output.
    pub fn detokenizer(&self, skip_special: bool) -> Detokenizer {
        let shown = if skip_special { self.marks.clone() } else { ShownTokens::All };
        Detokenizer::showing(Arc::clone(&self.tokenizer), shown)
    }

    /// What the model's output is made of.
    pub fn format(&self) -> &OutputFormat {
        &self.format
    }

    /// Holds the reasoning of an output to limits, and the output to `inner` beside it if there is one. Gives `inner`
    /// back if there is nothing to hold.
    pub fn guard_reasoning(
        &self,
        limits: ReasoningLimits,
        inner: Option<Box<dyn Constraint>>,
    ) -> Option<Box<dyn Constraint>> {
        self.format.guard_reasoning(limits, &self.tokenizer, self.detokenizer(true), inner)
    }

    /// What compiles the forms that an output can be held to.
    pub fn grammars(&self) -> &GrammarCompiler {
        self.grammars.get_or_init(|| GrammarCompiler::new(Arc::clone(&self.tokenizer), &self.stop_token_ids))
    }

    /// The tokenizer, shared.
    pub fn shared_tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// The tokenizer itself.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether the model has a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// The chat template as it was written.
    pub fn chat_template_source(&self) -> Option<&str> {
        self.template.as_ref().map(|(template, _)| template.source())
    }

    /// The text of a token that the model's files name: `bos_token`, `eos_token`, `unk_token` or `pad_token`.
    pub fn named_token(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_str()
    }

    /// What the model's files say of its tokenizer: `tokenizer_config.json`, with the class, the chat template and
    /// the named tokens wherever they come from.
    pub fn tokenizer_info(&self) -> Map<String, Value> {
        let mut info = self.tokenizer_config.clone();
        for (name, token) in &self.variables {
            info.insert(name.clone(), token.clone());
        }
        info.entry("tokenizer_class").or_insert_with(|| "PreTrainedTokenizerFast".into());
        if let Some(source) = self.chat_template_source() {
            info.insert("chat_template".to_owned(), source.into());
        }
        info
    }

    /// The longest text in tokens that `tokenizer_config.json` names; absent where it names none worth the name.
    pub fn model_max_length(&self) -> Option<u64> {
        self.tokenizer_config.get("model_max_length")?.as_u64()
    }

    /// Tokens that end an output, ascending: those of `generation_config.json` (or else of `config.json`) and the
    /// tokenizer's end token.
    pub fn stop_token_ids(&self) -> &Arc<[u32]> {
        &self.stop_token_ids
    }

    /// The sampling that the model's makers recommend.
    pub fn defaults(&self) -> &GenerationDefaults {
        &self.defaults
    }
}

fn fault(file: &str, reason: impl Into<String>) -> TextError {
    TextError { file: file.to_owned(), reason: reason.into() }
}

fn parse_object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>, TextError> {
    serde_json::from_slice(bytes).map_err(|error| fault(file, error.to_string()))
}

/// A token that a file names, as a string or as an object with `content`.
fn named_token<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let token = object.get(name)?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// `eos_token_id` of a file: a number or a list of numbers.
fn token_ids(file: &str, object: &Map<String, Value>) -> Result<Vec<u32>, TextError> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| fault(file, format!("eos_token_id: {value} is not a token id")))
    };
    match object.get("eos_token_id") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(id).collect(),
        Some(value) => Ok(vec![id(value)?]),
    }
}

/// The template inside `tokenizer_config.json`: a string, or a list of named templates of which `default` is taken.
fn inline_template(config: &Map<String, Value>) -> Result<Option<String>, TextError> {
    match config.get("chat_template") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Array(templates)) => {
            let default = templates.iter().find(|template| template["name"] == "default");
            Ok(default.and_then(|template| template["template"].as_str()).map(str::to_owned))
        }
        Some(_) => Err(fault(TOKENIZER_CONFIG, "chat_template: neither a string nor a list")),
    }
}

fn generation_defaults(config: &Map<String, Value>) -> Result<GenerationDefaults, TextError> {
    let invalid = |key: &str, value: &Value, wanted: &str| {
        fault(GENERATION_CONFIG, format!("{key}: {value} is not {wanted}"))
    };
    let present = |key: &str| config.get(key).filter(|value| !value.is_null());
    let number = |key: &str, wanted: &str, fits: fn(f64) -> bool| {
        let check = |value: &Value| {
            let number = value.as_f64().filter(|&number| fits(number));
            number.map(|number| number as f32).ok_or_else(|| invalid(key, value, wanted))
        };
        present(key).map(check).transpose()
    };
    let mut defaults = GenerationDefaults {
        temperature: number("temperature", "a number from 0 to 100", |t| (0.0..=100.0).contains(&t))?,
        top_p: number("top_p", "a number above 0, at most 1", |p| p > 0.0 && p <= 1.0)?,
        top_k: None,
        min_p: number("min_p", "a number from 0 to 1", |p| (0.0..=1.0).contains(&p))?,
        repetition_penalty: number("repetition_penalty", "a number above 0, at most 10", |p| {
            p > 0.0 && p <= 10.0
        })?,
    };
    if let Some(value) = present("top_k") {
        let top_k = value.as_u64().and_then(|k| u32::try_from(k).ok());
        defaults.top_k = Some(top_k.ok_or_else(|| invalid("top_k", value, "a number of tokens"))?);
    }
    if present("do_sample") == Some(&Value::Bool(false)) {
        defaults.temperature = Some(0.0);
    }
    Ok(defaults)
}

#[cfg(test)]
mod tests;
