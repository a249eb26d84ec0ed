//! The engine's thread and channels over a fake model. The scheduler has its own simulation, in the library
//! (`src/engine/simulation`), where its parts can be given bugs.

use maru::sampling;

#[path = "../../src/engine/simulation/dice.rs"]
mod dice;
mod forms;
mod oracle;
mod readout;
mod rig;
#[path = "../../src/engine/simulation/rule.rs"]
mod rule;
mod threaded;

mod scenario {
    //! What all sequences have in common.

    pub(crate) const VOCAB_SIZE: usize = 24;
}
