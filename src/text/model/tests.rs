use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::text::test_support::json_with;
use crate::text::{ChatMessage, ToolCall, ToolDefinition};

fn files(extra: &[(&str, &str)]) -> HashMap<String, Vec<u8>> {
    let mut files = HashMap::from([(TOKENIZER.to_owned(), json_with(|_| {}))]);
    files.extend(extra.iter().map(|&(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
    files
}

fn load(extra: &[(&str, &str)]) -> Result<TextModel, TextError> {
    let files = files(extra);
    TextModel::load(&|name| Ok(files.get(name).cloned()))
}

fn stop_tokens(extra: &[(&str, &str)]) -> Vec<u32> {
    load(extra).expect("loads").stop_token_ids().to_vec()
}

fn user(content: &str) -> ChatPrompt {
    ChatPrompt::new(vec![ChatMessage::new("user", content)])
}

fn fixture_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer")
}

#[test]
fn a_folder_holds_all_that_a_conversation_needs() {
    let model = TextModel::open(&fixture_folder()).expect("loads");
    assert_eq!(model.stop_token_ids().as_ref(), [8]);
    assert!(model.has_chat_template());
    let chat = user("안녕");
    let text = model.render_chat(&chat).expect("renders");
    assert_eq!(text, "[|system|][|endofturn|]\n[|user|]안녕\n[|assistant|]");
    let EncodedChat { token_ids: ids, text: encoded } = model.encode_chat(&chat).expect("encodes");
    assert_eq!(encoded, text);
    assert_eq!((ids[0], ids[1], ids.last().copied()), (4, 8, Some(6)));
}

#[test]
fn the_tokenizer_alone_is_enough_for_raw_text() {
    let model = load(&[]).expect("loads");
    assert_eq!(model.encode_chat(&user("hi")), Err(PromptError::NoTemplate));
    assert_eq!(model.encode_text("[|user|]", true).expect("encodes"), [5]);
    assert!(model.stop_token_ids().is_empty());
    assert_eq!(model.defaults(), &GenerationDefaults::default());
}

#[test]
fn raw_text_gets_what_the_post_processor_adds_and_a_conversation_does_not() {
    let with_bos = json_with(|json| {
        json["post_processor"] = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[BOS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"[BOS]": {"id": "[BOS]", "ids": [1], "tokens": ["[BOS]"]}}});
    });
    let mut files = files(&[(TEMPLATE, "{{ messages[0].content }}")]);
    files.insert(TOKENIZER.to_owned(), with_bos);
    let model = TextModel::load(&|name| Ok(files.get(name).cloned())).expect("loads");
    let raw = model.encode_text("hi", true).expect("encodes");
    assert_eq!(model.encode_text("hi", false).expect("encodes"), raw[1..]);
    let chat = model.encode_chat(&user("hi")).expect("encodes");
    assert_eq!(raw[0], 1);
    assert_eq!(raw[1..], chat.token_ids);
}

