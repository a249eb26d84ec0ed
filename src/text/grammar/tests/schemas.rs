//! Schemas of real-world shape: what comes out is JSON that they accept.

use serde_json::{Value, json};

use super::{Chance, demo, small};

fn schemas() -> Vec<Value> {
    vec![
        json!({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"], "additionalProperties": false}),
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}}),
        json!({"type": "object"}),
        json!({}),
        json!(true),
        json!({"type": "array", "items": {"type": "number"}}),
        json!({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 5}),
        json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}),
        json!({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "null"}, "minItems": 1}),
        json!({"type": "string", "enum": ["서울", "부산", "tab\there", "quote\"d"]}),
        json!({"enum": [1, "two", null, true, [1, 2], {"a": {"b": 3}}, 2.5]}),
        json!({"const": "ok"}),
        json!({"const": {"version": 1, "tags": ["x", "y"]}}),
        json!({"type": ["string", "null"], "maxLength": 10}),
        json!({"type": "string", "minLength": 3, "maxLength": 6}),
        json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
        json!({"type": "string", "pattern": "[0-9]"}),
        json!({"type": "string", "pattern": "^[가-힣]{2,4}$"}),
        json!({"type": "string", "pattern": "^\\d{3}-\\w+$", "maxLength": 12}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "time"}),
        json!({"type": "string", "format": "email"}),
        json!({"type": "string", "format": "uuid"}),
        json!({"type": "string", "format": "ipv4"}),
        json!({"type": "string", "format": "ipv6"}),
        json!({"type": "string", "format": "duration"}),
        json!({"type": "integer", "minimum": -5, "maximum": 17}),
        json!({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 100, "multipleOf": 7}),
        json!({"type": "number", "minimum": 0, "maximum": 1}),
        json!({"type": "number", "exclusiveMinimum": -1.5, "maximum": 2.25}),
        json!({"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 20}),
        json!({"type": "object", "properties": {"n": {"type": "number", "minimum": 0, "maximum": 100}},
            "required": ["n"], "additionalProperties": {"type": "string", "maxLength": 4}}),
        json!({"type": "object", "patternProperties": {"^x_": {"type": "integer", "minimum": 0, "maximum": 9}},
            "additionalProperties": false}),
        json!({"type": "object", "properties": {"x_a": {"type": "integer"}},
            "patternProperties": {"^x_": {"minimum": 10, "maximum": 99}}, "required": ["x_a"],
            "additionalProperties": false}),
        json!({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a", "b"]}),
        json!({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
            "additionalProperties": false, "minProperties": 1}),
        json!({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
            "additionalProperties": false, "maxProperties": 1}),
        json!({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1, "maxProperties": 3}),
        json!({"anyOf": [{"type": "string", "maxLength": 5}, {"type": "integer", "minimum": 0, "maximum": 9},
            {"type": "object", "properties": {"k": {"type": "null"}}, "required": ["k"],
             "additionalProperties": false}]}),
        // A discriminated union as pydantic writes it.
        json!({"$defs": {
                "Cat": {"type": "object", "title": "Cat", "required": ["kind", "meows"],
                    "properties": {"kind": {"const": "cat", "type": "string"}, "meows": {"type": "boolean"}}},
                "Dog": {"type": "object", "title": "Dog", "required": ["kind", "barks"],
                    "properties": {"kind": {"const": "dog", "type": "string"}, "barks": {"type": "boolean"}}}},
            "type": "object", "required": ["pet"], "properties": {"pet": {
                "discriminator": {"propertyName": "kind",
                    "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}},
                "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}}}),
        json!({"oneOf": [{"type": "string", "maxLength": 3}, {"type": "null"}, {"const": 5}]}),
        // A list that holds itself.
        json!({"$defs": {"node": {"type": "object", "properties": {"value": {"type": "boolean"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["value", "next"], "additionalProperties": false}},
            "$ref": "#/$defs/node"}),
        json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
            "additionalProperties": false}),
        json!({"allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}, "required": ["a"]},
            {"type": "object", "properties": {"a": {"maximum": 9}, "b": {"type": "boolean"}}, "required": ["b"]}]}),
        json!({"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": false},
            {"type": "object", "properties": {"b": {"type": "null"}}}]}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
            "definitions": {"color": {"enum": ["red", "green"]}},
            "properties": {"c": {"$ref": "#/definitions/color"}}, "required": ["c"],
            "additionalProperties": false}),
        json!({"type": "array", "items": [{"type": "null"}, {"type": "boolean"}], "additionalItems": false,
            "$schema": "http://json-schema.org/draft-07/schema#"}),
        // A tool's parameters.
        json!({"type": "object", "properties": {
                "location": {"type": "string", "description": "도시와 나라", "maxLength": 20},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
                "options": {"type": "object", "properties": {"hourly": {"type": "boolean"}},
                    "required": ["hourly"], "additionalProperties": false}},
            "required": ["location", "unit", "days", "options"], "additionalProperties": false}),
        // An invoice.
        json!({"type": "object", "title": "Invoice", "properties": {
                "id": {"type": "string", "pattern": "^INV-[0-9]{4}$"},
                "issued": {"type": "string", "format": "date"},
                "lines": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "object", "properties": {
                    "sku": {"type": "string", "minLength": 1, "maxLength": 8},
                    "qty": {"type": "integer", "minimum": 1, "maximum": 999},
                    "price": {"type": "number", "minimum": 0, "maximum": 10000}},
                    "required": ["sku", "qty", "price"], "additionalProperties": false}},
                "paid": {"type": ["boolean", "null"]}},
            "required": ["id", "issued", "lines", "paid"], "additionalProperties": false}),
    ]
}

/// The schema as a validator of draft 2020-12 or of the draft that it names sees it.
fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a schema")
}

