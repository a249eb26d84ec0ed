use std::ops::Range;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::json;

use super::guard::ReasoningLimits;
use super::*;
use crate::sampling::{Constraint, ConstraintError, GrammarSpec, TokenSet};
use crate::text::test_support::tokenizer_with;
use crate::text::{Detokenizer, GrammarCompiler, ShownTokens, SpecialText};

const END: u32 = 8;
const LONG: &str = "one two three four five six seven eight nine ten";

/// A model whose tags are text, or tokens of their own.
struct Model {
    format: OutputFormat,
    tokenizer: Arc<Tokenizer>,
}

fn with_text_tags() -> Model {
    model(&[])
}

fn with_tag_tokens() -> Model {
    model(&["<think>", "</think>"])
}

fn model(added: &[&str]) -> Model {
    let tokenizer = tokenizer_with(|json| {
        let tokens = json["added_tokens"].as_array_mut().expect("a list");
        for (id, text) in (512..).zip(added) {
            tokens.push(json!({"id": id, "content": text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true}));
        }
    });
    Model { format: OutputFormat::detect(Some("<think>"), &tokenizer), tokenizer: Arc::new(tokenizer) }
}

const OPEN: ReasoningLimits = ReasoningLimits { in_reasoning: true, max_tokens: None, closes_loops: false };

fn budget(max_tokens: u32) -> ReasoningLimits {
    ReasoningLimits { max_tokens: Some(max_tokens), ..OPEN }
}

impl Model {
    fn guard(
        &self,
        limits: ReasoningLimits,
        inner: Option<Box<dyn Constraint>>,
    ) -> Option<Box<dyn Constraint>> {
        self.format.guard_reasoning(limits, &self.tokenizer, self.detokenizer(), inner)
    }

    fn detokenizer(&self) -> Detokenizer {
        let marks = self.format.marks();
        let shown = marks.iter().filter_map(|mark| self.tokenizer.token_to_id(mark)).collect();
        Detokenizer::showing(Arc::clone(&self.tokenizer), ShownTokens::These(shown))
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text, SpecialText::Control, false).expect("encodes")
    }

    fn text(&self, token_ids: &[u32]) -> String {
        let mut detokenizer = self.detokenizer();
        let text: String = token_ids.iter().map(|&id| detokenizer.push(id)).collect();
        text + &detokenizer.finish()
    }

    /// What comes out if the model wants to write these tokens. Where it may not, the only token that may come comes.
    fn output(&self, guard: &mut dyn Constraint, wanted: &[u32]) -> Vec<u32> {
        let mut wanted = wanted.iter().copied().peekable();
        let mut output = Vec::new();
        while let Some(&next) = wanted.peek() {
            let mut allowed = TokenSet::new(self.tokenizer.num_ids());
            guard.mask(&mut allowed).expect("no fault");
            assert_eq!(allowed.contains(next), guard.allows(next));
            assert!(!guard.is_free() || allowed.num_tokens() == allowed.vocab_size());
            let token_id = if allowed.contains(next) {
                wanted.next();
                next
            } else {
                assert_eq!(allowed.num_tokens(), 1);
                let only = allowed.iter().next().expect("there is one");
                assert_eq!(guard.forced().first(), Some(&only));
                only
            };
            guard.accept(token_id).expect("it is allowed");
            output.push(token_id);
        }
        output
    }

    fn written(&self, limits: ReasoningLimits, wanted: &str) -> String {
        let mut guard = self.guard(limits, None).expect("there is something to hold");
        self.text(&self.output(&mut *guard, &self.encode(wanted)))
    }
}

#[test]
fn a_budget_closes_the_reasoning_after_just_so_many_tokens_and_what_follows_is_free() {
    for model in [with_text_tags(), with_tag_tokens()] {
        let wanted = model.encode(LONG);
        for max_tokens in [0, 1, 5, wanted.len() - 1] {
            let mut guard = model.guard(budget(max_tokens as u32), None).expect("a budget");
            assert_eq!(guard.is_free(), max_tokens > 0);
            let output = model.output(&mut *guard, &wanted);
            assert_eq!(output[..max_tokens], wanted[..max_tokens]);
            let closed = model.text(&output[max_tokens..]);
            assert_eq!(closed, format!("\n</think>\n\n{}", model.text(&wanted[max_tokens..])));
            assert!(guard.is_free() && guard.forced().is_empty());
        }
    }
}

