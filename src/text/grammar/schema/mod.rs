//! Checks a JSON Schema before it is compiled, and writes it down as the compiler enforces it.
//!
//! The compiler knows part of JSON Schema (draft 2020-12): what it does not enforce, or enforces only in part, is
//! refused here with the keyword and its place. Three groups of keywords pass: those that are enforced, annotations
//! (which say nothing about validity and are dropped), and those that say nothing with the value they have
//! (`uniqueItems: false`). `oneOf` is enforced where its branches exclude one another, which is looked for here.
//!
//! Not held, as JSON Schema has no word for it: keys that match a pattern or are additional may come twice.

mod disjoint;
mod format;
mod number;
mod pattern;
mod productive;
mod reference;

use std::collections::BTreeSet;

use llguidance::derivre::RegexBuilder;
use llguidance::{JsonCompileOptions, regex_to_lark};
use serde_json::{Map, Value, json};

use super::GrammarError;
use super::compiler::{MAX_REGEX_BYTES, first_line};
use reference::References;

/// Deepest nesting of a schema's JSON, objects and lists counted.
const MAX_NESTING: usize = 96;

/// Most schemas inside a schema.
const MAX_SCHEMAS: usize = 2048;

/// Most properties of one object: what they cost grows with their square.
const MAX_PROPERTIES: usize = 512;

/// Most constants in all `enum` lists of a schema, parts of constants counted.
const MAX_CONSTANTS: usize = 4096;

/// Largest `minLength`, `maxLength`, `minItems`, `maxItems`, `minProperties` and `maxProperties`.
const MAX_COUNT: u64 = 4096;

/// Most ways in which branches of `anyOf`, `oneOf` and `enum` may meet where `allOf`, `$ref` or further keywords stand
/// beside them.
const MAX_COMBINATIONS: u64 = 256;

/// Largest product of the different divisors of a schema in which schemas are merged, and divisors with them.
const MAX_DIVISORS: f64 = 1e4;

