//! The generator over an engine that replays scripted tokens.

mod reasoning;

use std::path::Path;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::engine::{
    Command, EngineHandle, EngineLimits, EnginePulse, FinishReason, QueuedSequence, SequenceError, TokenEvent,
};
use crate::sampling::{Constraint, SamplingParams};
use crate::telemetry::{CacheInfo, Metrics};
use crate::text::{SpecialText, TextModel};

const END_OF_TURN: u32 = 8;
const STARTED: DeltaKind = DeltaKind::Started { prompt: None };

/// What the engine does with a sequence, by the number of its choice.
#[derive(Debug, Clone)]
enum Script {
    /// These tokens, then this end.
    Whole(Vec<u32>, FinishReason),
    /// These tokens, with what the sequence's constraint puts between them, then this end.
    Held(Vec<u32>, FinishReason),
    /// These tokens, then a fault.
    Fails(Vec<u32>, SequenceError),
    /// These tokens, then silence until the reader goes.
    Hangs(Vec<u32>),
    /// These tokens, then the engine dies.
    Dies(Vec<u32>),
}

/// What the fake engine saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Submitted { prompt: Vec<u32>, sampling: SamplingParams, max_new_tokens: u32, stop_token_ids: Vec<u32> },
    Aborted,
}

struct Fake {
    generator: Generator,
    metrics: Arc<Metrics>,
    seen: std_mpsc::Receiver<Seen>,
    thread: JoinHandle<()>,
}

fn limits() -> EngineLimits {
    EngineLimits { max_model_len: 512, max_waiting: 8, max_buffered_events: 1024 }
}

fn text_model() -> Arc<TextModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer");
    Arc::new(TextModel::open(&folder).expect("the fixture loads"))
}

impl Fake {
    fn new(script: impl Fn(u32) -> Script + Send + 'static) -> Self {
        Self::with(limits(), ServingConfig::default(), script)
    }

    /// An engine of this model.
    fn of(
        text: Arc<TextModel>,
        config: ServingConfig,
        script: impl Fn(u32) -> Script + Send + 'static,
    ) -> Self {
        Self::start(text, limits(), config, script)
    }

    fn with(
        limits: EngineLimits,
        config: ServingConfig,
        script: impl Fn(u32) -> Script + Send + 'static,
    ) -> Self {
        Self::start(text_model(), limits, config, script)
    }

    fn start(
        text: Arc<TextModel>,
        limits: EngineLimits,
        config: ServingConfig,
        script: impl Fn(u32) -> Script + Send + 'static,
    ) -> Self {
        let (commands, receiver) = mpsc::channel(64);
        let (report, seen) = std_mpsc::channel();
        let thread = std::thread::spawn(move || replay(receiver, &report, script));
        let handle = EngineHandle::new(commands, Arc::new(EnginePulse::new(64)), limits);
        let cache = CacheInfo { block_size: 16, num_blocks: 64 };
        let metrics = Arc::new(Metrics::new("fake", cache).expect("valid names"));
        let generator = Generator::new(handle, text, Arc::clone(&metrics), config);
        Self { generator, metrics, seen, thread }
    }

    /// Ends the engine and gives what it saw.
    fn end(self) -> Vec<Seen> {
        drop(self.generator);
        self.thread.join().expect("the fake engine ends well");
        self.seen.iter().collect()
    }
}

/// What comes out if a model wants to write these tokens and the constraint lets only one token come at times.
fn held(mut constraint: Option<Box<dyn Constraint>>, wanted: Vec<u32>) -> Vec<u32> {
    let Some(constraint) = &mut constraint else { return wanted };
    let mut output = Vec::new();
    for next in wanted {
        while !constraint.allows(next) {
            let only = constraint.forced()[0];
            constraint.accept(only).expect("it must come");
            output.push(only);
        }
        constraint.accept(next).expect("it may come");
        output.push(next);
    }
    output
}

