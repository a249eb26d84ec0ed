//! Threads that work out masks while the engine's own thread runs the forward pass.
//!
//! Constraints are moved to a thread and back: nothing is shared. Those of a step go together, so that a thread is woken
//! once a step and not once a sequence.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::guide::Guide;

/// One thread for so many cores: masks are a small part of the work.
const CORES_PER_WORKER: usize = 4;
const MAX_WORKERS: usize = 4;

/// A guide on its way to a thread or back.
#[derive(Debug)]
pub(super) struct Errand {
    /// Whose it is: the sequence's place in the scheduler.
    pub(super) slot: usize,
    /// Width of a row.
    pub(super) vocab_size: usize,
    pub(super) guide: Guide,
}

/// The threads; they start with the first errand, so that an engine without constraints has none.
#[derive(Debug, Default)]
pub(super) struct MaskWorkers {
    workers: Vec<Worker>,
    /// Who gets the next errand.
    turn: usize,
}

#[derive(Debug)]
struct Worker {
    errands: Sender<Vec<Errand>>,
    done: Receiver<Vec<Errand>>,
    /// What is to be sent, or could not be.
    here: Vec<Errand>,
    /// Whether something was sent and did not come back yet.
    is_out: bool,
}

impl MaskWorkers {
    /// Takes a guide that is to have its mask made; [`Self::dispatch`] sends it.
    ///
    /// # Errors
    /// The errand itself, if there is no thread for it.
    pub(super) fn take(&mut self, errand: Errand) -> Result<(), Box<Errand>> {
        if self.workers.is_empty() {
            let num_cores = thread::available_parallelism().map_or(1, usize::from);
            let num_workers = (num_cores / CORES_PER_WORKER).clamp(1, MAX_WORKERS);
            self.workers = (0..num_workers).map_while(Worker::start).collect();
        }
        if self.workers.is_empty() {
            return Err(Box::new(errand));
        }
        self.turn = (self.turn + 1) % self.workers.len();
        self.workers[self.turn].here.push(errand);
        Ok(())
    }

    /// Sends the guides that were taken to the threads.
    pub(super) fn dispatch(&mut self) {
        for worker in self.workers.iter_mut().filter(|worker| !worker.here.is_empty()) {
            match worker.errands.send(std::mem::take(&mut worker.here)) {
                Ok(()) => worker.is_out = true,
                // The thread has died: the guides make their masks when they are asked.
                Err(refused) => worker.here = refused.0,
            }
        }
    }

    /// Waits for the guides that were sent and gives them back.
    pub(super) fn collect(&mut self) -> impl Iterator<Item = Errand> + '_ {
        self.workers.iter_mut().flat_map(|worker| {
            let mut back = std::mem::take(&mut worker.here);
            if std::mem::take(&mut worker.is_out) {
                // A thread that has died gives nothing back; its sequences learn of it from what was left in their
                // place.
                back.extend(worker.done.recv().unwrap_or_default());
            }
            back
        })
    }
}

impl Worker {
    /// Starts a thread, which ends when its worker is dropped.
    fn start(index: usize) -> Option<Self> {
        let (errands, inbox) = channel::<Vec<Errand>>();
        let (outbox, done) = channel();
        let body = move || {
            for mut errands in inbox {
                for errand in &mut errands {
                    errand.guide.prepare(errand.vocab_size);
                }
                if outbox.send(errands).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().name(format!("maru-masks-{index}")).spawn(body) {
            Ok(_) => Some(Self { errands, done, here: Vec::new(), is_out: false }),
            Err(error) => {
                tracing::warn!(%error, "a thread for masks could not be started");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::simulation::rule::Rule;
    use crate::sampling::TokenSet;

    fn guide(seed: u64) -> Guide {
        Guide::new(Rule { seed, vocab_size: 40, num_tokens: 9 }.start())
    }

    #[test]
    fn every_guide_comes_back_with_its_own_mask() {
        let mut workers = MaskWorkers::default();
        assert_eq!(workers.collect().count(), 0, "nothing was sent");
        for round in 0..5_u64 {
            for slot in 0..30 {
                let guide = guide(round * 100 + slot as u64);
                workers.take(Errand { slot, vocab_size: 40, guide }).expect("there is a thread");
            }
            // In the last round nothing is sent: then the guides come back as they are.
            if round < 4 {
                workers.dispatch();
            }
            let mut back: Vec<(usize, TokenSet)> = workers
                .collect()
                .map(|mut errand| (errand.slot, errand.guide.mask(40).expect("no fault").clone()))
                .collect();
            back.sort_by_key(|&(slot, _)| slot);
            let expected: Vec<(usize, TokenSet)> = (0..30)
                .map(|slot| (slot, guide(round * 100 + slot as u64).mask(40).expect("no fault").clone()))
                .collect();
            assert_eq!(back, expected);
        }
    }
}
