//! From a request to what the engine takes: checks, prompt tokens, complete sampling parameters, compiled forms.

use std::sync::Arc;

use super::forms::compile_form;
use super::{
    EndOptions, GenerateError, GenerateRequest, GenerationDefaults, PromptInput, RequestError,
    SamplingOptions,
};
use crate::sampling::{Penalties, SamplingParams, TokenSet};
use crate::text::{
    CompiledGrammar, MAX_STOP_STRING_BYTES, MAX_STOP_STRINGS, ParserOptions, PromptError, SpecialText,
    StopStrings, TemplateError, TextModel, ToolChoice,
};

/// Limits that [`check`] holds a request to: bytes of prompt text, and choices.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLimits {
    pub(super) max_prompt_bytes: usize,
    pub(super) max_choices: u32,
}

/// What becomes of a request before the engine sees it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) prompt: Arc<[u32]>,
    /// How the output is taken apart.
    pub(super) parser: ParserOptions,
    /// The form that the output must have.
    pub(super) grammar: Option<CompiledGrammar>,
    /// Sampling of choice 0.
    pub(super) sampling: SamplingParams,
    pub(super) stop_token_ids: Arc<[u32]>,
    pub(super) prediction: Arc<[u32]>,
}

pub(super) fn fault(param: impl Into<String>, reason: impl Into<String>) -> RequestError {
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
    check_stops(&request.end.stop)
}

