use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::*;
use crate::sampling::GrammarSpec;
use crate::text::ToolDefinition;

/// One token for each byte, then these special tokens, then the end.
#[derive(Clone, Copy)]
struct Vocabulary(&'static [&'static str]);

const PLAIN: Vocabulary = Vocabulary(&[]);
const SPECIAL: Vocabulary =
    Vocabulary(&["<think>", "</think>", "<tool_call>", "</tool_call>", "<|python_tag|>", "<|other|>"]);

impl Vocabulary {
    fn id(self, text: &str) -> Option<u32> {
        self.0.iter().position(|&token| token == text).map(|at| 256 + at as u32)
    }

    fn format(self, reasoning: Option<ReasoningTags>, calls: CallSyntax) -> OutputFormat {
        let mut format = OutputFormat { reasoning, calls, has_native_tools: true, special: Vec::new() };
        for mark in format.all_marks() {
            format.special.extend(self.id(mark).map(|id| (mark, id)));
        }
        format
    }

    fn env(self) -> TokEnv {
        let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        for token in self.0.iter().chain(&["<|end|>"]) {
            words.push([b"\xff", token.as_bytes()].concat());
        }
        let vocab_size = words.len() as u32;
        let info = TokRxInfo {
            vocab_size,
            tok_eos: vocab_size - 1,
            tok_bos: None,
            tok_pad: None,
            tok_unk: None,
            tok_end_of_turn: None,
        };
        Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words)))
    }

    /// How the grammar takes a text, in which `«name»` is a special token, byte by byte.
    fn verdict(self, spec: &GrammarSpec, text: &str) -> Verdict {
        let GrammarSpec::Lark(lark) = spec else { panic!("not a Lark text: {spec:?}") };
        let factory = ParserFactory::new_simple(&self.env()).expect("a factory");
        let grammar = TopLevelGrammar::from_lark(lark.clone());
        let mut matcher = Matcher::new(factory.create_parser(grammar));
        assert_eq!(matcher.get_error(), None, "{lark}");
        let mut read = 0;
        while read < text.len() {
            let rest = &text[read..];
            let (id, length) = match rest.strip_prefix('«').and_then(|rest| rest.split_once('»')) {
                Some((name, _)) => (self.id(name).expect("a special token"), name.len() + 4),
                None => (u32::from(text.as_bytes()[read]), 1),
            };
            // The end of a text that can only end is noticed at once.
            if matcher.is_stopped() || !matcher.compute_mask().expect("a mask").is_allowed(id) {
                return Verdict::Refused(text[..read].to_owned());
            }
            matcher.consume_token(id).expect("it is allowed");
            read += length;
            while !text.is_char_boundary(read) {
                let byte = u32::from(text.as_bytes()[read]);
                if matcher.is_stopped() || !matcher.compute_mask().expect("a mask").is_allowed(byte) {
                    return Verdict::Refused(text[..=read - 1].to_owned());
                }
                matcher.consume_token(byte).expect("it is allowed");
                read += 1;
            }
        }
        let may_end = matcher.is_stopped() || matcher.is_accepting().expect("a state");
        if may_end { Verdict::Whole } else { Verdict::Open }
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    /// The text may end here.
    Whole,
    /// It may only go on.
    Open,
    /// It fits up to here.
    Refused(String),
}

fn tool(name: &str, parameters: Value) -> ToolDefinition {
    ToolDefinition { name: name.to_owned(), description: None, parameters, strict: true }
}

fn tools() -> Vec<ToolDefinition> {
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false});
    vec![
        tool("get_weather", city),
        tool("get_time", json!({"type": "object", "properties": {}, "additionalProperties": false})),
    ]
}

fn whole(vocabulary: Vocabulary, spec: &GrammarSpec, texts: &[&str]) {
    for text in texts {
        assert_eq!(vocabulary.verdict(spec, text), Verdict::Whole, "{text}\n{spec:?}");
    }
}

fn open(vocabulary: Vocabulary, spec: &GrammarSpec, texts: &[&str]) {
    for text in texts {
        assert_eq!(vocabulary.verdict(spec, text), Verdict::Open, "{text}\n{spec:?}");
    }
}

/// Each text is refused at the mark `¦`.
fn refused(vocabulary: Vocabulary, spec: &GrammarSpec, texts: &[&str]) {
    for text in texts {
        let (fits, _) = text.split_once('¦').expect("a mark");
        let whole = text.replace('¦', "");
        assert_eq!(vocabulary.verdict(spec, &whole), Verdict::Refused(fits.to_owned()), "{text}\n{spec:?}");
    }
}

