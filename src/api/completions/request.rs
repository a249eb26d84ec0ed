//! From the wire to prompts to continue: all checks that need no model happen here.

use serde_json::{Map, Value};

use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::limits::Limit;
use crate::api::openapi::groups;
use crate::api::params::{self, Judge, Warning};
use crate::api::request::prompts::{PromptLimits, Prompts};
use crate::api::request::stream::StreamOptions;
use crate::api::request::{self, form, sampling};
use crate::api::state::AppState;
use crate::api::wording::said;
use crate::api::{cache_salt, limits, priority};
use crate::serving::{GenerateRequest, PromptInput, ReportOptions};

/// OpenAI's default.
const MAX_TOKENS: u32 = 16;

const PROMPT: PromptLimits =
    PromptLimits { text: limits::PROMPT, list: limits::PROMPTS, tokens: limits::PROMPT_TOKENS };

/// A checked request for completions.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    /// The model that the client named.
    pub(super) model: String,
    /// What is to be continued.
    pub(super) prompts: Prompts,
    /// What to do with each prompt; its own prompt stands for none of them.
    template: GenerateRequest,
    /// Choices that the answer shows of each prompt.
    pub(super) num_shown: u32,
    /// The token limit that the client set, and the field that did.
    pub(super) limit: Option<(u32, &'static str)>,
    /// Whether and how the answer is streamed.
    pub(super) stream: StreamOptions,
    /// What the answer shows.
    pub(super) show: Show,
    /// Labels that the answer repeats.
    pub(super) metadata: Map<String, Value>,
    /// What was not honoured.
    pub(super) warnings: Vec<Warning>,
}

/// What an answer shows beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Show {
    /// The prompt in front of the text.
    pub(super) echo: bool,
    /// The tokens with so many of the most likely ones.
    pub(super) logprobs: Option<u8>,
    /// The prompt's tokens with so many of the most likely ones.
    pub(super) prompt_logprobs: Option<u8>,
    /// The ids of its tokens and of the prompt's.
    pub(super) token_ids: bool,
    /// In log probabilities, `token_id:7` in place of the token's text.
    pub(super) tokens_as_ids: bool,
    /// Whether special tokens have no text.
    pub(super) skip_special_tokens: bool,
}

impl CompletionRequest {
    /// Checks the members of a request of `caller`.
    pub(super) fn parse(
        members: Map<String, Value>,
        caller: Caller,
        state: &AppState,
    ) -> Result<Self, ApiError> {
        let config = &state.config;
        let mut fields = request::fields(members, groups::COMPLETIONS)?;
        let mut judge = Judge::new(config.strict_params, caller.reader);

        let model = request::model(&mut fields)?;
        let add_special_tokens = fields.boolean("add_special_tokens")?.unwrap_or(true);
        let prompts = Prompts::take(&mut fields, PROMPT, add_special_tokens)?;
        let grammar = form::take(&mut fields, &mut judge)?;
        let language = form::language(&mut fields)?;
        let options = sampling::sampling(&mut fields)?;
        let limit = limit(&mut fields)?;
        let end = sampling::end(&mut fields, Some(limit.map_or(MAX_TOKENS, |(tokens, _)| tokens)))?;
        let logprobs = count(&mut fields, &limits::LOGPROBS)?;
        let prompt_logprobs = sampling::prompt_logprobs(&mut fields)?;
        let max_model_len = state.generator.max_model_len();
        let truncate_prompt_tokens = sampling::truncate_prompt_tokens(&mut fields, max_model_len)?;
        let token_ids = fields.boolean("return_token_ids")?.unwrap_or(false);
        let tokens_as_ids = fields.boolean("return_tokens_as_token_ids")?.unwrap_or(false);
        let skip_special_tokens = fields.boolean("skip_special_tokens")?.unwrap_or(true);
        let echo = fields.boolean("echo")?.unwrap_or(false);
        let stream = StreamOptions::take(&mut fields, &mut judge)?;
        let num_shown = sampling::num_choices(&mut fields)?;
        let num_choices = best_of(&mut fields, num_shown, stream.stream, state.generator.max_choices())?;
        let metadata = request::labels(&mut fields)?;
        let priority = priority::take(&mut fields, &mut judge, config.allow_priority)?;
        let cache_salt = cache_salt::take(&mut fields, caller.divides_the_cache(config))?;
        judge.judge(params::COMPLETIONS, fields.rest())?;
        expect_few(&prompts, num_choices)?;

        let show = Show { echo, logprobs, prompt_logprobs, token_ids, tokens_as_ids, skip_special_tokens };
        let report = ReportOptions {
            tokens: token_ids || stream.continuous_usage,
            // The best choices are the likeliest.
            logprobs: if num_choices > num_shown { logprobs.or(Some(0)) } else { logprobs },
            prompt_logprobs: prompt_logprobs.max(logprobs.filter(|_| echo)),
            skip_special_tokens,
        };
        let template = GenerateRequest {
            truncate_prompt_tokens,
            sampling: options,
            num_choices,
            end,
            report,
            grammar,
            language,
            tenant: caller.tenant,
            priority,
            cache_salt,
            ..GenerateRequest::new(PromptInput::Tokens(Vec::new()))
        };
        let warnings = judge.into_warnings();
        Ok(Self { model, prompts, template, num_shown, limit, stream, show, metadata, warnings })
    }

