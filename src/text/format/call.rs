//! One tool call, read a character at a time: a JSON object with a name and with arguments.
//!
//! The arguments' own text goes out as it comes, so what is checked of it is only where it ends: brackets and strings.
//! Nothing goes out before the name is known and the arguments have begun; until then the call can still turn out to
//! be no call at all.

use super::events::Events;

/// Deepest nesting of brackets inside arguments.
const MAX_DEPTH: usize = 256;

/// What a character did to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallStep {
    /// It belongs to the call, which goes on.
    Inside,
    /// It ended the call.
    Done,
    /// It does not fit, and was not taken.
    Broken,
    /// It was taken into arguments that already went out, and their end can no longer be told.
    Spoiled,
}

/// What a call must be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallShape {
    /// Inside tags, so that arguments may be missing and may be any value.
    Tagged,
    /// Bare JSON, which is a call only if its arguments are an object.
    Bare,
}

/// A call that is being read.
#[derive(Debug, Clone)]
pub(super) struct CallReader {
    shape: CallShape,
    state: State,
    name: Option<String>,
    arguments: Arguments,
    /// The raw text of the key, name or scalar that is being read.
    raw: String,
    escaped: bool,
}

#[derive(Debug, Clone)]
enum State {
    Open,
    FirstKey,
    NextKey,
    Key,
    Colon(Key),
    Value(Key),
    Name,
    Arguments(Value),
    Other(Value),
    Comma,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Name,
    Arguments,
    Other,
}

/// How far the arguments are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Arguments {
    Missing,
    /// They came before the name, and wait for it.
    Held(String),
    /// The call has been announced, and they go out as they come.
    Sent,
}

#[derive(Debug, Clone)]
enum Value {
    /// A list or object, with the brackets that close it, the outermost first.
    Nested { closers: Vec<char>, in_string: bool },
    /// A string that is passed on with its quotes.
    Quoted,
    /// A string of which only spaces are known: it may hold an object.
    Undecided,
    /// A string that holds an object: passed on without quotes and escapes.
    Wrapped(Unescape),
    /// A number, `true`, `false` or `null`.
    Scalar,
}

/// How a character continues a value.
enum ValueStep {
    Inside,
    Last,
    /// The value had ended before this character.
    After,
    Broken,
}

impl CallReader {
    pub(super) fn new(shape: CallShape) -> Self {
        Self {
            shape,
            state: State::Open,
            name: None,
            arguments: Arguments::Missing,
            raw: String::new(),
            escaped: false,
        }
    }

    /// Whether the call has been announced.
    pub(super) fn is_started(&self) -> bool {
        self.arguments == Arguments::Sent
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, c: char, events: &mut Events) -> CallStep {
        let space = matches!(c, ' ' | '\t' | '\n' | '\r');
        match &mut self.state {
            State::Key => return self.push_key(c),
            State::Name => return self.push_name(c, events),
            State::Arguments(_) => return self.push_arguments(c, events),
            State::Other(_) => return self.push_other(c, events),
            _ if space => return CallStep::Inside,
            _ => {}
        }
        self.state = match (&self.state, c) {
            (State::Open, '{') => State::FirstKey,
            (State::FirstKey | State::NextKey, '"') => {
                self.raw = String::from('"');
                State::Key
            }
            (State::FirstKey | State::Comma, '}') => return self.close(events),
            (State::Colon(key), ':') => State::Value(*key),
            (State::Comma, ',') => State::NextKey,
            (State::Value(key), _) => return self.begin_value(*key, c, events),
            _ => return CallStep::Broken,
        };
        CallStep::Inside
    }

    /// The output ended: what was held of announced arguments goes out.
    pub(super) fn finish(&mut self, events: &mut Events) {
        if let State::Arguments(Value::Wrapped(unescape)) = &mut self.state
            && self.arguments == Arguments::Sent
        {
            events.arguments(&unescape.finish());
        }
    }

    fn push_key(&mut self, c: char) -> CallStep {
        if !self.push_string(c) {
            return CallStep::Inside;
        }
        let Ok(key) = serde_json::from_str::<String>(&self.raw) else { return CallStep::Broken };
        let key = match key.as_str() {
            "name" if self.name.is_none() => Key::Name,
            "arguments" | "parameters" if self.arguments == Arguments::Missing => Key::Arguments,
            _ => Key::Other,
        };
        self.state = State::Colon(key);
        CallStep::Inside
    }

