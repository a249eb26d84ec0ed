//! A response that is being made, and how it is kept.

use std::sync::Arc;

use serde_json::Value;

use super::items::Item;
use super::object::{Answer, Status};
use super::store::{ResponseStore, Stored};
use crate::api::answer::blocks::{Blocks, Step};
use crate::api::error::ApiError;
use crate::api::state::AppState;
use crate::serving::{OutputDelta, TenantId};

/// A response that is being made.
pub(super) struct Draft {
    pub(super) answer: Answer,
    pub(super) blocks: Blocks,
    state: Arc<AppState>,
    keep: Option<Keep>,
}

/// Where a response is kept, whose it is, and what it was made from.
pub(super) struct Keep {
    pub(super) store: Arc<ResponseStore>,
    pub(super) owner: TenantId,
    pub(super) conversation: Vec<Arc<Item>>,
}

impl Draft {
    /// A response without anything yet.
    pub(super) fn new(answer: Answer, state: Arc<AppState>, keep: Option<Keep>) -> Self {
        let blocks = Blocks::new(answer.show.reasoning);
        Self { answer, blocks, state, keep }
    }

    /// Takes what is new and says how the response grew.
    pub(super) fn take(&mut self, delta: OutputDelta) -> Vec<Step> {
        self.blocks.take(delta)
    }

    /// The object of a response that goes on.
    pub(super) fn so_far(&self) -> Value {
        self.answer.object(Status::InProgress, &self.blocks, 0, None)
    }

    /// The object of a response that a fault ended; it is not kept.
    pub(super) fn failed(&self, error: &ApiError) -> Value {
        self.answer.object(Status::Failed, &self.blocks, 0, Some(error))
    }

    /// The object of a response that is whole, with its status; it is kept if that is wanted.
    pub(super) fn finish(&mut self) -> (Status, Value) {
        let status = self.blocks.ending().map_or(Status::Incomplete, Status::of);
        let object = self.answer.object(status, &self.blocks, self.state.stamps.unix_seconds(), None);
        if let Some(Keep { store, owner, mut conversation }) = self.keep.take() {
            let num_input = conversation.len();
            conversation.extend(self.answer.items(&self.blocks).into_iter().map(Arc::new));
            let stored = Stored { json: object.to_string(), conversation, num_input };
            store.insert(owner, &self.answer.head.id, stored);
        }
        (status, object)
    }
}