    /// What is to be generated for each prompt.
    pub(super) fn generates(&self) -> Vec<GenerateRequest> {
        let generate =
            |prompt: &PromptInput| GenerateRequest { prompt: prompt.clone(), ..self.template.clone() };
        self.prompts.inputs.iter().map(generate).collect()
    }

    /// How urgent it is.
    pub(super) fn priority(&self) -> crate::serving::Priority {
        self.template.priority
    }

    /// How many tokens of each prompt are kept, if not all.
    pub(super) fn truncate_prompt_tokens(&self) -> Option<usize> {
        self.template.truncate_prompt_tokens
    }
}

/// Takes the token limit and tells which field set it: `max_completion_tokens` wins over its old name.
fn limit(fields: &mut Fields) -> Result<Option<(u32, &'static str)>, ApiError> {
    let new = fields.integer(&limits::COMPLETION_MAX_COMPLETION_TOKENS)?;
    let old = fields.integer(&limits::COMPLETION_MAX_TOKENS)?;
    let named = |value: Option<i64>, limit: Limit| {
        value.map(|value| (u32::try_from(value).expect("the limit is below 2^31"), limit.path))
    };
    Ok(named(new, limits::COMPLETION_MAX_COMPLETION_TOKENS).or(named(old, limits::COMPLETION_MAX_TOKENS)))
}

fn count(fields: &mut Fields, limit: &Limit) -> Result<Option<u8>, ApiError> {
    Ok(fields.integer(limit)?.map(|value| u8::try_from(value).expect("the limit is 20")))
}

/// Takes `best_of`: the choices that are made of each prompt.
fn best_of(fields: &mut Fields, num_shown: u32, streams: bool, max: u32) -> Result<u32, ApiError> {
    const AT: &str = "best_of";
    let Some(given) = fields.integer(&limits::BEST_OF)? else { return Ok(num_shown) };
    let given = u32::try_from(given).expect("the limit keeps it between 1 and 128");
    if given < num_shown {
        let message = said!(
            "'{AT}' is {given}, fewer than the {num_shown} choices of 'n'.",
            "'{AT}' 값 {given}은(는) 'n'으로 요청한 {num_shown}개보다 적습니다."
        );
        return Err(ApiError::invalid_value(AT, message));
    }
    if given > max {
        let message = said!(
            "'{AT}' must be between 1 and {max}, but it is {given}.",
            "'{AT}' 값은 1에서 {max} 사이여야 하지만, 받은 값은 {given}입니다."
        );
        return Err(ApiError::invalid_value(AT, message));
    }
    if streams && given > num_shown {
        let message = said!(
            "'{AT}' may not be above 'n' when 'stream' is true: the best are known at the end.",
            "'stream'이 true이면 '{AT}' 값은 'n'보다 클 수 없습니다. 가장 좋은 답은 끝나야 알 수 있습니다."
        );
        return Err(ApiError::invalid_value(AT, message));
    }
    Ok(given)
}

/// Holds the choices of all prompts together to a bound.
fn expect_few(prompts: &Prompts, num_choices: u32) -> Result<(), ApiError> {
    let count = prompts.inputs.len() * num_choices as usize;
    if count <= limits::MAX_SEQUENCES {
        return Ok(());
    }
    let message = said!(
        "'prompt' asks for {count} choices of all prompts together, more than {}.",
        "'prompt'가 요청한 답은 모두 {count}개로, 한도 {}개를 넘습니다.",
        limits::MAX_SEQUENCES
    );
    Err(ApiError::invalid_value("prompt", message))
}
