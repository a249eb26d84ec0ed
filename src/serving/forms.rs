//! The form that an output must have: what the client asks for, what its tools ask for, after the model's reasoning.

use serde_json::json;

use super::prepare::fault;
use super::{FormRequest, GenerateError, GenerateRequest, PromptInput, RequestError};
use crate::sampling::GrammarSpec;
use crate::text::{CompiledGrammar, GrammarError, TextModel, ToolChoice, ToolDefinition};

/// Compiles what holds the output of a request to a form; nothing does for most requests.
///
/// # Errors
/// A form that cannot be held to; the field that asked for it is named.
pub(super) fn compile_form(
    text: &TextModel,
    request: &GenerateRequest,
    in_reasoning: bool,
) -> Result<Option<CompiledGrammar>, GenerateError> {
    let form = request.grammar.as_ref();
    let calls = call_grammar(text, request, form.is_some())?;
    let (spec, param) = match (calls, form) {
        (None, None) => return Ok(None),
        (None, Some(FormRequest { spec, param })) => (spec.clone(), param.as_str()),
        (Some(calls), None) => (calls, "tools"),
        (Some(calls), Some(FormRequest { spec, param })) => {
            // The form is compiled on its own first, so that a fault in it is named.
            compile(text, spec, param)?;
            // Where a call must come, there is no text that could have a form.
            let spec = if must_call(request) { calls } else { text.format().either(spec.clone(), calls) };
            (spec, "tools")
        }
    };
    let spec = if in_reasoning { text.format().after_reasoning(spec) } else { spec };
    Ok(Some(compile(text, &spec, param)?))
}

fn compile(text: &TextModel, spec: &GrammarSpec, param: &str) -> Result<CompiledGrammar, RequestError> {
    text.grammars().compile(spec).map_err(|error| grammar_fault(param, &error))
}

fn grammar_fault(param: &str, error: &GrammarError) -> RequestError {
    fault(param, error.to_string())
}

/// Whether the answer must call a tool.
fn must_call(request: &GenerateRequest) -> bool {
    matches!(
        request.tool_choice,
        ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. }
    )
}

/// The form of an answer that may or must call tools; `calls_only` leaves out the text that may stand there instead.
fn call_grammar(
    text: &TextModel,
    request: &GenerateRequest,
    calls_only: bool,
) -> Result<Option<GrammarSpec>, RequestError> {
    let PromptInput::Chat(chat) = &request.prompt else { return Ok(None) };
    if chat.tools.is_empty() || request.tool_choice == ToolChoice::None {
        return Ok(None);
    }
    let tools = chat.tools.iter().enumerate().map(|(i, tool)| held(text, i, tool));
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    let choice = match &request.tool_choice {
        ToolChoice::Auto if calls_only => ToolChoice::Required,
        ToolChoice::Allowed { names, .. } if calls_only => {
            ToolChoice::Allowed { names: names.clone(), required: true }
        }
        choice => choice.clone(),
    };
    Ok(text.format().tool_grammar(&tools, &choice, request.parallel_tool_calls))
}

/// A tool whose schema can be held to: one that cannot stays as it is described to the model, but its arguments may be
/// any object, unless the client insists.
fn held(text: &TextModel, index: usize, tool: &ToolDefinition) -> Result<ToolDefinition, RequestError> {
    let spec = GrammarSpec::JsonSchema { schema: tool.parameters.clone() };
    match text.grammars().compile(&spec) {
        Ok(_) => Ok(tool.clone()),
        Err(error) if tool.strict => {
            Err(grammar_fault(&format!("tools[{index}].function.parameters"), &error))
        }
        Err(_) => Ok(ToolDefinition { parameters: json!({ "type": "object" }), ..tool.clone() }),
    }
}
