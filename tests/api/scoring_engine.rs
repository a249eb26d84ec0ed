//! An engine that knows how likely every token is: what it says of a prompt and of its output is made from the token ids
//! alone, so that a test can tell what must come.

use std::sync::Arc;

use maru::engine::{
    Command, DraftCounts, EngineHandle, EngineLimits, EnginePulse, FinishReason, NewSequence, QueuedSequence,
    ScoredToken, TokenEvent,
};
use maru::sampling::TokenLogprobs;
use tokio::sync::mpsc;

use crate::fake_engine::Script;
use crate::support::{END_OF_TURN, Harness, MAX_MODEL_LEN, token_of};

/// The likeliest token, wherever one is asked for.
pub(crate) const LIKELIEST: u8 = b'~';

/// How likely the scoring engine finds a byte, wherever it stands. Exact in f32.
pub(crate) fn logprob_of(token_id: u32) -> f32 {
    if token_id == token_of(LIKELIEST) { -0.25 } else { -(1.0 + token_id as f32 / 16.0) }
}

/// A server on an engine that says `texts`, one per choice, and then stops.
pub(crate) fn scoring(texts: &[&str]) -> Harness {
    let (commands, inbox) = mpsc::channel(1024);
    let limits = EngineLimits { max_model_len: MAX_MODEL_LEN, max_waiting: 256, max_buffered_events: 8192 };
    let handle = EngineHandle::new(commands, Arc::new(EnginePulse::new(100)), limits);
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    tokio::spawn(run(texts, inbox));
    Harness::new(Script::saying("")).with_engine(handle)
}

async fn run(texts: Vec<String>, mut inbox: mpsc::Receiver<Command>) {
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Submit(queued) => answer(&texts, *queued).await,
            Command::Abort(_) => {}
            Command::Drain | Command::Stop => return,
        }
    }
}

async fn answer(texts: &[String], queued: QueuedSequence) {
    for event in events(texts, &queued.sequence) {
        if queued.events.send(event).await.is_err() {
            return;
        }
    }
}

fn events(texts: &[String], sequence: &NewSequence) -> Vec<TokenEvent> {
    let mut events = vec![TokenEvent::Scheduled { num_cached_tokens: 0 }];
    let finished = |reason| TokenEvent::Finished { reason, drafts: DraftCounts::default() };
    if sequence.pooling.is_some() {
        // Three and four are known for a round length.
        let values = vec![3.0 * sequence.prompt.len() as f32, -4.0 * sequence.prompt.len() as f32];
        events.extend([TokenEvent::Embedding { values }, finished(FinishReason::Pooled)]);
        return events;
    }
    if let Some(num_top) = sequence.prompt_scores {
        let scored = |&token_id: &u32| ScoredToken { token_id, logprobs: logprobs(token_id, num_top) };
        let scores: Vec<_> = sequence.prompt[1..].iter().map(scored).collect();
        if !scores.is_empty() {
            events.push(TokenEvent::PromptScores { scores });
        }
    }
    let choice = sequence.sampling.choice_index as usize;
    let text = &texts[choice.min(texts.len() - 1)];
    let max = sequence.max_new_tokens as usize;
    events.extend(text.bytes().take(max).map(|byte| {
        let token_id = token_of(byte);
        let told = sequence.sampling.logprobs.map(|num_top| Box::new(logprobs(token_id, num_top)));
        TokenEvent::Token { token_id, logprobs: told }
    }));
    let stop = FinishReason::StopToken { token_id: END_OF_TURN };
    events.push(finished(if text.len() < max { stop } else { FinishReason::Length }));
    events
}

fn logprobs(token_id: u32, num_top: u8) -> TokenLogprobs {
    let likeliest = token_of(LIKELIEST);
    let top = [(likeliest, logprob_of(likeliest)), (0, logprob_of(0))];
    TokenLogprobs { logprob: logprob_of(token_id), top: top[..2.min(num_top.into())].to_vec() }
}
