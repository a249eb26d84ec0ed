//! Sequences whose output is held to a form, and those whose form breaks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maru::engine::{EngineConfig, FinishReason, NewSequence, SequenceError, SpeculationConfig, TokenEvent};
use maru::sampling::{Constraint, ConstraintError, GrammarSpec, SamplingParams, TokenSet};
use maru::text::{ReasoningLimits, TextModel};

use crate::oracle;
use crate::rig::{Act, Rig, config, sequence};
use crate::rule::Rule;
use crate::scenario::VOCAB_SIZE;
use crate::threaded::read;

fn rule(seed: u64, num_tokens: usize) -> Rule {
    Rule { seed, vocab_size: VOCAB_SIZE as u32, num_tokens }
}

fn under(sequence: &NewSequence, constraint: Box<dyn Constraint>) -> NewSequence {
    NewSequence { constraint: Some(constraint), ..sequence.without_constraint() }
}

fn guessing() -> EngineConfig {
    let speculation = SpeculationConfig { max_draft_tokens: 4, max_ngram: 3, min_ngram: 1 };
    EngineConfig { speculation, max_num_batched_tokens: 32, prefix_cache: false, ..config() }
}

#[tokio::test]
async fn every_output_keeps_its_form_with_guesses_and_without() {
    for config in [config(), guessing()] {
        let rig = Rig::free(EngineConfig { prefix_cache: false, ..config });
        let sequences: Vec<_> = (0..40)
            .map(|i| {
                let drawn = sequence(1 + i % 7, 1 + i % 23, u64::from(i));
                let sampling = if i % 2 == 0 { SamplingParams::greedy() } else { drawn.sampling.clone() };
                (NewSequence { sampling, ..drawn }, (i % 5 != 0).then(|| rule(u64::from(i), 12)))
            })
            .collect();
        let submit = |(sequence, rule): &(NewSequence, Option<Rule>)| {
            let constraint = rule.map(Rule::start);
            rig.handle.submit(NewSequence { constraint, ..sequence.without_constraint() }).expect("room")
        };
        let mut streams: Vec<_> = sequences.iter().map(submit).collect();
        let mut num_complete = 0;
        for ((sequence, rule), stream) in sequences.iter().zip(&mut streams) {
            let expected = oracle::expect_under(sequence, *rule, VOCAB_SIZE);
            let (tokens, last) = read(stream).await;
            assert_eq!(tokens, expected.tokens);
            assert!(matches!(last, TokenEvent::Finished { reason, .. } if reason == expected.reason));
            num_complete += usize::from(expected.reason == FinishReason::Complete);
        }
        assert!(num_complete > 10, "{num_complete}");
        assert_eq!(rig.failed("constraint"), 0);
        rig.await_idle();
    }
}

/// Lets tokens come in turn, whatever the model says.
#[derive(Debug)]
struct Dictation {
    text: Vec<u32>,
    next: usize,
}

impl Constraint for Dictation {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        allowed.clear();
        allowed.insert(self.text[self.next]);
        Ok(())
    }

    fn accept(&mut self, _: u32) -> Result<(), ConstraintError> {
        self.next += 1;
        Ok(())
    }

    fn allows(&mut self, token_id: u32) -> bool {
        self.text[self.next] == token_id
    }

    fn is_complete(&mut self) -> bool {
        self.next == self.text.len()
    }

    fn forced(&mut self) -> Vec<u32> {
        self.text[self.next..].to_vec()
    }
}

#[tokio::test]
async fn tokens_that_must_come_are_guessed_and_always_right() {
    let text: Vec<u32> = (0..21).map(|i| i * 5 % VOCAB_SIZE as u32).collect();
    for sampling in [SamplingParams::greedy(), sequence(1, 1, 3).sampling] {
        let rig = Rig::free(guessing());
        let plain = NewSequence { sampling, ..sequence(3, 100, 3) };
        let new = under(&plain, Box::new(Dictation { text: text.clone(), next: 0 }));
        let (tokens, last) = read(&mut rig.handle.submit(new).expect("room")).await;
        assert_eq!(tokens, text);
        let TokenEvent::Finished { reason: FinishReason::Complete, drafts } = last else {
            panic!("{last:?}")
        };
        // One token from the prompt, then five a step.
        assert_eq!((drafts.num_accepted, drafts.num_rejected), (16, 0));
        rig.await_idle();
        assert_eq!(rig.metrics.iteration_tokens.get_sample_count(), 5);
    }
}