fn replay(
    mut commands: mpsc::Receiver<Command>,
    report: &std_mpsc::Sender<Seen>,
    script: impl Fn(u32) -> Script,
) {
    let mut hanging = Vec::new();
    while let Some(command) = commands.blocking_recv() {
        match command {
            Command::Submit(queued) => {
                let QueuedSequence { sequence, events, ticket, .. } = *queued;
                let choice = sequence.sampling.choice_index;
                let submitted = Seen::Submitted {
                    prompt: sequence.prompt.to_vec(),
                    sampling: sequence.sampling,
                    max_new_tokens: sequence.max_new_tokens,
                    stop_token_ids: sequence.stop_token_ids.to_vec(),
                };
                // Nobody looks at the report in many tests.
                let _ = report.send(submitted);
                drop(ticket);
                let send = |event| events.blocking_send(event).is_ok();
                let play = |tokens: Vec<u32>| {
                    send(TokenEvent::Scheduled { num_cached_tokens: choice });
                    tokens.into_iter().all(|token_id| send(TokenEvent::Token { token_id, logprobs: None }))
                };
                match script(choice) {
                    Script::Whole(tokens, reason) => {
                        let _ = play(tokens) && send(TokenEvent::finished(reason));
                    }
                    Script::Held(wanted, reason) => {
                        let tokens = held(sequence.constraint, wanted);
                        let _ = play(tokens) && send(TokenEvent::finished(reason));
                    }
                    Script::Fails(tokens, error) => {
                        let _ = play(tokens) && send(TokenEvent::Failed { error });
                    }
                    Script::Hangs(tokens) => {
                        play(tokens);
                        hanging.push(events);
                    }
                    Script::Dies(tokens) => {
                        play(tokens);
                        return;
                    }
                }
            }
            Command::Abort(_) => {
                let _ = report.send(Seen::Aborted);
            }
            Command::Drain | Command::Stop => return,
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn run<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

fn request(content: &str) -> GenerateRequest {
    GenerateRequest::new(PromptInput::Chat(ChatPrompt::new(vec![ChatMessage::new("user", content)])))
}

fn encode_user(content: &str) -> Vec<u32> {
    let chat = ChatPrompt::new(vec![ChatMessage::new("user", content)]);
    text_model().encode_chat(&chat).expect("encodes").token_ids
}

fn tokens(text: &str) -> Vec<u32> {
    text_model().tokenizer().encode(text, SpecialText::Plain, false).expect("encodes")
}

fn stopped(text: &str) -> Script {
    Script::Whole(tokens(text), FinishReason::StopToken { token_id: END_OF_TURN })
}

/// Reads a generation to its end.
async fn deltas(mut generation: Generation) -> Vec<OutputDelta> {
    let mut deltas = Vec::new();
    while let Some(delta) = generation.next().await {
        deltas.push(delta);
    }
    assert!(generation.next().await.is_none(), "the end stays the end");
    deltas
}

fn of_choice(deltas: &[OutputDelta], choice: u32) -> Vec<DeltaKind> {
    deltas.iter().filter(|delta| delta.choice == choice).map(|delta| delta.kind.clone()).collect()
}

/// The text of one choice, after a look at the order of its deltas.
fn text_of(kinds: &[DeltaKind]) -> String {
    let (first, rest) = kinds.split_first().expect("some deltas");
    let (last, middle) = rest.split_last().expect("a last delta");
    assert_eq!(first, &STARTED);
    assert!(matches!(last, DeltaKind::Finished { .. } | DeltaKind::Failed(_)), "{last:?}");
    let piece = |kind: &DeltaKind| match kind {
        DeltaKind::Text(text) if !text.is_empty() => text.clone(),
        other => panic!("{other:?} in the middle"),
    };
    middle.iter().map(piece).collect()
}

#[test]
fn a_whole_answer_is_the_stream_folded() {
    run(async {
        let answer = "안녕하세요! Hello 👩‍💻 🇰🇷.";
        let fake = Fake::new(move |_| stopped(answer));
        let streamed = deltas(fake.generator.generate(request("hi")).await.expect("admitted")).await;
        assert_eq!(text_of(&of_choice(&streamed, 0)), answer);
        let num_output_tokens = tokens(answer).len() as u32 + 1;
        let usage = ChoiceUsage { num_output_tokens, ..ChoiceUsage::default() };
        let end = DeltaKind::Finished { reason: OutputFinish::Stop, stop: None, usage };
        assert_eq!(streamed.last().map(|delta| &delta.kind), Some(&end));

        let generation = fake.generator.generate(request("hi")).await.expect("admitted");
        let whole = generation.collect().await.expect("no fault");
        let choice = ChoiceOutput { text: answer.to_owned(), usage, ..ChoiceOutput::new(0) };
        assert_eq!(whole, GenerationOutput { choices: vec![choice], prompt: None });
    });
}

#[test]
fn the_engine_gets_the_rendered_prompt_and_complete_parameters() {
    run(async {
        let fake = Fake::new(|_| stopped("ok"));
        let mut asked = request("hi");
        asked.num_choices = 2;
        asked.end.max_new_tokens = Some(7);
        asked.sampling =
            SamplingOptions { temperature: Some(0.5), top_k: Some(4), seed: Some(9), ..Default::default() };
        let generation = fake.generator.generate(asked).await.expect("admitted");
        let prompt = encode_user("hi");
        assert_eq!(generation.num_prompt_tokens(), prompt.len());
        assert_eq!((generation.seed(), generation.max_new_tokens()), (9, 7));
        drop(generation.collect().await.expect("no fault"));
        let expected = |choice_index| Seen::Submitted {
            prompt: prompt.clone(),
            sampling: SamplingParams {
                temperature: 0.5,
                top_k: 4,
                top_p: 1.0,
                seed: 9,
                choice_index,
                ..SamplingParams::greedy()
            },
            max_new_tokens: 7,
            stop_token_ids: vec![END_OF_TURN],
        };
        assert_eq!(fake.end(), [expected(0), expected(1)]);
    });
}

#[test]
fn an_absent_seed_is_drawn_once_for_all_choices() {
    run(async {
        let fake = Fake::new(|_| stopped("ok"));
        let mut asked = request("hi");
        asked.num_choices = 3;
        let mut seeds = Vec::new();
        for _ in 0..2 {
            let generation = fake.generator.generate(asked.clone()).await.expect("admitted");
            seeds.push(generation.seed());
            generation.collect().await.expect("no fault");
        }
        assert_ne!(seeds[0], seeds[1]);
        let used: Vec<u64> = fake
            .end()
            .into_iter()
            .map(|seen| match seen {
                Seen::Submitted { sampling, .. } => sampling.seed,
                Seen::Aborted => panic!("nothing was aborted"),
            })
            .collect();
        assert_eq!(used, [seeds[0], seeds[0], seeds[0], seeds[1], seeds[1], seeds[1]]);
    });
}

#[test]
fn choices_are_merged_and_begin_in_order() {
    run(async {
        let answers = ["하나 둘 셋 넷", "one two three four five", "👨‍👩‍👧‍👦 family"];
        let fake = Fake::new(move |choice| stopped(answers[choice as usize]));
        let mut asked = request("hi");
        asked.num_choices = 3;
        let streamed = deltas(fake.generator.generate(asked).await.expect("admitted")).await;
        let begun: Vec<u32> =
            streamed.iter().filter(|delta| delta.kind == STARTED).map(|delta| delta.choice).collect();
        assert_eq!(begun, [0, 1, 2]);
        for (choice, answer) in (0..).zip(answers) {
            assert_eq!(text_of(&of_choice(&streamed, choice)), answer);
        }
    });
}

#[test]
fn no_choice_waits_until_another_has_ended() {
    run(async {
        let fake = Fake::new(|choice| match choice {
            0 => Script::Hangs(tokens("waiting")),
            _ => stopped("done"),
        });
        let mut asked = request("hi");
        asked.num_choices = 2;
        let mut generation = fake.generator.generate(asked).await.expect("admitted");
        let mut seen = Vec::new();
        while !matches!(seen.last(), Some(OutputDelta { choice: 1, kind: DeltaKind::Finished { .. }, .. })) {
            seen.push(generation.next().await.expect("choice 1 ends while choice 0 is open"));
        }
        assert_eq!(text_of(&of_choice(&seen, 1)), "done");
    });
}

#[test]
fn a_stop_string_ends_the_choice_and_aborts_its_sequence() {
    run(async {
        let fake = Fake::new(|_| Script::Hangs(tokens("The answer is 42. STOP and more")));
        let mut asked = request("hi");
        asked.end.stop = vec![" STOP".to_owned(), "never".to_owned()];
        let streamed = deltas(fake.generator.generate(asked).await.expect("admitted")).await;
        let kinds = of_choice(&streamed, 0);
        assert_eq!(text_of(&kinds), "The answer is 42.");
        let cause = Some(StopCause::String(" STOP".to_owned()));
        assert!(
            matches!(kinds.last(), Some(DeltaKind::Finished { reason: OutputFinish::Stop, stop, .. }) if *stop == cause)
        );
        assert_eq!(fake.metrics.request_success.with_label_values(&["stop"]).get(), 1);
        assert_eq!(fake.end().last(), Some(&Seen::Aborted));
    });
}

#[test]
fn text_held_back_for_a_stop_string_or_a_cluster_is_not_lost_at_the_end() {
    run(async {
        let fake = Fake::new(|_| Script::Whole(tokens("끝 STO"), FinishReason::Length));
        let mut asked = request("hi");
        asked.end.stop = vec!["STOP".to_owned()];
        let streamed = deltas(fake.generator.generate(asked).await.expect("admitted")).await;
        let kinds = of_choice(&streamed, 0);
        assert_eq!(text_of(&kinds), "끝 STO");
        let num_output_tokens = tokens("끝 STO").len() as u32;
        let usage = ChoiceUsage { num_output_tokens, ..ChoiceUsage::default() };
        assert_eq!(
            kinds.last(),
            Some(&DeltaKind::Finished { reason: OutputFinish::Length, stop: None, usage })
        );
    });
}

#[test]
fn an_output_cut_inside_a_character_ends_with_a_replacement_character() {
    run(async {
        let mut cut = tokens("좋뷁");
        cut.pop();
        let expected = text_model().tokenizer().decode(&cut, true).expect("decodes");
        assert!(expected.ends_with('\u{fffd}'), "{expected}");
        let fake = Fake::new(move |_| Script::Whole(cut.clone(), FinishReason::Length));
        let whole = fake.generator.generate(request("hi")).await.expect("admitted").collect().await;
        assert_eq!(whole.expect("no fault").choices[0].text, expected);
    });
}

#[test]
fn a_reader_that_leaves_aborts_every_choice() {
    run(async {
        let fake = Fake::new(|_| Script::Hangs(tokens("some text that goes on")));
        let mut asked = request("hi");
        asked.num_choices = 3;
        let mut generation = fake.generator.generate(asked).await.expect("admitted");
        generation.next().await.expect("a first delta");
        drop(generation);
        let aborted = fake.end().iter().filter(|seen| **seen == Seen::Aborted).count();
        assert_eq!(aborted, 3);
    });
}

#[test]
fn a_request_dropped_while_it_is_prepared_gives_its_place_back() {
    run(async {
        let config = ServingConfig { max_preparing: 1, ..ServingConfig::default() };
        let fake = Fake::with(limits(), config, |_| stopped("ok"));
        for _ in 0..3 {
            tokio::select! {
                biased;
                admitted = fake.generator.generate(request("hi")) => drop(admitted),
                () = std::future::ready(()) => {}
            }
        }
        fake.generator
            .generate(request("hi"))
            .await
            .expect("a free place")
            .collect()
            .await
            .expect("no fault");
    });
}

#[test]
fn a_fault_comes_after_the_text_before_it() {
    run(async {
        let fake = Fake::new(|choice| match choice {
            0 => stopped("fine"),
            _ => Script::Fails(tokens("half of"), SequenceError::InvalidLogits),
        });
        let mut asked = request("hi");
        asked.num_choices = 2;
        let streamed = deltas(fake.generator.generate(asked.clone()).await.expect("admitted")).await;
        assert_eq!(text_of(&of_choice(&streamed, 0)), "fine");
        let failed = of_choice(&streamed, 1);
        assert_eq!(text_of(&failed), "half of");
        assert_eq!(failed.last(), Some(&DeltaKind::Failed(SequenceError::InvalidLogits)));
        let whole = fake.generator.generate(asked).await.expect("admitted").collect().await;
        assert_eq!(whole, Err(SequenceError::InvalidLogits));
    });
}

#[test]
fn the_death_of_the_engine_ends_open_choices_with_a_fault() {
    run(async {
        let fake = Fake::new(|_| Script::Dies(tokens("about to")));
        let streamed = deltas(fake.generator.generate(request("hi")).await.expect("admitted")).await;
        let kinds = of_choice(&streamed, 0);
        assert_eq!(text_of(&kinds), "about to");
        assert_eq!(kinds.last(), Some(&DeltaKind::Failed(SequenceError::EngineStopped)));
        while !fake.thread.is_finished() {
            tokio::task::yield_now().await;
        }
        let refused = fake.generator.generate(request("hi")).await.expect_err("no engine");
        assert_eq!(refused, GenerateError::ShuttingDown);
    });
}

#[test]
fn output_is_clamped_to_the_context_and_a_prompt_that_fills_it_is_refused_with_the_numbers() {
    run(async {
        let fake = Fake::new(|_| stopped("ok"));
        let mut asked = request("hi");
        asked.end.max_new_tokens = Some(100_000);
        let generation = fake.generator.generate(asked).await.expect("admitted");
        assert_eq!(generation.max_new_tokens() as usize, 512 - generation.num_prompt_tokens());
        let long = "가".repeat(600);
        let num_prompt_tokens = encode_user(&long).len();
        let refused = fake.generator.generate(request(&long)).await.expect_err("too long");
        assert_eq!(refused, GenerateError::ContextLengthExceeded { num_prompt_tokens, max_model_len: 512 });
        assert_eq!(fake.metrics.rejected.with_label_values(&["context_length"]).get(), 1);
    });
}

#[test]
fn a_full_queue_is_busy_and_leaves_no_choice_behind() {
    run(async {
        let limits = EngineLimits { max_waiting: 2, ..limits() };
        let (commands, mut receiver) = mpsc::channel(64);
        let handle = EngineHandle::new(commands, Arc::new(EnginePulse::new(64)), limits);
        let cache = CacheInfo { block_size: 16, num_blocks: 64 };
        let metrics = Arc::new(Metrics::new("fake", cache).expect("valid names"));
        let generator = Generator::new(handle, text_model(), Arc::clone(&metrics), ServingConfig::default());
        let mut asked = request("hi");
        asked.num_choices = 3;
        let refused = generator.generate(asked).await.expect_err("no place for the third");
        let full = Congestion::Queue(Overload::QueueFull { waiting: 2, max: 2 });
        assert!(
            matches!(&refused, GenerateError::Overloaded { reason, .. } if *reason == full),
            "{refused:?}"
        );
        assert_eq!(metrics.rejected.with_label_values(&["queue_full"]).get(), 1);
        let mut aborted = 0;
        while let Ok(command) = receiver.try_recv() {
            aborted += usize::from(matches!(command, Command::Abort(_)));
        }
        assert_eq!(aborted, 2);
        assert_eq!(generator.pulse().num_waiting(), 0);
    });
}

#[test]
fn a_request_at_fault_is_refused_by_field() {
    let change = |change: &dyn Fn(&mut GenerateRequest)| {
        let mut asked = request("hi");
        change(&mut asked);
        asked
    };
    let text = |text: &str| PromptInput::text(text);
    let chat = |role: &str| PromptInput::Chat(ChatPrompt::new(vec![ChatMessage::new(role, "x")]));
    let cases = [
        (change(&|r| r.prompt = PromptInput::Chat(ChatPrompt::new(Vec::new()))), "messages"),
        (change(&|r| r.prompt = chat("robot")), "messages[0].role"),
        (change(&|r| r.prompt = text("")), "prompt"),
        (change(&|r| r.prompt = text(&"x".repeat(1001))), "prompt"),
        (change(&|r| r.num_choices = 0), "n"),
        (change(&|r| r.num_choices = 129), "n"),
        (change(&|r| r.sampling.logit_bias = vec![(512, 1.0)]), "logit_bias[0]"),
        (change(&|r| r.end.stop_token_ids = vec![1, u32::MAX]), "stop_token_ids[1]"),
        (change(&|r| r.sampling.allowed_token_ids = Some(vec![512])), "allowed_token_ids[0]"),
        (change(&|r| r.prompt = PromptInput::Tokens(vec![1, 2, 512])), "prompt[2]"),
        (change(&|r| r.sampling.temperature = Some(-0.1)), "temperature"),
        (change(&|r| r.sampling.temperature = Some(f32::NAN)), "temperature"),
        (change(&|r| r.sampling.top_p = Some(0.0)), "top_p"),
        (change(&|r| r.sampling.top_p = Some(f32::NAN)), "top_p"),
        (change(&|r| r.end.stop = vec!["a".to_owned(); 17]), "stop"),
        (change(&|r| r.end.stop = vec!["a".to_owned(), String::new()]), "stop[1]"),
        (change(&|r| r.end.stop = vec!["a".repeat(257)]), "stop[0]"),
    ];
    run(async {
        let config = ServingConfig { max_prompt_bytes: 1000, ..ServingConfig::default() };
        let fake = Fake::with(limits(), config, |_| stopped("ok"));
        for (asked, param) in cases {
            match fake.generator.generate(asked).await.expect_err(param) {
                GenerateError::Invalid(fault) => assert_eq!(fault.param, param),
                other => panic!("{param}: {other:?}"),
            }
        }
        assert!(fake.end().is_empty());
    });
}

#[test]
fn raw_text_is_continued_as_it_stands() {
    run(async {
        let fake = Fake::new(|_| stopped("ok"));
        let mut asked = request("hi");
        asked.prompt = PromptInput::text("[|user|]once");
        fake.generator.generate(asked).await.expect("admitted").collect().await.expect("no fault");
        let expected = [vec![5], tokens("once")].concat();
        match fake.end().as_slice() {
            [Seen::Submitted { prompt, .. }] => assert_eq!(prompt, &expected),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn the_times_and_counts_of_a_choice_are_observed_once() {
    run(async {
        let fake = Fake::new(|_| stopped("one two three"));
        fake.generator.generate(request("hi")).await.expect("admitted").collect().await.expect("no fault");
        let page = fake.metrics.render();
        let count = |name: &str| {
            let line = page.lines().find(|line| line.starts_with(&format!("{name}_count")));
            line.and_then(|line| line.rsplit(' ').next()).expect(name).to_owned()
        };
        let once = [
            "vllm:time_to_first_token_seconds",
            "vllm:e2e_request_latency_seconds",
            "vllm:request_queue_time_seconds",
            "vllm:request_prefill_time_seconds",
            "vllm:request_decode_time_seconds",
            "vllm:request_inference_time_seconds",
            "vllm:request_prompt_tokens",
            "vllm:request_generation_tokens",
        ];
        for name in once {
            assert_eq!(count(name), "1", "{name}");
        }
        assert_eq!(count("vllm:inter_token_latency_seconds"), tokens("one two three").len().to_string());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whole_texts_equal_the_concatenated_deltas(
        scripts in proptest::collection::vec(
            (proptest::collection::vec(0_u32..520, 0..40), "[가-힣a-z 👍🇰🇷👩‍💻\n]{0,12}"), 3),
        stop in proptest::collection::vec("[가-힣a-z ]{1,2}", 0..4),
    ) {
        let model = text_model();
        let encoded: Vec<Vec<u32>> =
            scripts.iter().map(|(ids, text)| [tokens(text), ids.clone()].concat()).collect();
        let whole: Vec<String> =
            encoded.iter().map(|ids| model.tokenizer().decode(ids, true).expect("decodes")).collect();
        run(async {
            let replayed = encoded.clone();
            let script = move |choice: u32| Script::Whole(replayed[choice as usize].clone(), FinishReason::Length);
            let fake = Fake::new(script);
            let mut asked = request("hi");
            asked.num_choices = 3;
            asked.end.stop = stop.clone();
            let streamed = deltas(fake.generator.generate(asked.clone()).await.expect("admitted")).await;
            let collected = fake.generator.generate(asked).await.expect("admitted").collect().await;
            for output in collected.expect("no fault").choices {
                let concatenated = text_of(&of_choice(&streamed, output.choice));
                assert_eq!(concatenated, output.text);
                let decoded = &whole[output.choice as usize];
                match output.reason {
                    OutputFinish::Length => assert_eq!(&output.text, decoded),
                    OutputFinish::Stop | OutputFinish::ToolCalls => {
                        let rest = decoded.strip_prefix(output.text.as_str()).expect("a beginning of the text");
                        assert!(stop.iter().any(|stop| rest.starts_with(stop.as_str())), "{rest:?}");
                    }
                }
                assert!(stop.iter().all(|stop| !output.text.contains(stop.as_str())));
            }
        });
    }
}
