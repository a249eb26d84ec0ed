use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::text::TextModel;
use crate::text::test_support::{fixture, tokenizer_with};

fn format(reasoning: Option<ReasoningTags>, calls: CallSyntax) -> OutputFormat {
    OutputFormat { reasoning, calls, has_native_tools: true, special: Vec::new() }
}

const ALL: ParserOptions = ParserOptions { in_reasoning: false, parse_reasoning: true, parse_tools: true };

/// What a parser gave in all, neighbours of one kind joined; a call is its name and its arguments.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Reasoning(String),
    Content(String),
    Call { name: String, arguments: String },
}

/// Joins events, and checks that calls begin and end in turn.
fn parts(events: impl IntoIterator<Item = FormatEvent>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut in_call = false;
    for event in events {
        match (event, parts.last_mut()) {
            (FormatEvent::Reasoning(text), Some(Part::Reasoning(last))) if !in_call => *last += &text,
            (FormatEvent::Content(text), Some(Part::Content(last))) if !in_call => *last += &text,
            (FormatEvent::Reasoning(text), _) if !in_call => parts.push(Part::Reasoning(text)),
            (FormatEvent::Content(text), _) if !in_call => parts.push(Part::Content(text)),
            (FormatEvent::CallStarted { name }, _) if !in_call => {
                in_call = true;
                parts.push(Part::Call { name, arguments: String::new() });
            }
            (FormatEvent::CallArguments(text), Some(Part::Call { arguments, .. })) if in_call => {
                assert!(!text.is_empty());
                *arguments += &text;
            }
            (FormatEvent::CallEnded, _) if in_call => in_call = false,
            (event, _) => panic!("{event:?} does not belong here"),
        }
    }
    assert!(!in_call, "a call never ended");
    parts
}

fn parse<'a>(
    format: &OutputFormat,
    options: ParserOptions,
    pieces: impl IntoIterator<Item = &'a str>,
) -> Vec<Part> {
    let mut parser = format.parser(options);
    let mut events: Vec<FormatEvent> = pieces.into_iter().flat_map(|piece| parser.push(piece)).collect();
    events.extend(parser.finish());
    parts(events)
}

/// The text, cut at character borders: whole, into characters, and into pieces of a few lengths.
fn cuts(text: &str) -> Vec<Vec<&str>> {
    let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let by = |lengths: &[usize]| {
        let mut pieces = Vec::new();
        let mut at = 0;
        for &length in lengths.iter().cycle() {
            if at + 1 >= borders.len() {
                break;
            }
            let end = (at + length).min(borders.len() - 1);
            pieces.push(&text[borders[at]..borders[end]]);
            at = end;
        }
        pieces
    };
    vec![vec![text], by(&[1]), by(&[2]), by(&[3, 1, 7]), by(&[5, 2]), by(&[11, 1, 1]), by(&[16])]
}

