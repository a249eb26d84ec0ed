//! What is put under load: anything that answers conversations turn by turn and tells when each piece came.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::dice::ConversationId;
use super::record::{TokenCounts, Unanswered};

/// A server or an engine.
pub(super) trait Target: Send + Sync + 'static {
    /// The state of a conversation.
    type Talk: Send + 'static;

    /// Begins a conversation.
    fn open(&self, id: ConversationId) -> Self::Talk;

    /// Begins a conversation whose first prompt has about `num_tokens` tokens.
    fn open_long(&self, id: ConversationId, num_tokens: u32) -> Self::Talk;

    /// Asks the next question of a conversation and reads the answer to its end.
    fn ask(
        &self,
        talk: &mut Self::Talk,
        deltas: &mut Deltas,
    ) -> impl Future<Output = Result<TokenCounts, Unanswered>> + Send;
}

/// When the pieces of one answer came.
#[derive(Debug)]
pub(super) struct Deltas {
    times: Vec<Instant>,
    live: Arc<Live>,
}

impl Deltas {
    /// None yet.
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self { times: Vec::new(), live }
    }

    /// Notes a piece that came at `time`.
    pub(super) fn note(&mut self, time: Instant) {
        self.times.push(time);
        self.live.num_deltas.fetch_add(1, Ordering::Relaxed);
    }

    /// The times, oldest first.
    pub(super) fn times(&self) -> &[Instant] {
        &self.times
    }
}

/// Counts of the load that runs, for the progress bar.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) num_running: AtomicU64,
    pub(super) num_completed: AtomicU64,
    pub(super) num_refused: AtomicU64,
    pub(super) num_failed: AtomicU64,
    pub(super) num_deltas: AtomicU64,
}