#[test]
fn random_walks_end_in_json_that_the_schema_accepts() {
    let schemas = schemas();
    assert!(schemas.len() >= 40);
    let mut chance = Chance::new(7);
    for (schema, model) in schemas.iter().flat_map(|schema| [(schema, small()), (schema, demo())]) {
        let grammar = model.schema(schema.clone()).unwrap_or_else(|error| panic!("{schema}: {error}"));
        let validator = validator(schema);
        let mut num_parsed = 0;
        for round in 0..8 {
            let text = model.text(&model.walk(&grammar, &mut chance, 12 + 8 * round));
            assert!(!text.replace("\\\\", "").contains("\\u"), "{text}");
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => {
                    num_parsed += 1;
                    if let Err(error) = validator.validate(&value) {
                        panic!("{schema} does not accept {text}: {error}");
                    }
                }
                // A number may have an exponent beyond what the reader's type holds.
                Err(error) => assert!(error.to_string().contains("number out of range"), "{text}: {error}"),
            }
        }
        assert!(num_parsed >= 4, "{schema}");
    }
}

#[test]
fn bounds_of_numbers_are_held_to_the_last_digit() {
    let ends = [-1e14, -1000.5, -10.0, -1.0, -0.001, 0.0, 0.25, 1.0, 9.99, 100.0, 123_456.0, 1e14];
    let texts = [
        "-9007199254740992",
        "-100000000000001",
        "-100000000000000",
        "-1001",
        "-1000.5",
        "-1000",
        "-10.001",
        "-10",
        "-2",
        "-1",
        "-0.5",
        "-0.001",
        "-0.0001",
        "0",
        "0.0",
        "0.2",
        "0.25",
        "0.3",
        "1",
        "1.5",
        "9.99",
        "9.991",
        "10",
        "100",
        "100.1",
        "123456",
        "123457",
        "99999999999999",
        "100000000000000",
        "100000000000001",
    ];
    let model = small();
    let mut num_in = 0;
    for (index, &low) in ends.iter().enumerate() {
        for &high in &ends[index + 1..] {
            for kind in ["integer", "number"] {
                let schema = json!({"type": kind, "minimum": low, "exclusiveMaximum": high});
                let Ok(grammar) = model.schema(schema.clone()) else {
                    assert!(kind == "integer" && f64::ceil(low) >= high, "{schema}");
                    continue;
                };
                for text in texts {
                    let value: f64 = text.parse().expect("a number");
                    let is_in = value >= low && value < high && (kind == "number" || !text.contains('.'));
                    let derives = model.derives(&grammar, text);
                    assert!(is_in || !derives, "{schema}: {text}");
                    // A number with a fraction may have to be written with as many digits as its bound.
                    assert!(derives || !is_in || text.contains('.'), "{schema}: {text}");
                    num_in += usize::from(is_in);
                }
            }
        }
    }
    assert!(num_in > 500);
}

#[test]
fn divisors_hold_for_every_number() {
    let model = small();
    for divisor in [1, 3, 7, 10, 64, 999, 4_321, 9_999] {
        let grammar = model.schema(json!({"type": "integer", "multipleOf": divisor})).expect("compiles");
        for value in [0, 1, 3, 7, -7, 21, 64, 100, 128, 999, -1998, 4_321, 8_642, 9_999, 99_999_990_000_i64] {
            let held = model.derives(&grammar, &value.to_string());
            assert_eq!(held, value % divisor == 0, "{value} of {divisor}");
        }
    }
    for (divisor, good, bad) in
        [("0.5", ["0.5", "12.0", "3"], "0.7"), ("0.01", ["0.01", "7.25", "3"], "0.001")]
    {
        let schema = serde_json::from_str(&format!("{{\"type\": \"number\", \"multipleOf\": {divisor}}}"));
        let grammar = model.schema(schema.expect("JSON")).expect("compiles");
        assert!(good.iter().all(|text| model.derives(&grammar, text)), "{divisor}");
        assert!(!model.derives(&grammar, bad), "{divisor}");
    }
}