#[test]
fn stop_tokens_come_from_every_file_that_names_them() {
    assert_eq!(stop_tokens(&[(GENERATION_CONFIG, r#"{"eos_token_id": 8}"#)]), [8]);
    assert_eq!(stop_tokens(&[(GENERATION_CONFIG, r#"{"eos_token_id": [8, 2, 8]}"#)]), [2, 8]);
    assert_eq!(
        stop_tokens(&[
            (CONFIG, r#"{"eos_token_id": 2}"#),
            (TOKENIZER_CONFIG, r#"{"eos_token": "[|endofturn|]"}"#)
        ]),
        [2, 8]
    );
    assert_eq!(
        stop_tokens(&[(CONFIG, r#"{"eos_token_id": 2}"#), (GENERATION_CONFIG, r#"{"eos_token_id": 3}"#)]),
        [3]
    );
    assert_eq!(stop_tokens(&[(SPECIAL_TOKENS, r#"{"eos_token": {"content": "[EOS]"}}"#)]), [2]);
    assert_eq!(stop_tokens(&[(GENERATION_CONFIG, r#"{"eos_token_id": null}"#)]), Vec::<u32>::new());
}

#[test]
fn the_template_file_wins_over_the_one_in_the_config() {
    let render =
        |extra: &[(&str, &str)]| load(extra).expect("loads").render_chat(&user("x")).expect("renders");
    let inline = (TOKENIZER_CONFIG, r#"{"chat_template": "inline {{ eos_token }}", "eos_token": "[EOS]"}"#);
    assert_eq!(render(&[inline]), "inline [EOS]");
    assert_eq!(render(&[inline, (TEMPLATE, "file")]), "file");
    let named =
        r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
    assert_eq!(render(&[(TOKENIZER_CONFIG, named)]), "d");
}

#[test]
fn the_recommended_sampling_is_read() {
    let defaults = |text: &str| load(&[(GENERATION_CONFIG, text)]).expect("loads").defaults().clone();
    assert_eq!(
        defaults(
            r#"{"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.05,
            "repetition_penalty": 1.1, "do_sample": true}"#
        ),
        GenerationDefaults {
            temperature: Some(0.6),
            top_p: Some(0.95),
            top_k: Some(20),
            min_p: Some(0.05),
            repetition_penalty: Some(1.1),
        }
    );
    assert_eq!(defaults(r#"{"do_sample": false, "temperature": 0.6}"#).temperature, Some(0.0));
}

#[test]
fn a_faulty_file_is_named_with_its_key() {
    let cases = [
        (TOKENIZER, "{", "EOF"),
        (TOKENIZER_CONFIG, "[]", "expected a map"),
        (TOKENIZER_CONFIG, r#"{"chat_template": 3}"#, "chat_template"),
        (TOKENIZER_CONFIG, r#"{"chat_template": "{% if %}"}"#, "syntax error"),
        (TEMPLATE, "{{ x", "syntax error"),
        (GENERATION_CONFIG, r#"{"eos_token_id": -1}"#, "eos_token_id: -1"),
        (GENERATION_CONFIG, r#"{"eos_token_id": [1, "a"]}"#, "eos_token_id: \"a\""),
        (GENERATION_CONFIG, r#"{"temperature": -0.5}"#, "temperature: -0.5"),
        (GENERATION_CONFIG, r#"{"top_p": 0}"#, "top_p: 0"),
        (GENERATION_CONFIG, r#"{"top_k": 1.5}"#, "top_k: 1.5"),
        (GENERATION_CONFIG, r#"{"min_p": 2}"#, "min_p: 2"),
        (GENERATION_CONFIG, r#"{"repetition_penalty": 0}"#, "repetition_penalty: 0"),
        (CONFIG, "nothing", "expected ident"),
    ];
    for (file, text, wanted) in cases {
        let error = load(&[(file, text)]).expect_err(wanted);
        assert_eq!(error.file, file);
        assert!(error.reason.contains(wanted), "{error}");
    }
}

#[test]
fn a_missing_or_unreadable_tokenizer_is_named() {
    let missing = TextModel::load(&|_| Ok(None)).expect_err("nothing there");
    assert_eq!(missing.to_string(), "tokenizer.json: there is no such file");
    let broken = TextModel::load(&|_| Err(std::io::Error::other("the disk is gone")));
    assert_eq!(broken.expect_err("unreadable").to_string(), "tokenizer.json: the disk is gone");
}

fn chat_of(case: &Value) -> ChatPrompt {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let call = |call: &Value| ToolCall {
        id: text(&call["id"]).expect("an id"),
        name: text(&call["function"]["name"]).expect("a name"),
        arguments: text(&call["function"]["arguments"]).expect("JSON text"),
    };
    let message = |message: &Value| ChatMessage {
        role: text(&message["role"]).expect("a role"),
        content: text(&message["content"]).expect("a text"),
        reasoning: text(&message["reasoning_content"]),
        tool_calls: list(&message["tool_calls"]).iter().map(call).collect(),
        tool_call_id: text(&message["tool_call_id"]),
        // Templates that write a result's name get it by the id of the call.
        name: None,
    };
    let tool = |tool: &Value| ToolDefinition {
        name: text(&tool["name"]).expect("a name"),
        description: text(&tool["description"]),
        parameters: tool["parameters"].clone(),
        strict: false,
    };
    ChatPrompt {
        messages: list(&case["messages"]).iter().map(message).collect(),
        tools: list(&case["tools"]).iter().map(tool).collect(),
        template_kwargs: case["template_kwargs"].as_object().cloned().unwrap_or_default(),
        add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap_or(true),
        continue_final_message: case["continue_final_message"].as_bool().unwrap_or(false),
    }
}

#[test]
fn conversations_come_out_as_pythons_jinja_renders_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the fixture is there");
    let cases: Value = serde_json::from_str(&read("conversations.json")).expect("JSON");
    let with_tags = json_with(|json| {
        let tags = [
            "<think>",
            "</think>",
            "<thought>",
            "</thought>",
            "<tool_call>",
            "</tool_call>",
            "<tool_result>",
        ];
        let added = json["added_tokens"].as_array_mut().expect("a list");
        for (tag, id) in tags.iter().zip(512..) {
            added.push(
                json!({"id": id, "content": tag, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}),
            );
        }
    });
    let cases = cases.as_array().expect("a list");
    assert!(cases.len() > 50);
    let config = (TOKENIZER_CONFIG, r#"{"bos_token": "[BOS]", "eos_token": "[|endofturn|]"}"#);
    for template in ["closed_turns", "tools", "reasoning_in_loop", "named_turns"] {
        let mut files = files(&[config, (TEMPLATE, &read(&format!("{template}.jinja")))]);
        for tokenizer in [json_with(|_| {}), with_tags.clone()] {
            files.insert(TOKENIZER.to_owned(), tokenizer);
            let model = TextModel::load(&|name| Ok(files.get(name).cloned())).expect("loads");
            for case in cases.iter().filter(|case| case["template"] == template) {
                let encoded = model.encode_chat(&chat_of(&case["chat"])).expect("encodes");
                assert_eq!(encoded.text, case["expected"], "{template}: {}", case["name"]);
                let decoded = model.tokenizer().decode(&encoded.token_ids, false).expect("decodes");
                assert_eq!(decoded, encoded.text, "{template}: {}", case["name"]);
            }
        }
    }
}

#[test]
fn what_the_files_say_of_the_tokenizer_is_kept() {
    let config = r#"{"tokenizer_class": "GPT2Tokenizer", "eos_token": {"content": "[EOS]", "lstrip": false},
        "model_max_length": 2048, "added": [1]}"#;
    let special = (SPECIAL_TOKENS, r#"{"bos_token": "[BOS]"}"#);
    let model = load(&[(TOKENIZER_CONFIG, config), special, (TEMPLATE, "file")]).expect("loads");
    let expected = json!({"tokenizer_class": "GPT2Tokenizer", "eos_token": "[EOS]", "model_max_length": 2048,
        "added": [1], "bos_token": "[BOS]", "chat_template": "file"});
    assert_eq!(Value::Object(model.tokenizer_info()), expected);
    assert_eq!((model.named_token("eos_token"), model.named_token("pad_token")), (Some("[EOS]"), None));
    assert_eq!(model.model_max_length(), Some(2048));
    assert_eq!(model.chat_template_source(), Some("file"));
    let bare = load(&[(TOKENIZER_CONFIG, r#"{"model_max_length": 1e30}"#)]).expect("loads");
    assert_eq!(bare.tokenizer_info()["tokenizer_class"], "PreTrainedTokenizerFast");
    assert_eq!((bare.model_max_length(), bare.chat_template_source()), (None, None));
}
