//! An engine that replays a script: no model, no scheduler, the real commands and events.

use std::sync::{Arc, Mutex};

use maru::engine::{
    Command, DraftCounts, EngineHandle, EngineLimits, EnginePulse, FinishReason, NewSequence, QueuedSequence,
    SequenceError, TokenEvent,
};
use tokio::sync::{mpsc, watch};

use crate::support::{END_OF_TURN, token_of};

/// What the engine does with every sequence.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Whether sequences leave the queue.
    pub(crate) scheduled: bool,
    /// The text of each choice; the last one serves those after it.
    pub(crate) texts: Vec<String>,
    /// Prompt tokens found cached.
    pub(crate) num_cached_tokens: u32,
    /// How the guesses of each choice fared.
    pub(crate) drafts: DraftCounts,
    /// What follows the text.
    pub(crate) end: End,
}

/// What follows the text of a sequence.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Stop,
    Length,
    Fault(SequenceError),
    /// A fault, once the test says so.
    FaultAfter(watch::Receiver<bool>, SequenceError),
    /// Stop, once the test says so.
    StopAfter(watch::Receiver<bool>),
    /// Silence, until the reader leaves.
    Never,
}

impl Script {
    /// Says `text` and stops.
    pub(crate) fn saying(text: &str) -> Self {
        Self {
            scheduled: true,
            texts: vec![text.to_owned()],
            num_cached_tokens: 0,
            drafts: DraftCounts::default(),
            end: End::Stop,
        }
    }

    /// Says `text` and then nothing more, without an end.
    pub(crate) fn hanging_after(text: &str) -> Self {
        Self { end: End::Never, ..Self::saying(text) }
    }

    /// Leaves every sequence in the queue.
    pub(crate) fn queueing() -> Self {
        Self { scheduled: false, ..Self::hanging_after("") }
    }
}

/// What the engine has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) submitted: Vec<NewSequence>,
    pub(crate) num_aborted: usize,
}

impl Clone for Seen {
    fn clone(&self) -> Self {
        let submitted = self.submitted.iter().map(NewSequence::without_constraint).collect();
        Self { submitted, num_aborted: self.num_aborted }
    }
}

/// What the engine has seen, for several threads: a constraint may be moved between them, but not shared.
type Shared = Mutex<Seen>;

/// The test's side of a fake engine.
#[derive(Debug, Clone)]
pub(crate) struct FakeEngine {
    pub(crate) handle: EngineHandle,
    pub(crate) pulse: Arc<EnginePulse>,
    seen: watch::Receiver<Shared>,
}

impl FakeEngine {
    /// Starts an engine as a task of this runtime.
    pub(crate) fn start(script: Script, limits: EngineLimits) -> Self {
        let (commands, inbox) = mpsc::channel(1024);
        let pulse = Arc::new(EnginePulse::new(100));
        let (seen_sender, seen) = watch::channel(Shared::default());
        tokio::spawn(run(script, inbox, seen_sender));
        Self { handle: EngineHandle::new(commands, Arc::clone(&pulse), limits), pulse, seen }
    }

    /// What the engine has seen by now.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().lock().expect("no test panics in here").clone()
    }

    /// Waits until the engine has seen what `wanted` asks for.
    pub(crate) async fn wait_until(&self, mut wanted: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        let wait = seen.wait_for(|seen| wanted(&seen.lock().expect("no test panics in here")));
        tokio::time::timeout(std::time::Duration::from_secs(60), wait)
            .await
            .expect("the engine should have seen it long ago")
            .expect("the engine lives as long as its handle");
    }
}

async fn run(script: Script, mut inbox: mpsc::Receiver<Command>, seen: watch::Sender<Shared>) {
    // Sequences without an end keep their sender, and those without a start their ticket.
    let mut held: Vec<QueuedSequence> = Vec::new();
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Submit(queued) => {
                let sequence = queued.sequence.without_constraint();
                seen.send_modify(|seen| mutable(seen).submitted.push(sequence));
                held.extend(play(&script, *queued).await);
            }
            Command::Abort(id) => {
                held.retain(|queued| queued.id != id);
                seen.send_modify(|seen| mutable(seen).num_aborted += 1);
            }
            Command::Drain | Command::Stop => return,
        }
    }
}

fn mutable(seen: &mut Shared) -> &mut Seen {
    seen.get_mut().expect("no test panics in here")
}

/// Plays the script to one sequence and gives it back if it has no end.
async fn play(script: &Script, queued: QueuedSequence) -> Option<QueuedSequence> {
    let choice = queued.sequence.sampling.choice_index as usize;
    let text = &script.texts[choice.min(script.texts.len() - 1)];
    let mut all = Vec::new();
    if script.scheduled {
        all.push(TokenEvent::Scheduled { num_cached_tokens: script.num_cached_tokens });
    }
    all.extend(text.bytes().map(|byte| TokenEvent::Token { token_id: token_of(byte), logprobs: None }));
    let finished = |reason| TokenEvent::Finished { reason, drafts: script.drafts };
    match &script.end {
        End::Stop => all.push(finished(FinishReason::StopToken { token_id: END_OF_TURN })),
        End::Length => all.push(finished(FinishReason::Length)),
        End::Fault(error) => all.push(TokenEvent::Failed { error: error.clone() }),
        End::Never | End::StopAfter(_) | End::FaultAfter(..) => {}
    }
    for event in all {
        // A reader that has left needs no more.
        if queued.events.send(event).await.is_err() {
            break;
        }
    }
    let late = match &script.end {
        End::StopAfter(gate) => Some((gate, finished(FinishReason::StopToken { token_id: END_OF_TURN }))),
        End::FaultAfter(gate, error) => Some((gate, TokenEvent::Failed { error: error.clone() })),
        End::Stop | End::Length | End::Fault(_) | End::Never => None,
    };
    if let Some((gate, last)) = late {
        gate.clone().wait_for(|open| *open).await.expect("the test holds the gate");
        queued.events.send(last).await.expect("the reader waits");
    }
    matches!(script.end, End::Never).then_some(queued)
}
