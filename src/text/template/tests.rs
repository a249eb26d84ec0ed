use serde_json::json;

use super::*;

/// Test templates in our own words; the expected texts were checked with Python's Jinja2 under the same settings.
const OPEN_USER_TURNS: &str = include_str!("../../../tests/fixtures/tokenizer/chat_template.jinja");
const CLOSED_TURNS: &str = include_str!("../../../tests/fixtures/templates/closed_turns.jinja");
const TOOLS: &str = include_str!("../../../tests/fixtures/templates/tools.jinja");

fn render(source: &str, variables: serde_json::Value) -> Result<String, TemplateError> {
    let serde_json::Value::Object(variables) = variables else { panic!("variables have names") };
    ChatTemplate::new(source.to_owned()).expect("compiles").render(&variables)
}

fn conversation(answer: &str) -> serde_json::Value {
    json!({"add_generation_prompt": true, "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "Bye"},
    ]})
}

fn question() -> serde_json::Value {
    json!({"add_generation_prompt": true, "messages": [{"role": "user", "content": "Hello"}]})
}

#[test]
fn user_turns_stay_open_in_the_form_of_exaone_3_5() {
    assert_eq!(
        render(OPEN_USER_TURNS, question()).expect("renders"),
        "[|system|][|endofturn|]\n[|user|]Hello\n[|assistant|]"
    );
    assert_eq!(
        render(OPEN_USER_TURNS, conversation("Hello!")).expect("renders"),
        "[|system|]Be kind.[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello![|endofturn|]\n[|user|]Bye\n[|assistant|]"
    );
}

#[test]
fn reasoning_leaves_the_history_in_the_form_of_exaone_deep() {
    assert_eq!(
        render(CLOSED_TURNS, question()).expect("renders"),
        "[|system|][|endofturn|]\n[|user|]Hello\n[|assistant|]<thought>\n"
    );
    let expected = "[|system|]Be kind.[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello![|endofturn|]\n[|user|]Bye\n\
        [|assistant|]<thought>\n";
    for answer in ["Hello!", "<thought>\nplan\n</thought>\n\nHello!"] {
        assert_eq!(render(CLOSED_TURNS, conversation(answer)).expect("renders"), expected);
    }
}

fn tool() -> serde_json::Value {
    json!({"type": "function", "function": {"name": "get_weather", "parameters":
        {"type": "object", "properties": {"location": {"type": "string"}}}}})
}

const TOOL: &str = r#"{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"location": {"type": "string"}}}}}"#;

fn call(location: &str) -> serde_json::Value {
    json!({"function": {"name": "get_weather", "arguments": {"location": location}}})
}

#[test]
fn tool_calls_and_results_come_in_the_form_of_exaone_4() {
    let variables = json!({"add_generation_prompt": true, "tools": [tool()], "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Checking.", "tool_calls": [call("Seoul"), call("부산")]},
        {"role": "tool", "content": "Sunny"},
        {"role": "tool", "content": "{\"t\": 3}"},
    ]});
    let expected = format!(
        "[|system|]\n# Tools\n<tool>{TOOL}</tool>[|endofturn|]\n[|user|]\nWeather?[|endofturn|]\n[|assistant|]\n\
         <think>\n\n</think>\n\nChecking.\n\
         <tool_call>{{\"name\": \"get_weather\", \"arguments\": {{\"location\": \"Seoul\"}}}}</tool_call>\n\
         <tool_call>{{\"name\": \"get_weather\", \"arguments\": {{\"location\": \"부산\"}}}}</tool_call>[|endofturn|]\n\
         [|tool|]\n<tool_result>{{\"result\": \"Sunny\"}}</tool_result>\n\
         <tool_result>{{\"result\": \"{{\\\"t\\\": 3}}\"}}</tool_result>[|endofturn|]\n\
         [|assistant|]\n<think>\n\n</think>\n\n"
    );
    assert_eq!(render(TOOLS, variables).expect("renders"), expected);
}

#[test]
fn tools_follow_the_system_text_and_thinking_can_be_left_open() {
    let variables = json!({"add_generation_prompt": true, "enable_thinking": true, "tools": [tool()], "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call("Seoul")]},
    ]});
    let expected = format!(
        "[|system|]\nBe brief.\n\n# Tools\n<tool>{TOOL}</tool>[|endofturn|]\n[|user|]\nWeather?[|endofturn|]\n\
         [|assistant|]\n<think>\n\n</think>\n\n\
         <tool_call>{{\"name\": \"get_weather\", \"arguments\": {{\"location\": \"Seoul\"}}}}</tool_call>[|endofturn|]\n\
         [|assistant|]\n<think>\n"
    );
    assert_eq!(render(TOOLS, variables).expect("renders"), expected);
}

