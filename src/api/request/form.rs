//! Forms that an output must have: `response_format`, vLLM's `structured_outputs`, and its older `guided_` fields.

use serde_json::{Value, json};

use super::sampling::strings;
use crate::api::error::{ApiError, shown};
use crate::api::fields::Fields;
use crate::api::limits;
use crate::api::params::{self, Judge};
use crate::api::wording::said;
use crate::serving::{FormRequest, GrammarSpec, Language};

const RESPONSE_FORMAT: &str = "response_format";

/// Takes whatever asks for a form.
///
/// # Errors
/// A value of the wrong type or out of its bounds, two forms at once, and what the judge does not let pass.
pub(in crate::api) fn take(fields: &mut Fields, judge: &mut Judge) -> Result<Option<FormRequest>, ApiError> {
    let mut forms = Vec::new();
    if let Some(format) = fields.take(RESPONSE_FORMAT) {
        forms.extend(response_format(format, judge)?);
    }
    if let Some(mut structured) = fields.object("structured_outputs")? {
        forms.extend(structured_outputs(&mut structured)?);
        judge.judge(params::STRUCTURED_OUTPUTS, structured.rest())?;
    }
    forms.extend(guided(fields)?);
    if forms.len() > 1 {
        let (first, second) = (&forms[0].param, &forms[1].param);
        let message = said!(
            "'{first}' and '{second}' both ask for a form; only one may be set.",
            "'{first}', '{second}' 중 하나만 지정할 수 있습니다. 둘 다 출력 형식을 정합니다."
        );
        return Err(ApiError::invalid_value(second, message));
    }
    Ok(forms.pop())
}

fn form(spec: GrammarSpec, param: impl Into<String>) -> FormRequest {
    FormRequest { spec, param: param.into() }
}

/// Any JSON object.
pub(in crate::api) fn any_object(param: &str) -> FormRequest {
    form(GrammarSpec::JsonObject, param)
}

/// JSON that obeys a schema.
pub(in crate::api) fn schema(schema: Value, param: &str) -> FormRequest {
    form(GrammarSpec::JsonSchema { schema }, param)
}

fn response_format(value: Value, judge: &mut Judge) -> Result<Option<FormRequest>, ApiError> {
    let mut fields = Fields::of_object(RESPONSE_FORMAT, value)?;
    let kind_at = fields.path("type");
    let kind = fields.take("type").ok_or_else(|| ApiError::missing(&kind_at))?;
    let form = match kind.as_str() {
        Some("text") => None,
        Some("json_object") => Some(any_object(RESPONSE_FORMAT)),
        Some("json_schema") => {
            let at = fields.path("json_schema");
            let mut inner = fields.object("json_schema")?.ok_or_else(|| ApiError::missing(&at))?;
            let form = json_schema(&mut inner)?;
            judge.judge(params::JSON_SCHEMA, inner.rest())?;
            Some(form)
        }
        Some("grammar") => {
            let at = fields.path("grammar");
            let text = fields.string("grammar", &limits::GRAMMAR)?.ok_or_else(|| ApiError::missing(&at))?;
            Some(form(GrammarSpec::Lark(text), at))
        }
        Some(other) => {
            let message = said!(
                "'{kind_at}' must be one of text, json_object, json_schema and grammar, but it is '{}'.",
                "'{kind_at}' 값은 text, json_object, json_schema, grammar 중 하나여야 하지만, 받은 값은 '{}'입니다.",
                shown(other)
            );
            return Err(ApiError::invalid_value(&kind_at, message));
        }
        None => return Err(ApiError::invalid_type(&kind_at, "a string", &kind)),
    };
    judge.judge(params::RESPONSE_FORMAT, fields.rest())?;
    Ok(form)
}

/// The members of `json_schema`: `name`, `schema`, `strict`, `description`. The schema is held to whether or not it is
/// called strict.
///
/// # Errors
/// A value of the wrong type or out of its bounds, or no schema.
pub(in crate::api) fn json_schema(inner: &mut Fields) -> Result<FormRequest, ApiError> {
    let name_at = inner.path("name");
    let name = inner.string("name", &limits::SCHEMA_NAME)?.ok_or_else(|| ApiError::missing(&name_at))?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        let message = said!(
            "'{name_at}' may only hold letters, digits, '_' and '-' of ASCII, but it is '{}'.",
            "'{name_at}' 값에는 ASCII 글자, 숫자, '_', '-'만 쓸 수 있지만, 받은 값은 '{}'입니다.",
            shown(&name)
        );
        return Err(ApiError::invalid_value(&name_at, message));
    }
    inner.string("description", &limits::TOOL_DESCRIPTION)?;
    inner.boolean("strict")?;
    let at = inner.path("schema");
    let given = inner.members("schema")?.ok_or_else(|| ApiError::missing(&at))?;
    Ok(schema(given.into(), &at))
}

