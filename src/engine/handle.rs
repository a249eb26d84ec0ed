//! The engine as the rest of the process sees it: submit a sequence, read its events, look at its pulse.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc;

use super::admission::{self, QueueLimits, millis};
use super::{
    AdmissionError, Command, EnginePulse, Overload, QueueTicket, QueuedSequence, SequenceId, SubmitError,
};
use crate::sampling::{Constraint, SamplingParams, TokenLogprobs};

/// A sequence as it is handed to the engine.
#[derive(Debug)]
pub struct NewSequence {
    /// Prompt token ids, at least one.
    pub prompt: Arc<[u32]>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Most tokens to generate, at least one unless the prompt is scored; where it is pooled this counts as none.
    pub max_new_tokens: u32,
    /// Tokens that end the sequence; they are not part of the output.
    pub stop_token_ids: Arc<[u32]>,
    /// Who asks; the engine is shared fairly between tenants.
    pub tenant: TenantId,
    /// How urgent it is.
    pub priority: Priority,
    /// Only sequences with the same salt share cached prefixes.
    pub cache_salt: Arc<[u8]>,
    /// Report how likely every prompt token but the first was, with this many of the most likely tokens; none reports
    /// nothing. Takes nothing from the prefix cache.
    pub prompt_scores: Option<u8>,
    /// Give the pooled last hidden state of the prompt, and generate nothing. Does not go with `prompt_scores`.
    pub pooling: Option<Pooling>,
    /// What holds the output to a form.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Tokens that the output is expected to repeat: where speculation is on they are guessed first.
    pub prediction: Arc<[u32]>,
}

/// Which hidden state stands for a prompt, after the final norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// That of the last token.
    Last,
    /// The mean of all. Takes nothing from the prefix cache.
    Mean,
}

/// A token of a prompt, and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredToken {
    /// Its id.
    pub token_id: u32,
    /// Of the softmax of the logits of the position before it.
    pub logprobs: TokenLogprobs,
}

impl NewSequence {
    /// A greedy sequence of nobody in particular.
    pub fn greedy(prompt: impl Into<Arc<[u32]>>, max_new_tokens: u32) -> Self {
        Self {
            prompt: prompt.into(),
            sampling: SamplingParams::greedy(),
            max_new_tokens,
            stop_token_ids: Arc::default(),
            tenant: TenantId::default(),
            priority: Priority::default(),
            cache_salt: Arc::default(),
            constraint: None,
            prediction: Arc::default(),
            prompt_scores: None,
            pooling: None,
        }
    }

    /// The same sequence without its constraint, whose state is one sequence's own.
    pub fn without_constraint(&self) -> Self {
        Self {
            prompt: Arc::clone(&self.prompt),
            sampling: self.sampling.clone(),
            max_new_tokens: self.max_new_tokens,
            stop_token_ids: Arc::clone(&self.stop_token_ids),
            tenant: self.tenant,
            priority: self.priority,
            cache_salt: Arc::clone(&self.cache_salt),
            constraint: None,
            prediction: Arc::clone(&self.prediction),
            prompt_scores: self.prompt_scores,
            pooling: self.pooling,
        }
    }

    /// Whether any token comes after the prompt.
    pub fn generates(&self) -> bool {
        self.pooling.is_none() && self.max_new_tokens > 0
    }

    /// Most tokens, prompt and output together.
    pub fn max_tokens(&self) -> usize {
        let max_new_tokens = if self.generates() { self.max_new_tokens } else { 0 };
        self.prompt.len() + max_new_tokens as usize
    }
}

/// Number of somebody who asks, such as an API key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub u64);

/// How urgent a sequence is: a smaller number goes first. 0 is usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Priority(pub i8);

/// What the engine reports of one sequence, in order; exactly one `Finished` or `Failed` comes last.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenEvent {
    /// The sequence was scheduled for the first time.
    Scheduled {
        /// Prompt tokens whose K and V were found in the prefix cache.
        num_cached_tokens: u32,
    },
    /// How likely the next tokens of the prompt were, from its second on. All come before the first token.
    PromptScores {
        /// In order, at least one.
        scores: Vec<ScoredToken>,
    },
    /// The pooled hidden state of the prompt; the end follows.
    Embedding {
        /// As the model gave it, not normalised, `[hidden_size]`.
        values: Vec<f32>,
    },
    /// The next token of the output.
    Token {
        /// Its id.
        token_id: u32,
        /// How likely it was, if the parameters ask for that.
        logprobs: Option<Box<TokenLogprobs>>,
    },
    /// The sequence ended well.
    Finished {
        /// Why.
        reason: FinishReason,
        /// How its guesses fared.
        drafts: DraftCounts,
    },
    /// The sequence was ended by a fault.
    Failed {
        /// What happened.
        error: SequenceError,
    },
}

