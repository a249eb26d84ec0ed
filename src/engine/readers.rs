//! The readers of all open sequences, and who of them has waited for too long.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::SequenceId;
use super::reader::Reader;

/// Readers by sequence. Every sequence that waits or runs has one.
#[derive(Debug, Default)]
pub(super) struct Readers {
    open: BTreeMap<SequenceId, Reader>,
    /// Readers whose sequences were scheduled, that is, without a place in the queue.
    num_started: usize,
    /// Sequences with the time of their arrival, the earliest first. Those that have started or ended are dropped when
    /// they come to the front, so it holds no more than arrived within the longest wait.
    arrivals: VecDeque<(Instant, SequenceId)>,
}

impl Readers {
    pub(super) fn insert(&mut self, id: SequenceId, reader: Reader) {
        match &reader.ticket {
            Some(ticket) => self.arrivals.push_back((ticket.since(), id)),
            None => self.num_started += 1,
        }
        self.open.insert(id, reader);
    }

    pub(super) fn get(&self, id: SequenceId) -> Option<&Reader> {
        self.open.get(&id)
    }

    /// The reader of a sequence that is scheduled for the first time; it gives back its place in the queue.
    pub(super) fn start(&mut self, id: SequenceId) -> Option<&Reader> {
        let reader = self.open.get_mut(&id)?;
        self.num_started += usize::from(reader.ticket.take().is_some());
        Some(reader)
    }

    pub(super) fn remove(&mut self, id: SequenceId) -> Option<Reader> {
        let reader = self.open.remove(&id)?;
        self.num_started -= usize::from(reader.ticket.is_none());
        Some(reader)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Readers whose sequences were never scheduled.
    pub(super) fn num_queued(&self) -> usize {
        self.open.len() - self.num_started
    }

    /// All open sequences.
    pub(super) fn ids(&self) -> Vec<SequenceId> {
        self.open.keys().copied().collect()
    }

    /// Sequences whose readers have gone.
    pub(super) fn departed(&self) -> Vec<SequenceId> {
        self.open.iter().filter(|(_, reader)| reader.has_gone()).map(|(&id, _)| id).collect()
    }

    /// A sequence that has waited for longer than `longest` and was never scheduled, with the time that it waited.
    pub(super) fn overdue(&mut self, now: Instant, longest: Duration) -> Option<(SequenceId, Duration)> {
        while let Some(&(since, id)) = self.arrivals.front() {
            let waits = self.open.get(&id).is_some_and(|reader| reader.ticket.is_some());
            let waited = now.saturating_duration_since(since);
            if waits && waited <= longest {
                return None;
            }
            self.arrivals.pop_front();
            if waits {
                return Some((id, waited));
            }
        }
        None
    }
}
