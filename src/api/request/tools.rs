//! Tools that the model may call: `tools` with `tool_choice`, and the older `functions` with `function_call`.

use serde_json::{Map, Value, json};

use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::limits;
use crate::api::params::{self, Judge};
use crate::api::wording::said;
use crate::serving::{ToolChoice, ToolDefinition};

/// Tools that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::api) struct ToolOptions {
    /// What the model is told of.
    pub(in crate::api) tools: Vec<ToolDefinition>,
    /// Whether and which it may call.
    pub(in crate::api) choice: ToolChoice,
    /// Whether an answer may hold several calls.
    pub(in crate::api) parallel: bool,
    /// Whether the client spoke of functions, so that the answer must.
    pub(in crate::api) legacy: bool,
}

impl ToolOptions {
    /// Takes the tools of a chat completion.
    ///
    /// # Errors
    /// A value of the wrong type or out of its bounds, a choice that names no tool, and what the judge does not let
    /// pass.
    pub(in crate::api) fn take(fields: &mut Fields, judge: &mut Judge) -> Result<Self, ApiError> {
        let listed = fields.list("tools", &limits::TOOLS)?.unwrap_or_default();
        let functions = fields.list("functions", &limits::TOOLS)?.unwrap_or_default();
        let (tool_choice, function_call) = (fields.take("tool_choice"), fields.take("function_call"));
        let parallel = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
        let legacy = listed.is_empty() && !functions.is_empty();
        if !listed.is_empty() && !functions.is_empty() {
            let message = said!(
                "'functions' is the older name of 'tools'; only one of them may be set.",
                "'functions'는 'tools'의 옛 이름이므로 둘 중 하나만 지정할 수 있습니다."
            );
            return Err(ApiError::invalid_value("functions", message));
        }
        let tools = if legacy {
            let read = |(i, value)| function(&format!("functions[{i}]"), value, judge);
            functions.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?
        } else {
            let read = |(i, value)| tool(&format!("tools[{i}]"), value, judge);
            listed.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?
        };
        distinct(&tools, if legacy { "functions" } else { "tools" })?;
        let (at, choice) = match (tool_choice, function_call) {
            (Some(choice), _) => ("tool_choice", parse_choice(choice)?),
            (None, Some(call)) => ("function_call", parse_function_call(call)?),
            (None, None) => ("tool_choice", ToolChoice::Auto),
        };
        expect_known(at, &choice, &tools)?;
        // The older way knows one call an answer.
        Ok(Self { tools, choice, parallel: parallel && !legacy, legacy })
    }

    /// The tools that the model is told of: none where it may call none.
    pub(in crate::api) fn shown(&self) -> Vec<ToolDefinition> {
        if self.choice == ToolChoice::None { Vec::new() } else { self.tools.clone() }
    }
}

fn tool(at: &str, value: Value, judge: &mut Judge) -> Result<ToolDefinition, ApiError> {
    let mut fields = Fields::of_object(at, value)?;
    let kind_at = fields.path("type");
    match fields.take("type") {
        Some(Value::String(kind)) if kind == "function" => {}
        Some(Value::String(kind)) => {
            let message = said!(
                "'{kind_at}' is '{}', but the server knows tools of type 'function' only.",
                "'{kind_at}' 값이 '{}'이지만, 서버는 'function' 형식의 도구만 지원합니다.",
                shown(&kind)
            );
            return Err(ApiError::invalid_value(&kind_at, message));
        }
        Some(other) => return Err(ApiError::invalid_type(&kind_at, "a string", &other)),
        None => return Err(ApiError::missing(&kind_at)),
    }
    let function_at = fields.path("function");
    let described = fields.take("function").ok_or_else(|| ApiError::missing(&function_at))?;
    judge.judge(params::TOOL, fields.rest())?;
    function(&function_at, described, judge)
}

/// A function with its name, description, parameters and `strict`.
///
/// # Errors
/// A value of the wrong type or out of its bounds, and what the judge does not let pass.
pub(in crate::api) fn function(
    at: &str,
    value: Value,
    judge: &mut Judge,
) -> Result<ToolDefinition, ApiError> {
    let mut fields = Fields::of_object(at, value)?;
    let name = name(&mut fields)?;
    let description = fields.string("description", &limits::TOOL_DESCRIPTION)?;
    let parameters = fields.members("parameters")?.unwrap_or_else(no_parameters);
    let strict = fields.boolean("strict")?.unwrap_or(false);
    judge.judge(params::FUNCTION, fields.rest())?;
    Ok(ToolDefinition { name, description, parameters: parameters.into(), strict })
}

/// The parameters of a function that takes none.
pub(in crate::api) fn no_parameters() -> Map<String, Value> {
    let Value::Object(schema) = json!({ "type": "object", "properties": {} }) else {
        unreachable!("an object")
    };
    schema
}

/// The `name` of a function: letters, digits, `_` and `-`, as OpenAI has it.
///
/// # Errors
/// A name that is none.
pub(in crate::api) fn name(fields: &mut Fields) -> Result<String, ApiError> {
    let at = fields.path("name");
    let name = fields.string("name", &limits::TOOL_NAME)?.ok_or_else(|| ApiError::missing(&at))?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Ok(name);
    }
    let message = said!(
        "'{at}' may only hold letters, digits, '_' and '-' of ASCII, but it is '{}'.",
        "'{at}' 값에는 ASCII 글자, 숫자, '_', '-'만 쓸 수 있지만, 받은 값은 '{}'입니다.",
        shown(&name)
    );
    Err(ApiError::invalid_value(&at, message))
}

