//! From the wire to a [`GenerateRequest`]: all checks that need no model happen here.

use serde_json::{Map, Value};

use crate::api::auth::Caller;
use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::openapi::groups;
use crate::api::params::{self, Judge, Warning};
use crate::api::request::{self, form, sampling};
use crate::api::state::AppState;
use crate::api::wording::said;
use crate::api::{cache_salt, limits};
use crate::serving::{
    EndOptions, FormRequest, GenerateRequest, GrammarSpec, PromptInput, ReportOptions, SamplingOptions,
};

/// The field of the prompt.
pub(super) const INPUTS: &str = "inputs";
const PARAMETERS: &str = "parameters";
/// The default of text-generation-inference.
const MAX_NEW_TOKENS: u32 = 100;

/// A checked request.
#[derive(Debug)]
pub(super) struct TextRequest {
    /// The text to continue.
    pub(super) inputs: String,
    /// What to generate.
    pub(super) generate: GenerateRequest,
    /// The token limit that the client set.
    pub(super) limit: Option<u32>,
    /// What the answer shows.
    pub(super) show: Show,
    /// What was not honoured.
    pub(super) warnings: Vec<Warning>,
}

/// What an answer shows beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Show {
    /// The prompt in front of the text.
    pub(super) full_text: bool,
    /// How and why the output ended, with its tokens.
    pub(super) details: bool,
    /// The most likely tokens.
    pub(super) top_tokens: bool,
}

impl TextRequest {
    /// Checks the members of a request of `caller`, whose answer is streamed or not.
    pub(super) fn parse(
        members: Map<String, Value>,
        caller: Caller,
        state: &AppState,
        streams: bool,
    ) -> Result<Self, ApiError> {
        let mut fields = request::fields(members, groups::TEXT_GENERATION)?;
        let mut judge = Judge::new(state.config.strict_params, caller.reader);
        let inputs = fields.string(INPUTS, &limits::TEXT_INPUTS)?;
        let inputs = inputs.ok_or_else(|| ApiError::missing(INPUTS))?;
        let mut parameters = match fields.object(PARAMETERS)? {
            Some(parameters) => parameters,
            None => Fields::of_object(PARAMETERS, Map::new().into())?,
        };
        let cache_salt = cache_salt::take(&mut fields, caller.divides_the_cache(&state.config))?;
        judge.judge(params::TEXT_GENERATION, fields.rest())?;

        let options = sampling(&mut parameters)?;
        let samples = options.temperature != Some(0.0);
        let num_choices = best_of(&mut parameters, samples, streams, state.generator.max_choices())?;
        let limit = integer(&mut parameters, "max_new_tokens", &limits::MAX_NEW_TOKENS)?;
        let stop = sampling::strings(&mut parameters, "stop", &limits::STOP, &limits::STOP_STRING)?;
        let full_text = parameters.boolean("return_full_text")?.unwrap_or(false);
        let details = parameters.boolean("details")?.unwrap_or(false);
        let prefill = prefill(&mut parameters, details, streams)?;
        let top_tokens = integer(&mut parameters, "top_n_tokens", &limits::TOP_N_TOKENS)?.unwrap_or(0);
        let truncate = integer(&mut parameters, "truncate", &limits::TRUNCATE)?;
        let grammar = grammar(&mut parameters)?;
        judge.judge(params::TEXT_PARAMETERS, parameters.rest())?;

        // A stream is made of tokens, and the best of several outputs is the likeliest.
        let tells = streams || details || num_choices > 1;
        let show = Show { full_text, details, top_tokens: top_tokens > 0 };
        let text = inputs.clone();
        let generate = GenerateRequest {
            truncate_prompt_tokens: truncate.map(|kept| kept as usize),
            sampling: options,
            num_choices,
            end: EndOptions {
                max_new_tokens: Some(limit.unwrap_or(MAX_NEW_TOKENS)),
                stop,
                // There, what stops the output is part of it.
                include_stop: true,
                ..EndOptions::default()
            },
            report: ReportOptions {
                logprobs: tells.then(|| u8::try_from(top_tokens).expect("the limit is 20")),
                prompt_logprobs: prefill.then_some(0),
                ..ReportOptions::default()
            },
            grammar,
            tenant: caller.tenant,
            cache_salt,
            ..GenerateRequest::new(PromptInput::Text { text, add_special_tokens: true })
        };
        Ok(Self { inputs, generate, limit, show, warnings: judge.into_warnings() })
    }
}

fn integer(fields: &mut Fields, name: &str, limit: &limits::Limit) -> Result<Option<u32>, ApiError> {
    let given = fields.integer_at(name, limit)?;
    Ok(given.map(|value| u32::try_from(value).expect("the limit is not negative and below 2^31")))
}

