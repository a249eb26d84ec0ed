//! From the wire to a [`GenerateRequest`], with what the answer repeats of the request.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::items::{self, Item, ItemSource};
use super::store::ResponseStore;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::openapi::groups;
use crate::api::params::{self, Judge, Warning};
use crate::api::request::reasoning::ReasoningRequest;
use crate::api::request::stream::StreamOptions;
use crate::api::request::{self, form, sampling, tools};
use crate::api::state::AppState;
use crate::api::wording::{because, said};
use crate::api::{cache_salt, limits, priority};
use crate::serving::{
    ChatPrompt, FormRequest, GenerateRequest, PromptInput, ReportOptions, ToolChoice, ToolDefinition,
};

/// What `include` must name for tokens to be told.
const LOGPROBS: &str = "message.output_text.logprobs";

/// A checked request for a response.
#[derive(Debug)]
pub(super) struct ResponseRequest {
    /// The model that the client named.
    pub(super) model: String,
    /// What to generate.
    pub(super) generate: GenerateRequest,
    /// The items that the prompt is made from: those of the conversation before, then the new ones.
    pub(super) conversation: Vec<Arc<Item>>,
    /// Whether the answer is kept.
    pub(super) store: bool,
    /// Whether it is streamed.
    pub(super) stream: bool,
    /// What it shows.
    pub(super) show: Show,
    /// Settings that it repeats.
    pub(super) settings: Map<String, Value>,
    /// What was not honoured.
    pub(super) warnings: Vec<Warning>,
}

/// What an answer shows beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Show {
    /// The model's reasoning.
    pub(super) reasoning: bool,
    /// The tokens of its text with their log probabilities.
    pub(super) logprobs: bool,
}

impl ResponseRequest {
    /// Checks the members of a request of `caller`.
    ///
    /// # Errors
    /// 400: a field is named that is not as it must be.
    pub(super) fn parse(
        members: Map<String, Value>,
        caller: Caller,
        state: &AppState,
        store: &ResponseStore,
    ) -> Result<Self, ApiError> {
        let config = &state.config;
        let mut settings = repeated(&members);
        let mut fields = request::fields(members, groups::RESPONSES)?;
        let mut judge = Judge::new(config.strict_params, caller.reader);

        let model = request::model(&mut fields)?;
        let instructions = fields.string("instructions", &limits::INSTRUCTIONS)?;
        let conversation = conversation(&mut fields, &mut judge, caller, state, store)?;
        let (tools, tool_choice) = take_tools(&mut fields, &mut judge)?;
        let parallel_tool_calls = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
        // It counts calls of tools that the server runs itself, of which there are none.
        fields.integer(&limits::MAX_TOOL_CALLS)?;
        let reasoning = take_reasoning(&mut fields, &mut judge, state)?;
        let grammar = take_form(&mut fields, &mut judge)?;
        let language = form::language(&mut fields)?;
        let options = sampling::sampling(&mut fields)?;
        let max_new_tokens = fields.integer(&limits::MAX_OUTPUT_TOKENS)?;
        let max_new_tokens = max_new_tokens.map(|max| u32::try_from(max).expect("the limit is below 2^31"));
        let end = sampling::end(&mut fields, max_new_tokens)?;
        let logprobs = take_logprobs(&mut fields, &mut judge)?;
        let max_model_len = state.generator.max_model_len();
        let truncate_prompt_tokens = sampling::truncate_prompt_tokens(&mut fields, max_model_len)?;
        let skip_special_tokens = fields.boolean("skip_special_tokens")?.unwrap_or(true);
        let stream = StreamOptions::take(&mut fields, &mut judge)?.stream;
        let metadata = request::labels(&mut fields)?;
        let keep = fields.boolean("store")?;
        let priority = priority::take(&mut fields, &mut judge, config.allow_priority)?;
        let cache_salt = cache_salt::take(&mut fields, caller.divides_the_cache(config))?;
        if store.is_off() && keep == Some(true) {
            let reason = because("this server keeps no responses", "이 서버는 응답을 저장하지 않습니다");
            judge.ignore("store", reason)?;
        }
        judge.judge(params::RESPONSES, fields.rest())?;

        let defaults = state.generator.default_sampling();
        let keep = keep.unwrap_or(true) && !store.is_off();
        settings.insert("instructions".to_owned(), json!(instructions));
        settings.insert("metadata".to_owned(), metadata.into());
        settings.insert("parallel_tool_calls".to_owned(), parallel_tool_calls.into());
        settings.insert("store".to_owned(), keep.into());
        settings.insert("background".to_owned(), false.into());
        settings.insert("truncation".to_owned(), "disabled".into());
        let temperature = options.temperature.or(defaults.temperature).unwrap_or(1.0);
        settings.insert("temperature".to_owned(), temperature.into());
        settings.insert("top_p".to_owned(), options.top_p.or(defaults.top_p).unwrap_or(1.0).into());

        let mut chat = ChatPrompt::new(items::messages(instructions, &conversation)?);
        chat.tools = if tool_choice == ToolChoice::None { Vec::new() } else { tools };
        chat.template_kwargs = reasoning.template_kwargs;
        let report = ReportOptions { logprobs, skip_special_tokens, ..ReportOptions::default() };
        let generate = GenerateRequest {
            truncate_prompt_tokens,
            sampling: options,
            end,
            report,
            grammar,
            tool_choice,
            parallel_tool_calls,
            reasoning: reasoning.options,
            language,
            tenant: caller.tenant,
            priority,
            cache_salt,
            ..GenerateRequest::new(PromptInput::Chat(chat))
        };
        let show = Show { reasoning: reasoning.include, logprobs: logprobs.is_some() };
        let warnings = judge.into_warnings();
        Ok(Self { model, generate, conversation, store: keep, stream, show, settings, warnings })
    }
}