#[tokio::test]
async fn a_prediction_that_comes_true_saves_steps_and_one_that_does_not_changes_nothing() {
    let rig = Rig::free(guessing());
    let plain = sequence(3, 40, 9);
    let expected = oracle::expect(&plain, VOCAB_SIZE).tokens;
    let mut wrong = expected.clone();
    wrong.iter_mut().for_each(|token_id| *token_id = (*token_id + 1) % VOCAB_SIZE as u32);
    let mut counts = Vec::new();
    for prediction in [expected.clone(), wrong] {
        let new = NewSequence { prediction: prediction.into(), ..plain.without_constraint() };
        let (tokens, last) = read(&mut rig.submit(&new)).await;
        assert_eq!(tokens, expected);
        let TokenEvent::Finished { drafts, .. } = last else { panic!("{last:?}") };
        counts.push(drafts);
    }
    assert!(counts[0].num_accepted >= 30, "{counts:?}");
    assert!(counts[1].num_accepted < 10, "{counts:?}");
}

/// Where a constraint breaks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Break {
    MaskFails,
    MaskPanics,
    AcceptFails,
    AcceptPanics,
    AllowsPanics,
    IsCompletePanics,
    ForcedPanics,
    NothingIsAllowed,
}

/// Allows everything until it breaks, after three tokens.
#[derive(Debug)]
struct Faulty {
    breaks: Break,
    num_accepted: usize,
}

impl Faulty {
    fn is_at(&self, place: Break) -> bool {
        self.breaks == place && self.num_accepted == 3
    }

    fn fail(&self, fails: Break, panics: Break) -> Result<(), ConstraintError> {
        assert!(!self.is_at(panics), "planned panic");
        if self.is_at(fails) { Err(ConstraintError("planned fault".to_owned())) } else { Ok(()) }
    }
}

impl Constraint for Faulty {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        allowed.fill();
        if self.is_at(Break::NothingIsAllowed) {
            allowed.clear();
        }
        self.fail(Break::MaskFails, Break::MaskPanics)
    }

    fn accept(&mut self, _: u32) -> Result<(), ConstraintError> {
        self.fail(Break::AcceptFails, Break::AcceptPanics)?;
        self.num_accepted += 1;
        Ok(())
    }

    fn allows(&mut self, _: u32) -> bool {
        assert!(!self.is_at(Break::AllowsPanics), "planned panic");
        // A greedy row asks for the mask then.
        !matches!(self.breaks, Break::MaskFails | Break::MaskPanics | Break::NothingIsAllowed)
    }

    fn is_complete(&mut self) -> bool {
        assert!(!self.is_at(Break::IsCompletePanics), "planned panic");
        false
    }

    fn forced(&mut self) -> Vec<u32> {
        assert!(!self.is_at(Break::ForcedPanics), "planned panic");
        Vec::new()
    }
}

