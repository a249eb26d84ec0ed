//! From the wire to a [`GenerateRequest`].

use serde_json::{Map, Value};

use super::content;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::openapi::groups;
use crate::api::params::{self, Judge, Warning};
use crate::api::request::reasoning::ReasoningRequest;
use crate::api::request::{self, form, sampling, tools};
use crate::api::state::AppState;
use crate::api::wording::{because, said};
use crate::api::{cache_salt, limits};
use crate::serving::{
    ChatPrompt, EndOptions, FormRequest, GenerateRequest, PromptInput, SamplingOptions, ToolChoice,
    ToolDefinition,
};

/// A checked request for a message.
#[derive(Debug)]
pub(super) struct MessageRequest {
    /// The model that the client named.
    pub(super) model: String,
    /// What to generate.
    pub(super) generate: GenerateRequest,
    /// Whether the answer is streamed.
    pub(super) stream: bool,
    /// Whether the text of the model's thinking is shown.
    pub(super) shows_thinking: bool,
    /// What was not honoured.
    pub(super) warnings: Vec<Warning>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An answer, no longer than the request says.
    Answer,
    /// The number of its tokens.
    Count,
}

impl MessageRequest {
    /// Checks the members of a request of `caller`.
    ///
    /// # Errors
    /// 400: a field is named that is not as it must be.
    pub(super) fn parse(
        members: Map<String, Value>,
        purpose: Purpose,
        caller: Caller,
        state: &AppState,
    ) -> Result<Self, ApiError> {
        let config = &state.config;
        let mut fields = request::fields(members, groups::MESSAGES_API)?;
        let mut judge = Judge::new(config.strict_params, caller.reader);

        let model = request::model(&mut fields)?;
        let max_new_tokens = fields.integer(&limits::MAX_TOKENS)?;
        let max_new_tokens = max_new_tokens.map(|max| u32::try_from(max).expect("the limit is below 2^31"));
        if max_new_tokens.is_none() && purpose == Purpose::Answer {
            return Err(ApiError::missing(limits::MAX_TOKENS.path));
        }
        let messages = content::take(&mut fields, &mut judge)?;
        let tools = take_tools(&mut fields, &mut judge)?;
        let (tool_choice, parallel_tool_calls) = take_choice(&mut fields, &mut judge)?;
        tools::expect_known("tool_choice", &tool_choice, &tools)?;
        let (mut reasoning, shows_thinking) = take_thinking(&mut fields, &mut judge, state)?;
        let grammar = take_output(&mut fields, &mut judge, &mut reasoning, state)?;
        let options = take_sampling(&mut fields)?;
        let stop = sampling::strings(
            &mut fields,
            "stop_sequences",
            &limits::STOP_SEQUENCES,
            &limits::STOP_SEQUENCE,
        )?;
        let stream = fields.boolean("stream")?.unwrap_or(false);
        if let Some(mut metadata) = fields.object("metadata")? {
            if let Some(label) = metadata.string("user_id", &limits::USER_ID)? {
                tracing::debug!(name = "metadata.user_id", label, "label of a request");
            }
            judge.judge(params::MESSAGES_OPTION, metadata.rest())?;
        }
        let cache_salt = cache_salt::take(&mut fields, caller.divides_the_cache(config))?;
        judge.judge(params::MESSAGES_API, fields.rest())?;

        let mut chat = ChatPrompt::new(messages);
        // A conversation that ends with the assistant's words asks for more of them.
        let last = chat.messages.last();
        chat.continue_final_message =
            last.is_some_and(|last| last.role == "assistant" && last.tool_calls.is_empty());
        chat.add_generation_prompt = !chat.continue_final_message;
        chat.tools = if tool_choice == ToolChoice::None { Vec::new() } else { tools };
        chat.template_kwargs = reasoning.template_kwargs;
        let generate = GenerateRequest {
            sampling: options,
            end: EndOptions { max_new_tokens, stop, ..EndOptions::default() },
            grammar,
            tool_choice,
            parallel_tool_calls,
            reasoning: reasoning.options,
            tenant: caller.tenant,
            cache_salt,
            ..GenerateRequest::new(PromptInput::Chat(chat))
        };
        Ok(Self { model, generate, stream, shows_thinking, warnings: judge.into_warnings() })
    }
}

