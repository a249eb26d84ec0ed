//! Every kind of grammar: what it derives, what it does not.

use std::sync::Arc;

use serde_json::json;

use super::{Chance, END, demo, small};
use crate::sampling::GrammarSpec;
use crate::text::GrammarCompiler;
use crate::text::test_support::tokenizer_with;

#[test]
fn json_has_at_most_one_space_and_keys_in_order() {
    let model = demo();
    let schema = json!({"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "integer"}},
        "required": ["a", "b"], "additionalProperties": false});
    let grammar = model.schema(schema).expect("compiles");
    for good in [r#"{"b": 1, "a": 2}"#, r#"{"b":1,"a":2}"#, r#"{"b":1, "a": -20}"#] {
        assert!(model.derives(&grammar, good), "{good}");
    }
    for bad in [
        r#"{"a": 1, "b": 2}"#,
        r#"{"b":  1, "a": 2}"#,
        r#"{ "b": 1, "a": 2}"#,
        r#" {"b": 1, "a": 2}"#,
        r#"{"b": 1, "a": 2} "#,
        "{\"b\": 1,\n\"a\": 2}",
        r#"{"b": 1, "a": 2, "c": 3}"#,
        r#"{"b": 1}"#,
    ] {
        assert!(!model.derives(&grammar, bad), "{bad}");
    }
}