#[test]
fn a_tag_token_closes_as_that_token() {
    let model = with_tag_tokens();
    let mut guard = model.guard(budget(0), None).expect("a budget");
    let id = model.tokenizer.token_to_id("</think>").expect("it was added");
    assert!(guard.forced().contains(&id));
}

#[test]
fn reasoning_that_closes_itself_in_time_is_left_alone() {
    for model in [with_text_tags(), with_tag_tokens()] {
        let wanted = format!("a thought\n</think>\n\n{LONG} {LONG}");
        assert_eq!(model.written(budget(20), &wanted), wanted);
    }
}

#[test]
fn a_tag_that_the_model_opens_begins_the_count_and_an_answer_is_never_held() {
    for model in [with_text_tags(), with_tag_tokens()] {
        let limits = ReasoningLimits { in_reasoning: false, ..budget(0) };
        let written = model.written(limits, &format!("\n<think>{LONG}"));
        assert_eq!(written, format!("\n<think>\n</think>\n\n{LONG}"));
        let answer = format!("No. <think> {LONG}");
        assert_eq!(model.written(limits, &answer), answer);
    }
}

#[test]
fn a_closing_tag_that_has_begun_is_ended_and_not_written_twice() {
    let model = with_text_tags();
    for begun in ["a\n</thi", "a</think", "a\n<", "a\n"] {
        let tokens = model.encode(begun);
        let mut guard = model.guard(budget(tokens.len() as u32), None).expect("a budget");
        let output = model.output(&mut *guard, &[tokens, model.encode("x")].concat());
        let head = begun.split(['\n', '<']).next().expect("some text");
        let newline = if begun == "a</think" { "" } else { "\n" };
        assert_eq!(model.text(&output), format!("{head}{newline}</think>\n\nx"), "{begun:?}");
    }
}

#[test]
fn a_character_that_has_begun_is_ended_first() {
    let model = with_text_tags();
    let character = model.encode("뷁");
    assert!(character.len() > 1, "it is spread over several tokens");
    let mut guard = model.guard(budget(1), None).expect("a budget");
    let output = model.output(&mut *guard, &[character, model.encode("x")].concat());
    assert_eq!(model.text(&output), "뷁\n</think>\n\nx");
}

#[test]
fn a_loop_closes_the_reasoning_and_only_that() {
    let model = with_text_tags();
    let wanted = "la ".repeat(700);
    let limits = ReasoningLimits { closes_loops: true, ..OPEN };
    let written = model.written(limits, &wanted);
    let (reasoning, answer) = written.split_once("\n</think>\n\n").expect("it was closed");
    assert!(reasoning.starts_with("la la ") && reasoning.len() < wanted.len());
    assert_eq!(format!("{reasoning}{answer}"), wanted);
    let limits = ReasoningLimits { in_reasoning: false, ..limits };
    assert_eq!(model.written(limits, &wanted), wanted);
}

#[test]
fn there_is_no_guard_where_there_is_nothing_to_hold() {
    let mut model = with_text_tags();
    assert!(model.guard(OPEN, None).is_none());
    model.format = format_without_reasoning();
    assert!(model.guard(budget(3), None).is_none());
}

fn format_without_reasoning() -> OutputFormat {
    OutputFormat::detect(None, crate::text::test_support::fixture())
}

#[test]
fn a_form_holds_after_reasoning_that_was_closed() {
    let schema = json!({"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
        "additionalProperties": false});
    for model in [with_text_tags(), with_tag_tokens()] {
        let spec = model.format.after_reasoning(GrammarSpec::JsonSchema { schema: schema.clone() });
        let compiler = GrammarCompiler::new(Arc::clone(&model.tokenizer), &[END]);
        let grammar = compiler.compile(&spec).expect("compiles");
        for begun in ["", "hm", "hm\n", "hm </thi", "hm <"] {
            let tokens = model.encode(begun);
            let limits = budget(tokens.len() as u32);
            let mut guard = model.guard(limits, Some(grammar.start())).expect("a budget");
            tokens.iter().for_each(|&id| guard.accept(id).expect("reasoning is free"));
            let mut output = tokens;
            while !guard.is_complete() && output.len() < 200 {
                assert!(!guard.is_free());
                let mut allowed = TokenSet::new(model.tokenizer.num_ids());
                guard.mask(&mut allowed).expect("no fault");
                // No whitespace where something else will do, and so to the end.
                let text = |id: &u32| model.text(&[*id]);
                let next = allowed.iter().find(|id| !text(id).trim().is_empty()).or(allowed.iter().next());
                let next = next.expect("something may come");
                guard.accept(next).expect("it is allowed");
                output.push(next);
            }
            let text = model.text(&output);
            let (_, answer) = text.split_once("</think>").expect("it is closed");
            let value: serde_json::Value = serde_json::from_str(answer.trim()).expect(&text);
            assert!(value["a"] == 1 || value["a"] == 2, "{text}");
        }
    }
}