fn check_stops(stops: &[String]) -> Result<(), RequestError> {
    if stops.len() > MAX_STOP_STRINGS {
        let reason = format!("holds {} strings, at most {MAX_STOP_STRINGS} fit", stops.len());
        return Err(fault("stop", reason));
    }
    for (index, stop) in stops.iter().enumerate() {
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

pub(super) fn check_prompt(prompt: &PromptInput, max_bytes: usize) -> Result<(), RequestError> {
    let (param, num_bytes) = match prompt {
        PromptInput::Chat(chat) => {
            if chat.messages.is_empty() {
                return Err(fault("messages", "must hold at least one message"));
            }
            ("messages", chat.num_bytes())
        }
        PromptInput::Text { text, .. } => {
            if text.is_empty() {
                return Err(fault("prompt", "must not be empty"));
            }
            ("prompt", text.len())
        }
        PromptInput::Tokens(ids) => {
            if ids.is_empty() {
                return Err(fault("prompt", "must not be empty"));
            }
            return Ok(());
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

/// Renders, tokenises and compiles. Takes time, so it belongs on a thread of its own.
pub(super) fn prepare(
    text: &TextModel,
    request: &GenerateRequest,
    seed: u64,
) -> Result<Prepared, GenerateError> {
    let EncodedPrompt { mut token_ids, rendered } = encode_prompt(text, &request.prompt)?;
    if let Some(kept) = request.truncate_prompt_tokens {
        token_ids.drain(..token_ids.len().saturating_sub(kept));
    }
    let is_chat = rendered.is_some();
    let in_reasoning = rendered.is_some_and(|rendered| text.format().starts_in_reasoning(&rendered));
    let has_tools = matches!(&request.prompt, PromptInput::Chat(chat) if !chat.tools.is_empty());
    let parser = ParserOptions {
        in_reasoning,
        parse_reasoning: is_chat && request.reasoning.parse,
        parse_tools: has_tools && request.tool_choice != ToolChoice::None,
    };
    let prediction =
        request.prediction.as_deref().map_or_else(|| Ok(Vec::new()), |expected| plain(text, expected));
    Ok(Prepared {
        prompt: token_ids.into(),
        parser,
        grammar: compile_form(text, request, in_reasoning)?,
        sampling: complete_sampling(text, request, seed)?,
        stop_token_ids: stop_token_ids(text, &request.end)?,
        prediction: prediction?.into(),
    })
}

/// A prompt's tokens, and the text that a chat template made.
struct EncodedPrompt {
    token_ids: Vec<u32>,
    rendered: Option<String>,
}

/// Token ids of the prompt, at least one.
fn encode_prompt(text: &TextModel, prompt: &PromptInput) -> Result<EncodedPrompt, GenerateError> {
    let (param, encoded) = match prompt {
        PromptInput::Chat(chat) => {
            let encoded = text.encode_chat(chat);
            (
                "messages",
                encoded.map(|chat| EncodedPrompt { token_ids: chat.token_ids, rendered: Some(chat.text) }),
            )
        }
        PromptInput::Text { text: raw, add_special_tokens } => {
            let encoded = text.encode_text(raw, *add_special_tokens);
            ("prompt", encoded.map(|token_ids| EncodedPrompt { token_ids, rendered: None }))
        }
        PromptInput::Tokens(ids) => {
            expect_tokens(text, "prompt", ids)?;
            ("prompt", Ok(EncodedPrompt { token_ids: ids.clone(), rendered: None }))
        }
    };
    let encoded = encoded.map_err(|error| prompt_fault(param, error))?;
    if encoded.token_ids.is_empty() { Err(fault(param, "gives an empty prompt").into()) } else { Ok(encoded) }
}

/// Token ids of a prompt alone, with the text that a chat template made of it.
pub(super) fn render(
    text: &TextModel,
    prompt: &PromptInput,
) -> Result<(Vec<u32>, Option<String>), GenerateError> {
    encode_prompt(text, prompt).map(|encoded| (encoded.token_ids, encoded.rendered))
}

/// # Errors
/// A token that the model does not have.
pub(super) fn expect_tokens(text: &TextModel, param: &str, ids: &[u32]) -> Result<(), RequestError> {
    let vocab_size = text.tokenizer().num_ids();
    match ids.iter().position(|&id| id as usize >= vocab_size) {
        None => Ok(()),
        Some(index) => {
            let reason = format!("is {}, but the model's tokens end at {}", ids[index], vocab_size - 1);
            Err(fault(format!("{param}[{index}]"), reason))
        }
    }
}

fn plain(text: &TextModel, words: &str) -> Result<Vec<u32>, GenerateError> {
    let ids = text.tokenizer().encode(words, SpecialText::Plain, false);
    ids.map_err(GenerateError::Internal)
}

fn prompt_fault(param: &str, error: PromptError) -> GenerateError {
    let reason = error.to_string();
    match error {
        PromptError::Role { index, .. } => fault(format!("messages[{index}].role"), reason).into(),
        PromptError::NoTemplate
        | PromptError::ControlString
        | PromptError::Continuation { .. }
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
fn complete_sampling(
    text: &TextModel,
    request: &GenerateRequest,
    seed: u64,
) -> Result<SamplingParams, GenerateError> {
    let options = &request.sampling;
    let biased: Vec<u32> = options.logit_bias.iter().map(|&(id, _)| id).collect();
    expect_tokens(text, "logit_bias", &biased)?;
    Ok(SamplingParams {
        logprobs: request.report.logprobs,
        bias: options.logit_bias.as_slice().into(),
        allowed: allowed(text, request)?,
        bad_words: bad_words(text, &options.bad_words)?.into(),
        min_tokens: request.end.min_tokens,
        ..with_defaults(options, text.defaults(), seed)
    })
}

/// The numbers of a request's sampling, with what the model's makers recommend where it names none.
fn with_defaults(options: &SamplingOptions, defaults: &GenerationDefaults, seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: options.temperature.or(defaults.temperature).unwrap_or(1.0),
        top_k: options.top_k.or(defaults.top_k).unwrap_or(0),
        top_p: options.top_p.or(defaults.top_p).unwrap_or(1.0),
        min_p: options.min_p.or(defaults.min_p).unwrap_or(0.0),
        seed,
        penalties: Penalties {
            frequency: options.frequency_penalty.unwrap_or(0.0),
            presence: options.presence_penalty.unwrap_or(0.0),
            repetition: options.repetition_penalty.or(defaults.repetition_penalty).unwrap_or(1.0),
        },
        ..SamplingParams::greedy()
    }
}

/// The only tokens that may come, if the request names some or holds the output to a language.
fn allowed(text: &TextModel, request: &GenerateRequest) -> Result<Option<Arc<TokenSet>>, GenerateError> {
    let Some(ids) = &request.sampling.allowed_token_ids else { return Ok(None) };
    expect_tokens(text, "allowed_token_ids", ids)?;
    let mut set = TokenSet::new(text.tokenizer().num_ids());
    ids.iter().for_each(|&id| set.insert(id));
    Ok(Some(Arc::new(set)))
}

/// The tokens of texts that must not come, as they are written at the beginning of a text and after a space.
fn bad_words(text: &TextModel, words: &[String]) -> Result<Vec<Vec<u32>>, GenerateError> {
    let mut runs = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let bare = word.trim_start();
        for written in [bare.to_owned(), format!(" {bare}")] {
            let run = plain(text, &written)?;
            if run.is_empty() {
                return Err(fault(format!("bad_words[{index}]"), "holds no token").into());
            }
            runs.push(run);
        }
    }
    Ok(runs)
}

/// The tokens that end the output.
fn stop_token_ids(text: &TextModel, end: &EndOptions) -> Result<Arc<[u32]>, GenerateError> {
    expect_tokens(text, "stop_token_ids", &end.stop_token_ids)?;
    let own: &[u32] = if end.ignore_eos { &[] } else { text.stop_token_ids() };
    if end.stop_token_ids.is_empty() && !end.ignore_eos {
        return Ok(Arc::clone(text.stop_token_ids()));
    }
    let mut ids: Vec<u32> = own.iter().chain(&end.stop_token_ids).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids.into())
}

/// A seed that nobody can foretell.
pub(super) fn draw_seed() -> u64 {
    // The two halves of a random UUID have their fixed bits in different places.
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    high ^ low
}

/// The request's stop strings, ready to be searched.
pub(super) fn stop_strings(request: &GenerateRequest) -> StopStrings {
    StopStrings::new(&request.end.stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_wins_over_the_model_and_the_model_over_plain_sampling() {
        let defaults = GenerationDefaults { temperature: Some(0.6), top_p: Some(0.95), ..Default::default() };
        let asked = SamplingOptions { temperature: Some(0.0), ..SamplingOptions::default() };
        let sampling = with_defaults(&asked, &defaults, 7);
        let expected =
            SamplingParams { temperature: 0.0, top_k: 0, top_p: 0.95, seed: 7, ..SamplingParams::greedy() };
        assert_eq!(sampling, expected);
        let plain = with_defaults(&SamplingOptions::default(), &GenerationDefaults::default(), 7);
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
