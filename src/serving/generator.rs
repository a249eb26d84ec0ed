//! Requests in, streams of deltas out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::choice::{Choice, ChoiceParts, PromptScores, TokenTeller};
use super::clock::Clock;
use super::generation::GenerationFacts;
use super::pipeline::TextPipeline;
use super::prepare::{self, Prepared, RequestLimits, check, draw_seed, fit, prepare, stop_strings};
use super::{
    Congestion, GenerateError, GenerateRequest, Generation, PromptInput, RenderedPrompt, ServingConfig,
};
use crate::engine::{EngineHandle, EnginePulse, NewSequence, SubmitError};
use crate::sampling::{Constraint, SamplingParams};
use crate::telemetry::Metrics;
use crate::text::{CompiledGrammar, GenerationDefaults, ReasoningLimits, StopStrings, TextModel};

/// When a prompt that found no place to be prepared has a chance of one: preparing takes milliseconds.
const PREPARATION_RETRY_MS: u64 = 1_000;

/// Serves requests on one model. Cheap to clone.
#[derive(Clone)]
pub struct Generator {
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

pub(super) struct Shared {
    pub(super) engine: EngineHandle,
    pub(super) text: Arc<TextModel>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) config: ServingConfig,
    /// Places for prompts that are being rendered and tokenised.
    places: Arc<Semaphore>,
    /// Requests that have or wait for a place.
    preparing: AtomicUsize,
}

impl Generator {
    /// A generator on this engine, for this model's text.
    pub fn new(
        engine: EngineHandle,
        text: Arc<TextModel>,
        metrics: Arc<Metrics>,
        config: ServingConfig,
    ) -> Self {
        let places = Arc::new(Semaphore::new(config.prepare_threads));
        let shared = Shared { engine, text, metrics, config, places, preparing: AtomicUsize::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Renders and tokenises the prompt, hands the choices to the engine and returns their output as a stream.
    ///
    /// # Errors
    /// [`GenerateError`]: an invalid request (the field is named), a prompt that does not fit, more work than can be
    /// done in time, a server that stops, or a fault of ours.
    pub async fn generate(&self, request: GenerateRequest) -> Result<Generation, GenerateError> {
        let arrival = Instant::now();
        let generation = self.shared.admit(request, arrival).await;
        if let Err(error) = &generation {
            self.shared.metrics.rejected.with_label_values(&[rejection(error)]).inc();
        }
        generation
    }

    /// A prompt as the model would read it, without running the model.
    ///
    /// # Errors
    /// [`GenerateError`]: an invalid prompt, or more prompts than can be prepared in time.
    pub async fn render(&self, prompt: PromptInput) -> Result<RenderedPrompt, GenerateError> {
        let limit = self.shared.config.max_prompt_bytes;
        prepare::check_prompt(&prompt, limit)?;
        let text = Arc::clone(&self.shared.text);
        let rendered = self.shared.on_a_place(move || prepare::render(&text, &prompt));
        let (token_ids, text) = rendered.await?;
        Ok(RenderedPrompt { token_ids, text })
    }

    /// Most tokens of a prompt and its output together.
    pub fn max_model_len(&self) -> usize {
        self.shared.engine.limits().max_model_len
    }

    /// Most choices of one prompt.
    pub fn max_choices(&self) -> u32 {
        self.shared.config.max_choices
    }

    /// Counts and heartbeat of the engine.
    pub fn pulse(&self) -> &EnginePulse {
        self.shared.engine.pulse()
    }

    /// Whether as many sequences wait as may, so that one more would be refused.
    pub fn is_queue_full(&self) -> bool {
        self.pulse().num_waiting() >= self.shared.engine.limits().max_waiting
    }

    /// Sampling settings that the model's files recommend; they fill what a request leaves open.
    pub fn default_sampling(&self) -> &GenerationDefaults {
        self.shared.text.defaults()
    }

    /// The model's text side.
    pub fn text(&self) -> &TextModel {
        &self.shared.text
    }
}

impl Shared {
    async fn admit(&self, request: GenerateRequest, arrival: Instant) -> Result<Generation, GenerateError> {
        let limits = RequestLimits {
            max_prompt_bytes: self.config.max_prompt_bytes,
            max_choices: self.config.max_choices,
        };
        check(&request, limits)?;
        // A busy server spends nothing on what it refuses.
        self.engine.ensure_room(request.tenant, request.priority).map_err(|error| refusal(error, 0))?;
        let stops = stop_strings(&request);
        let seed = request.sampling.seed.unwrap_or_else(draw_seed);
        let text = Arc::clone(&self.text);
        let (request, prepared) = self
            .on_a_place(move || {
                let prepared = prepare(&text, &request, seed);
                prepared.map(|prepared| (request, prepared))
            })
            .await?;
        let max_model_len = self.engine.limits().max_model_len;
        let max_new_tokens = fit(prepared.prompt.len(), request.end.max_new_tokens, max_model_len)?;

        let mut choices = Vec::with_capacity(request.num_choices as usize);
        for choice_index in 0..request.num_choices {
            choices.push(self.choice(&request, &prepared, &stops, choice_index, max_new_tokens, arrival)?);
        }
        self.metrics.request_prompt_tokens.observe(prepared.prompt.len() as f64);
        let facts = GenerationFacts { prompt: prepared.prompt, max_new_tokens, seed };
        Ok(Generation::new(facts, choices))
    }

    /// Hands one choice to the engine.
    fn choice(
        &self,
        request: &GenerateRequest,
        prepared: &Prepared,
        stops: &StopStrings,
        choice_index: u32,
        max_new_tokens: u32,
        arrival: Instant,
    ) -> Result<Choice, GenerateError> {
        let report = request.report;
        // The prompt is the same for all choices.
        let scores_prompt = report.prompt_logprobs.filter(|_| choice_index == 0);
        let sequence = NewSequence {
            prompt: Arc::clone(&prepared.prompt),
            sampling: SamplingParams { choice_index, ..prepared.sampling.clone() },
            // Where no output is wanted, one token is the least that the engine makes.
            max_new_tokens: max_new_tokens.max(1),
            stop_token_ids: Arc::clone(&prepared.stop_token_ids),
            tenant: request.tenant,
            priority: request.priority,
            cache_salt: Arc::clone(&request.cache_salt),
            constraint: self.constraint(request, prepared),
            prediction: Arc::clone(&prepared.prediction),
            prompt_scores: scores_prompt,
            pooling: None,
        };
        let events = self.engine.submit(sequence).map_err(|error| refusal(error, prepared.prompt.len()))?;
        let teller = TokenTeller::new(Arc::clone(self.text.shared_tokenizer()));
        let detokenizer = self.text.detokenizer(report.skip_special_tokens);
        let pipeline = TextPipeline::new(
            detokenizer,
            self.text.format().parser(prepared.parser),
            stops.scanner(),
            request.end.include_stop,
        );
        Ok(Choice::new(ChoiceParts {
            index: choice_index,
            events,
            text: pipeline,
            named_stops: request.end.stop_token_ids.as_slice().into(),
            is_mute: max_new_tokens == 0,
            teller: (report.tokens || report.logprobs.is_some()).then(|| teller.clone()),
            prompt: scores_prompt.map(|_| PromptScores::new(teller, &prepared.prompt)),
            clock: Clock::new(Arc::clone(&self.metrics), arrival),
        }))
    }

    /// What holds one choice to its form, its language and the limits of its reasoning.
    fn constraint(&self, request: &GenerateRequest, prepared: &Prepared) -> Option<Box<dyn Constraint>> {
        let form = prepared.grammar.as_ref().map(CompiledGrammar::start);
        let held = match request.language {
            None => form,
            Some(language) => Some(self.text.grammars().lock_language(language, form)),
        };
        let PromptInput::Chat(_) = request.prompt else { return held };
        let limits = ReasoningLimits {
            in_reasoning: prepared.parser.in_reasoning,
            max_tokens: request.reasoning.max_tokens,
            closes_loops: self.config.close_reasoning_loops,
        };
        self.text.guard_reasoning(limits, held)
    }

    /// Runs `work` on the blocking pool, with a bound on how much runs, on the queue for it and on the time.
    pub(super) async fn on_a_place<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, GenerateError> + Send + 'static,
    ) -> Result<T, GenerateError> {
        let _waiting = Waiting::enter(&self.preparing, self.config.max_preparing)?;
        let deadline = tokio::time::Instant::now() + self.config.prepare_timeout();
        let place = tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| self.busy())?.map_err(|_| GenerateError::ShuttingDown)?;
        // Work that outlives its deadline keeps its place until it ends.
        let work = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        let overdue = || {
            let limit = self.config.prepare_timeout_ms;
            GenerateError::Internal(format!("the prompt was not ready within {limit} ms"))
        };
        let done = tokio::time::timeout_at(deadline, work).await.map_err(|_| overdue())?;
        done.map_err(|error| GenerateError::Internal(format!("preparing the prompt: {error}")))?
    }