/// Lets everything come but what it is told, and remembers what it saw.
#[derive(Debug)]
struct Reserved {
    refused: Vec<u32>,
    /// The places at which it refuses them.
    places: Range<usize>,
    seen: Arc<Mutex<Vec<u32>>>,
}

impl Reserved {
    fn lets(&self, token_id: u32) -> bool {
        !self.places.contains(&self.seen.lock().expect("whole").len()) || !self.refused.contains(&token_id)
    }
}

impl Constraint for Reserved {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        allowed.clear();
        let ids = 0..allowed.vocab_size() as u32;
        ids.filter(|&id| self.lets(id)).for_each(|id| allowed.insert(id));
        Ok(())
    }

    fn accept(&mut self, token_id: u32) -> Result<(), ConstraintError> {
        if !self.lets(token_id) {
            return Err(ConstraintError(format!("{token_id} is refused")));
        }
        self.seen.lock().expect("whole").push(token_id);
        Ok(())
    }

    fn allows(&mut self, token_id: u32) -> bool {
        self.lets(token_id)
    }

    fn is_complete(&mut self) -> bool {
        false
    }

    fn forced(&mut self) -> Vec<u32> {
        Vec::new()
    }
}

#[test]
fn a_form_that_does_not_let_the_reasoning_close_is_asked_again_and_sees_every_token() {
    let model = with_tag_tokens();
    let refused = model.encode("\n</think>\n\n");
    let wanted = model.encode(LONG);
    let seen = Arc::default();
    let inner = Reserved { refused, places: 0..6, seen: Arc::clone(&seen) };
    let mut guard = model.guard(budget(2), Some(Box::new(inner))).expect("a budget");
    let output = model.output(&mut *guard, &wanted);
    assert_eq!(output[..6], wanted[..6]);
    assert_eq!(model.text(&output[6..]), format!("\n</think>\n\n{}", model.text(&wanted[6..])));
    assert_eq!(*seen.lock().expect("whole"), output);
}

#[test]
fn a_form_that_has_no_place_for_what_follows_the_tag_goes_on_at_once() {
    let model = with_tag_tokens();
    let (begun, wanted) = (model.encode("\n</think>"), model.encode("one two three"));
    let after_tag = 2 + begun.len()..usize::MAX;
    let inner = Reserved { refused: model.encode("\n\n"), places: after_tag, seen: Arc::default() };
    let mut guard = model.guard(budget(2), Some(Box::new(inner))).expect("a budget");
    let output = model.output(&mut *guard, &wanted);
    assert_eq!(output, [&wanted[..2], &begun, &wanted[2..]].concat());
}

#[test]
fn nothing_but_the_closing_may_be_accepted_while_it_lasts() {
    let model = with_text_tags();
    let mut guard = model.guard(budget(0), None).expect("a budget");
    let forced = guard.forced();
    assert!(guard.accept(END).is_err() && !guard.allows(END));
    for &token_id in &forced {
        assert!(!guard.is_free());
        guard.accept(token_id).expect("it is forced");
    }
    assert!(guard.is_free());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_a_model_writes_its_reasoning_ends_soon_after_the_budget(
        wanted in proptest::collection::vec(prop_oneof![0_u32..512, 300_u32..340], 0..60),
        max_tokens in 0_u32..30,
        has_tokens: bool,
    ) {
        let model = if has_tokens { with_tag_tokens() } else { with_text_tags() };
        let mut guard = model.guard(budget(max_tokens), None).expect("a budget");
        let output = model.output(&mut *guard, &wanted);
        let options = ParserOptions { in_reasoning: true, parse_reasoning: true, parse_tools: false };
        let mut parser = model.format.parser(options);
        let mut detokenizer = model.detokenizer();
        let mut num_reasoning = 0;
        for &token_id in &output {
            num_reasoning += usize::from(parser.is_in_reasoning());
            parser.push(&detokenizer.push(token_id));
        }
        let most = max_tokens as usize + 3 + model.encode("\n</think>\n\n").len();
        prop_assert!(num_reasoning <= most, "{num_reasoning} tokens of {most}");
    }
}
