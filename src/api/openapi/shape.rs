//! What a parameter may hold, and the same as JSON Schema.

use serde_json::{Value, json};

use crate::api::limits::{Bound, Limit};

/// A parameter that an endpoint honours.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Param {
    /// Its name in the request.
    pub(in crate::api) name: &'static str,
    /// What it may hold.
    pub(super) shape: Shape,
    /// What it does, in a sentence.
    pub(super) about: &'static str,
    /// Whether a request must have it.
    pub(super) required: bool,
}

/// A parameter of an endpoint, that may be left out.
pub(super) const fn param(name: &'static str, shape: Shape, about: &'static str) -> Param {
    Param { name, shape, about, required: false }
}

/// A parameter of an endpoint, that must be there.
pub(super) const fn required(name: &'static str, shape: Shape, about: &'static str) -> Param {
    Param { name, shape, about, required: true }
}

/// What a parameter may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A number or a string within its bounds.
    Within(Limit),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of an allowed length, and each of its items.
    List(Limit, &'static Shape),
    /// An object of an allowed number of members, and each of their values.
    Map(Limit, &'static Shape),
    /// An object with these members, among others.
    Object(&'static [Param]),
    /// Any object.
    AnyObject,
    /// The id of a token.
    TokenId,
    /// Any of these.
    Either(&'static [Shape]),
}

impl Shape {
    /// The shape as JSON Schema.
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Within(limit) => within(limit),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
            Self::List(limit, item) => {
                let (min, max) = counts(limit);
                json!({ "type": "array", "items": item.schema(), "minItems": min, "maxItems": max })
            }
            Self::Map(limit, value) => {
                let (min, max) = counts(limit);
                let value = value.schema();
                json!({
                    "type": "object", "additionalProperties": value, "minProperties": min, "maxProperties": max,
                })
            }
            Self::Object(members) => object_of(members),
            Self::AnyObject => json!({ "type": "object" }),
            Self::TokenId => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            Self::Either(shapes) => json!({ "anyOf": shapes.iter().map(Self::schema).collect::<Vec<_>>() }),
        }
    }
}

/// The least and the greatest length of a list or an object.
fn counts(limit: &Limit) -> (usize, usize) {
    let Bound::Items { min, max } = limit.bound else { panic!("{} is not a list", limit.path) };
    (min, max)
}

/// A number or a string within its bounds.
pub(super) fn within(limit: &Limit) -> Value {
    match limit.bound {
        Bound::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Bound::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Bound::Items { min, max } => json!({ "type": "array", "minItems": min, "maxItems": max }),
        // JSON Schema counts characters, of which there are no more than bytes.
        Bound::Bytes { min, max } => json!({
            "type": "string", "minLength": min.min(1), "maxLength": max, "x-maru-max-bytes": max,
        }),
        Bound::Chars { min, max } => json!({ "type": "string", "minLength": min, "maxLength": max }),
    }
}

/// An object with these members, among others.
pub(super) fn object_of(members: &[Param]) -> Value {
    let mut schema = json!({ "type": "object", "properties": {} });
    let required: Vec<&str> = members.iter().filter(|member| member.required).map(|m| m.name).collect();
    for member in members {
        schema["properties"][member.name] = member.schema();
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

impl Param {
    /// What it may hold; `null` is the same as leaving it out.
    pub(super) fn schema(&self) -> Value {
        let mut schema = self.shape.schema();
        if !self.required {
            nullable(&mut schema);
        }
        if !self.about.is_empty() {
            schema["description"] = self.about.into();
        }
        schema
    }
}

/// Lets `null` pass too.
fn nullable(schema: &mut Value) {
    if let Some(shapes) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        shapes.push(json!({ "type": "null" }));
        return;
    }
    let kind = schema["type"].take();
    schema["type"] = json!([kind, "null"]);
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}
