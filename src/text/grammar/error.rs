//! Why a grammar is refused.

/// Most characters of a place or a reason: both repeat what a client wrote, which may be long.
const MAX_TOLD_CHARS: usize = 500;

/// A grammar cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// It asks for something that would not be enforced.
    #[error("{path}: `{keyword}` is not supported: {reason}")]
    Unsupported {
        /// The keyword at fault.
        keyword: String,
        /// The schema that holds it, such as `$.properties.name.items`.
        path: String,
        /// What to know about it, for a person.
        reason: String,
    },
    /// It is malformed, or nothing satisfies it.
    #[error("{reason}")]
    Invalid {
        /// What is wrong with it, for a person.
        reason: String,
    },
    /// It is larger or costlier than a request may be.
    #[error("{reason}")]
    TooLarge {
        /// Which bound it passes, for a person.
        reason: String,
    },
}

impl GrammarError {
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: clipped(reason.into()) }
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self::TooLarge { reason: clipped(reason.into()) }
    }

    pub(super) fn unsupported(keyword: &str, path: impl ToString, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            keyword: keyword.to_owned(),
            path: clipped(path.to_string()),
            reason: clipped(reason.into()),
        }
    }
}

fn clipped(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_TOLD_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}