/// # Errors
/// 400 if two tools have one name.
pub(in crate::api) fn distinct(tools: &[ToolDefinition], at: &str) -> Result<(), ApiError> {
    for (i, tool) in tools.iter().enumerate() {
        if tools[..i].iter().any(|earlier| earlier.name == tool.name) {
            let message = said!(
                "Two tools in '{at}' have the name '{}'.",
                "'{at}'에 이름이 '{}'인 도구가 둘 있습니다.",
                tool.name
            );
            return Err(ApiError::invalid_value(at, message));
        }
    }
    Ok(())
}

/// What `tool_choice` asks for.
///
/// # Errors
/// A choice that there is not.
pub(in crate::api) fn parse_choice(value: Value) -> Result<ToolChoice, ApiError> {
    const AT: &str = "tool_choice";
    match value {
        Value::String(word) => match word.as_str() {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto),
            "required" | "any" => Ok(ToolChoice::Required),
            other => {
                let message = said!(
                    "'{AT}' must be one of none, auto, required, a function and allowed tools, but it is '{}'.",
                    "'{AT}' 값은 none, auto, required, 함수, 허용된 도구 중 하나여야 하지만, 받은 값은 '{}'입니다.",
                    shown(other)
                );
                Err(ApiError::invalid_value(AT, message))
            }
        },
        Value::Object(_) => {
            let mut fields = Fields::of_object(AT, value)?;
            let kind = fields.take("type");
            match kind.as_ref().and_then(Value::as_str) {
                Some("function") => named(AT, &mut fields).map(ToolChoice::Named),
                Some("allowed_tools") => allowed(fields),
                _ => {
                    let message = said!(
                        "'{AT}.type' must be 'function' or 'allowed_tools'.",
                        "'{AT}.type' 값은 'function' 또는 'allowed_tools'여야 합니다."
                    );
                    Err(ApiError::invalid_value("tool_choice.type", message))
                }
            }
        }
        other => Err(ApiError::invalid_type(AT, "a string or an object", &other)),
    }
}

/// The name in `{"function": {"name"}}`, or, as in the Responses API, in `{"name"}`.
fn named(at: &str, fields: &mut Fields) -> Result<String, ApiError> {
    match fields.object("function")? {
        Some(mut function) => name(&mut function),
        None if fields.has("name") => name(fields),
        None => Err(ApiError::missing(&format!("{at}.function"))),
    }
}

/// `{"allowed_tools": {"mode", "tools"}}`, or, as in the Responses API, the same without the inner object.
fn allowed(mut fields: Fields) -> Result<ToolChoice, ApiError> {
    let mut inner = match fields.object("allowed_tools")? {
        Some(inner) => inner,
        None => fields,
    };
    let mode_at = inner.path("mode");
    let required = match inner.take("mode").as_ref().and_then(Value::as_str) {
        Some("required") => true,
        Some("auto") => false,
        _ => {
            return Err(ApiError::invalid_value(
                &mode_at,
                said!(
                    "'{mode_at}' must be 'auto' or 'required'.",
                    "'{mode_at}' 값은 'auto' 또는 'required'여야 합니다."
                ),
            ));
        }
    };
    let tools_at = inner.path("tools");
    let tools = inner.list("tools", &limits::TOOLS)?.ok_or_else(|| ApiError::missing(&tools_at))?;
    let read = |(i, value)| {
        let at = format!("{tools_at}[{i}]");
        let mut fields = Fields::of_object(&at, value)?;
        drop(fields.take("type"));
        named(&at, &mut fields)
    };
    let names = tools.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(ToolChoice::Allowed { names, required })
}

fn parse_function_call(value: Value) -> Result<ToolChoice, ApiError> {
    const AT: &str = "function_call";
    match value.as_str() {
        Some("none") => return Ok(ToolChoice::None),
        Some("auto") => return Ok(ToolChoice::Auto),
        Some(other) => {
            let message = said!(
                "'{AT}' must be none, auto or a function, but it is '{}'.",
                "'{AT}' 값은 none, auto, 함수 중 하나여야 하지만, 받은 값은 '{}'입니다.",
                shown(other)
            );
            return Err(ApiError::invalid_value(AT, message));
        }
        None => {}
    }
    name(&mut Fields::of_object(AT, value)?).map(ToolChoice::Named)
}

/// # Errors
/// 400 if a choice asks for a tool that is not there.
pub(in crate::api) fn expect_known(
    at: &str,
    choice: &ToolChoice,
    tools: &[ToolDefinition],
) -> Result<(), ApiError> {
    let names: &[String] = match choice {
        ToolChoice::None | ToolChoice::Auto => return Ok(()),
        ToolChoice::Required => &[],
        ToolChoice::Named(name) => std::slice::from_ref(name),
        ToolChoice::Allowed { names, .. } => names,
    };
    if tools.is_empty() {
        let message = said!(
            "'{at}' asks for a tool, but the request has none.",
            "'{at}'에서 도구를 요구하지만, 요청에 도구가 없습니다."
        );
        return Err(ApiError::invalid_value(at, message));
    }
    match names.iter().find(|name| !tools.iter().any(|tool| tool.name == **name)) {
        None => Ok(()),
        Some(unknown) => {
            let message = said!(
                "'{at}' names the tool '{}', which the request does not have.",
                "'{at}'에서 지정한 도구 '{}'이(가) 요청에 없습니다.",
                shown(unknown)
            );
            Err(ApiError::invalid_value(at, message))
        }
    }
}
