//! How likely tokens were, and where they stand in the text, as text completions tell it.

use serde::{Serialize, Serializer};

use super::request::Show;
use crate::api::answer::logprobs::finite;
use crate::serving::{Detokenizer, Generator, OutputToken};

/// `logprobs` of a choice of a text completion: four lists of one length.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct TextLogprobs {
    text_offset: Vec<usize>,
    token_logprobs: Vec<Option<f32>>,
    tokens: Vec<String>,
    top_logprobs: Vec<Option<RankedTexts>>,
}

/// Log probabilities by the tokens' texts, most likely first, each text once.
#[derive(Debug, Clone, PartialEq)]
struct RankedTexts(Vec<(String, f32)>);

impl Serialize for RankedTexts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A client may compare these with `token_logprobs`, so both are written as the same type of number.
        serializer.collect_map(self.0.iter().map(|(text, logprob)| (text, logprob)))
    }
}

impl TextLogprobs {
    /// Adds a token that stands at `offset`, in characters.
    pub(super) fn push(&mut self, token: &OutputToken, offset: usize, show: Show) {
        self.text_offset.push(offset);
        self.tokens.push(shown(token.token_id, &token.bytes, show.tokens_as_ids));
        self.token_logprobs.push(token.logprob.map(finite));
        self.top_logprobs.push(token.logprob.map(|logprob| ranked(token, logprob, show)));
    }

    /// Adds what follows.
    pub(super) fn append(&mut self, mut later: Self) {
        self.text_offset.append(&mut later.text_offset);
        self.token_logprobs.append(&mut later.token_logprobs);
        self.tokens.append(&mut later.tokens);
        self.top_logprobs.append(&mut later.top_logprobs);
    }

    /// Whether it tells no token.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// The most likely tokens and the one that came.
fn ranked(token: &OutputToken, logprob: f32, show: Show) -> RankedTexts {
    let top = token.top.iter().take(show.logprobs.unwrap_or(0).into());
    let mut texts: Vec<(String, f32)> = Vec::new();
    let mut add = |text: String, logprob: f32| {
        // Two tokens may have one text; the likelier one stands for both.
        if texts.iter().all(|(known, _)| *known != text) {
            texts.push((text, finite(logprob)));
        }
    };
    let mut has_come = false;
    for entry in top {
        has_come |= entry.token_id == token.token_id;
        add(shown(entry.token_id, &entry.bytes, show.tokens_as_ids), entry.logprob);
    }
    if !has_come {
        add(shown(token.token_id, &token.bytes, show.tokens_as_ids), logprob);
    }
    RankedTexts(texts)
}

/// A token's text. A part of a character is written out byte by byte, as OpenAI does, since there is no room for a list
/// of bytes.
fn shown(token_id: u32, bytes: &[u8], as_id: bool) -> String {
    if as_id {
        return format!("token_id:{token_id}");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |text, byte| format!("{text}\\x{byte:02x}")),
    }
}

/// Where the tokens of an output stand in the text of its choice, in characters.
#[derive(Debug)]
pub(super) struct Offsets {
    detokenizer: Detokenizer,
    at: usize,
}

impl Offsets {
    /// Of an output that follows `echoed`, the prompt where that is shown.
    pub(super) fn after(generator: &Generator, echoed: &str, show: Show) -> Self {
        let detokenizer = generator.detokenizer(show.skip_special_tokens);
        Self { detokenizer, at: echoed.chars().count() }
    }

    fn next(&mut self, token_id: u32) -> usize {
        let here = self.at;
        self.at += self.detokenizer.push(token_id).chars().count();
        here
    }

    /// Tells the next tokens of the output. A stop token, whose probability is not known, is told only where the prompt
    /// is too: then clients count on one entry for each token that was generated.
    pub(super) fn tell(&mut self, tokens: &[OutputToken], show: Show) -> TextLogprobs {
        let mut told = TextLogprobs::default();
        for token in tokens.iter().filter(|token| show.echo || token.logprob.is_some()) {
            let offset = self.next(token.token_id);
            told.push(token, offset, show);
        }
        told
    }
}

/// Tells the tokens of a prompt that is shown as `text`. A special token that the tokenizer added has no place in it.
pub(super) fn of_prompt(
    generator: &Generator,
    tokens: &[OutputToken],
    text: &str,
    show: Show,
) -> TextLogprobs {
    let mut told = TextLogprobs::default();
    let mut detokenizer = generator.detokenizer(false);
    let (mut rest, mut at) = (text, 0);
    for token in tokens {
        told.push(token, at, show);
        let is_absent =
            generator.special_token(token.token_id).is_some_and(|special| !rest.starts_with(special));
        if !is_absent {
            let piece = detokenizer.push(token.token_id);
            rest = rest.get(piece.len()..).unwrap_or_default();
            at += piece.chars().count();
        }
    }
    told
}
