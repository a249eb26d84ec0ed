//! References inside a schema.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::Value;

/// References followed from one to the next.
const MAX_HOPS: usize = 16;

/// A schema whose references can be followed.
pub(super) struct References<'a> {
    root: &'a Value,
    branches: RefCell<HashMap<*const Value, u64>>,
}

/// The unescaped steps of `#` or `#/a/b`.
pub(super) fn pointer(reference: &str) -> Option<Vec<String>> {
    let rest = reference.strip_prefix('#')?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let unescape = |step: &str| {
        let bytes = percent_decoded(step)?;
        Some(String::from_utf8(bytes).ok()?.replace("~1", "/").replace("~0", "~"))
    };
    rest.strip_prefix('/')?.split('/').map(unescape).collect()
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

impl<'a> References<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, branches: RefCell::default() }
    }

    /// What a reference leads to, if there is something.
    pub(super) fn target(&self, reference: &str) -> Option<&'a Value> {
        pointer(reference)?.iter().try_fold(self.root, |value, step| match value {
            Value::Object(map) => map.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The schema behind references that stand alone.
    pub(super) fn resolved<'s>(&'s self, mut schema: &'s Value) -> &'s Value {
        for _ in 0..MAX_HOPS {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(target) = self.target(reference) else { break };
            schema = target;
        }
        schema
    }

    /// In how many ways the branches of a schema are combined with those of the schemas that are merged into it; 0
    /// where nothing is combined.
    pub(super) fn num_combinations(&self, schema: &Value) -> u64 {
        let factors = self.factors(schema);
        if factors.len() > 1 { factors.into_iter().fold(1, u64::saturating_mul) } else { 0 }
    }

    /// Alternatives of a schema.
    fn num_branches(&self, schema: &Value) -> u64 {
        let key = std::ptr::from_ref(schema);
        if let Some(&known) = self.branches.borrow().get(&key) {
            return known;
        }
        // A schema that is reached again while it is counted adds nothing.
        self.branches.borrow_mut().insert(key, 1);
        let product = self.factors(schema).into_iter().fold(1, u64::saturating_mul);
        self.branches.borrow_mut().insert(key, product);
        product
    }

    /// Alternatives of each part that is merged into a schema, where there is more than one.
    fn factors(&self, schema: &Value) -> Vec<u64> {
        let list =
            |keyword: &str| schema.get(keyword).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let sum = |branches: &[Value]| {
            branches.iter().fold(0_u64, |sum, branch| sum.saturating_add(self.num_branches(branch)))
        };
        let mut factors = vec![sum(list("anyOf")), sum(list("oneOf")), list("enum").len() as u64];
        factors.extend(list("allOf").iter().map(|part| self.num_branches(part)));
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| self.target(reference));
        factors.extend(target.map(|target| self.num_branches(target)));
        factors.retain(|&factor| factor > 1);
        factors
    }
}