/// What the answer repeats as the client gave it; what is wrong with any of it is found later.
fn repeated(members: &Map<String, Value>) -> Map<String, Value> {
    let given = |name: &str| members.get(name).filter(|value| !value.is_null()).cloned();
    let mut settings = Map::new();
    for name in ["max_output_tokens", "max_tool_calls", "previous_response_id", "top_logprobs"] {
        settings.insert(name.to_owned(), given(name).unwrap_or(Value::Null));
    }
    for name in ["user", "safety_identifier", "prompt_cache_key"] {
        settings.extend(given(name).map(|value| (name.to_owned(), value)));
    }
    let mut reasoning = json!({ "effort": null, "summary": null });
    let mut text = json!({ "format": { "type": "text" }, "verbosity": "medium" });
    for (whole, name) in [(&mut reasoning, "reasoning"), (&mut text, "text")] {
        if let (Some(Value::Object(given)), Some(whole)) = (given(name), whole.as_object_mut()) {
            whole.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
        }
    }
    settings.insert("reasoning".to_owned(), reasoning);
    settings.insert("text".to_owned(), text);
    settings.insert("tool_choice".to_owned(), given("tool_choice").unwrap_or_else(|| "auto".into()));
    let mut tools = given("tools").unwrap_or_else(|| json!([]));
    for tool in tools.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        tool.entry("parameters").or_insert_with(|| tools::no_parameters().into());
        tool.entry("strict").or_insert(false.into());
    }
    settings.insert("tools".to_owned(), tools);
    settings
}

/// The items of the answer that this one builds on and of what led to it, then the new ones.
fn conversation(
    fields: &mut Fields,
    judge: &mut Judge,
    caller: Caller,
    state: &AppState,
    store: &ResponseStore,
) -> Result<Vec<Arc<Item>>, ApiError> {
    let previous = fields.string("previous_response_id", &limits::PREVIOUS_RESPONSE_ID)?;
    let mut conversation = match previous {
        None => Vec::new(),
        Some(id) => {
            let stored = store.get(caller.tenant, &id);
            stored.ok_or_else(|| ApiError::previous_response_not_found(&id))?.conversation.clone()
        }
    };
    // Most requests refer to no item; one that does may refer to many.
    let all: OnceCell<HashMap<String, Arc<Item>>> = OnceCell::new();
    let stored = |id: &str| all.get_or_init(|| store.items(caller.tenant)).get(id).cloned();
    let source = ItemSource { new_id: &|| state.stamps.id(), stored: &stored };
    conversation.extend(items::take(fields, judge, &source)?);
    limits::ITEMS.check_count("input", conversation.len())?;
    Ok(conversation)
}

/// Takes `tools`, each a function, and `tool_choice`.
fn take_tools(fields: &mut Fields, judge: &mut Judge) -> Result<(Vec<ToolDefinition>, ToolChoice), ApiError> {
    let listed = fields.list("tools", &limits::TOOLS)?.unwrap_or_default();
    let mut defined = Vec::with_capacity(listed.len());
    for (i, value) in listed.into_iter().enumerate() {
        defined.push(tool(&format!("tools[{i}]"), value, judge)?);
    }
    tools::distinct(&defined, "tools")?;
    let choice = fields.take("tool_choice").map_or(Ok(ToolChoice::Auto), tools::parse_choice)?;
    tools::expect_known("tool_choice", &choice, &defined)?;
    Ok((defined, choice))
}

