//! Chat templates: the model's own, run under limits.
//!
//! The rules are those of the library the templates were written for: blocks trimmed, loop controls, Python's methods
//! of strings, lists and maps, `raise_exception`, Python's JSON. A template cannot read files and cannot run for long:
//! fuel bounds its steps and its memory, and its output and its recursion have limits of their own.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};

use super::python_json::tojson;

/// Steps that a rendering may take, and memory at 64 bytes a step, beside what its input adds.
const BASE_FUEL: u64 = 200_000;
/// Bytes of input that add one step; a template may copy its input about ten times.
const INPUT_BYTES_PER_FUEL: u64 = 6;
/// Steps that each message and each tool adds.
const FUEL_PER_MESSAGE: u64 = 500;
/// Steps that each value in the input adds: what a template loops over besides messages and tools.
const FUEL_PER_VALUE: u64 = 16;
/// Steps of a rendering that is first tried on the caller's own stack, of which it takes up to 1 MiB by the reckoning
/// above: short conversations need no more, and a thread costs many times what they do.
const FUEL_ON_CALLERS_STACK: u64 = 2_000;
/// Most messages and tools, and most bytes, for such a try.
const MESSAGES_ON_CALLERS_STACK: usize = 24;
const BYTES_ON_CALLERS_STACK: usize = 64 * 1024;
/// Calls inside each other in such a try.
const RECURSION_ON_CALLERS_STACK: usize = 12;
/// Bytes of stack for each step. MiniJinja prints and frees nested lists by recursion; a template can nest a list with
/// about two steps, and each level takes up to 700 bytes. Only what is used of a stack becomes memory.
const STACK_BYTES_PER_FUEL: usize = 512;
/// Bytes of stack in any case.
const BASE_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Calls of macros and blocks inside each other.
const MAX_RECURSION: usize = 100;
/// Bytes that a template may write beside twice its input.
const SPARE_OUTPUT_BYTES: usize = 1024 * 1024;
const NAME: &str = "chat";

/// A chat template gave no prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template itself refuses the conversation, in its own words.
    #[error("the model's chat template refuses the conversation: {0}")]
    Refused(String),
    /// The rendering met a limit.
    #[error("rendering the model's chat template takes more steps, memory or output than it may")]
    Limit,
    /// The template failed on this conversation.
    #[error("the model's chat template failed: {0}")]
    Failed(String),
}

/// What `raise_exception` was called with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

/// A compiled chat template.
#[derive(Debug)]
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it and where, for a person.
    pub(super) fn new(source: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.expect("the usual delimiters"));
        environment.set_debug(false);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        // These write nested values with growing indents, which fuel does not count.
        environment.remove_filter("pprint");
        environment.remove_global("debug");
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
        });
        environment.add_template_owned(NAME, source.clone()).map_err(|error| error.to_string())?;
        Ok(Self { environment, source })
    }

    /// The template as it was written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template reads a variable of this name, on any path.
    pub(super) fn reads(&self, variable: &str) -> bool {
        let template =
            self.environment.get_template(NAME).expect("it was added when the environment was made");
        template.undeclared_variables(false).contains(variable)
    }

    /// Renders the template with these variables, among which `messages` and `tools` make up the input.
    pub(super) fn render(&self, variables: &Map<String, Json>) -> Result<String, TemplateError> {
        let mut size = InputSize::default();
        variables.values().for_each(|value| size.add(value));
        for list in ["messages", "tools"] {
            size.messages += variables.get(list).and_then(Json::as_array).map_or(0, Vec::len);
        }
        let limit = 2 * size.bytes + SPARE_OUTPUT_BYTES;
        let on_callers_stack =
            size.messages <= MESSAGES_ON_CALLERS_STACK && size.bytes <= BYTES_ON_CALLERS_STACK;
        // Whatever goes wrong here may be for want of steps, and a rendering leaves no traces.
        if on_callers_stack
            && let Ok(text) =
                self.render_within(FUEL_ON_CALLERS_STACK, RECURSION_ON_CALLERS_STACK, variables, limit)
        {
            return Ok(text);
        }
        let fuel = size.fuel();
        let stack = BASE_STACK_BYTES + usize::try_from(fuel).unwrap_or(usize::MAX) * STACK_BYTES_PER_FUEL;
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("chat-template".to_owned()).stack_size(stack);
            let rendering = thread
                .spawn_scoped(scope, || self.render_within(fuel, MAX_RECURSION, variables, limit))
                .map_err(|error| TemplateError::Failed(format!("no thread to render on: {error}")))?;
            rendering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Renders on this thread. All that the rendering made is freed here too, which takes stack.
    fn render_within(
        &self,
        fuel: u64,
        max_recursion: usize,
        variables: &Map<String, Json>,
        max_bytes: usize,
    ) -> Result<String, TemplateError> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        environment.set_recursion_limit(max_recursion);
        let template = environment.get_template(NAME).expect("it was added when the environment was made");
        let mut output = BoundedWriter { bytes: Vec::new(), limit: max_bytes };
        let values: Value =
            Value::from_pairs(variables.iter().map(|(name, value)| (name.as_str(), template_value(value))));
        template.render_captured_to(values, &mut output).map(drop).map_err(cause)?;
        String::from_utf8(output.bytes).map_err(|error| TemplateError::Failed(error.to_string()))
    }
}

/// How much a template has to work on.
#[derive(Debug, Clone, Copy, Default)]
struct InputSize {
    /// Messages and tools.
    messages: usize,
    /// Lists, maps, texts, numbers and the like.
    values: usize,
    /// Bytes of text, names of values included.
    bytes: usize,
}

impl InputSize {
    fn add(&mut self, value: &Json) {
        self.values += 1;
        match value {
            Json::String(text) => self.bytes += text.len(),
            Json::Array(items) => items.iter().for_each(|item| self.add(item)),
            Json::Object(pairs) => pairs.iter().for_each(|(name, item)| {
                self.bytes += name.len();
                self.add(item);
            }),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn fuel(self) -> u64 {
        BASE_FUEL
            + self.bytes as u64 / INPUT_BYTES_PER_FUEL
            + self.messages as u64 * FUEL_PER_MESSAGE
            + self.values as u64 * FUEL_PER_VALUE
    }
}

fn cause(error: Error) -> TemplateError {
    let mut link: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = link {
        if let Some(Raised(message)) = current.downcast_ref() {
            return TemplateError::Refused(message.clone());
        }
        match current.downcast_ref().map(Error::kind) {
            Some(ErrorKind::OutOfFuel | ErrorKind::WriteFailure) => return TemplateError::Limit,
            _ => link = current.source(),
        }
    }
    TemplateError::Failed(error.to_string())
}

/// JSON as a template's value; maps keep the order of their keys.
fn template_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(template_value).collect(),
        Json::Object(pairs) => {
            Value::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), template_value(value))))
        }
    }
}

struct BoundedWriter {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for BoundedWriter {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.len() > self.limit - self.bytes.len() {
            return Err(io::Error::other("the output limit is reached"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