#[test]
fn characters_come_out_as_themselves() {
    for model in [small(), demo()] {
        let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
        let grammar = model.schema(closed).expect("compiles");
        for good in [r#"{"a": "한글 漢字 😀"}"#, r#"{"a": "q\" b\\ n\n t\t"}"#, r#"{"a": "", "한": "x"}"#]
        {
            assert!(model.derives(&grammar, good), "{good}");
        }
        for bad in [
            r#"{"a": "\uac00"}"#,
            r#"{"a": "\u0041"}"#,
            r#"{"a": "\u0001"}"#,
            r#"{"\u0061": "x"}"#,
            r#"{"a": "x", "\uac00": 1}"#,
        ] {
            assert!(!model.derives(&grammar, bad), "{bad}");
        }
    }
}

#[test]
fn any_json_object_is_an_object() {
    for model in [small(), demo()] {
        let grammar = model.compile(&GrammarSpec::JsonObject).expect("compiles");
        assert!(model.derives(&grammar, r#"{"a": [1, {"b": null}], "c": "한글"}"#));
        assert!(!model.derives(&grammar, "[1]"));
        let mut chance = Chance::new(3);
        for _ in 0..6 {
            let text = model.text(&model.walk(&grammar, &mut chance, 30));
            assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
        }
    }
}

#[test]
fn a_regex_matches_the_whole_output() {
    for model in [small(), demo()] {
        let grammar =
            model.compile(&GrammarSpec::Regex(r"(예|아니오), [0-9]{2}/[a-z]+".to_owned())).expect("compiles");
        assert!(model.derives(&grammar, "예, 12/ab"));
        assert!(!model.derives(&grammar, "x 예, 12/ab"));
        assert!(!model.derives(&grammar, "예, 12/ab\n"));
        let mut chance = Chance::new(4);
        let text = model.text(&model.walk(&grammar, &mut chance, 10));
        assert!(text.starts_with('예') || text.starts_with("아니오"), "{text}");
    }
}

#[test]
fn anchors_at_the_ends_of_a_regex_say_nothing() {
    let model = small();
    let grammar = model.compile(&GrammarSpec::Regex("^a+/$".to_owned())).expect("compiles");
    assert!(model.derives(&grammar, "aa/"));
    assert!(!model.derives(&grammar, "^a/$"));
}

#[test]
fn a_choice_is_one_of_its_strings() {
    let strings = ["예", "아니오", "it \"depends\"\\", "line\nbreak", "del\u{7f}", "예쁘다"];
    let spec = GrammarSpec::Choice(strings.map(str::to_owned).to_vec());
    for model in [small(), demo()] {
        let grammar = model.compile(&spec).expect("compiles");
        let mut chance = Chance::new(5);
        for _ in 0..12 {
            let text = model.text(&model.walk(&grammar, &mut chance, 0));
            assert!(strings.contains(&text.as_str()), "{text:?}");
        }
        for string in strings {
            assert!(model.derives(&grammar, string), "{string:?}");
        }
        assert!(!model.derives(&grammar, "아니"));
    }
}

#[test]
fn text_never_produces_a_special_token_and_a_lark_grammar_names_them() {
    let tokenizer = Arc::new(tokenizer_with(|json| {
        let added = json["added_tokens"].as_array_mut().expect("a list");
        for (id, content, special) in [(512, "<tool_call>", true), (513, "<think>", false)] {
            added.push(json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": special}));
        }
    }));
    let compiler = GrammarCompiler::new(Arc::clone(&tokenizer), &[END]);
    let compile = |text: &str| compiler.compile(&GrammarSpec::Lark(text.to_owned())).expect("compiles");

    let mut text = compile(r"start: /(.|\n)*/").start();
    for token in tokenizer.special_tokens() {
        assert_eq!(text.allows(token.id), token.id == END, "{}", token.text);
    }
    assert!(text.allows(513), "an added token that is not special is text");

    let mut named = compile("start: <tool_call> \"a\" <[7]> \"<think>\"").start();
    for token_id in [512, tokenizer.token_to_id("a").expect("a byte"), 7, 513, END] {
        assert!(named.allows(token_id), "{token_id}");
        named.accept(token_id).expect("it is named");
    }
    assert!(named.is_complete());
    let mut spelled = compile("start: \"<tool_call>\"").start();
    assert!(!spelled.allows(512), "a quoted text is spelled out");
}

#[test]
fn a_lark_grammar_embeds_schemas() {
    let text = "start: call+\ncall: \"<call>\" args \"</call>\" // %json {\"not\": {}}\n\
        args: %json {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"],\n\
        \"additionalProperties\": false}\n";
    for model in [small(), demo()] {
        let grammar = model.compile(&GrammarSpec::Lark(text.to_owned())).expect("compiles");
        assert!(model.derives(&grammar, "<call>{\"city\": \"서울\"}</call><call>{\"city\":\"\"}</call>"));
        assert!(!model.derives(&grammar, "<call>{\"city\":  \"서울\"}</call>"));
        assert!(!model.derives(&grammar, "<call>{\"city\": \"\\uac00\"}</call>"));
        assert!(!model.derives(&grammar, "<call>{}</call>"));
        let mut chance = Chance::new(6);
        let text = model.text(&model.walk(&grammar, &mut chance, 20));
        assert!(text.starts_with("<call>{\"city\":") && text.ends_with("</call>"), "{text}");
    }
}

#[test]
fn what_must_come_is_guessed() {
    let model = demo();
    let schema = json!({"type": "object", "properties": {"temperature": {"type": "integer"}},
        "required": ["temperature"], "additionalProperties": false});
    let mut state = model.schema(schema).expect("compiles").start();
    let forced = state.forced();
    assert!(!forced.is_empty());
    assert!("{\"temperature\":".starts_with(&model.text(&forced)));
    for token_id in forced {
        state.accept(token_id).expect("it is forced");
    }
}

#[test]
fn a_token_out_of_place_is_refused_and_breaks_nothing() {
    let model = small();
    let mut state = model.compile(&GrammarSpec::Choice(vec!["a".to_owned()])).expect("compiles").start();
    for token_id in [END, 5, 300, 511, 512, 9_999, u32::MAX] {
        let is_first = model.bytes(&[token_id]) == b"a";
        assert_eq!(state.allows(token_id), is_first);
        assert_eq!(state.accept(token_id).is_ok(), is_first);
    }
    state.accept(model.tokenizer.token_to_id("a").expect("a byte")).expect("the only choice");
    assert!(state.is_complete());
    state.accept(END).expect("the end");
    assert!(state.accept(END).is_err(), "after the end nothing comes");
}

#[test]
fn an_integer_without_bounds_has_as_many_digits_as_everybody_reads() {
    let model = demo();
    let grammar = model.schema(json!({"type": "integer"})).expect("compiles");
    for good in ["0", "-7", "9007199254740992", "-9007199254740992"] {
        assert!(model.derives(&grammar, good), "{good}");
    }
    for bad in ["9007199254740993", "90071992547409920", "1.5"] {
        assert!(!model.derives(&grammar, bad), "{bad}");
    }
    let grammar = model.schema(json!({"type": "integer", "minimum": 3})).expect("compiles");
    assert!(model.derives(&grammar, "3") && !model.derives(&grammar, "2"));
    assert!(!model.derives(&grammar, "99999999999999999999"));
}