const WEATHER: &str = r#"{"name": "get_weather", "arguments": {"city": "서울"}}"#;
const TIME: &str = r#"{"name":"get_time","arguments":{}}"#;

#[test]
fn no_choice_and_no_tool_hold_nothing() {
    let format = PLAIN.format(None, CallSyntax::Tagged);
    assert_eq!(format.tool_grammar(&tools(), &ToolChoice::None, true), None);
    assert_eq!(format.tool_grammar(&[], &ToolChoice::Auto, true), None);
    let nothing = ToolChoice::Allowed { names: vec![], required: false };
    assert_eq!(format.tool_grammar(&tools(), &nothing, true), None);
}

#[test]
fn required_means_calls_and_nothing_else() {
    for (vocabulary, a, b) in
        [(PLAIN, "<tool_call>", "</tool_call>"), (SPECIAL, "«<tool_call>»", "«</tool_call>»")]
    {
        let format = vocabulary.format(None, CallSyntax::Tagged);
        let many = format.tool_grammar(&tools(), &ToolChoice::Required, true).expect("a grammar");
        let one = format.tool_grammar(&tools(), &ToolChoice::Required, false).expect("a grammar");
        let call = format!("{a}{WEATHER}{b}");
        let spaced = format!("\n{a}\n{TIME}\n{b}");
        whole(vocabulary, &many, &[&call, &spaced, &format!("{call}\n{spaced}{call}")]);
        whole(vocabulary, &one, &[&call, &spaced]);
        open(vocabulary, &many, &["", &format!("{a}{WEATHER}"), &format!("{call}\n{a}")]);
        refused(vocabulary, &one, &[&format!("{call}¦{call}"), &format!("{call}¦\n")]);
        for spec in [&many, &one] {
            refused(
                vocabulary,
                spec,
                &[
                    "¦Sure",
                    &format!("{a}¦Seoul"),
                    &format!(r#"{a}{{"name": "get_¦place""#),
                    &format!(r#"{a}{{"name": "get_weather¦s""#),
                    &format!(r#"{a}{{"name": "get_weather", "arguments": {{¦}}}}"#),
                    &format!(r#"{a}{{"name": "get_weather", "arguments": {{"city": ¦3"#),
                    &format!(r#"{a}{{"name": "get_time", "arguments": {{¦"city""#),
                    &format!(r#"{a}{{"name": "get_time", "arguments": ¦"{{}}""#),
                    &format!(r#"{a}{{"name": "get_time"¦}}"#),
                ],
            );
        }
    }
}

#[test]
fn a_named_function_is_called_exactly_once() {
    let format = SPECIAL.format(Some(THINK), CallSyntax::Tagged);
    let choice = ToolChoice::Named("get_time".to_owned());
    let spec = format.tool_grammar(&tools(), &choice, true).expect("a grammar");
    let call = format!("«<tool_call>»{TIME}«</tool_call>»");
    whole(SPECIAL, &spec, &[&call]);
    refused(SPECIAL, &spec, &[&format!("{call}¦«<tool_call>»"), r#"«<tool_call>»{"name": "get_¦weather""#]);
    assert_eq!(format.tool_grammar(&tools(), &ToolChoice::Named("other".to_owned()), true), None);
}

#[test]
fn auto_is_free_text_until_a_call_opens() {
    for (vocabulary, a, b) in
        [(PLAIN, "<tool_call>", "</tool_call>"), (SPECIAL, "«<tool_call>»", "«</tool_call>»")]
    {
        for reasoning in [None, Some(THINK)] {
            let format = vocabulary.format(reasoning, CallSyntax::Tagged);
            let many = format.tool_grammar(&tools(), &ToolChoice::Auto, true).expect("a grammar");
            let one = format.tool_grammar(&tools(), &ToolChoice::Auto, false).expect("a grammar");
            let call = format!("{a}{WEATHER}{b}");
            let text = "안녕 {\"name\": 1} <tool> </tool_call> < <tool_call\n";
            for spec in [&many, &one] {
                whole(vocabulary, spec, &["", text, &call, &format!("{text}{call}")]);
                open(vocabulary, spec, &[&format!("{text}{a}"), &format!("{a}\n{{")]);
                refused(vocabulary, spec, &[&format!("{text}{a}¦Seoul"), &format!("{a}{{¦}}")]);
            }
            whole(
                vocabulary,
                &many,
                &[&format!("{call}{text}"), &format!("{call}\n{call}"), &format!("a{call}b{call}c")],
            );
            refused(vocabulary, &many, &[&format!("{call} and {a}{{\"name\": \"¦x")]);
            refused(vocabulary, &one, &[&format!("{call}¦\n"), &format!("x{call}¦{a}")]);
        }
    }
}

#[test]
fn a_tag_that_is_a_special_token_may_not_be_spelled_out() {
    let format = SPECIAL.format(Some(THINK), CallSyntax::Tagged);
    let auto = format.tool_grammar(&tools(), &ToolChoice::Auto, true).expect("a grammar");
    refused(SPECIAL, &auto, &["a <tool_call¦>", "«<think>»a«</think>»<tool_call¦>", "a ¦«<|other|>»"]);
    whole(SPECIAL, &auto, &["«<think>»\na\n«</think>»\n\nb", "«<think>»«</think>»«<think>»"]);
    let required = format.tool_grammar(&tools(), &ToolChoice::Required, true).expect("a grammar");
    refused(SPECIAL, &required, &["¦<tool_call>"]);
}

#[test]
fn only_allowed_tools_are_called() {
    let format = PLAIN.format(None, CallSyntax::Tagged);
    let choice = |required| ToolChoice::Allowed { names: vec!["get_time".to_owned()], required };
    let free = format.tool_grammar(&tools(), &choice(false), true).expect("a grammar");
    let must = format.tool_grammar(&tools(), &choice(true), true).expect("a grammar");
    let call = format!("<tool_call>{TIME}</tool_call>");
    whole(PLAIN, &free, &["text", &call]);
    whole(PLAIN, &must, &[&call]);
    refused(PLAIN, &must, &["¦text"]);
    for spec in [&free, &must] {
        refused(PLAIN, spec, &[r#"<tool_call>{"name": "get_¦weather""#]);
    }
}

#[test]
fn bare_calls_stand_at_the_beginning_or_after_their_tag() {
    let body = r#"{"name": "get_weather", "parameters": {"city": "서울"}}"#;
    for vocabulary in [PLAIN, SPECIAL] {
        for reasoning in [None, Some(THINK)] {
            let format = vocabulary.format(reasoning, CallSyntax::Bare);
            let auto = format.tool_grammar(&tools(), &ToolChoice::Auto, true).expect("a grammar");
            let one = format.tool_grammar(&tools(), &ToolChoice::Auto, false).expect("a grammar");
            let must = format.tool_grammar(&tools(), &ToolChoice::Required, true).expect("a grammar");
            whole(vocabulary, &auto, &["", "text {1}", body, &format!("\n{body}; {body}")]);
            whole(vocabulary, &must, &[body, &format!("{body}\n{body}")]);
            whole(vocabulary, &one, &["text", body]);
            refused(vocabulary, &auto, &["{¦1}", "  {¦}", "a <|python_tag|¦>", r#"{"name": "¦x"#]);
            refused(vocabulary, &one, &[&format!("{body}¦;")]);
            refused(vocabulary, &must, &["¦a", r#"{"name": "get_time", "¦arguments""#]);
        }
    }
    let format = SPECIAL.format(Some(THINK), CallSyntax::Bare);
    let auto = format.tool_grammar(&tools(), &ToolChoice::Auto, true).expect("a grammar");
    whole(
        SPECIAL,
        &auto,
        &[
            &format!("«<|python_tag|>»{body}"),
            &format!("Sure.«<|python_tag|>»\n{body}"),
            &format!("«<think>»a«</think>»\n{body}"),
        ],
    );
    refused(SPECIAL, &auto, &["«<|python_tag|>»¦print(1)"]);
}

#[test]
fn names_and_schemas_cannot_break_out_of_the_grammar() {
    let format = PLAIN.format(None, CallSyntax::Tagged);
    let name = "a\"b\\c\n/d%{e}\u{7f}</tool_call>";
    let schema = json!({"properties": {"k\"}/%": {"const": "</tool_call> \" } / \n"}},
        "additionalProperties": false, "required": ["k\"}/%"]});
    let spec = format.tool_grammar(&[tool(name, schema)], &ToolChoice::Required, false).expect("a grammar");
    let call = json!({"name": name, "arguments": {"k\"}/%": "</tool_call> \" } / \n"}});
    whole(PLAIN, &spec, &[&format!("<tool_call>{call}</tool_call>")]);
    refused(PLAIN, &spec, &[r#"<tool_call>{"name":"a¦b"#]);
}

#[test]
fn arguments_are_an_object_whatever_the_schema_is() {
    let format = PLAIN.format(None, CallSyntax::Tagged);
    for schema in [json!(null), json!({}), json!(true), json!({"properties": {"a": {}}})] {
        let spec = format.tool_grammar(&[tool("f", schema)], &ToolChoice::Required, true).expect("a grammar");
        whole(PLAIN, &spec, &[r#"<tool_call>{"name": "f", "arguments": {"a": [1]}}</tool_call>"#]);
        refused(PLAIN, &spec, &[r#"<tool_call>{"name": "f", "arguments": ¦[1]}</tool_call>"#]);
    }
}

#[test]
fn every_kind_of_grammar_waits_for_the_reasoning_to_close() {
    let object = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false});
    let lark = "start: word+ // a } here\nword: /[ab]+/ \"/\"".to_owned();
    let cases = [
        (GrammarSpec::JsonSchema { schema: object }, r#"{"a": 1}"#, r#"{"¦b""#),
        (GrammarSpec::JsonObject, r#"{"x": [1, "가"]}"#, "¦[1]"),
        (GrammarSpec::Regex("[a-c]+/\\d\\/".to_owned()), "abc/7/", "abc¦d"),
        (GrammarSpec::Choice(vec!["예".to_owned(), "a\"/b".to_owned(), "a".to_owned()]), "a\"/b", "a\"¦b"),
        (GrammarSpec::Lark(lark), "ab/a/", "ab¦c"),
    ];
    for (vocabulary, a, b) in [(PLAIN, "<think>", "</think>"), (SPECIAL, "«<think>»", "«</think>»")] {
        for tags in [THINK, THOUGHT] {
            let (a, b) = if tags == THINK { (a, b) } else { ("<thought>", "</thought>") };
            let format = vocabulary.format(Some(tags), CallSyntax::Tagged);
            for (grammar, good, bad) in cases.clone() {
                let spec = format.after_reasoning(grammar);
                let thought = "{생각} </thin </thou < \n";
                whole(vocabulary, &spec, &[&format!("{b}{good}"), &format!("{thought}{b}\n\n{good}")]);
                whole(vocabulary, &spec, &[&format!("{a}\n{thought}{b}\n{good}")]);
                open(vocabulary, &spec, &["", thought, good, &format!("{thought}{b}"), &format!("{b}\n\n")]);
                refused(vocabulary, &spec, &[&format!("{thought}{b}\n{bad}"), &format!("{b}{bad}")]);
            }
        }
    }
}

#[test]
fn calls_too_wait_for_the_reasoning_to_close() {
    for (vocabulary, a, b, end) in [
        (PLAIN, "<tool_call>", "</tool_call>", "</think>"),
        (SPECIAL, "«<tool_call>»", "«</tool_call>»", "«</think>»"),
    ] {
        let format = vocabulary.format(Some(THINK), CallSyntax::Tagged);
        let call = format!("{a}{WEATHER}{b}");
        let wrapped = |choice, parallel| {
            format.after_reasoning(format.tool_grammar(&tools(), &choice, parallel).expect("a grammar"))
        };
        let auto = wrapped(ToolChoice::Auto, true);
        whole(
            vocabulary,
            &auto,
            &[&format!("a{end}"), &format!("a{end}\n\nb{call}\n{call}"), &format!("{end}{call}")],
        );
        refused(vocabulary, &auto, &[&format!("a{end}\n\nb{a}¦c")]);
        open(vocabulary, &auto, &["a"]);
        let required = wrapped(ToolChoice::Required, false);
        whole(vocabulary, &required, &[&format!("a{end}\n\n{call}")]);
        refused(vocabulary, &required, &[&format!("a{end}\n\n¦b"), &format!("{end}{call}¦{a}")]);
        open(vocabulary, &required, &["a {} b"]);
    }
}

#[test]
fn a_model_without_reasoning_has_nothing_to_wait_for() {
    let format = PLAIN.format(None, CallSyntax::Tagged);
    assert_eq!(format.after_reasoning(GrammarSpec::JsonObject), GrammarSpec::JsonObject);
}
