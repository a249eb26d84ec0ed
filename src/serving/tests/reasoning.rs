//! Models that reason: where the reasoning goes, what it costs, what ends it.

use super::*;

/// The prompt ends inside the reasoning.
const OPENS: &str = "{{ messages[0].content }}[|assistant|]<think>\n{# </think> #}";
/// The prompt ends after reasoning that holds nothing.
const EMPTY: &str = "{{ messages[0].content }}[|assistant|]<think>\n\n</think>\n\n";
/// The model opens the tag itself, if it likes.
const FREE: &str = "{{ messages[0].content }}[|assistant|]{# <think> </think> #}";

fn model(template: &'static str) -> Arc<TextModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer");
    let load = |file: &str| match (file, std::fs::read(folder.join(file))) {
        ("chat_template.jinja", _) => Ok(Some(template.as_bytes().to_vec())),
        (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        (_, bytes) => bytes.map(Some),
    };
    Arc::new(TextModel::load(&load).expect("the fixture loads"))
}

/// The answer of a model with this template that writes what `script` says.
fn answer(
    template: &'static str,
    script: Script,
    change: impl FnOnce(&mut GenerateRequest),
) -> (ChoiceOutput, Vec<DeltaKind>) {
    let fake = Fake::of(model(template), ServingConfig::default(), move |_| script.clone());
    let mut asked = request("hi");
    change(&mut asked);
    run(async {
        let streamed = deltas(fake.generator.generate(asked.clone()).await.expect("admitted")).await;
        let whole = fake.generator.generate(asked).await.expect("admitted").collect().await;
        (whole.expect("no fault").choices.remove(0), of_choice(&streamed, 0))
    })
}

fn unchanged(_: &mut GenerateRequest) {}

#[test]
fn reasoning_that_the_prompt_opens_is_told_apart_and_counted_with_its_closing_tag() {
    let (output, streamed) = answer(OPENS, stopped("I think\n</think>\n\nSo be it."), unchanged);
    assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("I think", "So be it."));
    let num_output_tokens = tokens("I think\n</think>\n\nSo be it.").len() as u32 + 1;
    assert_eq!(output.usage.num_output_tokens, num_output_tokens);
    assert_eq!(output.usage.num_reasoning_tokens, tokens("I think\n</think>").len() as u32);
    let joined =
        |wanted: fn(&DeltaKind) -> Option<&str>| streamed.iter().filter_map(wanted).collect::<String>();
    let reasoning = joined(|kind| match kind {
        DeltaKind::Reasoning(text) => Some(text),
        _ => None,
    });
    let text = joined(|kind| match kind {
        DeltaKind::Text(text) => Some(text),
        _ => None,
    });
    assert_eq!((reasoning, text), (output.reasoning, output.text));
}

#[test]
fn reasoning_that_the_model_opens_is_counted_from_its_opening_tag_on() {
    let (output, _) = answer(FREE, stopped("<think>hm</think>Yes."), unchanged);
    assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("hm", "Yes."));
    assert_eq!(output.usage.num_reasoning_tokens, tokens("<think>hm</think>").len() as u32);
}

#[test]
fn an_answer_without_reasoning_has_none_and_costs_none() {
    for template in [FREE, EMPTY] {
        let (output, _) = answer(template, stopped("Plain <b>text</b>."), unchanged);
        assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("", "Plain <b>text</b>."));
        assert_eq!(output.usage.num_reasoning_tokens, 0);
    }
}

#[test]
fn reasoning_that_never_closes_is_not_lost() {
    let ends = [FinishReason::Length, FinishReason::StopToken { token_id: END_OF_TURN }];
    for reason in ends {
        let (output, _) = answer(OPENS, Script::Whole(tokens("on and on </thi"), reason), unchanged);
        assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("on and on </thi", ""));
        assert_eq!(output.usage.num_reasoning_tokens, tokens("on and on </thi").len() as u32);
        let expected = if reason == FinishReason::Length { OutputFinish::Length } else { OutputFinish::Stop };
        assert_eq!(output.reason, expected);
    }
}

#[test]
fn stop_strings_end_the_answer_and_never_the_reasoning() {
    for (include_stop, shown) in [(false, "go "), (true, "go STOP")] {
        let script = Script::Hangs(tokens("a STOP and <think>\n</think>\n\ngo STOP on"));
        let (output, _) = answer(OPENS, script, |asked| {
            asked.end.stop = vec!["STOP".to_owned(), "<think>".to_owned()];
            asked.end.include_stop = include_stop;
        });
        assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("a STOP and <think>", shown));
        assert_eq!(output.stop, Some(StopCause::String("STOP".to_owned())));
    }
    // Nor do they match across the border.
    let (output, _) = answer(OPENS, stopped("one ST</think>OP two"), |asked| {
        asked.end.stop = vec!["STOP".to_owned()];
    });
    assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("one ST", "OP two"));
}

#[test]
fn reasoning_that_is_not_to_be_told_apart_is_text_with_its_tags() {
    let (output, _) = answer(FREE, stopped("<think>hm</think>Yes."), |asked| asked.reasoning.parse = false);
    assert_eq!((output.reasoning.as_str(), output.text.as_str()), ("", "<think>hm</think>Yes."));
    assert_eq!(output.usage.num_reasoning_tokens, tokens("<think>hm</think>").len() as u32);
}

#[test]
fn a_budget_closes_the_reasoning_and_the_answer_goes_on() {
    let thought = "one two three four five";
    let num_tokens = tokens(thought).len();
    for max_tokens in [0, 1, num_tokens - 1] {
        let end = FinishReason::StopToken { token_id: END_OF_TURN };
        let (output, _) = answer(OPENS, Script::Held(tokens(thought), end), |asked| {
            asked.reasoning.max_tokens = Some(max_tokens as u32);
        });
        let ids = tokens(thought);
        let decode = |ids: &[u32]| text_model().tokenizer().decode(ids, true).expect("decodes");
        let (reasoning, text) = (decode(&ids[..max_tokens]), decode(&ids[max_tokens..]));
        assert_eq!((output.reasoning, output.text), (reasoning, text));
        let closing = tokens("\n</think>").len();
        assert_eq!(output.usage.num_reasoning_tokens as usize, max_tokens + closing);
    }
}

#[test]
fn a_loop_closes_the_reasoning_if_the_server_is_told_to_and_an_answer_is_left_alone() {
    let model_len = EngineLimits { max_model_len: 4096, max_buffered_events: 8192, ..limits() };
    let wanted = "la ".repeat(700);
    let closed = |template: &'static str, closes: bool| {
        let config = ServingConfig { close_reasoning_loops: closes, ..ServingConfig::default() };
        let script = Script::Held(tokens(&wanted), FinishReason::Length);
        let fake = Fake::start(model(template), model_len, config, move |_| script.clone());
        let output = run(async {
            fake.generator.generate(request("hi")).await.expect("admitted").collect().await.expect("no fault")
        });
        let [choice] = &output.choices[..] else { panic!("one choice was asked for") };
        assert_eq!(format!("{}{}", choice.reasoning, choice.text), wanted);
        !choice.reasoning.is_empty() && !choice.text.is_empty()
    };
    assert!(closed(OPENS, true));
    assert!(!closed(OPENS, false) && !closed(FREE, true));
}

#[test]
fn a_text_that_is_continued_is_never_held() {
    let script = Script::Held(tokens("<think>one two three"), FinishReason::Length);
    let (output, _) = answer(OPENS, script, |asked| {
        asked.prompt = PromptInput::text("<think>");
        asked.reasoning.max_tokens = Some(0);
    });
    assert_eq!(output.text, "<think>one two three");
}
