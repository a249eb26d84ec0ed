//! Grammars that hold a model to its own call syntax, in the notation of the `llguidance` crate.
//!
//! A call is held from its opening tag on: the name is one of the tools', the arguments obey the tool's schema. Text
//! before it is free, but for the opening tag itself. A tag that is a special token is written as that token; spelled
//! out with ordinary tokens it would look the same to the parser, so free text may not hold it.

use serde_json::{Value, json};

use super::{CallSyntax, OutputFormat, ToolChoice};
use crate::sampling::GrammarSpec;
use crate::text::ToolDefinition;

/// Space around the parts of a call; bounded, or a model could write nothing else.
const SPACE: &str = "SP: /[ \\t\\r\\n]{1,16}/\n";

/// Newlines after the reasoning, bounded too. The parser leaves them out; other space would be part of the answer.
const NEWLINES: &str = "NL: /[\\r\\n]{1,8}/\n";

impl OutputFormat {
    /// What an output must look like so that its calls are well formed and obey the choice; none if nothing is held,
    /// because the choice is none or no tool is left by it. With `parallel` off one call ends the output. A named
    /// function is called exactly once.
    ///
    /// Each tool's schema stands in the grammar as it is, and may be refused when the grammar is compiled. For tools
    /// that are not strict, a caller can then replace it by `{"type": "object"}`.
    pub fn tool_grammar(
        &self,
        tools: &[ToolDefinition],
        choice: &ToolChoice,
        parallel: bool,
    ) -> Option<GrammarSpec> {
        let (required, once) = match choice {
            ToolChoice::None => return None,
            ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => (false, !parallel),
            ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => (true, !parallel),
            ToolChoice::Named(_) => (true, true),
        };
        let is_chosen = |tool: &&ToolDefinition| match choice {
            ToolChoice::Named(name) => tool.name == *name,
            ToolChoice::Allowed { names, .. } => names.contains(&tool.name),
            _ => true,
        };
        let tools: Vec<&ToolDefinition> = tools.iter().filter(is_chosen).collect();
        if tools.is_empty() {
            return None;
        }
        let mut lark = match self.calls {
            CallSyntax::Tagged => self.tagged_start(required, once),
            CallSyntax::Bare => self.bare_start(required, once),
        };
        lark += SPACE;
        lark += &self.bodies(&tools);
        Some(GrammarSpec::Lark(lark))
    }

    /// The same grammar for an output that begins inside the reasoning: held once the reasoning has closed, which it
    /// must.
    pub fn after_reasoning(&self, grammar: GrammarSpec) -> GrammarSpec {
        let Some(tags) = self.reasoning else { return grammar };
        let mut lark = match self.special_id(tags.close) {
            Some(id) => {
                let again = self.special_id(tags.open).map(|id| format!("<[{id}]>? ")).unwrap_or_default();
                let thought = without(&[tags.close], false);
                format!("start: {again}THOUGHT? <[{id}]> NL? answer\nTHOUGHT: {thought}\n")
            }
            None => {
                format!("start: thought NL? answer\nthought[lazy]: /(?s:.*){}/\n", regex_literal(tags.close))
            }
        };
        lark += NEWLINES;
        lark += &rule("answer", grammar);
        GrammarSpec::Lark(lark)
    }

    /// An output that has one form or the other.
    pub fn either(&self, one: GrammarSpec, other: GrammarSpec) -> GrammarSpec {
        GrammarSpec::Lark(format!("start: one | other\n{}{}", rule("one", one), rule("other", other)))
    }

    /// The rules above `body` for calls in tags.
    fn tagged_start(&self, required: bool, once: bool) -> String {
        let (open, close) = (self.calls.open(), self.calls.close().unwrap_or_default());
        let (open_part, close_part) = (self.mark_part(open), self.mark_part(close));
        let rest = format!("rest: SP? body SP? {close_part}\n");
        if required {
            let more = if once { "" } else { " (SP? call)* SP?" };
            return format!("start: SP? call{more}\ncall: {open_part} rest\n{rest}");
        }
        let text = without(&[open], false);
        let thinks = self.thinks();
        match self.special_id(open) {
            Some(_) => {
                let calls = if once { "call?" } else { "(call free)*" };
                format!(
                    "start: free {calls}\nfree: TEXT? ({thinks} TEXT?)*\nTEXT: {text}\n\
                     call: {open_part} rest\n{rest}"
                )
                .replace("( TEXT?)*", "")
            }
            None => {
                // Text up to a tag that is text is one lexeme with it; a lexeme that ended before the tag would not
                // know where.
                let thinks = if thinks.is_empty() { String::new() } else { format!("TEXT? {thinks}") };
                let start = match (once, thinks.is_empty()) {
                    (true, true) => "(TEXT | lead rest)?".to_owned(),
                    (true, false) => format!("({thinks})* (TEXT | lead rest)?"),
                    (false, true) => "(lead rest)* TEXT?".to_owned(),
                    (false, false) => format!("({thinks} | lead rest)* TEXT?"),
                };
                let open = regex_literal(open);
                format!("start: {start}\nlead[lazy]: /(?s:.*){open}/\nTEXT: {text}\n{rest}")
            }
        }
    }

