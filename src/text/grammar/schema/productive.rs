//! Whether a schema has a value that ends: a reference back to where it came from needs a way out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::reference::{References, pointer};
use crate::text::grammar::GrammarError;

/// Most different references in a schema.
const MAX_REFERENCES: usize = 256;

/// Refuses a schema whose every value would go on for ever.
pub(super) fn check(schema: &Value, references: &References<'_>) -> Result<(), GrammarError> {
    let mut texts = BTreeSet::new();
    collect(schema, &mut texts);
    if texts.len() > MAX_REFERENCES {
        return Err(GrammarError::too_large(format!(
            "the schema has {} different references, more than {MAX_REFERENCES}",
            texts.len()
        )));
    }
    // What ends is found from the inside out: a reference ends once all that it needs is known to end.
    let mut ending: BTreeMap<&str, bool> = texts.iter().map(|&text| (text, false)).collect();
    loop {
        let found: Vec<&str> = ending
            .iter()
            .filter(|(text, ends)| {
                !**ends && references.target(text).is_some_and(|target| ends_within(target, &ending))
            })
            .map(|(&text, _)| text)
            .collect();
        if found.is_empty() {
            break;
        }
        for text in found {
            ending.insert(text, true);
        }
    }
    if ends_within(schema, &ending) {
        return Ok(());
    }
    let endless = ending.iter().find(|(_, ends)| !**ends).map(|(text, _)| format!(" ({text} never ends)"));
    let reason = format!("nothing satisfies the schema{}", endless.unwrap_or_default());
    Err(GrammarError::invalid(reason))
}

fn collect<'a>(value: &'a Value, texts: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => {
            texts.extend(map.get("$ref").and_then(Value::as_str).filter(|text| pointer(text).is_some()));
            map.values().for_each(|item| collect(item, texts));
        }
        _ => {}
    }
}

/// Whether a value of the schema can end, given which references do.
fn ends_within(schema: &Value, ending: &BTreeMap<&str, bool>) -> bool {
    let Value::Object(map) = schema else { return schema != &Value::Bool(false) };
    let ends = |schema: &Value| ends_within(schema, ending);
    let list = |keyword: &str| map.get(keyword).and_then(Value::as_array);
    let reference_ends =
        map.get("$ref").and_then(Value::as_str).is_none_or(|text| ending.get(text).copied().unwrap_or(false));
    if !reference_ends
        || ["anyOf", "oneOf"].iter().any(|keyword| list(keyword).is_some_and(|all| !all.iter().any(ends)))
        || list("allOf").is_some_and(|all| !all.iter().all(ends))
    {
        return false;
    }
    let has_constants = map.contains_key("const") || map.contains_key("enum");
    has_constants
        || types(map).into_iter().any(|name| match name {
            "object" => {
                list("required").into_iter().flatten().filter_map(Value::as_str).all(|name| {
                    match map.get("properties").and_then(|all| all.get(name)) {
                        Some(property) => ends(property),
                        None => {
                            map.contains_key("patternProperties")
                                || map.get("additionalProperties").is_none_or(ends)
                        }
                    }
                })
            }
            "array" => {
                let least = map.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                let first = list("prefixItems").or_else(|| list("items")).map_or(&[][..], Vec::as_slice);
                let further = map.get("items").filter(|items| !items.is_array());
                first.iter().zip(0..least).all(|(item, _)| ends(item))
                    && (least <= first.len() as u64 || further.is_none_or(ends))
            }
            _ => true,
        })
}

fn types(map: &serde_json::Map<String, Value>) -> Vec<&str> {
    match map.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec!["null"],
    }
}
