//! From a request to what the engine takes: checks, prompt tokens, complete sampling parameters.

use crate::sampling::SamplingParams;
use crate::text::{
    MAX_STOP_STRING_BYTES, MAX_STOP_STRINGS, PromptError, StopStrings, TemplateError, TextModel,
};

use super::{GenerateError, GenerateRequest, GenerationDefaults, PromptInput, RequestError, SamplingOptions};

/// Limits that [`check`] holds a request to: bytes of prompt text, and choices.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLimits {
    pub(super) max_prompt_bytes: usize,
    pub(super) max_choices: u32,
}

fn fault(param: impl Into<String>, reason: impl Into<String>) -> RequestError {
    RequestError { param: param.into(), reason: reason.into() }
}

/// Checks what can be checked without the tokenizer.
pub(super) fn check(request: &GenerateRequest, limits: RequestLimits) -> Result<(), RequestError> {
    check_prompt(&request.prompt, limits.max_prompt_bytes)?;
    check_sampling(&request.sampling)?;
    if !(1..=limits.max_choices).contains(&request.num_choices) {
        let RequestLimits { max_choices, .. } = limits;
        return Err(fault(
            "n",
            format!("must lie between 1 and {max_choices}, but it is {}", request.num_choices),
        ));
    }
    if request.max_new_tokens == Some(0) {
        return Err(fault("max_completion_tokens", "must be at least 1"));
    }
    if request.stop.len() > MAX_STOP_STRINGS {
        return Err(fault(
            "stop",
            format!("holds {} strings, at most {MAX_STOP_STRINGS} fit", request.stop.len()),
        ));
    }
    for (index, stop) in request.stop.iter().enumerate() {
        if stop.is_empty() {
            return Err(fault(format!("stop[{index}]"), "must not be empty"));
        }
        if stop.len() > MAX_STOP_STRING_BYTES {
            let reason = format!("has {} bytes, at most {MAX_STOP_STRING_BYTES} fit", stop.len());
            return Err(fault(format!("stop[{index}]"), reason));
        }
    }
    Ok(())
}

fn check_prompt(prompt: &PromptInput, max_bytes: usize) -> Result<(), RequestError> {
    let (param, num_bytes) = match prompt {
        PromptInput::Chat(messages) => {
            if messages.is_empty() {
                return Err(fault("messages", "must hold at least one message"));
            }
            ("messages", messages.iter().map(|message| message.role.len() + message.content.len()).sum())
        }
        PromptInput::Text(text) => {
            if text.is_empty() {
                return Err(fault("prompt", "must not be empty"));
            }
            ("prompt", text.len())
        }
    };
    if num_bytes > max_bytes {
        return Err(fault(param, format!("has {num_bytes} bytes of text, at most {max_bytes} are taken")));
    }
    Ok(())
}

fn check_sampling(sampling: &SamplingOptions) -> Result<(), RequestError> {
    if sampling.temperature.is_some_and(|t| !t.is_finite() || t < 0.0) {
        return Err(fault("temperature", "must be 0 or more"));
    }
    if sampling.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
        return Err(fault("top_p", "must be above 0, at most 1"));
    }
    Ok(())
}

/// Token ids of the prompt, at least one.
pub(super) fn encode_prompt(text: &TextModel, prompt: &PromptInput) -> Result<Vec<u32>, GenerateError> {
    let (param, encoded) = match prompt {
        PromptInput::Chat(messages) => ("messages", text.encode_chat(messages)),
        PromptInput::Text(raw) => ("prompt", text.encode_text(raw)),
    };
    let ids = encoded.map_err(|error| prompt_fault(param, error))?;
    if ids.is_empty() { Err(fault(param, "gives an empty prompt").into()) } else { Ok(ids) }
}

fn prompt_fault(param: &str, error: PromptError) -> GenerateError {
    let reason = error.to_string();
    match error {
        PromptError::Role { index, .. } => fault(format!("messages[{index}].role"), reason).into(),
        PromptError::NoTemplate
        | PromptError::ControlString
        | PromptError::Template(
            TemplateError::Refused(_) | TemplateError::Limit | TemplateError::Failed(_),
        ) => fault(param, reason).into(),
        PromptError::Tokenizer(_) => GenerateError::Internal(reason),
    }
}

/// Tokens that each choice may generate: what was asked for, as far as the context holds it.
pub(super) fn fit(
    num_prompt_tokens: usize,
    wanted: Option<u32>,
    max_model_len: usize,
) -> Result<u32, GenerateError> {
    let room = max_model_len.saturating_sub(num_prompt_tokens);
    if room == 0 {
        return Err(GenerateError::ContextLengthExceeded { num_prompt_tokens, max_model_len });
    }
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    Ok(wanted.map_or(room, |wanted| wanted.min(room)))
}

/// Sampling of choice 0: the request's settings, else the model's, else plain sampling at temperature 1.
pub(super) fn complete_sampling(
    options: &SamplingOptions,
    defaults: &GenerationDefaults,
    seed: u64,
) -> SamplingParams {
    SamplingParams {
        temperature: options.temperature.or(defaults.temperature).unwrap_or(1.0),
        top_k: options.top_k.or(defaults.top_k).unwrap_or(0),
        top_p: options.top_p.or(defaults.top_p).unwrap_or(1.0),
        seed,
        ..SamplingParams::greedy()
    }
}

/// A seed that nobody can foretell.
pub(super) fn draw_seed() -> u64 {
    // The two halves of a random UUID have their fixed bits in different places.
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    high ^ low
}

/// The request's stop strings, ready to be searched.
pub(super) fn stop_strings(request: &GenerateRequest) -> StopStrings {
    StopStrings::new(&request.stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_wins_over_the_model_and_the_model_over_plain_sampling() {
        let defaults = GenerationDefaults { temperature: Some(0.6), top_p: Some(0.95), top_k: None };
        let asked = SamplingOptions { temperature: Some(0.0), ..SamplingOptions::default() };
        let sampling = complete_sampling(&asked, &defaults, 7);
        let expected =
            SamplingParams { temperature: 0.0, top_k: 0, top_p: 0.95, seed: 7, ..SamplingParams::greedy() };
        assert_eq!(sampling, expected);
        let plain = complete_sampling(&SamplingOptions::default(), &GenerationDefaults::default(), 7);
        assert_eq!((plain.temperature, plain.top_k, plain.top_p), (1.0, 0, 1.0));
    }

    #[test]
    fn the_room_for_output_is_what_the_prompt_leaves() {
        assert_eq!(fit(10, None, 16), Ok(6));
        assert_eq!(fit(10, Some(6), 16), Ok(6));
        assert_eq!(fit(10, Some(7), 16), Ok(6));
        assert_eq!(fit(15, Some(u32::MAX), 16), Ok(1));
        for num_prompt_tokens in [16, 17] {
            let refused = GenerateError::ContextLengthExceeded { num_prompt_tokens, max_model_len: 16 };
            assert_eq!(fit(num_prompt_tokens, Some(1), 16), Err(refused));
        }
    }
}