fn run_fixture(json: &str, format: &OutputFormat) {
    let cases: Vec<Value> = serde_json::from_str(json).expect("the fixture is JSON");
    assert!(cases.len() >= 8);
    let mut faults = String::new();
    for case in &cases {
        let flag = |key: &str, default| case.get(key).map_or(default, |value| value == true);
        let options = ParserOptions {
            in_reasoning: flag("in_reasoning", false),
            parse_reasoning: flag("parse_reasoning", true),
            parse_tools: flag("parse_tools", true),
        };
        let expected: Vec<Part> = case["events"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|event| {
                let text = |key: &str| event[key].as_str().map(str::to_owned);
                match (text("reasoning"), text("content"), text("call")) {
                    (Some(text), _, _) => Part::Reasoning(text),
                    (_, Some(text), _) => Part::Content(text),
                    (_, _, name) => Part::Call {
                        name: name.expect("a call"),
                        arguments: text("arguments").expect("arguments"),
                    },
                }
            })
            .collect();
        for pieces in cuts(case["output"].as_str().expect("a text")) {
            let got = parse(format, options, pieces.iter().copied());
            if got != expected {
                let _ = writeln!(faults, "{}\n  {pieces:?}\n  {got:?}\n  {expected:?}", case["name"]);
                break;
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn tagged_calls_are_read_as_the_fixture_says() {
    let json = include_str!("../../../tests/fixtures/formats/tagged.json");
    run_fixture(json, &format(None, CallSyntax::Tagged));
    run_fixture(json, &format(Some(THINK), CallSyntax::Tagged));
}

#[test]
fn bare_calls_are_read_as_the_fixture_says() {
    let json = include_str!("../../../tests/fixtures/formats/bare.json");
    run_fixture(json, &format(None, CallSyntax::Bare));
    run_fixture(json, &format(Some(THINK), CallSyntax::Bare));
}

#[test]
fn reasoning_is_read_as_the_fixtures_say() {
    let think = include_str!("../../../tests/fixtures/formats/think.json");
    run_fixture(think, &format(Some(THINK), CallSyntax::Tagged));
    let thought = include_str!("../../../tests/fixtures/formats/thought.json");
    run_fixture(thought, &format(Some(THOUGHT), CallSyntax::Tagged));
}

#[test]
fn a_call_goes_out_as_it_comes() {
    let format = format(Some(THINK), CallSyntax::Tagged);
    let mut parser = format.parser(ALL);
    let start = |name: &str| FormatEvent::CallStarted { name: name.to_owned() };
    let more = |text: &str| FormatEvent::CallArguments(text.to_owned());
    assert_eq!(parser.push("<tool_call>{\"name\": \"get_wea"), []);
    assert_eq!(parser.push("ther\", \"arguments\": "), []);
    assert_eq!(parser.push("{\"ci"), [start("get_weather"), more("{\"ci")]);
    assert_eq!(parser.push("ty\": \"서"), [more("ty\": \"서")]);
    assert_eq!(parser.push("울\"}"), [more("울\"}")]);
    assert_eq!(parser.push("}"), [FormatEvent::CallEnded]);
    assert_eq!(parser.push("</tool_call>\n"), []);
    assert_eq!(parser.finish(), []);
}

#[test]
fn only_what_may_become_a_mark_or_stand_beside_a_call_is_held_back() {
    let format = format(Some(THINK), CallSyntax::Tagged);
    let mut parser = format.parser(ALL);
    let text = |text: &str| vec![FormatEvent::Content(text.to_owned())];
    assert_eq!(parser.push("a <tool"), text("a"));
    assert_eq!(parser.push("box> b"), text(" <toolbox> b"));
    assert_eq!(parser.push(" \n"), []);
    assert_eq!(parser.push("c"), text(" \nc"));
    let mut parser = format.parser(ParserOptions { parse_tools: false, ..ALL });
    assert_eq!(parser.push("a \n<tool_call>"), text("a \n<tool_call>"));
    let mut parser = format.parser(ParserOptions { in_reasoning: true, ..ALL });
    assert!(parser.is_in_reasoning());
    assert_eq!(
        parser.push("a <tool_call> b\n</think"),
        [FormatEvent::Reasoning("a <tool_call> b".to_owned())]
    );
    assert!(parser.is_in_reasoning());
    assert_eq!(parser.push(">\n\nc"), text("c"));
    assert!(!parser.is_in_reasoning());
}

#[test]
fn arguments_may_nest_deep_but_not_without_end() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!("<tool_call>{{\"name\": \"f\", \"arguments\": {{\"a\": {open}{close}}}}}</tool_call>x")
    };
    let format = format(None, CallSyntax::Tagged);
    let last = |depth: usize| parse(&format, ALL, [nested(depth).as_str()]).pop();
    assert_eq!(last(256), Some(Part::Content("x".to_owned())));
    let Some(Part::Call { arguments, .. }) =
        parse(&format, ALL, [nested(100_000).as_str()]).into_iter().next()
    else {
        panic!("a call was announced")
    };
    assert!(arguments.ends_with("]}}"), "the rest is passed on as it is");
}

const EXAONE_4_LIKE: &str = "{% if tools %}<tool>{{ tools }}</tool> like <tool_call>{\"name\": f}</tool_call>\
    {% endif %}{{ m.content.split('</think>')[-1] }}{% if enable_thinking %}<think>\n{% endif %}";
const DEEP_LIKE: &str = "{{ content.split('</thought>')[-1] }}{{ '[|assistant|]<thought>\\n' }}";
const LLAMA_3_LIKE: &str = "{%- if tools is not none %}Respond in the format {\"name\": function name, \
    \"parameters\": dictionary}. {{ '<|python_tag|>' }}{%- endif %}";

#[test]
fn the_format_is_found_in_the_template() {
    let detect = |template| OutputFormat::detect(template, fixture());
    assert_eq!(detect(Some(EXAONE_4_LIKE)), format(Some(THINK), CallSyntax::Tagged));
    assert_eq!(detect(Some(LLAMA_3_LIKE)), format(None, CallSyntax::Bare));
    let fallback =
        |reasoning| OutputFormat { has_native_tools: false, ..format(reasoning, CallSyntax::Tagged) };
    assert_eq!(detect(Some(DEEP_LIKE)), fallback(Some(THOUGHT)));
    assert_eq!(detect(Some("[|user|]{{ content }}")), fallback(None));
    assert_eq!(detect(None), fallback(None));
    let other_tags = "{% for tool in tools %}{% endfor %}<tool_call><function=name><parameter=a>";
    assert_eq!(detect(Some(other_tags)), fallback(None));
    assert!(detect(Some(EXAONE_4_LIKE)).has_native_tools());
    assert!(!detect(None).has_native_tools());
}

#[test]
fn a_vocabulary_tells_of_reasoning_and_of_special_tokens() {
    let added = |id: u32, content: &str, special: bool| {
        serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": special})
    };
    let tokenizer = tokenizer_with(|json| {
        let tokens = json["added_tokens"].as_array_mut().expect("a list");
        tokens.push(added(900, "<think>", true));
        tokens.push(added(901, "</think>", true));
        tokens.push(added(902, "<tool_call>", false));
    });
    let format = OutputFormat::detect(Some("{{ content }}"), &tokenizer);
    assert_eq!(format.reasoning_tags(), Some(("<think>", "</think>")));
    assert_eq!(format.closing(), Some("\n</think>\n\n"));
    let id = |token: &str| tokenizer.token_to_id(token);
    assert_eq!(format.special_id("</think>"), id("</think>"));
    assert!(format.special_id("<think>").is_some());
    assert_eq!(format.special_id("<tool_call>"), None, "it is not special, so it is text");
    assert_eq!(format.marks(), ["<think>", "</think>", "<tool_call>", "</tool_call>"]);
    assert_eq!(OutputFormat::detect(None, fixture()).closing(), None);
}

#[test]
fn the_end_of_the_prompt_says_whether_the_output_begins_in_reasoning() {
    let think = format(Some(THINK), CallSyntax::Tagged);
    assert!(think.starts_in_reasoning("[|user|]\nHello[|endofturn|]\n[|assistant|]\n<think>\n"));
    assert!(!think.starts_in_reasoning("[|assistant|]\n<think>\n\n</think>\n\n"));
    assert!(!think.starts_in_reasoning("[|user|]\nwhat is <think>?[|endofturn|]\n[|assistant|]\n"));
    assert!(!think.starts_in_reasoning(""));
    let thought = format(Some(THOUGHT), CallSyntax::Tagged);
    assert!(thought.starts_in_reasoning("\n[|assistant|]<thought>\n"));
    assert!(!format(None, CallSyntax::Tagged).starts_in_reasoning("<think>\n"));
}

/// Pieces that outputs and their faults are made of.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        4 => prop::sample::select(vec![
            "<think>", "</think>", "<tool_call>", "</tool_call>", "<|python_tag|>", "{\"name\": \"f\", ", "\"arguments\": ",
            "{\"name\": \"f\", \"parameters\": {\"a\": \"가\"}}", "\"parameters\": {}", "{\"a\": [1, \"}\"]}", "}", "{", "\"", "\\", "[", "]",
            ", ", ": ", "\n", " ", "<", "</", "\\u", "\\ud83d", "{}", "null", "12", ";", "{\"name\":\"g\",\"arguments\":\"{\\\"a\\\"", "name",
        ]).prop_map(str::to_owned),
        1 => "[a-c가-나<{}\"\\\\ \n]{0,4}",
        1 => any::<String>(),
    ];
    prop::collection::vec(scrap, 0..14).prop_map(|scraps| scraps.concat())
}

