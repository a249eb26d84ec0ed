//! Whether a model's text files and its weights belong together, asked once at start.

use anyhow::{Context, bail, ensure};

use super::located_in;
use crate::model::{ModelDescription, ModelSource};
use crate::text::{ChatMessage, ChatPrompt, TextModel, Tokenizer};

/// Refuses a model whose tokenizer, special tokens or chat template do not fit its weights.
pub(super) fn text_fits_model(
    source: &ModelSource,
    text: &TextModel,
    model: &ModelDescription,
) -> anyhow::Result<()> {
    check(source, text, model).with_context(|| located_in(source))
}

fn check(source: &ModelSource, text: &TextModel, model: &ModelDescription) -> anyhow::Result<()> {
    let tokenizer = text.tokenizer();
    let vocab_size = model.vocab_size;
    let num_ids = tokenizer.vocab_size();
    ensure!(
        num_ids <= vocab_size,
        "tokenizer.json has {num_ids} tokens, but the model has only {vocab_size} embedding rows"
    );
    for token in tokenizer.special_tokens() {
        ensure!(
            (token.id as usize) < vocab_size,
            "tokenizer.json: {:?} has id {}, but the model has only {vocab_size} embedding rows",
            token.text,
            token.id
        );
    }
    ensure!(
        !text.stop_token_ids().is_empty(),
        "no token ends an answer: neither generation_config.json nor config.json has an eos_token_id, \
         and tokenizer_config.json names no eos_token that tokenizer.json knows"
    );
    for id in text.stop_token_ids().iter() {
        ensure!((*id as usize) < vocab_size, "eos_token_id {id} is outside the vocabulary of {vocab_size}");
    }
    named_tokens_are_known(source, tokenizer)?;
    if text.has_chat_template() {
        template_renders(text, model.max_model_len as usize)?;
    } else {
        tracing::warn!("the model has no chat template: it continues text, but holds no conversation");
    }
    Ok(())
}

/// Every special token that `tokenizer_config.json` names has to be in the tokenizer.
fn named_tokens_are_known(source: &ModelSource, tokenizer: &Tokenizer) -> anyhow::Result<()> {
    const FILE: &str = "tokenizer_config.json";
    let Some(bytes) = source.read_optional(FILE)? else { return Ok(()) };
    let config: serde_json::Value = serde_json::from_slice(&bytes).context(FILE)?;
    for key in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        let value = &config[key];
        let Some(token) = value.as_str().or_else(|| value["content"].as_str()) else { continue };
        ensure!(
            tokenizer.token_to_id(token).is_some(),
            "{FILE}: {key} is {token:?}, which tokenizer.json does not know"
        );
    }
    Ok(())
}

/// The chat template has to give a short conversation a form that fits the context and whose control strings are
/// tokens of the model.
fn template_renders(text: &TextModel, max_model_len: usize) -> anyhow::Result<()> {
    let conversation = [("user", "a"), ("assistant", "b"), ("user", "c")];
    let conversation =
        ChatPrompt::new(conversation.map(|(role, content)| ChatMessage::new(role, content)).to_vec());
    let rendered = text.render_chat(&conversation).context("the chat template")?;
    for string in control_strings(&rendered) {
        if text.tokenizer().token_to_id(string).is_none() {
            bail!("the chat template writes {string:?}, which is not a token of tokenizer.json");
        }
    }
    let num_tokens = text.encode_chat(&conversation).context("the chat template")?.token_ids.len();
    ensure!(
        num_tokens < max_model_len,
        "the chat template makes {num_tokens} tokens of a conversation of three letters; {max_model_len} fit"
    );
    Ok(())
}

/// The pieces of `text` that look like control tokens: `[|...|]` and `<|...|>`.
fn control_strings(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (open, close) in [("[|", "|]"), ("<|", "|>")] {
        let mut rest = text;
        while let Some(start) = rest.find(open) {
            let Some(length) = rest[start + open.len()..].find(close) else { break };
            let end = start + open.len() + length + close.len();
            found.push(&rest[start..end]);
            rest = &rest[end..];
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_strings_are_found_in_both_spellings() {
        let text = "[|system|]x[|endofturn|]\n<|user|>a|]b[|open <|half";
        assert_eq!(control_strings(text), ["[|system|]", "[|endofturn|]", "<|user|>"]);
    }
}