#[tokio::test]
async fn a_constraint_that_breaks_fails_its_own_sequence_only() {
    use Break::*;
    let drawn = [
        (MaskFails, 3, "planned fault"),
        (MaskPanics, 3, "it panicked: planned panic"),
        (AcceptFails, 3, "planned fault"),
        (AcceptPanics, 3, "it panicked: planned panic"),
        (IsCompletePanics, 2, "it panicked: planned panic"),
        (ForcedPanics, 3, "it panicked: planned panic"),
        (NothingIsAllowed, 3, "every token is masked"),
    ];
    let greedy = [drawn.as_slice(), &[(AllowsPanics, 3, "it panicked: planned panic")]].concat();
    let as_drawn = drawn.map(|case| (case, 1.0));
    let as_greedy: Vec<_> = greedy.iter().map(|&case| (case, 0.0)).collect();
    let rig = Rig::free(guessing());
    let cases: Vec<_> = as_drawn.into_iter().chain(as_greedy).collect();
    for ((breaks, num_tokens, reason), temperature) in &cases {
        let neighbour = sequence(2, 30, 5);
        let mut spared = rig.submit(&neighbour);
        let sampling = SamplingParams { temperature: *temperature, ..sequence(1, 1, 4).sampling };
        let plain = NewSequence { sampling, ..sequence(4, 12, 4) };
        let new = under(&plain, Box::new(Faulty { breaks: *breaks, num_accepted: 0 }));
        let mut hit = rig.handle.submit(new).expect("room");
        let (tokens, last) = read(&mut hit).await;
        let error = SequenceError::Constraint((*reason).to_owned());
        assert_eq!((tokens.len(), last), (*num_tokens, TokenEvent::Failed { error }), "{breaks:?}");
        assert_eq!(tokens, oracle::expect(&plain, VOCAB_SIZE).tokens[..*num_tokens]);
        let (tokens, last) = read(&mut spared).await;
        assert_eq!(tokens, oracle::expect(&neighbour, VOCAB_SIZE).tokens);
        assert!(matches!(last, TokenEvent::Finished { reason: FinishReason::Length, .. }), "{last:?}");
    }
    rig.await_idle();
    assert_eq!(rig.failed("constraint"), cases.len() as u64);
    assert_eq!((rig.metrics.corrupted_requests.get(), rig.metrics.engine_healthy.get()), (0, 1));
}

#[tokio::test]
async fn a_failed_forward_pass_ends_a_constrained_sequence_and_the_next_one_works() {
    let mut rig = Rig::new(config());
    let plain = sequence(2, 9, 1);
    let submit = || rig.handle.submit(under(&plain, rule(1, 9).start())).expect("room");
    let mut hit = submit();
    rig.act(Act::Go);
    rig.act(Act::Go);
    rig.act(Act::Fail);
    let (_, last) = read(&mut hit).await;
    assert!(matches!(last, TokenEvent::Failed { error: SequenceError::Model(_) }), "{last:?}");
    let mut spared = submit();
    rig.open();
    let expected = oracle::expect_under(&plain, Some(rule(1, 9)), VOCAB_SIZE);
    assert_eq!(read(&mut spared).await, (expected.tokens, TokenEvent::finished(expected.reason)));
}

#[tokio::test]
async fn who_loses_its_blocks_keeps_its_place_in_its_form() {
    let rig = Rig::free(EngineConfig { max_decode_slowdown: 0.0, ..config() });
    let sequences: Vec<_> = (0..4).map(|i| sequence(20, 100, i)).collect();
    let submit = |sequence: &NewSequence| {
        rig.handle.submit(under(sequence, rule(sequence.sampling.seed, 90).start())).expect("room")
    };
    let mut streams: Vec<_> = sequences.iter().map(submit).collect();
    for (sequence, stream) in sequences.iter().zip(&mut streams) {
        let expected = oracle::expect_under(sequence, Some(rule(sequence.sampling.seed, 90)), VOCAB_SIZE);
        assert_eq!(read(stream).await, (expected.tokens, TokenEvent::finished(FinishReason::Complete)));
    }
    assert!(rig.metrics.num_preemptions.get() > 0);
}

/// Lets everything come but at one place, where a token must.
#[derive(Debug)]
struct Insists {
    on: u32,
    at: usize,
    num_accepted: usize,
    num_masks: Arc<AtomicUsize>,
}

impl Constraint for Insists {
    fn mask(&mut self, allowed: &mut TokenSet) -> Result<(), ConstraintError> {
        self.num_masks.fetch_add(1, Ordering::Relaxed);
        allowed.clear();
        allowed.insert(self.on);
        Ok(())
    }

    fn accept(&mut self, token_id: u32) -> Result<(), ConstraintError> {
        assert!(self.is_free() || token_id == self.on);
        self.num_accepted += 1;
        Ok(())
    }

    fn allows(&mut self, token_id: u32) -> bool {
        token_id == self.on
    }

    fn is_free(&mut self) -> bool {
        self.num_accepted != self.at
    }

    fn is_complete(&mut self) -> bool {
        false
    }

    fn forced(&mut self) -> Vec<u32> {
        if self.is_free() { Vec::new() } else { vec![self.on] }
    }
}

