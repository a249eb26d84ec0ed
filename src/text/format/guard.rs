//! Holds a model's reasoning to a budget and out of loops.
//!
//! What is reasoning is told by the same parser that takes the output apart, so both always agree. Once the budget is
//! used up, or the reasoning goes round in circles, only the tokens of [`OutputFormat::closing`] may come, one after
//! the other; the answer that follows is free, or held by the constraint inside. That one sees every token, and is
//! never made to take one that it does not let through: it is then asked again at the next token.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{FormatParser, LoopDetector, OutputFormat, ParserOptions, ReasoningTags};
use crate::sampling::{Constraint, ConstraintError, TokenSet};
use crate::text::{Detokenizer, SpecialText, Tokenizer};

/// Tokens for which a character that has begun is waited for. No character has more bytes.
const MAX_WAIT_TOKENS: u32 = 3;

/// What a model's reasoning is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasoningLimits {
    /// The prompt ends inside the reasoning: see [`OutputFormat::starts_in_reasoning`].
    pub in_reasoning: bool,
    /// Tokens after which it is closed. A character that has begun is ended first.
    pub max_tokens: Option<u32>,
    /// Whether reasoning that only repeats itself is closed: see [`LoopDetector`].
    pub closes_loops: bool,
}

/// Holds one output's reasoning to its limits, and the output to another constraint beside it if there is one.
#[derive(Debug)]
pub(super) struct ReasoningGuard {
    /// As long as there may be reasoning.
    watch: Option<Box<Watch>>,
    inner: Option<Box<dyn Constraint>>,
}

/// The reasoning as far as it has come.
#[derive(Debug)]
struct Watch {
    tags: ReasoningTags,
    /// Whether the closing tag is a token of its own, which no text is a part of.
    closes_by_token: bool,
    tokenizer: Arc<Tokenizer>,
    detokenizer: Detokenizer,
    parser: FormatParser,
    max_tokens: Option<u32>,
    /// Tokens of the reasoning, its tags left out.
    num_tokens: u32,
    loops: Option<LoopDetector>,
    is_in_loop: bool,
    /// Tokens that came since the reasoning was to be closed.
    num_late: u32,
    /// What is still to come of the tokens that close it, once that has begun.
    closing: VecDeque<u32>,
}

impl OutputFormat {
    /// Holds the reasoning of an output to limits, and the output to `inner`. `detokenizer` stands at the start of the
    /// output and shows the [`marks`](Self::marks). Gives `inner` back if there is nothing to hold.
    pub fn guard_reasoning(
        &self,
        limits: ReasoningLimits,
        tokenizer: &Arc<Tokenizer>,
        detokenizer: Detokenizer,
        inner: Option<Box<dyn Constraint>>,
    ) -> Option<Box<dyn Constraint>> {
        let ReasoningLimits { in_reasoning, max_tokens, closes_loops } = limits;
        let Some(tags) = self.reasoning.filter(|_| max_tokens.is_some() || closes_loops) else {
            return inner;
        };
        let options = ParserOptions { in_reasoning, parse_reasoning: true, parse_tools: false };
        let watch = Watch {
            tags,
            closes_by_token: self.special_id(tags.close).is_some(),
            tokenizer: Arc::clone(tokenizer),
            detokenizer,
            parser: self.parser(options),
            max_tokens,
            num_tokens: 0,
            loops: closes_loops.then(LoopDetector::new),
            is_in_loop: false,
            num_late: 0,
            closing: VecDeque::new(),
        };
        Some(Box::new(ReasoningGuard { watch: Some(Box::new(watch)), inner }))
    }
}

impl Watch {
    /// Whether the reasoning has had all that it may have.
    fn is_spent(&self) -> bool {
        self.is_in_loop || self.max_tokens.is_some_and(|max| self.num_tokens >= max)
    }

    /// Whether the closing is to begin here.
    fn must_close(&self) -> bool {
        let is_between = self.detokenizer.is_between_characters() || self.num_late >= MAX_WAIT_TOKENS;
        self.parser.is_in_reasoning() && self.is_spent() && is_between
    }

    /// The tokens that close the reasoning from here, without what the model has already written of them.
    fn closing_from_here(&self) -> VecDeque<u32> {
        let ReasoningTags { close, closing, .. } = self.tags;
        let pending = self.parser.pending();
        let missing = match closing.find(close) {
            Some(at) if !self.closes_by_token && !pending.is_empty() && close.starts_with(pending) => {
                &closing[at + pending.len()..]
            }
            Some(at) if self.parser.is_at_line_start() => &closing[at..],
            _ => closing,
        };
        // The text is ours, and a tokenizer that cannot write it has no way to close the reasoning.
        self.tokenizer.encode(missing, SpecialText::Control, false).unwrap_or_default().into()
    }

    /// Takes the token that came. Whether there may still be something to watch or to close.
    fn push(&mut self, token_id: u32) -> bool {
        let was_closing = self.closing.pop_front().is_some();
        let was_in_reasoning = self.parser.is_in_reasoning();
        let was_spent = self.is_spent();
        let text = self.detokenizer.push(token_id);
        self.parser.push(&text);
        if was_in_reasoning {
            self.num_tokens = self.num_tokens.saturating_add(1);
            self.num_late += u32::from(was_spent);
            self.is_in_loop |= self.loops.as_mut().is_some_and(|loops| loops.push(token_id));
        }
        match was_closing {
            // What has not closed it now never will.
            true => !self.closing.is_empty(),
            false => self.parser.may_reason(),
        }
    }
}

impl ReasoningGuard {
    /// The only token that may come, where the reasoning is being closed.
    fn held(&mut self) -> Option<u32> {
        let watch = self.watch.as_mut()?;
        if watch.closing.is_empty() && watch.must_close() {
            watch.closing = watch.closing_from_here();
        }
        let next = *watch.closing.front()?;
        if self.inner.as_mut().is_none_or(|inner| inner.allows(next)) {
            return Some(next);
        }
        watch.closing.clear();
        if !watch.parser.may_reason() {
            self.watch = None;
        }
        None
    }
}

impl Constraint for ReasoningGuard {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        if let Some(token_id) = self.held() {
            allowed.clear();
            allowed.insert(token_id);
            return Ok(());
        }
        match &mut self.inner {
            Some(inner) => inner.mask(allowed),
            None => {
                allowed.fill();
                Ok(())
            }
        }
    }

    fn accept(&mut self, token_id: u32) -> Result<(), ConstraintError> {
        if let Some(held) = self.held().filter(|&held| held != token_id) {
            return Err(ConstraintError(format!(
                "token {token_id} may not come here, where the reasoning is closed by {held}"
            )));
        }
        if let Some(inner) = &mut self.inner {
            inner.accept(token_id)?;
        }
        self.watch.take_if(|watch| !watch.push(token_id));
        Ok(())
    }

    fn allows(&mut self, token_id: u32) -> bool {
        match self.held() {
            Some(held) => held == token_id,
            None => self.inner.as_mut().is_none_or(|inner| inner.allows(token_id)),
        }
    }

    fn is_free(&mut self) -> bool {
        self.held().is_none() && self.inner.as_mut().is_none_or(|inner| inner.is_free())
    }

    fn is_complete(&mut self) -> bool {
        self.inner.as_mut().is_some_and(|inner| inner.is_complete())
    }

    fn forced(&mut self) -> Vec<u32> {
        match (self.held(), &self.watch, &mut self.inner) {
            (Some(_), Some(watch), _) => watch.closing.iter().copied().collect(),
            (_, _, Some(inner)) => inner.forced(),
            (_, _, None) => Vec::new(),
        }
    }
}