fn tool(at: &str, mut value: Value, judge: &mut Judge) -> Result<ToolDefinition, ApiError> {
    let kind = value.as_object_mut().map(|members| members.shift_remove("type"));
    let kind_at = format!("{at}.type");
    match kind.flatten() {
        Some(Value::String(kind)) if kind == "function" => tools::function(at, value, judge),
        Some(Value::String(kind)) => {
            let message = said!(
                "'{kind_at}' is '{}', but the server knows tools of type 'function' only.",
                "'{kind_at}' 값이 '{}'이지만, 서버는 'function' 형식의 도구만 지원합니다.",
                shown(&kind)
            );
            Err(ApiError::invalid_value(&kind_at, message))
        }
        Some(other) => Err(ApiError::invalid_type(&kind_at, "a string", &other)),
        None if value.is_object() => Err(ApiError::missing(&kind_at)),
        None => Err(ApiError::invalid_type(at, "an object", &value)),
    }
}

/// Takes `reasoning`, and what other servers know beside it, which is closer to the template and wins.
fn take_reasoning(
    fields: &mut Fields,
    judge: &mut Judge,
    state: &AppState,
) -> Result<ReasoningRequest, ApiError> {
    let facts = state.reasoning_facts();
    let mut base = ReasoningRequest::default();
    if let Some(mut given) = fields.object("reasoning")? {
        let at = given.path("effort");
        match given.take("effort") {
            None => {}
            Some(Value::String(effort)) => base.set_effort(&at, &effort, facts, judge)?,
            Some(other) => return Err(ApiError::invalid_type(&at, "a string", &other)),
        }
        judge.judge(params::REASONING, given.rest())?;
    }
    Ok(ReasoningRequest::take(fields, judge, facts)?.over(base))
}

/// Takes `text`, and what other servers know beside it.
fn take_form(fields: &mut Fields, judge: &mut Judge) -> Result<Option<FormRequest>, ApiError> {
    let mut of_text = None;
    if let Some(mut text) = fields.object("text")? {
        if let Some(mut format) = text.object("format")? {
            of_text = text_format(&mut format)?;
            judge.judge(params::TEXT_FORMAT, format.rest())?;
        }
        judge.judge(params::TEXT, text.rest())?;
    }
    match (of_text, form::take(fields, judge)?) {
        (Some(_), Some(second)) => {
            let param = &second.param;
            let message = said!(
                "'text.format' and '{param}' both ask for a form; only one may be set.",
                "'text.format'과 '{param}' 중 하나만 지정할 수 있습니다. 둘 다 출력 형식을 정합니다."
            );
            Err(ApiError::invalid_value(param, message))
        }
        (first, second) => Ok(first.or(second)),
    }
}

fn text_format(format: &mut Fields) -> Result<Option<FormRequest>, ApiError> {
    const AT: &str = "text.format";
    let kind_at = format.path("type");
    let kind = format.take("type").ok_or_else(|| ApiError::missing(&kind_at))?;
    match kind.as_str() {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(form::any_object(AT))),
        Some("json_schema") => form::json_schema(format).map(Some),
        Some(other) => {
            let message = said!(
                "'{kind_at}' must be one of text, json_object and json_schema, but it is '{}'.",
                "'{kind_at}' 값은 text, json_object, json_schema 중 하나여야 하지만, 받은 값은 '{}'입니다.",
                shown(other)
            );
            Err(ApiError::invalid_value(&kind_at, message))
        }
        None => Err(ApiError::invalid_type(&kind_at, "a string", &kind)),
    }
}

/// Takes `include` and `top_logprobs`: what is told of output tokens.
fn take_logprobs(fields: &mut Fields, judge: &mut Judge) -> Result<Option<u8>, ApiError> {
    let included = sampling::strings(fields, "include", &limits::INCLUDE, &limits::INCLUDED)?;
    let top = fields.integer(&limits::TOP_LOGPROBS)?;
    for name in included.iter().filter(|name| *name != LOGPROBS) {
        let name = shown(name);
        let reason = said!("there is no '{name}' to include", "넣을 수 있는 '{name}' 항목이 없습니다");
        judge.ignore("include", reason)?;
    }
    if included.iter().any(|name| name == LOGPROBS) {
        return Ok(Some(u8::try_from(top.unwrap_or(0)).expect("the limit is 20")));
    }
    if top.is_some_and(|top| top > 0) {
        let reason =
            said!("'include' does not name '{LOGPROBS}'", "'include' 값에 '{LOGPROBS}' 항목이 없습니다");
        judge.ignore("top_logprobs", reason)?;
    }
    Ok(None)
}
