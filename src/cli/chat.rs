//! `maru chat`: a conversation in the terminal, or line by line through a pipe.

use std::io::{BufRead, IsTerminal, Write};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;

use super::ChatArgs;
use super::answer::{self, AnswerEnd, Interrupt};
use crate::serving::{
    ChatMessage, ChatPrompt, EndOptions, GenerateError, GenerateRequest, Generator, PromptInput,
};

const HELP: &str = "\
/reset         forget the conversation
/system TEXT   begin anew with this system message; without TEXT, with none
/exit          leave, as Ctrl-D does
Ctrl-C         stop the answer";

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line<'a> {
    Say(&'a str),
    Reset,
    System(Option<&'a str>),
    Help,
    Exit,
    Unknown(&'a str),
    Nothing,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "" => Line::Nothing,
            "/reset" => Line::Reset,
            "/system" => Line::System(Some(rest.trim()).filter(|text| !text.is_empty())),
            "/help" => Line::Help,
            "/exit" | "/quit" => Line::Exit,
            _ if word.starts_with('/') => Line::Unknown(word),
            _ => Line::Say(line),
        }
    }
}

/// What was said so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Conversation {
    messages: Vec<ChatMessage>,
}

impl Conversation {
    fn begin(system: Option<&str>) -> Self {
        let mut conversation = Self::default();
        if let Some(text) = system {
            conversation.add("system", text);
        }
        conversation
    }

    fn add(&mut self, role: &str, content: &str) {
        self.messages.push(ChatMessage::new(role, content));
    }

    /// The same with the system message only.
    fn restarted(&self) -> Self {
        let is_system = |message: &&ChatMessage| message.role == "system";
        Self { messages: self.messages.iter().take_while(is_system).cloned().collect() }
    }
}

/// Where lines come from.
enum Input {
    Terminal(Box<DefaultEditor>),
    Pipe(std::io::Lines<std::io::StdinLock<'static>>),
}

impl Input {
    fn open() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Ok(Self::Terminal(Box::new(DefaultEditor::new()?)));
        }
        Ok(Self::Pipe(stdin.lock().lines()))
    }

    /// The next line, or none at the end of the input.
    fn next(&mut self) -> anyhow::Result<Option<String>> {
        let editor = match self {
            Self::Pipe(lines) => return Ok(lines.next().transpose()?),
            Self::Terminal(editor) => editor,
        };
        match editor.readline("> ") {
            Ok(line) => {
                editor.add_history_entry(&line)?;
                Ok(Some(line))
            }
            // Ctrl-C at the prompt drops the line, as a shell does.
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Talks until the input ends.
pub(super) fn run(
    args: &ChatArgs,
    name: &str,
    generator: &Generator,
    runtime: &Runtime,
) -> anyhow::Result<()> {
    let mut input = Input::open()?;
    let interrupt = match input {
        Input::Terminal(_) => {
            println!("{name} · /help for commands, Ctrl-C stops an answer, Ctrl-D leaves");
            Interrupt::EndsTheAnswer
        }
        Input::Pipe(_) => Interrupt::EndsTheProcess,
    };
    let mut conversation = Conversation::begin(args.system.as_deref());
    while let Some(line) = input.next()? {
        match Line::parse(&line) {
            Line::Nothing => {}
            Line::Exit => break,
            Line::Help => println!("{HELP}"),
            Line::Reset => conversation = conversation.restarted(),
            Line::System(text) => conversation = Conversation::begin(text),
            Line::Unknown(word) => eprintln!("there is no command {word}; /help lists them"),
            Line::Say(text) => {
                let asked = conversation.messages.len();
                conversation.add("user", text);
                match runtime.block_on(reply(args, &conversation, generator, interrupt)) {
                    Ok(text) => conversation.add("assistant", &text),
                    Err(error) => {
                        // What was not answered was not said.
                        conversation.messages.truncate(asked);
                        eprintln!("\n{error}{}", hint(&error));
                    }
                }
            }
        }
    }
    Ok(())
}

/// What a person at the terminal can do about an error.
fn hint(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref() {
        Some(GenerateError::ContextLengthExceeded { .. }) => "; /reset begins anew",
        _ => "",
    }
}

async fn reply(
    args: &ChatArgs,
    conversation: &Conversation,
    generator: &Generator,
    interrupt: Interrupt,
) -> anyhow::Result<String> {
    let request = GenerateRequest {
        sampling: args.sampling.options(),
        end: EndOptions { max_new_tokens: args.sampling.max_new_tokens, ..EndOptions::default() },
        ..GenerateRequest::new(PromptInput::Chat(ChatPrompt::new(conversation.messages.clone())))
    };
    let mut output = std::io::stdout().lock();
    let answer = answer::stream(generator, request, &mut output, interrupt).await?;
    match answer.end {
        AnswerEnd::Stop => writeln!(output)?,
        AnswerEnd::Length => writeln!(output, " ... (token limit)")?,
        AnswerEnd::Interrupted => writeln!(output, " ... (stopped)")?,
    }
    Ok(answer.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_unless_it_is_a_command() {
        assert_eq!(Line::parse("  안녕 / hello "), Line::Say("안녕 / hello"));
        assert_eq!(Line::parse("/reset"), Line::Reset);
        assert_eq!(Line::parse("/system  Be brief. "), Line::System(Some("Be brief.")));
        assert_eq!(Line::parse("/system"), Line::System(None));
        assert_eq!(Line::parse("/bye now"), Line::Unknown("/bye"));
        assert_eq!(Line::parse(" \t"), Line::Nothing);
    }

    #[test]
    fn a_reset_keeps_the_system_message() {
        let mut conversation = Conversation::begin(Some("Be brief."));
        conversation.add("user", "Hi");
        conversation.add("assistant", "Hello");
        assert_eq!(conversation.restarted(), Conversation::begin(Some("Be brief.")));
        assert_eq!(Conversation::begin(None).restarted(), Conversation::default());
    }
}
