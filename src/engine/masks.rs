//! Threads that work out masks while the engine's own thread runs the forward pass.
//!
//! A constraint is moved to a thread and back: nothing is shared.

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
    errands: Sender<Errand>,
    done: Receiver<Errand>,
    num_out: usize,
}

impl MaskWorkers {
    /// Sends a guide to have its mask made.
    ///
    /// # Errors
    /// The errand itself, if there is no thread for it.
    pub(super) fn send(&mut self, errand: Errand) -> Result<(), Box<Errand>> {
        if self.workers.is_empty() {
            let num_cores = thread::available_parallelism().map_or(1, usize::from);
            let num_workers = (num_cores / CORES_PER_WORKER).clamp(1, MAX_WORKERS);
            self.workers = (0..num_workers).map_while(Worker::start).collect();
        }
        if self.workers.is_empty() {
            return Err(Box::new(errand));
        }
        self.turn = (self.turn + 1) % self.workers.len();
        let worker = &mut self.workers[self.turn];
        worker.errands.send(errand).map_err(|refused| Box::new(refused.0))?;
        worker.num_out += 1;
        Ok(())
    }

    /// Waits for the guides that were sent and gives them back.
    pub(super) fn collect(&mut self) -> impl Iterator<Item = Errand> + '_ {
        self.workers.iter_mut().flat_map(|worker| {
            let num_out = std::mem::take(&mut worker.num_out);
            // A thread that has died gives nothing back; its sequences learn of it from what was left in their place.
            worker.done.iter().take(num_out)
        })
    }
}

impl Worker {
    /// Starts a thread, which ends when its worker is dropped.
    fn start(index: usize) -> Option<Self> {
        let (errands, inbox) = channel::<Errand>();
        let (outbox, done) = channel();
        let body = move || {
            for mut errand in inbox {
                errand.guide.prepare(errand.vocab_size);
                if outbox.send(errand).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().name(format!("maru-masks-{index}")).spawn(body) {
            Ok(_) => Some(Self { errands, done, num_out: 0 }),
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
                workers.send(Errand { slot, vocab_size: 40, guide }).expect("there is a thread");
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
