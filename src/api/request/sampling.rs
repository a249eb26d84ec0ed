//! How tokens are chosen, where the output ends, and what is told of its tokens.

use serde_json::Value;

use crate::api::error::{ApiError, shown};
use crate::api::fields::{Fields, string_at, token_id};
use crate::api::limits::{self, Limit};
use crate::api::wording::said;
use crate::serving::{EndOptions, SamplingOptions};

/// Temperatures below this choose the same token as 0, without its care for overflow.
const MIN_TEMPERATURE: f64 = 1e-5;

/// Takes the settings of the sampler.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(in crate::api) fn sampling(fields: &mut Fields) -> Result<SamplingOptions, ApiError> {
    let temperature = fields.number(&limits::TEMPERATURE)?;
    let top_p = fields.number(&limits::TOP_P)?;
    let top_k = fields.integer(&limits::TOP_K)?;
    let min_p = fields.number(&limits::MIN_P)?;
    let seed = fields.integer(&limits::SEED)?;
    let narrow = |value: f64| value as f32;
    Ok(SamplingOptions {
        temperature: temperature.map(temperature_of),
        // No set of tokens has probability 0: the smallest that reaches any more is the most likely token.
        top_p: top_p.map(|value| (value as f32).max(f32::MIN_POSITIVE)),
        // OpenAI's cousins say -1 for "all tokens", we say 0.
        top_k: top_k.map(|value| u32::try_from(value).unwrap_or(0)),
        min_p: min_p.map(narrow),
        seed: seed.map(i64::cast_unsigned),
        frequency_penalty: fields.number(&limits::FREQUENCY_PENALTY)?.map(narrow),
        presence_penalty: fields.number(&limits::PRESENCE_PENALTY)?.map(narrow),
        repetition_penalty: fields.number(&limits::REPETITION_PENALTY)?.map(narrow),
        logit_bias: logit_bias(fields)?,
        allowed_token_ids: fields.token_ids("allowed_token_ids", &limits::ALLOWED_TOKEN_IDS)?,
        bad_words: strings(fields, "bad_words", &limits::BAD_WORDS, &limits::BAD_WORD)?,
    })
}

/// The temperature in use for one that a client gave.
pub(in crate::api) fn temperature_of(value: f64) -> f32 {
    if value < MIN_TEMPERATURE { 0.0 } else { value as f32 }
}

/// Takes `logit_bias`: JSON has strings for keys, so token ids are written as such.
fn logit_bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(members) = fields.members("logit_bias")? else { return Ok(Vec::new()) };
    limits::LOGIT_BIAS.check_count("logit_bias", members.len())?;
    let mut biases = Vec::with_capacity(members.len());
    for (key, value) in members {
        let at = format!("logit_bias.{}", shown(&key));
        let id = key.trim().parse::<u32>().map_err(|_| {
            ApiError::invalid_value(
                &at,
                said!(
                    "The names in 'logit_bias' must be token ids, but one is '{}'.",
                    "'logit_bias'의 이름은 토큰 ID여야 하지만, '{}'이(가) 있습니다.",
                    shown(&key)
                ),
            )
        })?;
        let bias = value.as_f64().ok_or_else(|| ApiError::invalid_type(&at, "a number", &value))?;
        biases.push((id, limits::LOGIT_BIAS_VALUE.check_number_at(&at, bias)? as f32));
    }
    biases.sort_unstable_by_key(|&(id, _)| id);
    Ok(biases)
}

/// Number of choices.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(in crate::api) fn num_choices(fields: &mut Fields) -> Result<u32, ApiError> {
    let given = fields.integer(&limits::NUM_CHOICES)?.unwrap_or(1);
    Ok(u32::try_from(given).expect("the limit keeps it between 1 and 128"))
}

/// The token limit and the field that set it: `max_completion_tokens` wins over its old name.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(in crate::api) fn max_new_tokens(fields: &mut Fields) -> Result<(Option<u32>, &'static str), ApiError> {
    let new = fields.integer(&limits::MAX_COMPLETION_TOKENS)?;
    let old = fields.integer(&limits::MAX_TOKENS)?;
    let limit = if new.is_some() { limits::MAX_COMPLETION_TOKENS } else { limits::MAX_TOKENS };
    let given = new.or(old).map(|value| u32::try_from(value).expect("the limit is below 2^31"));
    Ok((given, limit.path))
}