fn structured_outputs(fields: &mut Fields) -> Result<Vec<FormRequest>, ApiError> {
    let mut forms = Vec::new();
    let at = fields.path("json");
    if let Some(value) = fields.take("json") {
        forms.push(form(GrammarSpec::JsonSchema { schema: schema_of(&at, value)? }, at));
    }
    let at = fields.path("regex");
    if let Some(pattern) = fields.string("regex", &limits::REGEX)? {
        forms.push(form(GrammarSpec::Regex(pattern), at));
    }
    let at = fields.path("choice");
    if fields.has("choice") {
        let choices = strings(fields, "choice", &limits::CHOICES, &limits::CHOICE)?;
        forms.push(form(GrammarSpec::Choice(choices), at));
    }
    let at = fields.path("grammar");
    if let Some(text) = fields.string("grammar", &limits::GRAMMAR)? {
        forms.push(form(GrammarSpec::Lark(text), at));
    }
    let at = fields.path("json_object");
    if fields.boolean("json_object")?.unwrap_or(false) {
        forms.push(any_object(&at));
    }
    Ok(forms)
}

fn guided(fields: &mut Fields) -> Result<Vec<FormRequest>, ApiError> {
    let mut forms = Vec::new();
    if let Some(value) = fields.take("guided_json") {
        let spec = GrammarSpec::JsonSchema { schema: schema_of("guided_json", value)? };
        forms.push(form(spec, "guided_json"));
    }
    if let Some(pattern) = fields.string("guided_regex", &limits::REGEX)? {
        forms.push(form(GrammarSpec::Regex(pattern), "guided_regex"));
    }
    if fields.has("guided_choice") {
        let choices = strings(fields, "guided_choice", &limits::CHOICES, &limits::CHOICE)?;
        forms.push(form(GrammarSpec::Choice(choices), "guided_choice"));
    }
    if let Some(text) = fields.string("guided_grammar", &limits::GRAMMAR)? {
        forms.push(form(GrammarSpec::Lark(text), "guided_grammar"));
    }
    Ok(forms)
}

/// A schema given as JSON, or as a string of JSON.
///
/// # Errors
/// A value that is neither.
pub(in crate::api) fn schema_of(at: &str, value: Value) -> Result<Value, ApiError> {
    match value {
        Value::Object(_) => Ok(value),
        Value::String(text) => {
            let text = limits::GRAMMAR.check_text(at, text)?;
            let parsed: Value = serde_json::from_str(&text).unwrap_or(json!(null));
            if parsed.is_object() {
                return Ok(parsed);
            }
            let message = said!(
                "'{at}' must be a JSON schema, as an object or as its text.",
                "'{at}' 값은 객체나 문자열로 된 JSON 스키마여야 합니다."
            );
            Err(ApiError::invalid_value(at, message))
        }
        other => Err(ApiError::invalid_type(at, "an object or a string of JSON", &other)),
    }
}

/// Takes `response_language`.
///
/// # Errors
/// A value that names no language that can be held.
pub(in crate::api) fn language(fields: &mut Fields) -> Result<Option<Language>, ApiError> {
    const AT: &str = "response_language";
    let Some(value) = fields.take(AT) else { return Ok(None) };
    match value.as_str() {
        Some("ko") => Ok(Some(Language::Korean)),
        Some("en") => Ok(Some(Language::English)),
        Some(other) => {
            let message = said!(
                "'{AT}' must be 'ko' or 'en', but it is '{}'.",
                "'{AT}' 값은 'ko' 또는 'en'이어야 하지만, 받은 값은 '{}'입니다.",
                shown(other)
            );
            Err(ApiError::invalid_value(AT, message))
        }
        None => Err(ApiError::invalid_type(AT, "a string", &value)),
    }
}
