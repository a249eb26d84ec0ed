//! Bugs that tests plant in the engine, to show that the simulation's net has no holes. Outside of tests there are
//! none: [`planted`] is then a constant that the compiler removes.

/// A bug at one place of the KV books or the scheduler, which asks [`planted`] whether to have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// A block is never given back.
    ReleaseIsLost,
    /// A shared block is given back twice by one owner.
    SharedIsReleasedTwice,
    /// Who takes over cached blocks does not become an owner.
    RetainIsMissing,
    /// A cached block that is taken over stays on the free list.
    HeldBlockIsFree,
    /// The last, partly filled block is not taken.
    LastBlockIsMissing,
    /// A block that is overwritten can still be found.
    StaleNameIsFound,
    /// A block's name does not depend on what comes before.
    NameForgetsParent,
    /// A block's name does not depend on the salt.
    NameForgetsSalt,
    /// A block of another group of layers is found.
    NameForgetsGroup,
    /// The part of a block that is offered has a token too many.
    TailIsTooLong,
    /// Of the part that is copied a token too many is used.
    PartIsTooLong,
    /// Blocks are offered when they are planned, before they are computed.
    OfferedTooEarly,
    /// A block of which a part is used is shared, not copied.
    PartIsShared,
    /// A block may be taken as the target of its own copy.
    SourceIsNotHeld,
    /// What sequences with invalid logits computed can be found.
    InvalidIsOffered,
    /// What a failed step was to compute can be found.
    FailedIsOffered,
    /// A window ends one position too late.
    WindowIsTooShort,
    /// What left the window is kept.
    WindowIsNeverLeft,
    /// The whole prompt is taken from the cache, and nothing gives logits.
    NothingIsLeftToCompute,
    /// Blocks stay claimed after they were computed.
    ClaimIsNeverLeft,
    /// Nobody waits for a neighbour that computes the same.
    NeighbourIsNotAwaited,
    /// An aborted prompt keeps its blocks.
    AbortKeepsBlocks,
    /// Who loses its blocks believes that it has computed them.
    PreemptionKeepsComputed,
    /// Who loses its blocks loses its output too.
    PreemptionForgetsOutput,
    /// The first in rank loses its blocks, not the last.
    FirstIsPreempted,
    /// The oldest is passed over for ever.
    NobodyIsOverdue,
    /// Tenants pay nothing.
    NobodyIsCharged,
    /// The least urgent go first.
    LeastUrgentFirst,
    /// The last to come of a class goes first.
    LastComesFirst,
    /// Prompts beside outputs have no limit.
    PrefillIsUnlimited,
    /// Guesses take blocks that others need.
    GuessesTakeAll,
    /// Guesses are taken for right.
    GuessIsNotChecked,
    /// Wrong guesses count as computed.
    WrongGuessIsComputed,
    /// Guesses that were right are counted once more.
    GuessCountsTwice,
    /// Tokens found in the cache are counted twice.
    CachedCountsTwice,
    /// A prompt is counted again when it comes back.
    PromptCountsAgain,
    /// Who loses its blocks has its prompt scored from the beginning.
    ScoresStartAgain,
    /// Rows that are still to be read are taken from the prefix cache.
    ScoredIsCached,
    /// Rows that are scored have no limit.
    ScoresAreUnlimited,
    /// Who loses its blocks forgets the hidden states that it has summed.
    SumsAreForgotten,
    /// The mask of the token before is used again.
    MaskIsStale,
    /// A constraint is not told of guesses that were right.
    GuideIsNotToldOfGuesses,
    /// The best token is taken without asking the constraint.
    BestIsNotAskedFor,
    /// Penalties and bad words do not see guesses that were right.
    GuessesAreNotHistory,
}

/// Whether this bug is planted.
#[cfg(not(test))]
pub(super) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub(super) use in_tests::{plant, planted};

#[cfg(test)]
mod in_tests {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread.
    pub(in crate::engine) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Runs `run` with a bug.
    pub(in crate::engine) fn plant<T>(bug: Option<Bug>, run: impl FnOnce() -> T) -> T {
        /// Takes the bug out again, also when `run` panics.
        struct Uproot;
        impl Drop for Uproot {
            fn drop(&mut self) {
                PLANTED.set(None);
            }
        }
        let _uproot = Uproot;
        PLANTED.set(bug);
        run()
    }

    impl Bug {
        /// All of them.
        pub(in crate::engine) const ALL: [Self; 44] = [
            Self::ReleaseIsLost,
            Self::SharedIsReleasedTwice,
            Self::RetainIsMissing,
            Self::HeldBlockIsFree,
            Self::LastBlockIsMissing,
            Self::StaleNameIsFound,
            Self::NameForgetsParent,
            Self::NameForgetsSalt,
            Self::NameForgetsGroup,
            Self::TailIsTooLong,
            Self::PartIsTooLong,
            Self::OfferedTooEarly,
            Self::PartIsShared,
            Self::SourceIsNotHeld,
            Self::InvalidIsOffered,
            Self::FailedIsOffered,
            Self::WindowIsTooShort,
            Self::WindowIsNeverLeft,
            Self::NothingIsLeftToCompute,
            Self::ClaimIsNeverLeft,
            Self::NeighbourIsNotAwaited,
            Self::AbortKeepsBlocks,
            Self::PreemptionKeepsComputed,
            Self::PreemptionForgetsOutput,
            Self::FirstIsPreempted,
            Self::NobodyIsOverdue,
            Self::NobodyIsCharged,
            Self::LeastUrgentFirst,
            Self::LastComesFirst,
            Self::PrefillIsUnlimited,
            Self::GuessesTakeAll,
            Self::GuessIsNotChecked,
            Self::WrongGuessIsComputed,
            Self::GuessCountsTwice,
            Self::CachedCountsTwice,
            Self::PromptCountsAgain,
            Self::ScoresStartAgain,
            Self::ScoredIsCached,
            Self::ScoresAreUnlimited,
            Self::SumsAreForgotten,
            Self::MaskIsStale,
            Self::GuideIsNotToldOfGuesses,
            Self::BestIsNotAskedFor,
            Self::GuessesAreNotHistory,
        ];
    }
}
