//! What is checked in a grammar in Lark's notation before it is compiled, and the schemas inside it.

use serde_json::Value;

use super::compiler::MAX_REGEX_BYTES;
use super::{GrammarError, schema};

/// Deepest nesting of parentheses, brackets and braces: the compiler goes down into each.
const MAX_NESTING: usize = 48;

/// Most rules and terminals: the compiler goes down from each to those that it names.
const MAX_DEFINITIONS: usize = 512;

/// Largest count of a repetition.
const MAX_REPEATS: u32 = 4096;

/// A string as a literal of Lark's notation.
pub(super) fn literal(text: &str) -> String {
    // A literal is a JSON string, but may hold no DEL as it is.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The grammar with every embedded `%json` schema checked and completed.
pub(super) fn checked(text: &str) -> Result<String, GrammarError> {
    let mut checked = String::with_capacity(text.len());
    let mut rest = text;
    let (mut nesting, mut num_definitions) = (0_usize, 0);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => quoted(rest, '"')?,
            '/' if rest.starts_with("//") => line(rest),
            '/' => regex(rest)?,
            '#' => line(rest),
            '<' => rest.find('>').map_or(1, |end| end + 1),
            '%' => {
                let (written, length) = directive(rest)?;
                checked.push_str(&written);
                rest = &rest[length..];
                continue;
            }
            '~' => {
                check_repeats(&rest[1..])?;
                1
            }
            first if first.is_ascii_lowercase() => word(rest)?,
            first => {
                match first {
                    '(' | '[' | '{' => nesting += 1,
                    ')' | ']' | '}' => nesting = nesting.saturating_sub(1),
                    ':' => num_definitions += 1,
                    _ => {}
                }
                first.len_utf8()
            }
        };
        if nesting > MAX_NESTING {
            return Err(GrammarError::too_large(format!(
                "the grammar nests groups more than {MAX_NESTING} deep"
            )));
        }
        if num_definitions > MAX_DEFINITIONS {
            return Err(GrammarError::too_large(format!(
                "the grammar has more than {MAX_DEFINITIONS} definitions"
            )));
        }
        checked.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Ok(checked)
}

/// What follows `~`: a count or a range of counts.
fn check_repeats(rest: &str) -> Result<(), GrammarError> {
    let is_part = |c: char| c.is_ascii_digit() || c.is_ascii_whitespace() || c == '.';
    let counts = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
    let fits = |count: &str| {
        count.trim().is_empty() || count.trim().parse().is_ok_and(|count: u32| count <= MAX_REPEATS)
    };
    let mut ends = counts.trim_end().splitn(2, "..");
    if ends.all(|end| end.split_ascii_whitespace().take(1).all(fits)) {
        return Ok(());
    }
    Err(GrammarError::too_large(format!("the grammar repeats something more than {MAX_REPEATS} times")))
}

/// Bytes up to the end of a quoted text, its quotes included.
fn quoted(rest: &str, quote: char) -> Result<usize, GrammarError> {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            character if character == quote => return Ok(at + 1),
            _ => {}
        }
    }
    Err(GrammarError::invalid(format!("the grammar has a {quote} that is never closed")))
}

/// Bytes of a regular expression between slashes.
fn regex(rest: &str) -> Result<usize, GrammarError> {
    let length = quoted(rest, '/')?;
    if length > MAX_REGEX_BYTES {
        return Err(GrammarError::too_large(format!(
            "a regular expression of the grammar has {length} bytes, more than {MAX_REGEX_BYTES}"
        )));
    }
    Ok(length)
}

fn line(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// Bytes of a name. The attributes that would change how tokens are drawn are refused: nothing here could honour them.
fn word(rest: &str) -> Result<usize, GrammarError> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let is_attribute = rest[end..].trim_start().starts_with('=');
    if is_attribute && matches!(&rest[..end], "temperature" | "stop" | "stop_capture") {
        let reason = "an output is drawn as the request says and given back whole";
        return Err(GrammarError::unsupported(&rest[..end], "$", reason));
    }
    Ok(end)
}

/// A directive as it is to be compiled, and the bytes that it had. Those followed by JSON are read together with it.
fn directive(rest: &str) -> Result<(String, usize), GrammarError> {
    let followed = ["%json", "%llguidance", "%regex"].into_iter().find(|name| rest.starts_with(name));
    let Some(name) = followed else { return Ok(("%".to_owned(), 1)) };
    let after = &rest[name.len()..];
    let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return Err(GrammarError::invalid(format!("after {name}: {error}"))),
        None => return Err(GrammarError::invalid(format!("nothing follows {name}"))),
    };
    let length = name.len() + values.byte_offset();
    match name {
        "%json" => {
            schema::check_nesting(&value)?;
            Ok((format!("%json {}", schema::checked(&value)?), length))
        }
        "%llguidance" if value.get("allow_invalid_utf8") == Some(&Value::Bool(true)) => {
            Err(GrammarError::unsupported("allow_invalid_utf8", "$", "an output is text"))
        }
        _ => Ok((rest[..length].to_owned(), length)),
    }
}