/// Takes `temperature`, `top_p` and `top_k`, and what other endpoints know beside them.
fn take_sampling(fields: &mut Fields) -> Result<SamplingOptions, ApiError> {
    let temperature = fields.number(&limits::MESSAGES_TEMPERATURE)?;
    let options = sampling::sampling(fields)?;
    Ok(SamplingOptions { temperature: temperature.map(sampling::temperature_of), ..options })
}

fn take_tools(fields: &mut Fields, judge: &mut Judge) -> Result<Vec<ToolDefinition>, ApiError> {
    let listed = fields.list("tools", &limits::TOOLS)?.unwrap_or_default();
    let read = |(i, value)| tool(&format!("tools[{i}]"), value, judge);
    let defined = listed.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    tools::distinct(&defined, "tools")?;
    Ok(defined)
}

fn tool(at: &str, value: Value, judge: &mut Judge) -> Result<ToolDefinition, ApiError> {
    let mut fields = Fields::of_object(at, value)?;
    let kind_at = fields.path("type");
    match fields.take("type") {
        None => {}
        Some(Value::String(kind)) if kind == "custom" => {}
        Some(Value::String(kind)) => {
            let message = said!(
                "'{kind_at}' is '{}', but the server runs no tools itself: it knows those of type 'custom' only.",
                "'{kind_at}' 값이 '{}'이지만, 서버는 도구를 직접 실행하지 않으며 'custom' 형식만 지원합니다.",
                shown(&kind)
            );
            return Err(ApiError::invalid_value(&kind_at, message));
        }
        Some(other) => return Err(ApiError::invalid_type(&kind_at, "a string", &other)),
    }
    let name = tools::name(&mut fields)?;
    let description = fields.string("description", &limits::TOOL_DESCRIPTION)?;
    let schema_at = fields.path("input_schema");
    let parameters = fields.members("input_schema")?.ok_or_else(|| ApiError::missing(&schema_at))?;
    let strict = fields.boolean("strict")?.unwrap_or(false);
    judge.judge(params::MESSAGES_TOOL, fields.rest())?;
    Ok(ToolDefinition { name, description, parameters: parameters.into(), strict })
}

/// Takes `tool_choice`: what may be called, and whether an answer may hold several calls.
fn take_choice(fields: &mut Fields, judge: &mut Judge) -> Result<(ToolChoice, bool), ApiError> {
    let Some(mut choice) = fields.object("tool_choice")? else { return Ok((ToolChoice::Auto, true)) };
    let kind = kind(&mut choice)?;
    let parallel = !choice.boolean("disable_parallel_tool_use")?.unwrap_or(false);
    let chosen = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(tools::name(&mut choice)?),
        other => return Err(unknown(&choice.path("type"), "auto, any, tool and none", other)),
    };
    judge.judge(params::MESSAGES_OPTION, choice.rest())?;
    Ok((chosen, parallel))
}

