//! The `tojson` filter of chat templates: JSON exactly as Python's `json.dumps(x, ensure_ascii=False)` writes it.
//!
//! MiniJinja's own filter escapes for HTML and leaves no space after separators; models were trained on Python's form.

use std::io::{self, Write};

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use serde::Serialize;

/// Deepest nesting of lists and maps that is written.
const MAX_DEPTH: usize = 128;

/// `value|tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`.
pub(super) fn tojson(state: &mut State, value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let (item, key) = match separators.as_deref() {
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(invalid("`separators` must be two strings")),
    };
    let mut writer = Writer {
        state,
        out: String::new(),
        indent,
        item,
        key,
        ensure_ascii: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    writer.write(value, 0)?;
    Ok(Value::from(writer.out))
}

/// JSON of a value in the layout of Python's `json.dumps(x, ensure_ascii=False)`.
pub(super) fn dumps(value: &serde_json::Value) -> String {
    let mut out = Vec::new();
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced));
    written.expect("JSON in memory can be written");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// A space after each separator.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

struct Writer<'a, 'vm, 'env> {
    state: &'a State<'vm, 'env>,
    out: String,
    indent: Option<usize>,
    item: String,
    key: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Writer<'_, '_, '_> {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid(format!("tojson: nested deeper than {MAX_DEPTH}")));
        }
        // A value that a template built may hold the same list many times over; its size is what is written.
        let before = self.out.len();
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.write_number(value)?,
            ValueKind::String => self.write_text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = self.collect(value)?;
                self.write_list('[', &items, ']', depth, |writer, item| writer.write(item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut pairs = Vec::new();
                for name in self.collect(value)? {
                    pairs.push((key_text(&name)?, value.get_item(&name)?));
                }
                if self.sort_keys {
                    pairs.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.write_list('{', &pairs, '}', depth, |writer, (name, item)| {
                    writer.write_text(name);
                    writer.out.push_str(&writer.key.clone());
                    writer.write(item, depth + 1)
                })?;
            }
            kind => return Err(invalid(format!("tojson: a value of type {kind} is not JSON"))),
        }
        self.state.consume_fuel(1 + (self.out.len() - before) as u64 / 64)
    }

    fn collect(&self, value: &Value) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        for item in value.try_iter()? {
            self.state.consume_fuel(1)?;
            items.push(item);
        }
        Ok(items)
    }

    fn write_list<T>(
        &mut self,
        open: char,
        items: &[T],
        close: char,
        depth: usize,
        mut write: impl FnMut(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push_str(&self.item.clone());
            }
            self.break_line(depth + 1)?;
            write(self, item)?;
        }
        if !items.is_empty() {
            self.break_line(depth)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn break_line(&mut self, depth: usize) -> Result<(), Error> {
        let Some(indent) = self.indent else { return Ok(()) };
        let width = indent.saturating_mul(depth);
        self.state.consume_fuel(width as u64 / 64)?;
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', width));
        Ok(())
    }

    fn write_number(&mut self, value: &Value) -> Result<(), Error> {
        if value.is_integer() {
            self.out.push_str(&value.to_string());
        } else {
            let number = f64::try_from(value.clone())?;
            self.out.push_str(&python_float(number));
        }
        Ok(())
    }

    fn write_text(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\0'..='\u{1f}' => self.out.push_str(&format!("\\u{:04x}", u32::from(character))),
                _ if self.ensure_ascii && !(' '..='\u{7f}').contains(&character) => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => self.out.push(character),
            }
        }
        self.out.push('"');
    }
}

/// A map's key as Python turns it into text.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number if key.is_integer() => Ok(key.to_string()),
        ValueKind::Number => Ok(python_float(f64::try_from(key.clone())?)),
        kind => Err(invalid(format!("tojson: a key of type {kind} is not JSON"))),
    }
}

/// A float as Python's `repr` writes it: the shortest digits, an exponent below 1e-4 and from 1e16 on.
fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a whole exponent");
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    use super::*;

    fn render(source: &str) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.add_filter("tojson", tojson);
        environment.set_fuel(Some(100_000));
        environment.render_str(source, ())
    }

    fn rendered(source: &str) -> String {
        render(source).expect("renders")
    }

    #[test]
    fn the_layout_is_pythons() {
        let source = r#"{{ {"b": [1, 2.0, {}], "가": "<'&>", "n": none, "t": true}|tojson }}"#;
        assert_eq!(rendered(source), r#"{"b": [1, 2.0, {}], "가": "<'&>", "n": null, "t": true}"#);
    }

    #[test]
    fn json_of_ours_has_the_same_layout() {
        let text = r#"{"b": [1, 2.5, {}], "가": "<'&>\\n", "n": null, "t": true}"#;
        assert_eq!(dumps(&serde_json::from_str(text).expect("JSON")), text);
    }

    #[test]
    fn strings_are_escaped_as_in_python() {
        assert_eq!(rendered(r#"{{ "a\"\\\n\t\u0001\u007f/"|tojson }}"#), "\"a\\\"\\\\\\n\\t\\u0001\u{7f}/\"");
        assert_eq!(rendered(r#"{{ "가🎉"|tojson(ensure_ascii=true) }}"#), r#""\uac00\ud83c\udf89""#);
    }

    #[test]
    fn the_arguments_are_pythons() {
        let source = r#"{{ {"b": [1, {"c": []}], "a": 2}|tojson(indent=2, sort_keys=true) }}"#;
        assert_eq!(
            rendered(source),
            "{\n  \"a\": 2,\n  \"b\": [\n    1,\n    {\n      \"c\": []\n    }\n  ]\n}"
        );
        assert_eq!(rendered(r#"{{ {"a": [1, 2]}|tojson(separators=(",", ":")) }}"#), r#"{"a":[1,2]}"#);
        assert!(render(r#"{{ 1|tojson(colour=2) }}"#).is_err());
        assert!(render("{{ nothing|tojson }}").is_err());
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (123456.789, "123456.789"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "Infinity"),
        ];
        for (number, expected) in cases {
            assert_eq!(python_float(number), expected);
        }
    }

    #[test]
    fn values_that_fold_out_without_end_run_out_of_fuel() {
        let doubling = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}\
            {% endfor %}{{ ns.x|tojson }}";
        assert_eq!(render(doubling).expect_err("too large").kind(), ErrorKind::OutOfFuel);
        let deep = "{% set ns = namespace(x=[1]) %}{% for i in range(300) %}{% set ns.x = [ns.x] %}\
            {% endfor %}{{ ns.x|tojson }}";
        assert!(render(deep).expect_err("too deep").to_string().contains("deeper than"));
    }
}