/// Values of `format` that the compiler enforces, all of strings.
const STRING_FORMATS: [&str; 7] = ["duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

/// Whether a value is nested too deeply to be walked.
pub(super) fn check_nesting(value: &Value) -> Result<(), GrammarError> {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_NESTING {
            return Err(GrammarError::too_large(format!(
                "the schema nests objects and lists more than {MAX_NESTING} deep"
            )));
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(map) => open.extend(map.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// The schema as it is to be compiled. Its nesting is known to be bounded.
pub(super) fn checked(schema: &Value) -> Result<Value, GrammarError> {
    let mut walk = Walk {
        references: References::new(schema),
        path: "$".to_owned(),
        num_schemas: 0,
        num_constants: 0,
        visited: BTreeSet::new(),
        pointer: Vec::new(),
        wanted: Vec::new(),
        divisors: BTreeSet::new(),
        merges: false,
    };
    let mut written = match walk.schema(schema)? {
        Value::Object(map) => map,
        Value::Bool(true) => Map::new(),
        _ => return Err(GrammarError::invalid("the schema is false: nothing satisfies it")),
    };
    for (path, reference, target) in &walk.wanted {
        if !walk.visited.contains(target) {
            let reason = format!("{reference:?} does not lead to a schema inside this one");
            return Err(GrammarError::unsupported("$ref", path, reason));
        }
    }
    if walk.merges && walk.divisors.iter().map(|&divisor| f64::from(divisor)).product::<f64>() > MAX_DIVISORS
    {
        return Err(GrammarError::too_large("the values of `multipleOf` have too large a common multiple"));
    }
    productive::check(schema, &walk.references)?;
    let options = JsonCompileOptions {
        item_separator: ", ?".to_owned(),
        key_separator: ": ?".to_owned(),
        whitespace_flexible: false,
        whitespace_pattern: None,
        coerce_one_of: false,
        lenient: false,
        json_allowed_escapes: Some("nrbtf\\\"".to_owned()),
        json_allow_general_unicode_escapes: false,
        retriever: None,
    };
    written.insert("x-guidance".to_owned(), json!(options));
    Ok(Value::Object(written))
}

/// Walks a schema, knowing where it is.
struct Walk<'a> {
    references: References<'a>,
    /// Where the walk is, for messages.
    path: String,
    num_schemas: usize,
    num_constants: usize,
    /// Every place that is a schema, as unescaped JSON pointers.
    visited: BTreeSet<Vec<String>>,
    pointer: Vec<String>,
    /// Path, text and target of every `$ref`.
    wanted: Vec<(String, String, Vec<String>)>,
    /// Every `multipleOf`, without its decimal point.
    divisors: BTreeSet<u32>,
    /// Whether some schemas are merged into one.
    merges: bool,
}

impl Walk<'_> {
    fn unsupported<T>(&self, keyword: &str, reason: impl Into<String>) -> Result<T, GrammarError> {
        Err(GrammarError::unsupported(keyword, &self.path, reason))
    }

    fn invalid<T>(&self, keyword: &str, wanted: &str) -> Result<T, GrammarError> {
        Err(GrammarError::invalid(format!("{}: `{keyword}` must be {wanted}", self.path)))
    }

    /// Does something one step further down. A name is part of the path as `.name`, an index as `[3]`.
    fn below<T>(
        &mut self,
        steps: &[&str],
        work: impl FnOnce(&mut Self) -> Result<T, GrammarError>,
    ) -> Result<T, GrammarError> {
        let length = self.path.len();
        for &step in steps {
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
            if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
                self.path += &format!("[{step}]");
            } else if !step.is_empty() && step.chars().all(plain) {
                self.path += &format!(".{step}");
            } else {
                self.path += &format!("[{}]", Value::from(step));
            }
            self.pointer.push(step.to_owned());
        }
        let result = work(self);
        self.path.truncate(length);
        self.pointer.truncate(self.pointer.len() - steps.len());
        result
    }

    fn schema(&mut self, schema: &Value) -> Result<Value, GrammarError> {
        self.num_schemas += 1;
        if self.num_schemas > MAX_SCHEMAS {
            return Err(GrammarError::too_large(format!(
                "the schema has more than {MAX_SCHEMAS} schemas inside"
            )));
        }
        self.visited.insert(self.pointer.clone());
        let map = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(map) => map,
            _ => {
                return Err(GrammarError::invalid(format!(
                    "{}: a schema is an object or a boolean",
                    self.path
                )));
            }
        };
        let mut written = Map::new();
        let mut one_of = None;
        for (keyword, value) in map {
            if keyword == "oneOf" {
                one_of = Some(self.one_of(value)?);
            } else if let Some(value) = self.keyword(keyword, value, map)? {
                written.insert(keyword.clone(), value);
            }
        }
        if let Some(branches) = one_of {
            match written.get("anyOf") {
                None => drop(written.insert("anyOf".to_owned(), branches)),
                Some(_) => return self.unsupported("oneOf", "`anyOf` stands beside it"),
            }
        }
        if let Some(pattern) = map.get("format").and_then(Value::as_str).and_then(format::pattern) {
            let parts = written.entry("allOf").or_insert_with(|| json!([]));
            parts.as_array_mut().expect("it was checked").push(json!({"pattern": pattern}));
        }
        let joins = |keyword: &&str| written.contains_key(*keyword);
        self.merges |= written.len() > 1 && ["allOf", "anyOf", "$ref", "patternProperties"].iter().any(joins)
            || written.contains_key("allOf");
        self.check_properties(map)?;
        number::check_bounds(map).map_err(|reason| self.unsatisfiable(&reason))?;
        number::bound_digits(&mut written);
        for (low, high) in
            [("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties")]
        {
            if let (Some(low_value), Some(high_value)) = (count(map, low), count(map, high))
                && low_value > high_value
            {
                return Err(self.unsatisfiable(&format!("{low} is above {high}")));
            }
        }
        if self.references.num_combinations(schema) > MAX_COMBINATIONS {
            return Err(GrammarError::too_large(format!(
                "{}: the branches here meet in more than {MAX_COMBINATIONS} combinations",
                self.path
            )));
        }
        Ok(Value::Object(written))
    }

    fn unsatisfiable(&self, reason: &str) -> GrammarError {
        GrammarError::invalid(format!("{}: nothing satisfies this schema: {reason}", self.path))
    }

    /// One keyword as it is to be compiled; nothing if it says nothing.
    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        map: &Map<String, Value>,
    ) -> Result<Option<Value>, GrammarError> {
        let written = match keyword {
            "title" | "description" | "default" | "examples" | "example" | "$comment" | "deprecated"
            | "readOnly" | "writeOnly" | "$schema" | "contentMediaType" | "contentEncoding" | "$anchor"
            | "discriminator" | "xml" | "externalDocs" => return Ok(None),
            "x-guidance" => {
                return self.unsupported(keyword, "the form of the output is not chosen by a schema");
            }
            _ if keyword.starts_with("x-") => return Ok(None),
            "$id" | "id" => return self.check_id(keyword, value),
            "uniqueItems" | "nullable" if value == &Value::Bool(false) => return Ok(None),
            "nullable" => return self.unsupported(keyword, "write `\"type\": [..., \"null\"]`"),

            "type" => self.types(value)?,
            "const" => {
                self.constant(keyword, value)?;
                value.clone()
            }
            "enum" => self.constants(value)?,
            "properties" | "patternProperties" | "$defs" | "definitions" => {
                self.map_of_schemas(keyword, value)?
            }
            "additionalProperties" => self.below(&[keyword], |walk| walk.schema(value))?,
            "items" if value.is_array() => self.list_of_schemas(keyword, value)?,
            "items" => self.below(&[keyword], |walk| walk.schema(value))?,
            "additionalItems" if map.get("items").is_some_and(Value::is_array) => {
                self.below(&[keyword], |walk| walk.schema(value))?
            }
            "prefixItems" if map.get("items").is_some_and(Value::is_array) => {
                return self.unsupported(keyword, "`items` beside it is a list");
            }
            "prefixItems" | "anyOf" | "allOf" => self.list_of_schemas(keyword, value)?,
            "required" => self.required(value)?,
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                self.count(keyword, value)?
            }
            "pattern" => {
                let Value::String(pattern) = value else { return self.invalid(keyword, "a string") };
                self.pattern(keyword, pattern)?.into()
            }
            "format" => return self.format(value, map),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                return self.number(keyword, value);
            }
            "$ref" => self.reference(value)?,
            "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "minContains"
            | "maxContains"
            | "uniqueItems"
            | "propertyNames"
            | "dependentRequired"
            | "dependentSchemas"
            | "dependencies"
            | "unevaluatedProperties"
            | "unevaluatedItems"
            | "contentSchema"
            | "$dynamicRef"
            | "$dynamicAnchor"
            | "$recursiveRef"
            | "$recursiveAnchor"
            | "$vocabulary"
            | "additionalItems" => {
                return self.unsupported(keyword, "it would not be enforced");
            }
            _ => return self.unsupported(keyword, "it is no keyword of JSON Schema that is known here"),
        };
        Ok(Some(written))
    }

    /// An id inside changes what references mean; at the top it names the schema only.
    fn check_id(&self, keyword: &str, value: &Value) -> Result<Option<Value>, GrammarError> {
        let is_harmless = self.pointer.is_empty() || value.as_str().is_some_and(|id| id.starts_with('#'));
        if is_harmless {
            Ok(None)
        } else {
            self.unsupported(keyword, "only the whole schema may have a name")
        }
    }

    fn types(&self, value: &Value) -> Result<Value, GrammarError> {
        let known = |value: &Value| {
            let names = ["null", "boolean", "integer", "number", "string", "array", "object"];
            value.as_str().is_some_and(|name| names.contains(&name))
        };
        let fits = match value {
            Value::Array(types) => !types.is_empty() && types.iter().all(known),
            value => known(value),
        };
        if fits { Ok(value.clone()) } else { self.invalid("type", "a type of JSON or a list of them") }
    }

    fn constants(&mut self, value: &Value) -> Result<Value, GrammarError> {
        let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
            return self.invalid("enum", "a list with something in it");
        };
        values.iter().try_for_each(|value| self.constant("enum", value))?;
        Ok(value.clone())
    }

    /// Whether a constant can be written as it is.
    fn constant(&mut self, keyword: &str, value: &Value) -> Result<(), GrammarError> {
        self.num_constants += 1;
        if self.num_constants > MAX_CONSTANTS {
            return Err(GrammarError::too_large(format!(
                "the schema has more than {MAX_CONSTANTS} constants"
            )));
        }
        match value {
            Value::String(text) => {
                let hidden = |c: char| c == '\u{7f}' || (c < ' ' && !"\n\r\t\u{8}\u{c}".contains(c));
                if text.contains(hidden) {
                    return self.unsupported(keyword, "a string with control characters cannot be written");
                }
            }
            Value::Number(number) if !number::is_exact(number) => {
                return self.unsupported(keyword, format!("{number} cannot be held exactly"));
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.constant(keyword, item))?,
            Value::Object(map) => map.values().try_for_each(|item| self.constant(keyword, item))?,
            _ => {}
        }
        Ok(())
    }

    fn map_of_schemas(&mut self, keyword: &str, value: &Value) -> Result<Value, GrammarError> {
        let Value::Object(map) = value else { return self.invalid(keyword, "an object") };
        if map.len() > MAX_PROPERTIES {
            return Err(GrammarError::too_large(format!(
                "{}: `{keyword}` has {} entries, more than {MAX_PROPERTIES}",
                self.path,
                map.len()
            )));
        }
        let mut written = Map::new();
        for (name, schema) in map {
            let place = match keyword {
                "patternProperties" => self.pattern(keyword, name)?,
                _ => name.clone(),
            };
            let schema = self.below(&[keyword, name], |walk| walk.schema(schema))?;
            if written.insert(place, schema).is_some() {
                return self.unsupported(keyword, format!("{name:?} says the same as another pattern"));
            }
        }
        Ok(Value::Object(written))
    }

    fn list_of_schemas(&mut self, keyword: &str, value: &Value) -> Result<Value, GrammarError> {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
            return self.invalid(keyword, "a list with something in it");
        };
        let each = list.iter().enumerate().map(|(index, schema)| {
            let index = index.to_string();
            self.below(&[keyword, &index], |walk| walk.schema(schema))
        });
        Ok(Value::Array(each.collect::<Result<_, _>>()?))
    }

    fn one_of(&mut self, value: &Value) -> Result<Value, GrammarError> {
        let written = self.list_of_schemas("oneOf", value)?;
        if !value.as_array().is_some_and(|branches| self.references.exclude_each_other(branches)) {
            return self.unsupported(
                "oneOf",
                "its branches may overlap: give each a required property with a `const` of its own, or use `anyOf`",
            );
        }
        Ok(written)
    }

    fn required(&self, value: &Value) -> Result<Value, GrammarError> {
        let names = value.as_array().map(|names| names.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        match names {
            Some(Some(_)) => Ok(value.clone()),
            _ => self.invalid("required", "a list of strings"),
        }
    }

    fn count(&self, keyword: &str, value: &Value) -> Result<Value, GrammarError> {
        // A count may be written as a number without a fraction.
        let whole =
            || value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n)).map(|n| n as u64);
        let Some(count) = value.as_u64().or_else(whole) else {
            return self.invalid(keyword, "a whole number that is not negative");
        };
        if count > MAX_COUNT {
            return Err(GrammarError::too_large(format!(
                "{}: `{keyword}` is {count}, more than {MAX_COUNT}",
                self.path
            )));
        }
        Ok(count.into())
    }

    /// The pattern as it is to be compiled.
    fn pattern(&self, keyword: &str, pattern: &str) -> Result<String, GrammarError> {
        if pattern.len() > MAX_REGEX_BYTES {
            return Err(GrammarError::too_large(format!(
                "{}: `{keyword}` has {} bytes, more than {MAX_REGEX_BYTES}",
                self.path,
                pattern.len()
            )));
        }
        if ends_in_escape(pattern) {
            return self.invalid(keyword, "a regular expression that does not end in a backslash");
        }
        let written = pattern::without_what_has_no_escape(pattern).unwrap_or_else(|| pattern.to_owned());
        match RegexBuilder::new().mk_regex_for_serach(&regex_to_lark(&written, "dw")) {
            Ok(_) => Ok(written),
            Err(error) => {
                let message = error.to_string();
                let reason = message.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
                self.unsupported(
                    keyword,
                    format!("{pattern:?} cannot be held: {}", first_line(reason.trim())),
                )
            }
        }
    }

    fn format(&self, value: &Value, map: &Map<String, Value>) -> Result<Option<Value>, GrammarError> {
        let Value::String(format) = value else { return self.invalid("format", "a string") };
        let is_number = match map.get("type") {
            Some(Value::String(name)) => matches!(name.as_str(), "number" | "integer"),
            _ => false,
        };
        match format.as_str() {
            name if STRING_FORMATS.contains(&name) && !is_number => Ok(Some(value.clone())),
            name if format::pattern(name).is_some() && !is_number => Ok(None),
            // Their range is that of every number that comes out.
            "double" if is_number => Ok(None),
            name => self.unsupported("format", format!("{name:?} would not be enforced")),
        }
    }

    fn number(&mut self, keyword: &str, value: &Value) -> Result<Option<Value>, GrammarError> {
        let number = match value {
            Value::Bool(false) if keyword.starts_with("exclusive") => return Ok(None),
            Value::Bool(true) if keyword.starts_with("exclusive") => return Ok(Some(value.clone())),
            Value::Number(number) => number,
            _ => return self.invalid(keyword, "a number"),
        };
        if !number::is_exact(number) {
            return self.unsupported(keyword, format!("{number} cannot be held exactly"));
        }
        if keyword == "multipleOf" && !number::is_divisor(number) {
            return self
                .unsupported(keyword, format!("{number} is not a positive number of at most 4 digits"));
        }
        if keyword == "multipleOf" {
            let digits: String = number.to_string().chars().filter(char::is_ascii_digit).collect();
            self.divisors.extend(digits.parse::<u32>());
        }
        Ok(Some(value.clone()))
    }

    fn reference(&mut self, value: &Value) -> Result<Value, GrammarError> {
        let Value::String(text) = value else { return self.invalid("$ref", "a string") };
        let Some(target) = reference::pointer(text) else {
            return self.unsupported("$ref", format!("{text:?} does not begin with `#/`"));
        };
        if target.iter().any(|step| step == "oneOf") {
            return self.unsupported("$ref", "it leads into a `oneOf`");
        }
        self.wanted.push((self.path.clone(), text.clone(), target));
        Ok(value.clone())
    }

    /// Counts of properties are enforced where they say something about required or further properties only.
    fn check_properties(&self, map: &Map<String, Value>) -> Result<(), GrammarError> {
        let (least, most) = (count(map, "minProperties"), count(map, "maxProperties"));
        if least.unwrap_or(0) == 0 && most.is_none() {
            return Ok(());
        }
        let required: BTreeSet<&str> = map
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let num_required = required.len() as u64;
        let named = map.get("properties").and_then(Value::as_object);
        let all_required =
            named.is_none_or(|named| named.keys().all(|name| required.contains(name.as_str())));
        let is_closed = map.get("additionalProperties") == Some(&Value::Bool(false))
            && !map.contains_key("patternProperties");
        let least_more = least.unwrap_or(0).saturating_sub(num_required);
        let keyword = if least.is_some() { "minProperties" } else { "maxProperties" };
        if !all_required {
            let most_more = most.map(|most| most.saturating_sub(num_required));
            if least_more == 0 && most.is_none() {
                return Ok(());
            }
            if !(is_closed && least_more <= 1 && most_more.is_none_or(|most| most == 1)) {
                return self
                    .unsupported(keyword, "beside optional properties only one of them can be counted");
            }
        } else if least_more > 1 && !is_closed {
            return self.unsupported("minProperties", "further properties may have the same name");
        }
        Ok(())
    }
}

/// Whether a backslash at the end of a regular expression escapes nothing; the compiler would leave it out.
pub(super) fn ends_in_escape(regex: &str) -> bool {
    regex.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// A count that was checked, or is none.
fn count(map: &Map<String, Value>, keyword: &str) -> Option<u64> {
    let value = map.get(keyword)?;
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64))
}
