//! Whether schemas exclude one another, as the branches of a `oneOf` must.

use serde_json::Value;

use super::reference::References;

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const NUMBER: u8 = 4;
const STRING: u8 = 8;
const ARRAY: u8 = 16;
const OBJECT: u8 = 32;
const ALL: u8 = 63;

/// How far into schemas it is looked.
const MAX_DEPTH: usize = 8;

/// Most branches that are compared, each with each.
const MAX_BRANCHES: usize = 64;

impl References<'_> {
    /// Whether no value can satisfy two of these schemas; `false` where that cannot be seen.
    pub(super) fn exclude_each_other(&self, branches: &[Value]) -> bool {
        branches.len() <= MAX_BRANCHES
            && branches.iter().enumerate().all(|(index, branch)| {
                branches[index + 1..].iter().all(|other| self.are_disjoint(branch, other, MAX_DEPTH))
            })
    }

    fn are_disjoint(&self, left: &Value, right: &Value, depth: usize) -> bool {
        let (left, right) = (self.resolved(left), self.resolved(right));
        if left == &Value::Bool(false) || right == &Value::Bool(false) {
            return true;
        }
        if depth == 0 {
            return false;
        }
        for (one, other) in [(left, right), (right, left)] {
            let branches = ["anyOf", "oneOf"].iter().find_map(|keyword| one.get(keyword)?.as_array());
            if let Some(branches) = branches
                && branches.iter().all(|branch| self.are_disjoint(branch, other, depth - 1))
            {
                return true;
            }
            let parts = one.get("allOf").and_then(Value::as_array);
            if parts.is_some_and(|parts| parts.iter().any(|part| self.are_disjoint(part, other, depth - 1))) {
                return true;
            }
        }
        if let (Some(lefts), Some(rights)) = (constants(left), constants(right)) {
            return !lefts.iter().any(|left| rights.iter().any(|right| same(left, right)));
        }
        match self.types(left, depth) & self.types(right, depth) {
            0 => true,
            OBJECT => self.differ_in_a_property(left, right, depth),
            _ => false,
        }
    }

    fn differ_in_a_property(&self, left: &Value, right: &Value, depth: usize) -> bool {
        let required = |schema: &Value| -> Vec<String> {
            let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let is_closed = |schema: &Value| {
            schema.get("additionalProperties") == Some(&Value::Bool(false))
                && schema.get("patternProperties").is_none()
        };
        let property =
            |schema: &Value, name: &str| schema.get("properties").and_then(|all| all.get(name)).cloned();
        required(left).into_iter().chain(required(right)).any(|name| {
            match (property(left, &name), property(right, &name)) {
                (Some(left), Some(right)) => self.are_disjoint(&left, &right, depth - 1),
                (None, _) => is_closed(left),
                (_, None) => is_closed(right),
            }
        })
    }

    /// The types that a value of a schema may have, at most.
    fn types(&self, schema: &Value, depth: usize) -> u8 {
        let schema = self.resolved(schema);
        if depth == 0 {
            return ALL;
        }
        let mut types = match schema.get("type") {
            Some(Value::String(name)) => named(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).fold(0, |all, name| all | named(name))
            }
            _ => ALL,
        };
        if let Some(constants) = constants(schema) {
            types &= constants.iter().fold(0, |all, constant| all | of(constant));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(keyword).and_then(Value::as_array) {
                types &= branches.iter().fold(0, |all, branch| all | self.types(branch, depth - 1));
            }
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            types &= self.types(part, depth - 1);
        }
        types
    }
}

fn named(name: &str) -> u8 {
    match name {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "integer" | "number" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => ALL,
    }
}

fn of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

fn constants(schema: &Value) -> Option<&[Value]> {
    let one = schema.get("const").map(std::slice::from_ref);
    one.or_else(|| schema.get("enum").and_then(Value::as_array).map(Vec::as_slice))
}

/// Whether two constants may be the same value: numbers are, however they are written.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => true,
        _ => left == right,
    }
}
