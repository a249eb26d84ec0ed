//! What a schema asks for and would not get is named, with its place.

use serde_json::{Value, json};

use super::small;
use crate::sampling::GrammarSpec;
use crate::text::GrammarError;

fn refusal(schema: Value) -> GrammarError {
    match small().schema(schema.clone()) {
        Err(error) => error,
        Ok(_) => panic!("{schema} compiles"),
    }
}

#[test]
fn keywords_that_are_not_enforced_are_named_with_their_place() {
    let inside =
        |schema: Value| json!({"type": "object", "properties": {"a": {"type": "array", "items": schema}}});
    let place = "$.properties.a.items";
    for (schema, keyword, path) in [
        (inside(json!({"uniqueItems": true})), "uniqueItems", place),
        (inside(json!({"not": {"type": "string"}})), "not", place),
        (inside(json!({"if": {}, "then": {}})), "if", place),
        (inside(json!({"contains": {"type": "null"}})), "contains", place),
        (inside(json!({"propertyNames": {"pattern": "^a"}})), "propertyNames", place),
        (inside(json!({"dependentRequired": {"a": ["b"]}})), "dependentRequired", place),
        (inside(json!({"dependentSchemas": {}})), "dependentSchemas", place),
        (inside(json!({"unevaluatedProperties": false})), "unevaluatedProperties", place),
        (inside(json!({"type": "string", "format": "regex"})), "format", place),
        (inside(json!({"type": "integer", "format": "int32"})), "format", place),
        (inside(json!({"type": "string", "pattern": "(?=a)b"})), "pattern", place),
        (inside(json!({"type": "string", "pattern": "(a)\\1"})), "pattern", place),
        (inside(json!({"minLenght": 3})), "minLenght", place),
        (inside(json!({"nullable": true})), "nullable", place),
        (inside(json!({"x-guidance": {}})), "x-guidance", place),
        (inside(json!({"$ref": "https://example.com/a.json"})), "$ref", place),
        (inside(json!({"$ref": "#/$defs/absent"})), "$ref", place),
        (inside(json!({"$ref": "#/properties/a/items/const", "const": {"not": {}}})), "$ref", place),
        (inside(json!({"$dynamicRef": "#a"})), "$dynamicRef", place),
        (inside(json!({"$id": "https://example.com/inner", "type": "null"})), "$id", place),
        (inside(json!({"const": "a\u{1}"})), "const", place),
        (inside(json!({"multipleOf": 12_345})), "multipleOf", place),
        (inside(json!({"maximum": 9_223_372_036_854_775_807_i64})), "maximum", place),
        (inside(json!({"oneOf": [{"type": "integer"}, {"type": "number"}]})), "oneOf", place),
        (
            inside(json!({"oneOf": [{"type": "object"}, {"type": "object", "required": ["a"]}]})),
            "oneOf",
            place,
        ),
        (
            json!({"type": "object", "properties": {"a b": {"anyOf": [true, {"not": {}}]}}}),
            "not",
            "$.properties[\"a b\"].anyOf[1]",
        ),
        (json!({"$defs": {"x": {"uniqueItems": true}}}), "uniqueItems", "$.$defs.x"),
        (json!({"type": "object", "additionalProperties": {"not": {}}}), "not", "$.additionalProperties"),
        (
            json!({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2}),
            "minProperties",
            "$",
        ),
        (json!({"type": "object", "minProperties": 2}), "minProperties", "$"),
    ] {
        match refusal(schema.clone()) {
            GrammarError::Unsupported { keyword: named, path: at, reason } => {
                assert_eq!((named.as_str(), at.as_str()), (keyword, path), "{schema}");
                assert!(!reason.is_empty());
            }
            error => panic!("{schema}: {error:?}"),
        }
    }
}

#[test]
fn a_schema_inside_a_lark_grammar_is_checked_too() {
    let text = "start: \"#\" /[\"%json]/ j // %json\nj: %json {\"items\": {\"uniqueItems\": true}}";
    let error = small().compile(&GrammarSpec::Lark(text.to_owned())).expect_err("it is refused");
    assert!(
        matches!(&error, GrammarError::Unsupported { keyword, path, .. }
        if keyword == "uniqueItems" && path == "$.items"),
        "{error:?}"
    );
    for attribute in ["temperature=0.5", "stop=\"x\""] {
        let text = format!("start: a\na[{attribute}]: /[a-z]*/");
        let error = small().compile(&GrammarSpec::Lark(text)).expect_err("it is refused");
        assert!(matches!(error, GrammarError::Unsupported { .. }), "{error:?}");
    }
}

#[test]
fn what_nothing_satisfies_is_an_error() {
    for schema in [
        json!(false),
        json!({"type": "integer", "minimum": 3, "maximum": 2}),
        json!({"type": "integer", "minimum": 1, "maximum": 6, "multipleOf": 7}),
        json!({"type": "number", "exclusiveMinimum": 1, "maximum": 1}),
        json!({"type": "string", "minLength": 3, "maxLength": 2}),
        json!({"type": "array", "minItems": 3, "maxItems": 2}),
        json!({"type": "string", "enum": [1, 2]}),
        json!({"type": "string", "const": "abc", "maxLength": 2}),
        json!({"allOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"type": "object", "properties": {"a": false}, "required": ["a"]}),
        json!({"type": "object", "required": ["a"], "additionalProperties": false}),
        json!({"type": "array", "items": false, "minItems": 1}),
        json!({"$ref": "#"}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
        json!({"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"}, "minItems": 1},
            "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}, "$ref": "#/$defs/a"}),
        json!({"type": "string", "pattern": "^[a-z]$", "minLength": 2}),
    ] {
        let error = refusal(schema.clone());
        assert!(matches!(error, GrammarError::Invalid { .. }), "{schema}: {error:?}");
    }
}

#[test]
fn malformed_grammars_are_errors() {
    for spec in [
        GrammarSpec::Choice(Vec::new()),
        GrammarSpec::Regex("(".to_owned()),
        GrammarSpec::Regex("a\\".to_owned()),
        GrammarSpec::Lark("start: \"a".to_owned()),
        GrammarSpec::Lark("begin: \"a\"".to_owned()),
        GrammarSpec::Lark("start: <no_such_token>".to_owned()),
        GrammarSpec::Lark("start: <[99999]>".to_owned()),
        GrammarSpec::Lark("start: %json {".to_owned()),
        GrammarSpec::JsonSchema { schema: json!(3) },
        GrammarSpec::JsonSchema { schema: json!({"type": "text"}) },
        GrammarSpec::JsonSchema { schema: json!({"type": []}) },
        GrammarSpec::JsonSchema { schema: json!({"enum": []}) },
        GrammarSpec::JsonSchema { schema: json!({"minLength": -1}) },
        GrammarSpec::JsonSchema { schema: json!({"required": "a"}) },
    ] {
        let error = small().compile(&spec).expect_err("it is malformed");
        let GrammarError::Invalid { reason } = &error else { panic!("{spec:?}: {error:?}") };
        assert!(!reason.contains("panic") && reason.lines().count() == 1, "{reason}");
    }
}