impl TokenEvent {
    /// The end of a sequence without guesses.
    pub const fn finished(reason: FinishReason) -> Self {
        Self::Finished { reason, drafts: DraftCounts { num_accepted: 0, num_rejected: 0 } }
    }
}

/// Tokens that were guessed ahead of the model and then checked by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DraftCounts {
    /// Guessed right: they became output.
    pub num_accepted: u32,
    /// Guessed wrong.
    pub num_rejected: u32,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token was sampled.
    StopToken {
        /// Its id.
        token_id: u32,
    },
    /// `max_new_tokens` were generated.
    Length,
    /// The prompt was pooled.
    Pooled,
    /// The constraint lets nothing follow.
    Complete,
}

/// Why a sequence failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// The logits held a NaN or no finite value, or a hidden state was not finite.
    #[error("the model produced invalid logits")]
    InvalidLogits,
    /// The constraint failed, or together with the other masks it left no token.
    #[error("the output cannot be held to its form: {0}")]
    Constraint(String),
    /// The reader left its events unread until the buffer was full.
    #[error("the reader was too slow: {buffered} events were waiting")]
    SlowReader {
        /// Events waiting when the sequence was given up.
        buffered: usize,
    },
    /// The forward pass failed.
    #[error("the forward pass failed: {0}")]
    Model(String),
    /// The scheduler did not take the sequence; a handle with the engine's own limits never lets one through.
    #[error(transparent)]
    Refused(#[from] AdmissionError),
    /// It waited in the queue for longer than a sequence may.
    #[error("the sequence waited {waited_ms} ms in the queue (limit {max_ms} ms)")]
    QueueTimeout {
        /// How long it waited.
        waited_ms: u64,
        /// How long it may.
        max_ms: u64,
        /// When another try has a chance.
        retry_after_ms: u64,
    },
    /// What reads the events failed at one of them; told by the reader, never by the engine.
    #[error("the reader of the sequence failed")]
    ReaderFailed,
    /// The engine stopped.
    #[error("the engine stopped")]
    EngineStopped,
}

impl SequenceError {
    /// The error as a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::InvalidLogits => "invalid_logits",
            Self::Constraint(_) => "constraint",
            Self::SlowReader { .. } => "slow_reader",
            Self::Model(_) => "model",
            Self::Refused(_) => "refused",
            Self::QueueTimeout { .. } => "queue_timeout",
            Self::ReaderFailed => "reader_failed",
            Self::EngineStopped => "engine_stopped",
        }
    }
}

/// The sending side of the engine: cheap to clone, shared by all request tasks.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
    pulse: Arc<EnginePulse>,
    limits: EngineLimits,
    queue_limits: QueueLimits,
}

/// What the engine can take, fixed at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLimits {
    /// Most tokens of one sequence, prompt and output together.
    pub max_model_len: usize,
    /// Most sequences that may wait to be scheduled for the first time.
    pub max_waiting: usize,
    /// Most events buffered for one reader before its sequence is given up.
    pub max_buffered_events: usize,
}

impl EngineHandle {
    /// Connects a handle to the engine that reads `commands` and beats `pulse`.
    pub fn new(commands: mpsc::Sender<Command>, pulse: Arc<EnginePulse>, limits: EngineLimits) -> Self {
        Self { commands, pulse, limits, queue_limits: QueueLimits::default() }
    }

    /// The same handle with bounds on what waits besides the number of sequences.
    pub fn bounded(self, queue_limits: QueueLimits) -> Self {
        Self { queue_limits, ..self }
    }

    /// Hands a sequence to the engine and returns its events.
    ///
    /// # Errors
    /// [`SubmitError`] if the queue is full or too slow, the sequence can never fit, or the engine is stopping.
    pub fn submit(&self, sequence: NewSequence) -> Result<TokenStream, SubmitError> {
        let needed = sequence.max_tokens();
        if needed > self.limits.max_model_len {
            return Err(SubmitError::PromptTooLong { len: needed, max: self.limits.max_model_len });
        }
        if self.pulse.is_closing() {
            return Err(SubmitError::ShuttingDown);
        }
        let ticket = self.enter_queue(&sequence)?;
        let id = self.pulse.next_sequence_id();
        // One place more than may be buffered: the last word always finds room.
        let (events, receiver) = mpsc::channel(self.limits.max_buffered_events + 1);
        let satisfied = Arc::new(AtomicBool::new(false));
        let queued = QueuedSequence { id, sequence, events, ticket, satisfied: Arc::clone(&satisfied) };
        match self.commands.try_send(Command::Submit(Box::new(queued))) {
            Ok(()) => {
                let (commands, pulse) = (self.commands.clone(), Arc::clone(&self.pulse));
                Ok(TokenStream { id, events: receiver, commands, pulse, ended: false, satisfied })
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                let reason =
                    Overload::QueueFull { waiting: self.pulse.num_waiting(), max: self.limits.max_waiting };
                Err(overloaded(reason, self.pulse.expected_wait(&self.queue_limits)))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SubmitError::ShuttingDown),
        }
    }

