//! One streamed answer on a terminal or pipe.

use std::io::Write;

use crate::serving::{DeltaKind, GenerateRequest, Generator, OutputFinish};

/// What Ctrl-C does while an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// It ends the process, as the system does by default.
    EndsTheProcess,
    /// It ends the answer.
    EndsTheAnswer,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) end: AnswerEnd,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    /// The model was done.
    Stop,
    /// The token limit or the context's end was reached.
    Length,
    /// Ctrl-C.
    Interrupted,
}

/// Writes the answer to `request` piece by piece.
///
/// # Errors
/// If the request is refused, the generation fails, or nobody reads the output any more.
pub(super) async fn stream(
    generator: &Generator,
    request: GenerateRequest,
    output: &mut impl Write,
    interrupt: Interrupt,
) -> anyhow::Result<Answer> {
    let mut generation = generator.generate(request).await?;
    let mut text = String::new();
    // One listener for the whole answer: none between two pieces would miss a Ctrl-C.
    let mut interrupted = std::pin::pin!(interrupted(interrupt));
    loop {
        let delta = tokio::select! {
            delta = generation.next() => delta,
            () = &mut interrupted => return Ok(Answer { text, end: AnswerEnd::Interrupted }),
        };
        match delta.map(|delta| delta.kind) {
            // A terminal shows the answer; what led to it, and calls that nobody here can make, it does not.
            Some(
                DeltaKind::Started { .. }
                | DeltaKind::Reasoning(_)
                | DeltaKind::ToolCall { .. }
                | DeltaKind::ToolArguments { .. }
                | DeltaKind::Tokens,
            ) => {}
            Some(DeltaKind::Text(piece)) => {
                output.write_all(piece.as_bytes())?;
                output.flush()?;
                text.push_str(&piece);
            }
            Some(DeltaKind::Finished { reason, .. }) => {
                let end = match reason {
                    OutputFinish::Stop | OutputFinish::ToolCalls => AnswerEnd::Stop,
                    OutputFinish::Length => AnswerEnd::Length,
                };
                return Ok(Answer { text, end });
            }
            Some(DeltaKind::Failed(error)) => return Err(error.into()),
            None => anyhow::bail!("the answer broke off"),
        }
    }
}

async fn interrupted(interrupt: Interrupt) {
    if interrupt == Interrupt::EndsTheProcess || tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
