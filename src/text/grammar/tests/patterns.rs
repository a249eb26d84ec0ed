//! Patterns inside JSON strings: what is escaped there is held as exactly as what is not.

use serde_json::{Value, json};

use super::{Chance, demo, small};
use crate::text::grammar::GrammarError;

#[test]
fn a_class_allows_an_escape_only_where_it_holds_the_character() {
    let cases: [(&str, &[&str], &[&str]); 8] = [
        (r#"^[^"]$"#, &["\\", "\n", "\t", "é", "한"], &["\"", "aa", ""]),
        (r"^[^\\]$", &["\"", "\n", "a"], &["\\"]),
        (r"^[^\\\n]$", &["\"", "\t"], &["\\", "\n"]),
        (r#"^[^/\\?%*:|"<>]{2}$"#, &["ab", "\t\t"], &["a\\", "a\"", "a/"]),
        (r"^[\x00-\x1f]$", &["\n", "\r", "\t", "\u{8}", "\u{c}"], &["\"", "\\", " "]),
        (r"^[\x00-!]$", &["\n", " ", "!"], &["\"", "\\"]),
        (r"^(?:[^a\\]|b)*$", &["\"b\"", ""], &["\\", "a"]),
        (r"[^\\]$", &["\\\\a", "\\\""], &["a\\", ""]),
    ];
    for (pattern, right, wrong) in cases {
        for model in [small(), demo()] {
            let grammar = model.schema(json!({"type": "string", "pattern": pattern})).expect(pattern);
            for text in right {
                assert!(model.derives(&grammar, &json!(text).to_string()), "{pattern} allows {text:?}");
            }
            for text in wrong {
                assert!(!model.derives(&grammar, &json!(text).to_string()), "{pattern} forbids {text:?}");
            }
        }
    }
}

#[test]
fn walks_through_classes_with_control_characters_stay_inside_them() {
    let patterns =
        [r#"^[^"]{1,8}$"#, r"^[^\\]{1,8}$", r"^[\x00-!]{2,6}$", r#"^[^a-z"\\]*$"#, r"^[^\\/]+\.txt$"];
    for pattern in patterns {
        let schema = json!({"type": "string", "pattern": pattern, "maxLength": 40});
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        let model = small();
        let grammar = model.schema(schema).expect(pattern);
        for seed in 0..200 {
            let text = model.text(&model.walk(&grammar, &mut Chance::new(seed), 60));
            let value: Value = serde_json::from_str(&text).expect("JSON");
            assert!(validator.is_valid(&value), "{pattern} came to {text}");
        }
    }
}

#[test]
fn a_pattern_that_needs_a_character_without_an_escape_is_refused() {
    for pattern in ["^a\0b$", r"^a\x00b$", "^a\u{1}b$", r"^\u0001$", "^a\u{7f}b$", r"^a[\x01\x02]+b$"] {
        let refused = demo().schema(json!({"type": "string", "pattern": pattern}));
        assert!(matches!(refused, Err(GrammarError::Invalid { .. })), "{pattern:?}: {:?}", refused.err());
    }
    // Where something else does as well, that is what comes.
    let either =
        demo().schema(json!({"type": "string", "pattern": "^(?:a\0b|c\u{7f}?)$"})).expect("c is left");
    assert!(demo().derives(&either, "\"c\""));
    assert!(!demo().derives(&either, "\"ab\""));
    assert!(!demo().derives(&either, "\"c\u{7f}\""));
}

#[test]
fn names_are_held_to_their_patterns_as_well() {
    let schema = json!({
        "type": "object",
        "patternProperties": {r"^[^\\]$": {"const": 1}},
        "additionalProperties": false,
    });
    let grammar = demo().schema(schema).expect("it is held");
    assert!(demo().derives(&grammar, r#"{"\"": 1}"#));
    assert!(!demo().derives(&grammar, r#"{"\\": 1}"#));
}

#[test]
fn what_is_told_of_a_schema_is_short_whatever_is_in_it() {
    let long = "a".repeat(100_000);
    let nested = json!({"type": "object", "properties": {&long: {"not": {}}}});
    for schema in [json!({"format": long}), json!({"$ref": format!("#{long}")}), nested] {
        let told = demo().schema(schema).expect_err("it is refused").to_string();
        assert!(told.chars().count() < 1500, "{} characters", told.chars().count());
    }
}