/// Takes what ends the output, but for the token limit.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(in crate::api) fn end(fields: &mut Fields, max_new_tokens: Option<u32>) -> Result<EndOptions, ApiError> {
    let min_tokens = fields.integer(&limits::MIN_TOKENS)?.unwrap_or(0);
    let min_tokens = u32::try_from(min_tokens).expect("the limit is below 2^31");
    if let Some(max) = max_new_tokens.filter(|&max| min_tokens > max) {
        let message = said!(
            "'min_tokens' is {min_tokens}, more than the limit of {max} tokens.",
            "'min_tokens' 값 {min_tokens}은(는) 최대 토큰 수 {max}보다 큽니다."
        );
        return Err(ApiError::invalid_value("min_tokens", message));
    }
    Ok(EndOptions {
        max_new_tokens,
        min_tokens,
        ignore_eos: fields.boolean("ignore_eos")?.unwrap_or(false),
        stop: stop(fields)?,
        stop_token_ids: fields.token_ids("stop_token_ids", &limits::STOP_TOKEN_IDS)?.unwrap_or_default(),
        include_stop: fields.boolean("include_stop_str_in_output")?.unwrap_or(false),
    })
}

/// Takes `stop`: a string, or a list of strings.
fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    match fields.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![limits::STOP_STRING.check_text("stop", text)?]),
        Some(Value::Array(list)) => {
            string_list("stop", limits::STOP.check_items("stop", list)?, &limits::STOP_STRING)
        }
        Some(other) => Err(ApiError::invalid_type("stop", "a string or a list of strings", &other)),
    }
}

/// Takes a list of strings; an absent one is empty.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(in crate::api) fn strings(
    fields: &mut Fields,
    name: &str,
    items: &Limit,
    each: &Limit,
) -> Result<Vec<String>, ApiError> {
    let at = fields.path(name);
    let list = fields.list(name, items)?.unwrap_or_default();
    string_list(&at, list, each)
}

fn string_list(at: &str, list: Vec<Value>, each: &Limit) -> Result<Vec<String>, ApiError> {
    list.into_iter().enumerate().map(|(i, value)| string_at(&format!("{at}[{i}]"), value, each)).collect()
}

/// What is told of output tokens: `logprobs` with `top_logprobs`, as chat completions spell them.
///
/// # Errors
/// A value of the wrong type or out of its bounds, or `top_logprobs` without `logprobs`.
pub(in crate::api) fn chat_logprobs(fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    let top = fields.integer(&limits::TOP_LOGPROBS)?;
    match (wanted, top) {
        (true, top) => Ok(Some(u8::try_from(top.unwrap_or(0)).expect("the limit is 20"))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => {
            let message = said!(
                "'top_logprobs' may only be set when 'logprobs' is true.",
                "'top_logprobs'는 'logprobs'가 true일 때만 지정할 수 있습니다."
            );
            Err(ApiError::invalid_value("top_logprobs", message))
        }
    }
}

/// Takes `prompt_logprobs`.
///
/// # Errors
/// A value of the wrong type or out of its bounds.
pub(in crate::api) fn prompt_logprobs(fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let given = fields.integer(&limits::PROMPT_LOGPROBS)?;
    Ok(given.map(|value| u8::try_from(value).expect("the limit is 20")))
}

/// Takes `truncate_prompt_tokens`: how many tokens of the prompt are kept; -1 stands for as many as the context holds.
///
/// # Errors
/// A value of the wrong type or out of its bounds, 0 among them.
pub(in crate::api) fn truncate_prompt_tokens(
    fields: &mut Fields,
    max_model_len: usize,
) -> Result<Option<usize>, ApiError> {
    match fields.integer(&limits::TRUNCATE_PROMPT_TOKENS)? {
        None => Ok(None),
        Some(0) => {
            let message = said!(
                "'truncate_prompt_tokens' must be -1 or at least 1, but it is 0.",
                "'truncate_prompt_tokens' 값은 -1이거나 1 이상이어야 하지만, 받은 값은 0입니다."
            );
            Err(ApiError::invalid_value("truncate_prompt_tokens", message))
        }
        // A prompt that fills the context would leave no room for an answer.
        Some(value) => Ok(Some(usize::try_from(value).unwrap_or(max_model_len - 1))),
    }
}

/// A list of prompts' token ids at `at`, of an allowed length.
pub(in crate::api) fn token_list(at: &str, list: &[Value]) -> Result<Vec<u32>, ApiError> {
    list.iter().enumerate().map(|(i, value)| token_id(&format!("{at}[{i}]"), value)).collect()
}