#[tokio::test]
async fn a_form_that_is_free_costs_no_mask_and_changes_nothing_until_it_is_not() {
    for config in [config(), guessing()] {
        let rig = Rig::free(EngineConfig { prefix_cache: false, ..config });
        for temperature in [0.0, 1.0] {
            let sampling = SamplingParams { temperature, ..sequence(1, 1, 6).sampling };
            let plain = NewSequence { sampling, ..sequence(4, 20, 6) };
            let expected = oracle::expect(&plain, VOCAB_SIZE).tokens;
            let on = (expected[9] + 1) % VOCAB_SIZE as u32;
            let num_masks = Arc::new(AtomicUsize::new(0));
            let form = Insists { on, at: 9, num_accepted: 0, num_masks: Arc::clone(&num_masks) };
            let (tokens, _) =
                read(&mut rig.handle.submit(under(&plain, Box::new(form))).expect("room")).await;
            assert_eq!((&tokens[..9], tokens[9], tokens.len()), (&expected[..9], on, 20));
            assert_eq!(num_masks.load(Ordering::Relaxed), 1);
        }
        rig.await_idle();
    }
}

#[tokio::test]
async fn the_only_token_that_a_form_lets_come_comes_even_where_the_client_bars_it() {
    let rig = Rig::free(EngineConfig { prefix_cache: false, ..config() });
    for temperature in [0.0, 1.0] {
        let allowed = Some(Arc::new(TokenSet::of(VOCAB_SIZE, [1, 2, 3])));
        let sampling = SamplingParams { temperature, allowed, ..sequence(1, 1, 6).sampling };
        let plain = NewSequence { sampling, ..sequence(4, 12, 6) };
        let form = Insists { on: 7, at: 5, num_accepted: 0, num_masks: Arc::default() };
        let (tokens, last) = read(&mut rig.handle.submit(under(&plain, Box::new(form))).expect("room")).await;
        assert!(matches!(last, TokenEvent::Finished { reason: FinishReason::Length, .. }), "{last:?}");
        assert_eq!((tokens.len(), tokens[5]), (12, 7));
        assert!(tokens.iter().enumerate().all(|(at, token)| at == 5 || [1, 2, 3].contains(token)));
    }
}

fn fixture() -> TextModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer");
    let template = br#"{{ messages[0].content }}<think>{# </think> #}"#;
    TextModel::load(&|file| match file {
        "chat_template.jinja" => Ok(Some(template.to_vec())),
        file => std::fs::read(folder.join(file)).map(Some).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        }),
    })
    .expect("the fixture loads")
}

#[tokio::test]
async fn a_budget_closes_the_reasoning_of_a_model_and_then_the_form_holds() {
    let model = fixture();
    let vocab_size = model.tokenizer().num_ids();
    let schema = serde_json::json!({"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
        "additionalProperties": false});
    let spec = model.format().after_reasoning(GrammarSpec::JsonSchema { schema });
    let grammar = model.grammars().compile(&spec).expect("compiles");
    for config in [config(), guessing()] {
        let rig = Rig::with_vocabulary(EngineConfig { prefix_cache: false, ..config }, vocab_size);
        for (max_tokens, temperature) in [(0, 0.0), (7, 0.0), (7, 1.0), (30, 1.0)] {
            let limits =
                ReasoningLimits { in_reasoning: true, max_tokens: Some(max_tokens), closes_loops: true };
            let sampling = SamplingParams { temperature, ..sequence(1, 1, 2).sampling };
            let plain = NewSequence { sampling, ..sequence(3, 150, 2) };
            let form = model.guard_reasoning(limits, Some(grammar.start())).expect("there is a budget");
            let (tokens, last) = read(&mut rig.handle.submit(under(&plain, form)).expect("room")).await;
            assert!(matches!(last, TokenEvent::Finished { reason: FinishReason::Complete, .. }), "{last:?}");
            let text = model.tokenizer().decode(&tokens, true).expect("decodes");
            let (_, answer) = text.split_once("</think>").expect(&text);
            let answer: serde_json::Value = serde_json::from_str(answer.trim()).expect(&text);
            assert!(answer["a"] == 1 || answer["a"] == 2, "{text}");
        }
        rig.await_idle();
        assert_eq!(rig.failed("constraint"), 0);
    }
}