    fn busy(&self) -> GenerateError {
        unprepared(self.preparing.load(Ordering::Relaxed), self.config.max_preparing)
    }
}

/// A request that is being prepared or waits to be.
#[derive(Debug)]
struct Waiting<'a> {
    count: &'a AtomicUsize,
}

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Result<Self, GenerateError> {
        let enter = |waiting: usize| (waiting < max).then_some(waiting + 1);
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        entered.map(|_| Self { count }).map_err(|waiting| unprepared(waiting, max))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unprepared(waiting: usize, max: usize) -> GenerateError {
    let reason = Congestion::Preparation { waiting, max };
    GenerateError::Overloaded { reason, retry_after_ms: PREPARATION_RETRY_MS }
}

pub(super) fn refusal(error: SubmitError, num_prompt_tokens: usize) -> GenerateError {
    match error {
        SubmitError::Overloaded { reason, retry_after_ms } => {
            GenerateError::Overloaded { reason: reason.into(), retry_after_ms }
        }
        SubmitError::PromptTooLong { max, .. } => {
            GenerateError::ContextLengthExceeded { num_prompt_tokens, max_model_len: max }
        }
        SubmitError::ShuttingDown => GenerateError::ShuttingDown,
    }
}

/// The metric's label of a refusal.
pub(super) fn rejection(error: &GenerateError) -> &'static str {
    match error {
        GenerateError::Invalid(_) => "invalid",
        GenerateError::ContextLengthExceeded { .. } => "context_length",
        GenerateError::Overloaded { reason, .. } => reason.label(),
        GenerateError::Sequence(error) => error.label(),
        GenerateError::ShuttingDown => "shutting_down",
        GenerateError::Internal(_) => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let count = AtomicUsize::new(0);
        let first = Waiting::enter(&count, 1).expect("free");
        assert_eq!(Waiting::enter(&count, 1).expect_err("taken"), unprepared(1, 1));
        drop(first);
        assert!(Waiting::enter(&count, 1).is_ok());
    }
}
