//! Grammars walked at random over real vocabularies.

mod bounds;
mod forms;
mod hostile;
mod language;
mod patterns;
mod schemas;
mod unsupported;

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::{CompiledGrammar, GrammarCompiler, GrammarError};
use crate::sampling::{Constraint, GrammarSpec, TokenSet, rng};
use crate::text::Tokenizer;
use crate::text::test_support::fixture;

pub(super) const END: u32 = 8;

/// A second token that may end an output.
pub(super) const OTHER_END: u32 = 2;

pub(super) struct Model {
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) compiler: GrammarCompiler,
}

/// The fixture's small vocabulary: nearly every character is spelled byte by byte.
pub(super) fn small() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let bytes = include_bytes!("../../../../tests/fixtures/tokenizer/tokenizer.json");
        assert_eq!(fixture().token_to_id("[|endofturn|]"), Some(END));
        model(bytes)
    })
}

/// The demo model's vocabulary.
pub(super) fn demo() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| model(include_bytes!("../../../../models/demo/tokenizer.json")))
}

fn model(bytes: &[u8]) -> Model {
    let tokenizer = Arc::new(Tokenizer::from_bytes(bytes).expect("the tokenizer loads"));
    Model { compiler: GrammarCompiler::new(Arc::clone(&tokenizer), &[END, OTHER_END]), tokenizer }
}

impl Model {
    pub(super) fn compile(&self, spec: &GrammarSpec) -> Result<CompiledGrammar, GrammarError> {
        self.compiler.compile(spec)
    }

    pub(super) fn schema(&self, schema: Value) -> Result<CompiledGrammar, GrammarError> {
        self.compile(&GrammarSpec::JsonSchema { schema })
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    pub(super) fn mask(&self, state: &mut dyn Constraint) -> TokenSet {
        // A row of logits is often wider than the vocabulary.
        let mut allowed = TokenSet::new(self.vocab_size() + 64);
        state.mask(&mut allowed).expect("a mask");
        assert!(allowed.num_tokens() > 0, "an output can always go on or end");
        allowed
    }

    pub(super) fn bytes(&self, token_ids: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        token_ids.iter().for_each(|&id| self.tokenizer.decode_bytes(id, &mut bytes));
        bytes
    }

    /// Draws uniformly from each mask; after `patience` tokens it takes what leads to an end. On the way it holds the
    /// answers of a state against one another.
    pub(super) fn walk(&self, grammar: &CompiledGrammar, chance: &mut Chance, patience: usize) -> Vec<u32> {
        let mut state = grammar.start();
        let mut token_ids = Vec::new();
        loop {
            let mut forced = if chance.below(2) == 0 { state.forced() } else { Vec::new() };
            let asked: Vec<(u32, bool)> = (0..8)
                .map(|_| chance.below(self.vocab_size()) as u32)
                .map(|token_id| (token_id, state.allows(token_id)))
                .collect();
            let allowed = self.mask(state.as_mut());
            for (token_id, allows) in asked {
                assert_eq!(allows, allowed.contains(token_id), "token {token_id}");
            }
            let ends = allowed.contains(END);
            assert_eq!(allowed.contains(OTHER_END), ends, "every end token may end");
            assert_eq!(state.is_complete(), ends && allowed.num_tokens() == 2);
            let hurry = token_ids.len() > patience;
            if ends && (hurry || chance.below(4) == 0) {
                state.accept(OTHER_END).expect("the mask allowed it");
                assert!(state.is_complete());
                return token_ids;
            }
            if forced.is_empty() {
                let candidates: Vec<u32> =
                    allowed.iter().filter(|&id| id != END && id != OTHER_END).collect();
                if candidates.is_empty() {
                    state.accept(END).expect("nothing else is left");
                    return token_ids;
                }
                let closing = ["\"", "}", "]", "0", "\":", ","].iter().filter_map(|text| {
                    candidates.iter().copied().find(|&id| self.bytes(&[id]) == text.as_bytes())
                });
                let closing: Vec<u32> = hurry.then_some(closing).into_iter().flatten().collect();
                let from = if closing.is_empty() || chance.below(16) == 0 { candidates } else { closing };
                forced.push(from[chance.below(from.len())]);
            }
            for token_id in forced {
                assert!(state.allows(token_id), "a forced token is allowed");
                assert!(self.mask(state.as_mut()).contains(token_id), "a forced token is in the mask");
                state.accept(token_id).expect("the mask allowed it");
                token_ids.push(token_id);
            }
            assert!(token_ids.len() < 4_000, "{:?}", String::from_utf8_lossy(&self.bytes(&token_ids)));
        }
    }

    pub(super) fn text(&self, token_ids: &[u32]) -> String {
        String::from_utf8(self.bytes(token_ids)).expect("an output is text")
    }

    /// Whether the grammar derives a text, token by token as the tokenizer splits it.
    pub(super) fn derives(&self, grammar: &CompiledGrammar, text: &str) -> bool {
        let token_ids =
            self.tokenizer.encode(text, crate::text::SpecialText::Plain, false).expect("the text encodes");
        let mut state = grammar.start();
        token_ids.into_iter().all(|id| state.accept(id).is_ok()) && state.allows(END)
    }
}

/// A sequence of draws.
pub(super) struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.drawn += 1;
        ((rng::uniform(self.seed, 0, self.drawn) * end as f64) as usize).min(end - 1)
    }
}