#[test]
fn reasoning_stays_only_after_the_last_question() {
    let variables = json!({"messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "A", "reasoning_content": "gone"},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "<think>x</think>\n B ", "reasoning_content": "kept"},
    ]});
    assert_eq!(
        render(TOOLS, variables).expect("renders"),
        "[|user|]\nHi[|endofturn|]\n[|assistant|]\n<think>\n\n</think>\n\nA[|endofturn|]\n[|user|]\nWeather?[|endofturn|]\n\
         [|assistant|]\n<think>\nkept\n</think>\n\nB[|endofturn|]\n"
    );
}

#[test]
fn an_exception_of_the_template_is_its_refusal_in_its_own_words() {
    let variables = json!({"messages": [{"role": "robot", "content": "Hi"}]});
    assert_eq!(render(TOOLS, variables), Err(TemplateError::Refused("Unknown role: robot".to_owned())));
}

#[test]
fn html_in_texts_is_not_escaped() {
    assert_eq!(render("{{ x }}", json!({"x": "<b>&'\"</b>"})).expect("renders"), "<b>&'\"</b>");
}

#[test]
fn truth_and_nothing_are_written_as_in_python() {
    assert_eq!(render("{{ true }} {{ none }} {{ 1.0 }}", json!({})).expect("renders"), "True None 1.0");
}

#[test]
fn hostile_templates_end_at_their_limits() {
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    let doubling =
        "{% set s = namespace(x='ab') %}{% for i in range(60) %}{% set s.x = s.x ~ s.x %}{% endfor %}";
    let filling = "{% for i in range(99999) %}0123456789012345678901234567890123456789{% endfor %}";
    let printing = "{% set s = namespace(x=[1]) %}{% for i in range(60) %}{% set s.x = [s.x, s.x] %}{% endfor %}{{ s.x }}";
    for hostile in [nested, doubling, filling, printing] {
        let error = render(hostile, json!({})).expect_err(hostile);
        assert_eq!(error, TemplateError::Limit, "{hostile}");
    }
    let recursive = "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}";
    let including = "{% include 'chat' %}";
    // These write out their values with indents that grow with the depth, and fuel does not count that.
    let debugging = "{{ debug() }}";
    let pretty = "{{ [1]|pprint }}";
    for hostile in [recursive, including, debugging, pretty] {
        assert!(render(hostile, json!({})).is_err(), "{hostile}");
    }
}

#[test]
fn lists_nested_as_deep_as_fuel_allows_do_not_overflow_the_stack() {
    let nested = |rounds: usize, after: &str| {
        let (open, close) = ("[".repeat(40), "]".repeat(40));
        format!(
            "{{% set s = namespace(x=[1]) %}}{{% for i in range({rounds}) %}}{{% set s.x = {open}s.x{close} %}}\
             {{% endfor %}}{after}"
        )
    };
    let printed = render(&nested(2_200, "{{ s.x }}"), json!({})).expect("within the fuel");
    assert_eq!(printed.len(), 2 * 88_001 + 1);
    assert_eq!(render(&nested(4_000, ""), json!({})), Err(TemplateError::Limit));
}

#[test]
fn templates_reach_no_files() {
    for source in ["{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'base' %}"] {
        assert!(matches!(render(source, json!({})), Err(TemplateError::Failed(_))), "{source}");
    }
}

#[test]
fn a_faulty_template_is_refused_with_its_place() {
    let reason = ChatTemplate::new("line one\n{% if x %}".to_owned()).expect_err("no end");
    assert!(reason.contains("chat:2"), "{reason}");
}

#[test]
fn what_the_callers_stack_does_not_hold_is_rendered_all_the_same() {
    let long = "{% for i in range(5000) %}x{% endfor %}";
    assert_eq!(render(long, json!({})).expect("renders").len(), 5_000);
    let deep = "{% macro m(n) %}{% if n %}({{ m(n - 1) }}){% endif %}{% endmacro %}{{ m(15) }}";
    assert_eq!(render(deep, json!({})).expect("renders").len(), 30);
}

#[test]
fn the_variables_that_a_template_reads_are_known() {
    let reads = |source: &str, name| ChatTemplate::new(source.to_owned()).expect("compiles").reads(name);
    assert!(reads(TOOLS, "tools"));
    assert!(reads(TOOLS, "enable_thinking"));
    assert!(!reads(OPEN_USER_TURNS, "tools"));
    assert!(!reads("{% set tools = [] %}{{ tools }}", "tools"));
}