    fn push_name(&mut self, c: char, events: &mut Events) -> CallStep {
        if !self.push_string(c) {
            return CallStep::Inside;
        }
        match serde_json::from_str::<String>(&self.raw) {
            Ok(name) if !name.is_empty() => self.name = Some(name),
            _ => return CallStep::Broken,
        }
        self.state = State::Comma;
        if let Arguments::Held(arguments) = &mut self.arguments {
            let arguments = std::mem::take(arguments);
            self.start(events);
            events.arguments(&arguments);
        }
        CallStep::Inside
    }

    /// Adds a character to the raw string; whether that closed it.
    fn push_string(&mut self, c: char) -> bool {
        self.raw.push(c);
        let closes = c == '"' && !self.escaped;
        self.escaped = c == '\\' && !self.escaped;
        closes
    }

    fn begin_value(&mut self, key: Key, c: char, events: &mut Events) -> CallStep {
        self.raw.clear();
        self.escaped = false;
        let value = match c {
            '{' => Value::Nested { closers: vec!['}'], in_string: false },
            '[' => Value::Nested { closers: vec![']'], in_string: false },
            '"' if key == Key::Arguments => Value::Undecided,
            '"' => Value::Quoted,
            '-' | '0'..='9' | 't' | 'f' | 'n' => Value::Scalar,
            _ => return CallStep::Broken,
        };
        match (key, value) {
            (Key::Name, Value::Quoted) => {
                self.raw.push(c);
                self.state = State::Name;
            }
            (Key::Name, _) => return CallStep::Broken,
            (Key::Arguments, value) => {
                if self.shape == CallShape::Bare && c != '{' {
                    return CallStep::Broken;
                }
                match &value {
                    Value::Nested { .. } => self.send(c, events),
                    _ => self.raw.push(c),
                }
                self.state = State::Arguments(value);
            }
            (Key::Other, value) => {
                self.raw.push(c);
                self.state = State::Other(value);
            }
        }
        CallStep::Inside
    }

    fn push_other(&mut self, c: char, events: &mut Events) -> CallStep {
        let State::Other(value) = &mut self.state else { return CallStep::Broken };
        match value.step(c, &mut self.escaped) {
            ValueStep::Inside => CallStep::Inside,
            ValueStep::Last => {
                self.state = State::Comma;
                CallStep::Inside
            }
            ValueStep::After => {
                self.state = State::Comma;
                self.push(c, events)
            }
            ValueStep::Broken => CallStep::Broken,
        }
    }

    fn push_arguments(&mut self, c: char, events: &mut Events) -> CallStep {
        let State::Arguments(value) = &mut self.state else { return CallStep::Broken };
        match value {
            Value::Undecided => match c {
                ' ' | '\t' | '\n' | '\r' => self.raw.push(c),
                '{' => {
                    *value = Value::Wrapped(Unescape::default());
                    self.raw.clear();
                    self.send(c, events);
                }
                // An empty string means that there are none.
                '"' => self.end_arguments("{}", events),
                _ => {
                    *value = Value::Quoted;
                    let raw = std::mem::take(&mut self.raw);
                    self.send_text(&raw, events);
                    return self.push_arguments(c, events);
                }
            },
            Value::Wrapped(unescape) => {
                if c == '"' && !unescape.is_escaped() {
                    let rest = unescape.finish();
                    return self.close_held(&rest, events);
                }
                let text = unescape.push(c);
                self.send_text(&text, events);
            }
            Value::Scalar => match value.step(c, &mut self.escaped) {
                ValueStep::Inside => self.raw.push(c),
                _ => {
                    let text = match serde_json::from_str::<serde_json::Value>(&self.raw) {
                        Ok(serde_json::Value::Null) => "{}".to_owned(),
                        Ok(_) => std::mem::take(&mut self.raw),
                        Err(_) => return CallStep::Broken,
                    };
                    self.end_arguments(&text, events);
                    return self.push(c, events);
                }
            },
            Value::Nested { .. } | Value::Quoted => match value.step(c, &mut self.escaped) {
                ValueStep::Inside => self.send(c, events),
                ValueStep::Last => {
                    let mut buffer = [0; 4];
                    return self.close_held(c.encode_utf8(&mut buffer), events);
                }
                ValueStep::After | ValueStep::Broken => {
                    if self.arguments != Arguments::Sent {
                        return CallStep::Broken;
                    }
                    self.send(c, events);
                    return CallStep::Spoiled;
                }
            },
        }
        CallStep::Inside
    }

