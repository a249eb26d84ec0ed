//! The engine thread's end of the command channel: look without waiting, or sleep until something comes.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Command;

/// What a look into the inbox found.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A command.
    Command(Command),
    /// Nothing now.
    Nothing,
    /// Nothing now nor later: nobody can send any more.
    Closed,
}

/// The receiving side; used by the thread that made it.
#[derive(Debug)]
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    waker: Waker,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Inbox {
    /// Makes the calling thread the reader of `commands`.
    pub(super) fn new(commands: mpsc::Receiver<Command>) -> Self {
        Self { commands, waker: Waker::from(Arc::new(Unpark(thread::current()))) }
    }

    /// Commands that the channel holds at most.
    pub(super) fn capacity(&self) -> usize {
        self.commands.max_capacity()
    }

    /// The next command, without waiting.
    pub(super) fn look(&mut self) -> Arrival {
        match self.commands.poll_recv(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(Some(command)) => Arrival::Command(command),
            Poll::Ready(None) => Arrival::Closed,
            Poll::Pending => Arrival::Nothing,
        }
    }

    /// The next command; sleeps for at most `timeout`. May find nothing earlier.
    pub(super) fn wait(&mut self, timeout: Duration) -> Arrival {
        match self.look() {
            // The look left the waker with the channel, so a command that came since then has ended this sleep.
            Arrival::Nothing => {
                thread::park_timeout(timeout);
                self.look()
            }
            arrival => arrival,
        }
    }

    /// Takes no command any more beyond those already on their way.
    pub(super) fn close(&mut self) {
        self.commands.close();
    }
}
