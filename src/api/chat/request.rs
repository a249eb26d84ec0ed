//! From the wire to a [`GenerateRequest`]: all checks that need no model happen here.

use serde_json::{Map, Value};

use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::openapi::groups;
use crate::api::params::{self, Judge, Warning};
use crate::api::request::reasoning::ReasoningRequest;
use crate::api::request::stream::StreamOptions;
use crate::api::request::tools::ToolOptions;
use crate::api::request::{self, form, messages, sampling};
use crate::api::state::AppState;
use crate::api::wording::{because, said};
use crate::api::{cache_salt, limits, priority};
use crate::serving::{ChatPrompt, GenerateRequest, PromptInput, ReportOptions};

/// A checked request for a chat completion.
#[derive(Debug)]
pub(super) struct ChatRequest {
    /// The model that the client named.
    pub(super) model: String,
    /// What to generate.
    pub(super) generate: GenerateRequest,
    /// The field that set the token limit, if one did.
    pub(super) limit_param: &'static str,
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
    /// The tokens with their log probabilities.
    pub(super) logprobs: bool,
    /// The ids of its tokens and of the prompt's.
    pub(super) token_ids: bool,
    /// In log probabilities, `token_id:7` in place of the token's text.
    pub(super) tokens_as_ids: bool,
    /// The model's reasoning.
    pub(super) reasoning: bool,
    /// The last message, which the answer continues.
    pub(super) echo: bool,
    /// A call as `function_call`, the older way.
    pub(super) legacy_call: bool,
}

impl ChatRequest {
    /// Checks the members of a request of `caller`.
    pub(super) fn parse(
        members: Map<String, Value>,
        caller: Caller,
        state: &AppState,
    ) -> Result<Self, ApiError> {
        let config = &state.config;
        let mut fields = request::fields(members, groups::CHAT_COMPLETIONS)?;
        let mut judge = Judge::new(config.strict_params, caller.reader);

        let model = request::model(&mut fields)?;
        let messages = messages::take(&mut fields, &mut judge)?;
        let tools = ToolOptions::take(&mut fields, &mut judge)?;
        let reasoning = ReasoningRequest::take(&mut fields, &mut judge, state.reasoning_facts())?;
        let grammar = form::take(&mut fields, &mut judge)?;
        let language = form::language(&mut fields)?;
        let options = sampling::sampling(&mut fields)?;
        let num_choices = sampling::num_choices(&mut fields)?;
        let (max_new_tokens, limit_param) = sampling::max_new_tokens(&mut fields)?;
        let end = sampling::end(&mut fields, max_new_tokens)?;
        let logprobs = sampling::chat_logprobs(&mut fields)?;
        let prompt_logprobs = sampling::prompt_logprobs(&mut fields)?;
        let max_model_len = state.generator.max_model_len();
        let truncate_prompt_tokens = sampling::truncate_prompt_tokens(&mut fields, max_model_len)?;
        let token_ids = fields.boolean("return_token_ids")?.unwrap_or(false);
        let tokens_as_ids = fields.boolean("return_tokens_as_token_ids")?.unwrap_or(false);
        let skip_special_tokens = fields.boolean("skip_special_tokens")?.unwrap_or(true);
        let echo = fields.boolean("echo")?.unwrap_or(false);
        let stream = StreamOptions::take(&mut fields, &mut judge)?;
        let prediction = prediction(&mut fields, &mut judge)?;
        let metadata = request::labels(&mut fields)?;
        let priority = priority::take(&mut fields, &mut judge, config.allow_priority)?;
        let cache_salt = cache_salt::take(&mut fields, caller.divides_the_cache(config))?;

        let mut chat = ChatPrompt::new(messages);
        chat.tools = tools.shown();
        chat.template_kwargs = reasoning.template_kwargs;
        template_ends(&mut chat, &mut fields)?;
        judge.judge(params::CHAT_COMPLETIONS, fields.rest())?;

        let show = Show {
            logprobs: logprobs.is_some(),
            token_ids,
            tokens_as_ids,
            reasoning: reasoning.include,
            echo: echo && chat.continue_final_message,
            legacy_call: tools.legacy,
        };
        let report = ReportOptions { tokens: token_ids, logprobs, prompt_logprobs, skip_special_tokens };
        let generate = GenerateRequest {
            truncate_prompt_tokens,
            sampling: options,
            num_choices,
            end,
            report,
            grammar,
            tool_choice: tools.choice,
            parallel_tool_calls: tools.parallel,
            reasoning: reasoning.options,
            language,
            prediction,
            tenant: caller.tenant,
            priority,
            cache_salt,
            ..GenerateRequest::new(PromptInput::Chat(chat))
        };
        let warnings = judge.into_warnings();
        Ok(Self { model, generate, limit_param, stream, show, metadata, warnings })
    }
}

/// Takes what says how the prompt ends: `add_generation_prompt`, `continue_final_message`, and `add_special_tokens`,
/// which a chat template leaves nothing to.
pub(in crate::api) fn template_ends(chat: &mut ChatPrompt, fields: &mut Fields) -> Result<(), ApiError> {
    let continues = fields.boolean("continue_final_message")?.unwrap_or(false);
    let generation = fields.boolean("add_generation_prompt")?;
    if fields.boolean("add_special_tokens")?.unwrap_or(false) {
        let reason = because(
            "the chat template writes all special tokens itself",
            "특수 토큰은 모두 채팅 템플릿이 넣습니다",
        );
        return Err(ApiError::unsupported_parameter("add_special_tokens", reason));
    }
    if continues && generation == Some(true) {
        let message = said!(
            "'continue_final_message' and 'add_generation_prompt' exclude each other; set only one of them.",
            "'continue_final_message'와 'add_generation_prompt'는 함께 쓸 수 없습니다. 하나만 지정해 주십시오."
        );
        return Err(ApiError::invalid_value("continue_final_message", message.to_owned()));
    }
    if continues && chat.messages.last().is_none_or(|message| message.role != "assistant") {
        let message = said!(
            "'continue_final_message' wants the last message to be the assistant's.",
            "'continue_final_message'를 쓰려면 마지막 메시지가 assistant의 것이어야 합니다."
        );
        return Err(ApiError::invalid_value("continue_final_message", message));
    }
    chat.continue_final_message = continues;
    chat.add_generation_prompt = generation.unwrap_or(!continues);
    Ok(())
}

/// Takes `prediction`: what the client expects the answer to be.
fn prediction(fields: &mut Fields, judge: &mut Judge) -> Result<Option<String>, ApiError> {
    let Some(mut prediction) = fields.object("prediction")? else { return Ok(None) };
    let kind_at = prediction.path("type");
    match prediction.take("type") {
        None => {}
        Some(Value::String(kind)) if kind == "content" => {}
        Some(_) => {
            return Err(ApiError::invalid_value(
                &kind_at,
                said!("'{kind_at}' must be 'content'.", "'{kind_at}' 값은 'content'여야 합니다."),
            ));
        }
    }
    let at = prediction.path("content");
    let text = match prediction.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => messages::joined_parts(&at, parts, judge)?,
        Some(other) => return Err(ApiError::invalid_type(&at, "a string or a list of parts", &other)),
        None => return Err(ApiError::missing(&at)),
    };
    limits::PREDICTION.check_text(&at, text).map(|text| Some(text).filter(|text| !text.is_empty()))
}
