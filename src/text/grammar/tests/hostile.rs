//! Grammars made to cost: each is an error, or compiles within its bounds and gives masks within theirs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Chance, demo};
use crate::sampling::{GrammarSpec, TokenSet};

fn nested(depth: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..depth).fold(json!({"type": "null"}), |inner, _| wrap(inner))
}

/// Definitions that each hold the next, so many schemas deep in between.
fn chain(length: usize, depth: usize) -> Value {
    let each = (0..length).map(|index| {
        let next = json!({"$ref": format!("#/$defs/d{}", (index + 1) % length)});
        let inner = (0..depth).fold(next, |inner, _| json!({"type": "array", "items": inner}));
        (format!("d{index}"), inner)
    });
    json!({"$defs": Value::Object(each.collect()), "$ref": "#/$defs/d0"})
}

fn schemas() -> Vec<(&'static str, Value)> {
    let names = |count: usize| (0..count).map(|index| format!("name_{index}")).collect::<Vec<_>>();
    let properties = |count: usize| {
        Value::Object(names(count).into_iter().map(|name| (name, json!({"type": "string"}))).collect())
    };
    let branches = |count: usize| {
        (0..count).map(|i| json!({"properties": {format!("k{i}"): {"const": i}}})).collect::<Vec<_>>()
    };
    let tree = |name: &str| {
        json!({"type": "object", "properties": {
        "l": {"$ref": format!("#/$defs/{name}")}, "r": {"$ref": format!("#/$defs/{name}")},
        "m": {"$ref": format!("#/$defs/{name}")}}})
    };
    vec![
        ("deep lists", nested(300, |inner| json!([inner]))),
        ("deep items", nested(40, |inner| json!({"type": "array", "items": inner}))),
        ("deep unions", nested(40, |inner| json!({"anyOf": [inner, {"type": "string"}]}))),
        ("doubled unions", nested(9, |inner| json!({"anyOf": [inner, inner]}))),
        ("500 optional properties", json!({"type": "object", "properties": properties(500)})),
        (
            "500 required properties",
            json!({"type": "object", "properties": properties(500), "required": names(500)}),
        ),
        ("1000 properties", json!({"type": "object", "properties": properties(1_000)})),
        ("4000 constants", json!({"enum": names(4_000)})),
        ("5000 constants", json!({"enum": names(5_000)})),
        ("constants times constants", json!({"allOf": [{"enum": names(2_000)}, {"enum": names(2_000)}]})),
        ("branches times branches", json!({"allOf": [{"anyOf": branches(20)}, {"anyOf": branches(20)}]})),
        (
            "cubed branches",
            json!({"allOf": [{"anyOf": branches(40)}, {"anyOf": branches(40)}, {"anyOf": branches(40)}]}),
        ),
        (
            "trees merged",
            json!({"$defs": {"a": tree("a"), "b": tree("b")},
            "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}),
        ),
        ("a chain of references", chain(120, 15)),
        ("too many references", chain(600, 1)),
        ("huge lengths", json!({"type": "string", "maxLength": 10_000_000})),
        ("large lengths", json!({"type": "string", "minLength": 4_000, "maxLength": 4_096})),
        ("huge counts", json!({"type": "array", "minItems": 5_000_000})),
        (
            "large counts",
            json!({"type": "array", "items": {"type": "integer"}, "minItems": 4_000, "maxItems": 4_096}),
        ),
        (
            "counts of counts",
            nested(6, |inner| json!({"type": "array", "items": inner, "minItems": 4_000, "maxItems": 4_096})),
        ),
        ("a huge divisor", json!({"type": "integer", "multipleOf": 999_999_937})),
        (
            "a large divisor",
            json!({"type": "integer", "multipleOf": 9_973, "minimum": 1_000_000_000_000_u64}),
        ),
        ("merged divisors", json!({"allOf": [{"multipleOf": 9_973}, {"multipleOf": 9_967}]})),
        (
            "a pattern of patterns",
            json!({"type": "string", "pattern": "^((([a-z]+)+\\.)+[A-Z]([a-z])+)+$", "maxLength": 4_000}),
        ),
        ("an exponential pattern", json!({"type": "string", "pattern": "a.{40}b.{40}c"})),
        (
            "disjoint patterns",
            json!({"type": "object", "patternProperties": (0..40).map(|i|
            (format!("^a{i}.*[a-z]{{3,40}}$"), json!({}))).collect::<serde_json::Map<_, _>>()}),
        ),
    ]
}

fn specs() -> Vec<(&'static str, GrammarSpec)> {
    let mut rules = "start: r0\n".to_owned();
    let mut doubled = "start: t0\n".to_owned();
    for index in 0..500 {
        writeln!(rules, "r{index}: \"a\" r{} | \"b\"", (index + 1) % 500).expect("a string");
    }
    for index in 0..24 {
        writeln!(doubled, "t{index}: t{0} t{0}", index + 1).expect("a string");
    }
    doubled += "t24: \"a\" | \"\"\n";
    let regexes = [
        "((a{1000}){1000}){1000}",
        "(a|b|ab){1,4000}",
        "((((a*)*)*)*)*",
        "(a?){1000}a{1000}",
        "(x+x+)+y",
        "[\\s\\S]{1,100000}",
        "\\p{L}{1,2000}\\p{N}{1,2000}",
        "(.*a.{200}b)*",
        "(.*a.{20}|.*b.{21}|.*c.{22}|.*d.{23}){3}",
    ];
    let mut specs: Vec<_> =
        regexes.iter().map(|&regex| (regex, GrammarSpec::Regex(regex.to_owned()))).collect();
    specs.extend([
        ("deep regex", GrammarSpec::Regex("(".repeat(2_000) + &")".repeat(2_000))),
        ("long regex", GrammarSpec::Regex("a?".repeat(2_000))),
        ("long alternatives", GrammarSpec::Regex("abc|abd".repeat(580))),
        ("too long a regex", GrammarSpec::Regex("a".repeat(100_000))),
        (
            "deep groups",
            GrammarSpec::Lark(format!("start: {}\"a\"{}", "(".repeat(50_000), ")".repeat(50_000))),
        ),
        ("many rules", GrammarSpec::Lark(rules)),
        ("too many rules", GrammarSpec::Lark("a: \"b\"\n".repeat(5_000))),
        ("ambiguity", GrammarSpec::Lark("start: start start | \"a\" | \"aa\" | \"\"".to_owned())),
        ("ambiguity in depth", GrammarSpec::Lark(doubled)),
        ("repeats", GrammarSpec::Lark("start: a~1..4000\na: (b~1..4000)~1..4000\nb: \"x\"".to_owned())),
        ("too many repeats", GrammarSpec::Lark("start: \"a\"~1..100000000".to_owned())),
        ("too many repeats of one count", GrammarSpec::Lark("start: \"a\" ~ 100000000".to_owned())),
        ("endless rule", GrammarSpec::Lark("start: start".to_owned())),
        ("choices", GrammarSpec::Choice((0..4_000).map(|index| format!("common prefix {index}")).collect())),
        ("too many choices", GrammarSpec::Choice(vec!["a".to_owned(); 5_000])),
        ("long choices", GrammarSpec::Choice(vec!["가".repeat(60_000); 2])),
    ]);
    specs.extend(schemas().into_iter().map(|(name, schema)| (name, GrammarSpec::JsonSchema { schema })));
    specs
}

#[test]
fn hostile_grammars_are_refused_or_stay_within_their_bounds() {
    let model = demo();
    for (name, spec) in specs() {
        let started = std::time::Instant::now();
        let compiled = model.compile(&spec);
        let compile_time = started.elapsed();
        let grammar = match compiled {
            Ok(grammar) => grammar,
            Err(error) => {
                println!(
                    "{name}: {compile_time:?}: {}",
                    error.to_string().chars().take(90).collect::<String>()
                );
                continue;
            }
        };
        let mut state = grammar.start();
        let mut chance = Chance::new(1);
        let mut allowed = TokenSet::new(model.vocab_size());
        let mut worst = std::time::Duration::ZERO;
        let mut end = "";
        for _ in 0..30 {
            let started = std::time::Instant::now();
            let masked = state.mask(&mut allowed);
            worst = worst.max(started.elapsed());
            if masked.is_err() {
                end = "stopped at a bound";
                break;
            }
            let candidates: Vec<u32> = allowed.iter().collect();
            assert!(!candidates.is_empty(), "{name}");
            if state.accept(candidates[chance.below(candidates.len())]).is_err() || state.is_complete() {
                break;
            }
        }
        println!("{name}: {compile_time:?}, {} bytes, mask {worst:?} {end}", grammar.num_bytes());
    }
}
