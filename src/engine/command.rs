//! Messages to the engine thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;

use super::{NewSequence, QueueTicket, TokenEvent};

/// Number of a sequence, unique in the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// A message to the engine thread.
#[derive(Debug)]
pub enum Command {
    /// Take this sequence.
    Submit(Box<QueuedSequence>),
    /// The reader of this sequence has gone: free what it holds.
    Abort(SequenceId),
    /// Finish what was submitted, then stop.
    Drain,
    /// End everything now, then stop.
    Stop,
}

/// A submitted sequence on its way to the scheduler.
#[derive(Debug)]
pub struct QueuedSequence {
    /// Its number.
    pub id: SequenceId,
    /// What to run.
    pub sequence: NewSequence,
    /// Where its events go.
    pub events: mpsc::Sender<TokenEvent>,
    /// Its place in the queue, given back when it is scheduled for the first time or dropped.
    pub ticket: QueueTicket,
    /// Set when the reader wants no more and the end is not a client that left.
    pub satisfied: Arc<AtomicBool>,
}
