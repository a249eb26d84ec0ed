//! Generations that are answered whole, within the time that a request has.

use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::api::access_log::AccessRecord;
use crate::api::config::seconds;
use crate::api::error::ApiError;
use crate::api::state::{AppState, Phase};
use crate::serving::{
    DeltaKind, GenerateRequest, Generation, GenerationOutput, GenerationSet, OutputDelta, SequenceError,
};

/// Prompts of one request that are prepared at the same time, so that one request does not fill the queue for that.
const AT_ONCE: usize = 8;

/// How long a request may take, and when that time is over.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Deadline {
    limit: Duration,
    /// When the time is over.
    pub(in crate::api) at: Instant,
}

impl Deadline {
    /// Of a request that has just come.
    pub(in crate::api) fn of(state: &AppState) -> Self {
        let limit = seconds(state.config.request_timeout_s);
        Self { limit, at: Instant::now() + limit }
    }

    /// Waits for `work`, no longer than the time allows.
    ///
    /// # Errors
    /// 504 when the time is over.
    pub(in crate::api) async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        timeout_at(self.at, work).await.map_err(|_| ApiError::timed_out(self.limit))
    }
}

/// Admits a request.
///
/// # Errors
/// What the generator refuses, and 504 when the time is over.
pub(in crate::api) async fn admit(
    state: &AppState,
    request: GenerateRequest,
    deadline: Deadline,
) -> Result<Generation, ApiError> {
    Ok(deadline.bound(state.generator.generate(request)).await??)
}

/// Waits for every choice. When the client leaves, hyper drops this future, and the generation with it.
///
/// # Errors
/// The first fault of any choice, 504 when the time is over, 503 when the process ends.
pub(in crate::api) async fn collect(
    state: &AppState,
    generation: Generation,
    record: &AccessRecord,
    deadline: Deadline,
) -> Result<GenerationOutput, ApiError> {
    let output = before_the_end(state, generation.collect(), deadline).await??;
    count(&output, record);
    Ok(output)
}

fn count(output: &GenerationOutput, record: &AccessRecord) {
    for choice in &output.choices {
        record.add_output_tokens(choice.usage.num_output_tokens.into());
    }
}

/// Waits for `work`, no longer than the time allows and the process lives.
///
/// # Errors
/// 504 when the time is over, 503 when the process ends.
pub(in crate::api) async fn before_the_end<T>(
    state: &AppState,
    work: impl Future<Output = T>,
    deadline: Deadline,
) -> Result<T, ApiError> {
    let work = async {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = state.lifecycle.reached(Phase::Terminating) => Err(ApiError::shutting_down()),
        }
    };
    deadline.bound(work).await?
}

/// Admits the prompts of one request, all or none; `name` says where the prompt of a number stood.
///
/// # Errors
/// What the generator refuses, and 504 when the time is over.
pub(in crate::api) async fn admit_all(
    state: &AppState,
    requests: Vec<GenerateRequest>,
    name: impl Fn(usize) -> String,
    deadline: Deadline,
) -> Result<GenerationSet, ApiError> {
    let name = &name;
    let admit = |(number, request)| async move {
        let admitted = state.generator.generate(request).await;
        admitted.map_err(|error| ApiError::of_prompt(error, &name(number)))
    };
    let requests: Vec<_> = requests.into_iter().enumerate().map(admit).collect();
    let admitted = stream::iter(requests).buffered(AT_ONCE).try_collect();
    Ok(GenerationSet::new(deadline.bound(admitted).await??))
}

/// As [`collect`], for all prompts of a request.
///
/// # Errors
/// As [`collect`].
pub(in crate::api) async fn collect_all(
    state: &AppState,
    generations: GenerationSet,
    record: &AccessRecord,
    deadline: Deadline,
) -> Result<Vec<GenerationOutput>, ApiError> {
    let outputs = before_the_end(state, generations.collect(), deadline).await??;
    outputs.iter().for_each(|output| count(output, record));
    Ok(outputs)
}

/// Hands every delta to `take`, in place of [`collect`]. When the client leaves, hyper drops this future, and the
/// generation with it.
///
/// # Errors
/// The first fault of any choice, 504 when the time is over, 503 when the process ends.
pub(in crate::api) async fn fold(
    state: &AppState,
    mut generation: Generation,
    record: &AccessRecord,
    deadline: Deadline,
    mut take: impl FnMut(OutputDelta),
) -> Result<(), ApiError> {
    let folded = async {
        while let Some(delta) = generation.next().await {
            match &delta.kind {
                DeltaKind::Failed(error) => return Err(error.clone()),
                DeltaKind::Finished { usage, .. } => record.add_output_tokens(usage.num_output_tokens.into()),
                _ => {}
            }
            take(delta);
        }
        Ok::<_, SequenceError>(())
    };
    Ok(before_the_end(state, folded, deadline).await??)
}
