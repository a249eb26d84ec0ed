//! The reader of one sequence as the engine thread sees it: events go out without ever waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::{QueueTicket, TokenEvent};

/// The channel to the reader of a sequence, and its place in the queue until it is scheduled.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) events: mpsc::Sender<TokenEvent>,
    pub(super) ticket: Option<QueueTicket>,
    pub(super) satisfied: Arc<AtomicBool>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It lies in the reader's buffer.
    Sent,
    /// The buffer holds as many unread events as it may.
    Full {
        /// Unread events.
        buffered: usize,
    },
    /// The reader has gone.
    Gone,
}

impl Reader {
    /// Delivers an event that others follow; the buffer's last place is kept for the last word.
    pub(super) fn send(&self, event: TokenEvent) -> Delivery {
        if self.has_gone() {
            Delivery::Gone
        } else if self.events.capacity() <= 1 {
            Delivery::Full { buffered: self.events.max_capacity() - 1 }
        } else {
            self.deliver(event)
        }
    }

    /// Delivers the last event.
    pub(super) fn send_last(&self, event: TokenEvent) -> Delivery {
        self.deliver(event)
    }

    fn deliver(&self, event: TokenEvent) -> Delivery {
        match self.events.try_send(event) {
            Ok(()) => Delivery::Sent,
            Err(mpsc::error::TrySendError::Full(_)) => {
                Delivery::Full { buffered: self.events.max_capacity() }
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Delivery::Gone,
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn has_gone(&self) -> bool {
        self.events.is_closed()
    }

    /// Whether the reader left because it had all that it wanted.
    pub(super) fn is_satisfied(&self) -> bool {
        self.satisfied.load(Ordering::Acquire)
    }
}
