//! `POST /v1/embeddings`: texts and tokens as vectors of length 1.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::{Map, Value};

use super::access_log::AccessRecord;
use super::answer::head::{ignored_header, name_ignored};
use super::answer::whole::{Deadline, before_the_end};
use super::auth::Caller;
use super::error::{ApiError, shown};
use super::extract::JsonObject;
use super::fields::Fields;
use super::openapi::groups;
use super::params::{self, Judge, Warning};
use super::request::prompts::{PromptLimits, Prompts};
use super::request::{self, sampling};
use super::state::AppState;
use super::wording::said;
use super::{cache_salt, limits, priority};
use crate::serving::{EmbedRequest, Embedding, Pooling, PromptInput};

const INPUT: PromptLimits =
    PromptLimits { text: limits::EMBEDDING_INPUT, list: limits::INPUTS, tokens: limits::INPUT_TOKENS };

/// Inputs of one request that are in work at the same time: enough to fill a step, without filling the queue for
/// preparation.
const AT_ONCE: usize = 32;

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// As a list of numbers.
    Float,
    /// As the bytes of little-endian f32, in base64: what the official SDKs ask for.
    Base64,
}

/// A checked request for embeddings.
#[derive(Debug)]
struct EmbeddingRequest {
    model: String,
    inputs: Prompts,
    encoding: Encoding,
    /// What to do with each input; its own prompt stands for none of them.
    template: EmbedRequest,
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Embeddings {
    object: &'static str,
    data: Vec<Item>,
    model: String,
    usage: Usage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl EmbeddingRequest {
    fn parse(members: Map<String, Value>, caller: Caller, state: &AppState) -> Result<Self, ApiError> {
        let config = &state.config;
        let mut fields = request::fields(members, groups::EMBEDDINGS)?;
        let mut judge = Judge::new(config.strict_params, caller.reader);
        let model = request::model(&mut fields)?;
        let add_special_tokens = fields.boolean("add_special_tokens")?.unwrap_or(true);
        let inputs = Prompts::take(&mut fields, INPUT, add_special_tokens)?;
        let encoding = encoding(&mut fields)?;
        let pooling = pooling(&mut fields)?;
        let max_model_len = state.generator.max_model_len();
        let truncate_prompt_tokens = sampling::truncate_prompt_tokens(&mut fields, max_model_len)?;
        request::labels(&mut fields)?;
        let priority = priority::take(&mut fields, &mut judge, config.allow_priority)?;
        let cache_salt = cache_salt::take(&mut fields, caller.divides_the_cache(config))?;
        judge.judge(params::EMBEDDINGS, fields.rest())?;
        let template = EmbedRequest {
            prompt: PromptInput::Tokens(Vec::new()),
            truncate_prompt_tokens,
            pooling,
            tenant: caller.tenant,
            priority,
            cache_salt,
        };
        Ok(Self { model, inputs, encoding, template, warnings: judge.into_warnings() })
    }
}

fn encoding(fields: &mut Fields) -> Result<Encoding, ApiError> {
    one_of(fields, "encoding_format", [("float", Encoding::Float), ("base64", Encoding::Base64)])
}

/// Takes `pooling`, an extension: which hidden states a vector is made of.
fn pooling(fields: &mut Fields) -> Result<Pooling, ApiError> {
    one_of(fields, "pooling", [("last", Pooling::Last), ("mean", Pooling::Mean)])
}

/// Takes one of two words; the first is the default.
fn one_of<T: Copy>(fields: &mut Fields, name: &str, words: [(&str, T); 2]) -> Result<T, ApiError> {
    let Some(value) = fields.take(name) else { return Ok(words[0].1) };
    let given = value.as_str().ok_or_else(|| ApiError::invalid_type(name, "a string", &value))?;
    let found = words.iter().find(|(word, _)| *word == given);
    found.map(|&(_, meaning)| meaning).ok_or_else(|| {
        let [(first, _), (second, _)] = words;
        let message = said!(
            "'{name}' must be '{first}' or '{second}', but it is '{}'.",
            "'{name}' 값은 '{first}' 또는 '{second}'여야 하지만, 받은 값은 '{}'입니다.",
            shown(given)
        );
        ApiError::invalid_value(name, message)
    })
}

/// The vectors of all inputs, in order.
pub(super) async fn create(
    State(state): State<Arc<AppState>>,
    Extension(record): Extension<Arc<AccessRecord>>,
    Extension(caller): Extension<Caller>,
    JsonObject(members): JsonObject,
) -> Result<Response, ApiError> {
    let deadline = Deadline::of(&state);
    let request = EmbeddingRequest::parse(members, caller, &state)?;
    state.model.expect_called(&request.model)?;
    let EmbeddingRequest { inputs, encoding, template, warnings, .. } = request;

    let (generator, name) = (&state.generator, &inputs);
    let embed = |(number, input): (usize, &PromptInput)| {
        let request = EmbedRequest { prompt: input.clone(), ..template.clone() };
        async move {
            let embedding = generator.embed(request).await;
            embedding.map_err(|error| ApiError::of_prompt(error, &name.name(number)))
        }
    };
    let work: Vec<_> = inputs.inputs.iter().enumerate().map(embed).collect();
    let work = stream::iter(work).buffered(AT_ONCE).try_collect::<Vec<Embedding>>();
    let embedded = before_the_end(&state, work, deadline).await??;

    let prompt_tokens = embedded.iter().map(|embedding| embedding.num_prompt_tokens).sum();
    record.set_prompt_tokens(prompt_tokens as u64);
    let item = |(index, embedding): (usize, Embedding)| Item {
        object: "embedding",
        index,
        embedding: Vector::new(normalised(embedding.values), encoding),
    };
    let ignored = ignored_header(&warnings);
    let embeddings = Embeddings {
        object: "list",
        data: embedded.into_iter().enumerate().map(item).collect(),
        model: state.model.id.clone(),
        usage: Usage { prompt_tokens, total_tokens: prompt_tokens },
        warnings,
    };
    let mut response = Json(embeddings).into_response();
    name_ignored(&mut response, ignored);
    Ok(response)
}

impl Vector {
    fn new(values: Vec<f32>, encoding: Encoding) -> Self {
        match encoding {
            Encoding::Float => Self::Float(values),
            Encoding::Base64 => {
                let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
                Self::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

/// A vector of length 1 in the same direction; one of nothing but zeros has none and stays.
fn normalised(mut values: Vec<f32>) -> Vec<f32> {
    let square = |value: &f32| f64::from(*value) * f64::from(*value);
    let length = values.iter().map(square).sum::<f64>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_keeps_its_direction_and_gets_length_one() {
        assert_eq!(normalised(vec![3.0, -4.0]), [0.6, -0.8]);
        assert_eq!(normalised(vec![f32::MAX, 0.0]), [1.0, 0.0]);
        assert_eq!(normalised(vec![0.0, 0.0]), [0.0, 0.0]);
    }

    #[test]
    fn base64_holds_little_endian_floats() {
        let Vector::Base64(text) = Vector::new(vec![1.0, -2.0], Encoding::Base64) else {
            panic!("base64 was asked for")
        };
        assert_eq!(STANDARD.decode(text).expect("base64"), [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }
}