    /// The rules above `body` for calls without tags: they stand at the beginning, or after the opening tag if that
    /// is a special token.
    fn bare_start(&self, required: bool, once: bool) -> String {
        let calls =
            if once { "calls: body\n" } else { "calls: body (SEP? body)*\nSEP: /[ \\t\\r\\n;]{1,8}/\n" };
        let open = self.calls.open();
        let tag = self.special_id(open).map(|id| format!("<[{id}]>"));
        if required {
            let tag = tag.map(|tag| format!("({tag} SP?)? ")).unwrap_or_default();
            return format!("start: SP? {tag}calls\n{calls}");
        }
        let tagged = tag.map(|tag| format!(" | TEXT? {tag} SP? calls")).unwrap_or_default();
        let thinks = match self.thinks() {
            thinks if thinks.is_empty() => thinks,
            thinks => format!("(TEXT? {thinks})* "),
        };
        let text = without(&[open], true);
        format!("start: {thinks}(SP? calls | TEXT{tagged})?\nTEXT: {text}\n{calls}")
    }

    /// The rules of the calls' JSON.
    fn bodies(&self, tools: &[&ToolDefinition]) -> String {
        let names: Vec<String> = (0..tools.len()).map(|at| format!("body_{at}")).collect();
        let mut lark = format!("body: {}\n", names.join(" | "));
        let arguments = literal(&Value::from(self.calls.arguments()).to_string());
        for (at, tool) in tools.iter().enumerate() {
            let name = literal(&Value::from(tool.name.as_str()).to_string());
            lark += &format!(
                "body_{at}: \"{{\" SP? \"\\\"name\\\"\" SP? \":\" SP? {name} SP? \",\" SP? {arguments} SP? \":\" SP? \
                 args_{at} SP? \"}}\"\nargs_{at}: %json {}\n",
                object_schema(&tool.parameters)
            );
        }
        lark
    }

    /// A mark as a part of a rule.
    fn mark_part(&self, mark: &str) -> String {
        self.special_id(mark).map_or_else(|| literal(mark), |id| format!("<[{id}]>"))
    }

    /// The tags of the reasoning that are special tokens, which free text must name to let them through.
    fn thinks(&self) -> String {
        let tags = self.reasoning.map(|tags| [tags.open, tags.close]);
        let ids: Vec<String> = tags
            .into_iter()
            .flatten()
            .filter_map(|tag| self.special_id(tag))
            .map(|id| format!("<[{id}]>"))
            .collect();
        if ids.is_empty() { String::new() } else { format!("({})", ids.join(" | ")) }
    }
}

/// A rule that holds a whole grammar.
fn rule(name: &str, grammar: GrammarSpec) -> String {
    match grammar {
        GrammarSpec::JsonSchema { schema } => format!("{name}: %json {schema}\n"),
        GrammarSpec::JsonObject => format!("{name}: %json {}\n", json!({"type": "object"})),
        GrammarSpec::Regex(regex) if regex.is_empty() => format!("{name}: \"\"\n"),
        GrammarSpec::Regex(regex) => format!("{name}: /{}/\n", delimited(&regex)),
        GrammarSpec::Choice(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| literal(text)).collect();
            format!("{name}: {}\n", texts.join(" | "))
        }
        GrammarSpec::Lark(inner) => format!("{name}: %lark {{\n{inner}\n}}\n"),
    }
}

/// The schema of arguments: an object in any case.
fn object_schema(parameters: &Value) -> Value {
    match parameters {
        Value::Object(schema) if schema.contains_key("type") => parameters.clone(),
        Value::Object(schema) => {
            let mut schema = schema.clone();
            schema.insert("type".to_owned(), "object".into());
            Value::Object(schema)
        }
        _ => json!({"type": "object"}),
    }
}

/// A terminal: text, at least a character, that holds none of the marks and, if asked for, does not begin with a brace.
fn without(marks: &[&str], no_brace: bool) -> String {
    let mut terminal = "/(?s:.+)/".to_owned();
    for mark in marks {
        terminal += &format!(" & ~/(?s:.*){}(?s:.*)/", regex_literal(mark));
    }
    if no_brace {
        terminal += " & ~/\\s*\\{(?s:.*)/";
    }
    terminal
}

/// A string literal of the notation: that of JSON, without a delete character as it is.
fn literal(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A text inside a regular expression between slashes.
fn regex_literal(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if matches!(
            c,
            '/' | '|' | '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' | '\\'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A regular expression as it stands between slashes.
fn delimited(regex: &str) -> String {
    let mut out = String::with_capacity(regex.len());
    let mut escaped = false;
    for c in regex.chars() {
        match c {
            '/' if !escaped => out.push_str("\\/"),
            _ => out.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    out
}