/// Takes `thinking`: what the model is told about it, and whether its text is shown. A request that does not speak of it
/// wants none.
fn take_thinking(
    fields: &mut Fields,
    judge: &mut Judge,
    state: &AppState,
) -> Result<(ReasoningRequest, bool), ApiError> {
    const AT: &str = "thinking";
    let facts = state.reasoning_facts();
    let mut reasoning = ReasoningRequest::default();
    let Some(mut thinking) = fields.object(AT)? else {
        reasoning.set_thinking(AT, false, facts, judge)?;
        return Ok((reasoning, true));
    };
    let kind = kind(&mut thinking)?;
    let budget = thinking.integer_at("budget_tokens", &limits::BUDGET_TOKENS)?;
    let budget_at = thinking.path("budget_tokens");
    match kind.as_str() {
        "enabled" => {
            let budget = budget.ok_or_else(|| ApiError::missing(&budget_at))?;
            reasoning.set_thinking(AT, true, facts, judge)?;
            if facts.model_reasons {
                let budget = u32::try_from(budget).expect("the limit is below 2^31");
                reasoning.set_budget(&budget_at, budget, facts, judge)?;
            }
        }
        "adaptive" => reasoning.set_thinking(AT, true, facts, judge)?,
        "disabled" => reasoning.set_thinking(AT, false, facts, judge)?,
        other => return Err(unknown(&thinking.path("type"), "enabled, disabled and adaptive", other)),
    }
    if kind != "enabled" && budget.is_some() {
        let reason = because("it belongs to the type 'enabled'", "'enabled' 형식에만 쓰는 값입니다");
        judge.ignore(&budget_at, reason)?;
    }
    let display_at = thinking.path("display");
    let shows = match thinking.take("display") {
        None => true,
        Some(Value::String(display)) if display == "omitted" => false,
        // There is no shorter one than the model's own.
        Some(Value::String(display)) if display == "summarized" => true,
        Some(_) => {
            let message = said!(
                "'{display_at}' must be 'summarized' or 'omitted'.",
                "'{display_at}' 값은 'summarized' 또는 'omitted'여야 합니다."
            );
            return Err(ApiError::invalid_value(&display_at, message));
        }
    };
    judge.judge(params::MESSAGES_OPTION, thinking.rest())?;
    Ok((reasoning, shows))
}

/// Takes `output_config` and the older `output_format`: how hard the model thinks, if it does, and the form of its answer.
fn take_output(
    fields: &mut Fields,
    judge: &mut Judge,
    reasoning: &mut ReasoningRequest,
    state: &AppState,
) -> Result<Option<FormRequest>, ApiError> {
    let mut form = match fields.object("output_format")? {
        Some(format) => Some(json_format(format, "output_format", judge)?),
        None => None,
    };
    if let Some(mut config) = fields.object("output_config")? {
        let at = config.path("effort");
        match config.take("effort") {
            None => {}
            Some(Value::String(effort)) => {
                let mut base = ReasoningRequest::default();
                base.set_effort(&at, &effort, state.reasoning_facts(), judge)?;
                // Whether the model thinks at all is for `thinking` to say.
                *reasoning = std::mem::take(reasoning).over(base);
            }
            Some(other) => return Err(ApiError::invalid_type(&at, "a string", &other)),
        }
        let at = config.path("format");
        if let Some(format) = config.object("format")? {
            if form.is_some() {
                let message = said!(
                    "'output_format' and '{at}' both ask for a form; only one may be set.",
                    "'output_format'과 '{at}' 중 하나만 지정할 수 있습니다. 둘 다 출력 형식을 정합니다."
                );
                return Err(ApiError::invalid_value(&at, message));
            }
            form = Some(json_format(format, &at, judge)?);
        }
        judge.judge(params::MESSAGES_OPTION, config.rest())?;
    }
    Ok(form)
}

fn json_format(mut format: Fields, at: &str, judge: &mut Judge) -> Result<FormRequest, ApiError> {
    let kind = kind(&mut format)?;
    if kind != "json_schema" {
        return Err(unknown(&format.path("type"), "json_schema", &kind));
    }
    let schema_at = format.path("schema");
    let schema = format.members("schema")?.ok_or_else(|| ApiError::missing(&schema_at))?;
    drop(format.string("name", &limits::SCHEMA_NAME)?);
    judge.judge(params::MESSAGES_OPTION, format.rest())?;
    Ok(form::schema(schema.into(), &format!("{at}.schema")))
}

/// Takes the `type` that says what an object is.
fn kind(fields: &mut Fields) -> Result<String, ApiError> {
    let at = fields.path("type");
    match fields.take("type") {
        Some(Value::String(kind)) => Ok(kind),
        Some(other) => Err(ApiError::invalid_type(&at, "a string", &other)),
        None => Err(ApiError::missing(&at)),
    }
}

fn unknown(at: &str, known: &str, given: &str) -> ApiError {
    ApiError::invalid_value(
        at,
        said!(
            "'{at}' must be one of {known}, but it is '{}'.",
            "'{at}'에 쓸 수 있는 값은 {known}이지만, 받은 값은 '{}'입니다.",
            shown(given)
        ),
    )
}