fn any_format() -> impl Strategy<Value = OutputFormat> {
    let reasoning = prop::sample::select(vec![None, Some(THINK)]);
    let calls = prop::sample::select(vec![CallSyntax::Tagged, CallSyntax::Bare]);
    (reasoning, calls).prop_map(|(reasoning, calls)| format(reasoning, calls))
}

fn any_options() -> impl Strategy<Value = ParserOptions> {
    any::<[bool; 3]>().prop_map(|[in_reasoning, parse_reasoning, parse_tools]| ParserOptions {
        in_reasoning,
        parse_reasoning,
        parse_tools,
    })
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Whether `small` is what is left of `large` when some characters are taken away.
fn is_subsequence(small: &str, large: &str) -> bool {
    let mut rest = large.chars();
    small.chars().all(|c| rest.any(|other| other == c))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_result_does_not_depend_on_how_the_text_is_cut(
        text in scraps(),
        format in any_format(),
        options in any_options(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut at: Vec<usize> = at.iter().map(|at| borders[at.index(borders.len())]).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        let whole = parse(&format, options, [text.as_str()]);
        prop_assert_eq!(&parse(&format, options, pieces), &whole);
        for pieces in cuts(&text) {
            prop_assert_eq!(&parse(&format, options, pieces), &whole);
        }
    }

    #[test]
    fn nothing_is_lost(text in scraps(), format in any_format(), options in any_options()) {
        let parts = parse(&format, options, [text.as_str()]);
        let mut plain = String::new();
        for part in &parts {
            match part {
                Part::Reasoning(text) | Part::Content(text) => plain += text,
                Part::Call { .. } => {}
            }
        }
        // Content and reasoning stand in the text in this order, and nothing else comes out as either.
        prop_assert!(is_subsequence(&plain, &text), "{parts:?}");
        if parts.iter().any(|part| matches!(part, Part::Call { .. })) {
            return Ok(());
        }
        // Without a call nothing is missing but space and at most one pair of tags.
        if !options.parse_reasoning || format.reasoning.is_none() {
            prop_assert_eq!(plain, text);
            return Ok(());
        }
        let newlines = ['\n', '\r'];
        let start = if options.in_reasoning { text.trim_start_matches(newlines) } else { text.trim_start() };
        let left = match start.strip_prefix("<think>") {
            Some(rest) => rest.replacen("</think>", "", 1),
            None if options.in_reasoning => start.replacen("</think>", "", 1),
            None => start.strip_prefix("</think>").unwrap_or(start).to_owned(),
        };
        prop_assert_eq!(squeezed(&plain), squeezed(&left), "{:?}", parts);
    }

    #[test]
    fn arguments_in_a_string_come_out_as_they_were_before_they_were_quoted(
        arguments in prop::collection::hash_map("(?s:.){0,4}", "(?s:.){0,10}", 0..4),
        name_first in any::<bool>(),
        ascii in any::<bool>(),
    ) {
        let arguments = serde_json::to_string_pretty(&arguments).expect("strings are JSON");
        let mut quoted = serde_json::to_string(&arguments).expect("a string is JSON");
        if ascii {
            let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
            quoted = quoted.chars().map(|c| if c.is_ascii() { c.to_string() } else { units(c) }).collect();
        }
        let call = match name_first {
            true => format!("<tool_call>{{\"name\":\"f\",\"arguments\":{quoted}}}</tool_call>"),
            false => format!("<tool_call>{{\"arguments\":{quoted},\"name\":\"f\"}}</tool_call>"),
        };
        let format = format(None, CallSyntax::Tagged);
        let expected = vec![Part::Call { name: "f".to_owned(), arguments }];
        for pieces in cuts(&call) {
            prop_assert_eq!(&parse(&format, ALL, pieces), &expected);
        }
    }

    #[test]
    fn well_formed_outputs_come_apart_as_they_were_put_together(
        thought in "[a-z가-힣 <>\\n{}]{0,12}",
        segments in prop::collection::vec((
            "[a-z가-힣<>{}\"]{1,8}",
            "[a-zA-Z0-9_-]{1,12}",
            prop::collection::hash_map("[a-z가-힣\"\\\\<>{}/_]{0,6}", "(?s:.){0,10}", 0..4),
            "[ \\n]{0,3}",
        ), 0..4),
    ) {
        let mut output = format!("{thought}</think>\n\n");
        let mut expected = Vec::new();
        let inner = thought.trim_matches(['\n', '\r']);
        if !inner.is_empty() {
            expected.push(Part::Reasoning(inner.to_owned()));
        }
        for (at, (text, name, arguments, space)) in segments.iter().enumerate() {
            let arguments = serde_json::to_string(arguments).expect("strings are JSON");
            let call = format!("<tool_call>{{\"name\": \"{name}\", \"arguments\": {arguments}}}</tool_call>");
            output += &format!("{text}{space}{call}");
            // Space between a text and the next belongs to the next.
            let before = if at == 0 { "" } else { segments[at - 1].3.as_str() };
            expected.push(Part::Content(format!("{before}{text}")));
            expected.push(Part::Call { name: name.clone(), arguments });
        }
        prop_assume!(!thought.contains("</think>"));
        let options = ParserOptions { in_reasoning: true, ..ALL };
        prop_assert_eq!(parse(&format(Some(THINK), CallSyntax::Tagged), options, [output.as_str()]), expected);
    }
}

#[test]
fn a_model_knows_its_format() {
    let load = |template: &str| {
        let template = template.as_bytes().to_vec();
        TextModel::load(&move |file| {
            Ok(match file {
                "tokenizer.json" => Some(crate::text::test_support::json_with(|_| ())),
                "chat_template.jinja" => Some(template.clone()),
                _ => None,
            })
        })
        .expect("the files are right")
    };
    assert_eq!(load(DEEP_LIKE).format().reasoning_tags(), Some(("<thought>", "</thought>")));
    assert_eq!(load("{{ messages }}").format().reasoning_tags(), None);
}