    /// Sends the last of the arguments. Those that still wait for their name must be JSON, or this is no call.
    fn close_held(&mut self, last: &str, events: &mut Events) -> CallStep {
        self.end_arguments(last, events);
        match &self.arguments {
            Arguments::Held(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() => {
                CallStep::Broken
            }
            _ => CallStep::Inside,
        }
    }

    fn end_arguments(&mut self, last: &str, events: &mut Events) {
        self.send_text(last, events);
        self.state = State::Comma;
    }

    fn close(&mut self, events: &mut Events) -> CallStep {
        if self.arguments != Arguments::Sent {
            if self.name.is_none() || self.shape == CallShape::Bare {
                return CallStep::Broken;
            }
            self.start(events);
            events.arguments("{}");
        }
        events.call_ended();
        CallStep::Done
    }

    fn start(&mut self, events: &mut Events) {
        events.call_started(self.name.clone().unwrap_or_default());
        self.arguments = Arguments::Sent;
    }

    fn send(&mut self, c: char, events: &mut Events) {
        self.send_text(c.encode_utf8(&mut [0; 4]), events);
    }

    fn send_text(&mut self, text: &str, events: &mut Events) {
        if self.arguments == Arguments::Missing {
            match self.name {
                Some(_) => self.start(events),
                None => self.arguments = Arguments::Held(String::new()),
            }
        }
        match &mut self.arguments {
            Arguments::Held(held) => held.push_str(text),
            _ => events.arguments(text),
        }
    }
}

impl Value {
    fn step(&mut self, c: char, escaped: &mut bool) -> ValueStep {
        match self {
            Self::Nested { in_string: true, .. } | Self::Quoted => {
                let closes = c == '"' && !*escaped;
                *escaped = c == '\\' && !*escaped;
                match self {
                    Self::Nested { in_string, .. } => *in_string = !closes,
                    _ if closes => return ValueStep::Last,
                    _ => {}
                }
                ValueStep::Inside
            }
            Self::Nested { closers, in_string } => {
                match c {
                    '"' => *in_string = true,
                    '{' | '[' if closers.len() == MAX_DEPTH => return ValueStep::Broken,
                    '{' => closers.push('}'),
                    '[' => closers.push(']'),
                    '}' | ']' if closers.pop() != Some(c) => return ValueStep::Broken,
                    '}' | ']' if closers.is_empty() => return ValueStep::Last,
                    _ => {}
                }
                ValueStep::Inside
            }
            Self::Scalar if matches!(c, '-' | '+' | '.' | '0'..='9' | 'a'..='z' | 'E') => ValueStep::Inside,
            Self::Scalar => ValueStep::After,
            Self::Undecided | Self::Wrapped(_) => ValueStep::Broken,
        }
    }
}

/// Takes the escapes of a JSON string away. An escape that means no character stays as it is.
#[derive(Debug, Clone, Default)]
struct Unescape {
    /// An escape that is not complete, or the first half of a surrogate pair.
    held: String,
}

impl Unescape {
    /// Whether the next character belongs to an escape, so that a quote does not close the string.
    fn is_escaped(&self) -> bool {
        self.held.ends_with('\\')
    }

    fn push(&mut self, c: char) -> String {
        if self.held.is_empty() && c != '\\' {
            return c.to_string();
        }
        self.held.push(c);
        let quoted = format!("\"{}\"", self.held);
        if let Ok(text) = serde_json::from_str::<String>(&quoted) {
            self.held.clear();
            return text;
        }
        if is_escape_prefix(&self.held) { String::new() } else { self.release() }
    }

    /// Gives up the escape that is held, and reads anew what cannot belong to it.
    fn release(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let length = match is_first_half(&held) {
            true => 6,
            false if held.len() > 1 && held.ends_with('\\') => held.len() - 1,
            false => held.len(),
        };
        let mut text = held[..length].to_owned();
        for c in held[length..].chars() {
            text += &self.push(c);
        }
        text
    }

    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Whether more characters may make an escape of this text: one `\u` escape, or two of which the first is the first
/// half of a surrogate pair.
fn is_escape_prefix(held: &str) -> bool {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u").filter(|digits| digits.len() <= 4);
        text == "\\" || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    match is_first_half(held) {
        true => held.len() < 12 && (held.len() == 6 || unit(&held[6..])),
        false => held.len() < 6 && unit(held),
    }
}

/// Whether this begins with the first half of a surrogate pair, as an escape.
fn is_first_half(held: &str) -> bool {
    let Some(unit) = held.get(..6).and_then(|unit| unit.strip_prefix("\\u")) else { return false };
    u32::from_str_radix(unit, 16).is_ok_and(|unit| (0xd800..0xdc00).contains(&unit))
}
