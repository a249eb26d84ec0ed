//! Chat templates.

/// One message of a conversation, in the form that chat templates read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text; parts of a content list are joined.
    pub content: String,
}