    /// Refuses at once what would be refused even with the shortest of prompts, so that nobody need prepare one.
    ///
    /// # Errors
    /// [`SubmitError`] as [`Self::submit`] gives it.
    pub fn ensure_room(&self, tenant: TenantId, priority: Priority) -> Result<(), SubmitError> {
        if self.pulse.is_closing() {
            return Err(SubmitError::ShuttingDown);
        }
        let wait = self.admissible_wait(tenant, priority, 1)?;
        let QueueLimits { max_waiting_tokens, .. } = self.queue_limits;
        let full = self.pulse.fullness(1, self.limits.max_waiting, max_waiting_tokens);
        full.map_or(Ok(()), |reason| Err(overloaded(reason, wait)))
    }

    /// Takes a place in the queue, if there is one and the wait for its turn is not too long.
    fn enter_queue(&self, sequence: &NewSequence) -> Result<QueueTicket, SubmitError> {
        let wait = self.admissible_wait(sequence.tenant, sequence.priority, sequence.prompt.len())?;
        let QueueLimits { max_waiting_tokens, .. } = self.queue_limits;
        let ticket = self.pulse.enter_queue(sequence, self.limits.max_waiting, max_waiting_tokens);
        ticket.map_err(|reason| overloaded(reason, wait))
    }

    /// The expected wait of a sequence, if that is not too long.
    fn admissible_wait(
        &self,
        tenant: TenantId,
        priority: Priority,
        num_prompt: usize,
    ) -> Result<Duration, SubmitError> {
        let load = self.pulse.load(tenant, priority);
        let wait = admission::expected_wait(&load, &self.queue_limits, self.pulse.speed(), num_prompt);
        let longest = self.queue_limits.longest_expected_wait();
        if wait > longest {
            let reason = Overload::ExpectedWait { expected_ms: millis(wait), max_ms: millis(longest) };
            return Err(overloaded(reason, wait));
        }
        Ok(wait)
    }

    /// Refuses new sequences from now on, lets the engine finish those that it has, then stops it.
    pub async fn drain(&self) {
        self.close(Command::Drain).await;
    }

    /// Ends every sequence now with [`SequenceError::EngineStopped`] and stops the engine.
    pub async fn stop(&self) {
        self.close(Command::Stop).await;
    }

    async fn close(&self, command: Command) {
        self.pulse.begin_closing();
        // Nobody to receive it means that the engine has stopped already.
        let _ = self.commands.send(command).await;
    }

    /// The engine's pulse: counts and heartbeat, readable at any time without waiting.
    pub fn pulse(&self) -> &EnginePulse {
        &self.pulse
    }

    /// What the engine can take.
    pub fn limits(&self) -> EngineLimits {
        self.limits
    }
}

fn overloaded(reason: Overload, expected_wait: Duration) -> SubmitError {
    SubmitError::Overloaded { reason, retry_after_ms: millis(admission::retry_after(expected_wait)) }
}

/// The events of one sequence. Dropping it before the end aborts the sequence and frees its blocks.
#[derive(Debug)]
pub struct TokenStream {
    id: SequenceId,
    events: mpsc::Receiver<TokenEvent>,
    commands: mpsc::Sender<Command>,
    pulse: Arc<EnginePulse>,
    ended: bool,
    satisfied: Arc<AtomicBool>,
}

impl TokenStream {
    /// The next event; after `Finished` or `Failed` there is none. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<TokenEvent> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Self::next`], for who reads several streams at once.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<TokenEvent>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // The engine drops the sender without a last word only when it dies.
        let engine_died = TokenEvent::Failed { error: SequenceError::EngineStopped };
        let event = ready!(self.events.poll_recv(cx)).unwrap_or(engine_died);
        self.ended = matches!(event, TokenEvent::Finished { .. } | TokenEvent::Failed { .. });
        Poll::Ready(Some(event))
    }

    /// Ends the sequence because its reader has all that it wants, as when a stop string was met: unlike a plain
    /// drop before the end, this does not count as a client that left.
    pub fn finish(mut self) {
        self.satisfied.store(true, Ordering::Release);
        self.leave();
    }

    fn leave(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.events.close();
        // After the close nothing comes in, so the last event tells for good whether the engine still has a part.
        match std::iter::from_fn(|| self.events.try_recv().ok()).last() {
            Some(TokenEvent::Failed { .. }) => {}
            Some(TokenEvent::Finished { .. }) if self.satisfied.load(Ordering::Relaxed) => {}
            Some(TokenEvent::Finished { .. }) => self.pulse.count_unread_end(),
            // Where the command finds no room, the engine is told to look for closed channels before its next step.
            _ => {
                if let Err(mpsc::error::TrySendError::Full(_)) =
                    self.commands.try_send(Command::Abort(self.id))
                {
                    self.pulse.lose_abort();
                }
            }
        }
    }
}

impl Drop for TokenStream {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