/// Takes the settings of the sampler. The likeliest token is taken unless one of them asks for chance.
fn sampling(fields: &mut Fields) -> Result<SamplingOptions, ApiError> {
    let do_sample = fields.boolean("do_sample")?.unwrap_or(false);
    let temperature = fields.number_at("temperature", &limits::TEMPERATURE)?;
    let top_p = fields.number_at("top_p", &limits::TOP_P)?;
    let top_k = fields.integer_at("top_k", &limits::TOP_K)?;
    let seed = fields.integer_at("seed", &limits::SEED)?;
    let narrow = |value: f64| value as f32;
    let samples = do_sample || temperature.is_some() || top_p.is_some() || top_k.is_some();
    let temperature = if samples { sampling::temperature_of(temperature.unwrap_or(1.0)) } else { 0.0 };
    Ok(SamplingOptions {
        temperature: Some(temperature),
        top_p: top_p.map(|value| narrow(value).max(f32::MIN_POSITIVE)),
        top_k: top_k.map(|value| u32::try_from(value).unwrap_or(0)),
        seed: seed.map(i64::cast_unsigned),
        repetition_penalty: fields.number_at("repetition_penalty", &limits::REPETITION_PENALTY)?.map(narrow),
        frequency_penalty: fields.number_at("frequency_penalty", &limits::FREQUENCY_PENALTY)?.map(narrow),
        ..SamplingOptions::default()
    })
}

/// Takes `best_of`: the outputs that are made.
fn best_of(fields: &mut Fields, samples: bool, streams: bool, max: u32) -> Result<u32, ApiError> {
    let at = fields.path("best_of");
    let given = integer(fields, "best_of", &limits::BEST_OF)?.unwrap_or(1);
    let fault = match given {
        0 | 1 => return Ok(1),
        _ if given > max => said!(
            "'{at}' must be between 1 and {max}, but it is {given}.",
            "'{at}' 값은 1에서 {max} 사이여야 하지만, 받은 값은 {given}입니다."
        ),
        _ if streams => said!(
            "'{at}' must be 1 in a stream: the best is known at the end.",
            "스트림에서 '{at}' 값은 1이어야 합니다. 가장 좋은 답은 끝나야 알 수 있습니다."
        ),
        _ if !samples => said!(
            "'{at}' must be 1 without 'do_sample': all outputs would be the same.",
            "'do_sample'이 없으면 '{at}' 값은 1이어야 합니다. 모든 출력이 같기 때문입니다."
        ),
        _ => return Ok(given),
    };
    Err(ApiError::invalid_value(&at, fault))
}

/// Takes `decoder_input_details`: whether the answer's details tell the tokens of the prompt.
fn prefill(fields: &mut Fields, details: bool, streams: bool) -> Result<bool, ApiError> {
    let at = fields.path("decoder_input_details");
    let wanted = fields.boolean("decoder_input_details")?.unwrap_or(false);
    if wanted && streams {
        let message = said!("'{at}' must be false in a stream.", "스트림에서 '{at}' 값은 false여야 합니다.");
        return Err(ApiError::invalid_value(&at, message));
    }
    Ok(wanted && details)
}

/// Takes `grammar`: `{"type": "json" | "json_schema" | "regex", "value"}`.
fn grammar(fields: &mut Fields) -> Result<Option<FormRequest>, ApiError> {
    let Some(mut grammar) = fields.object("grammar")? else { return Ok(None) };
    let (kind_at, at) = (grammar.path("type"), grammar.path("value"));
    let kind = grammar.take("type").ok_or_else(|| ApiError::missing(&kind_at))?;
    let kind = kind.as_str().ok_or_else(|| ApiError::invalid_type(&kind_at, "a string", &kind))?;
    let spec = match kind {
        "json" => {
            let value = grammar.take("value").ok_or_else(|| ApiError::missing(&at))?;
            GrammarSpec::JsonSchema { schema: form::schema_of(&at, value)? }
        }
        "json_schema" => {
            let mut value = grammar.object("value")?.ok_or_else(|| ApiError::missing(&at))?;
            let at = value.path("schema");
            let schema = value.take("schema").ok_or_else(|| ApiError::missing(&at))?;
            GrammarSpec::JsonSchema { schema: form::schema_of(&at, schema)? }
        }
        "regex" => {
            let pattern = grammar.string("value", &limits::REGEX)?;
            GrammarSpec::Regex(pattern.ok_or_else(|| ApiError::missing(&at))?)
        }
        other => {
            let message = said!(
                "'{kind_at}' must be json, json_schema or regex, but it is '{}'.",
                "'{kind_at}' 값은 json, json_schema, regex 중 하나여야 하지만, 받은 값은 '{}'입니다.",
                shown(other)
            );
            return Err(ApiError::invalid_value(&kind_at, message));
        }
    };
    Ok(Some(FormRequest { spec, param: at }))
}
