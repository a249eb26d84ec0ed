//! A server for tests: a fake engine, a tokenizer whose tokens are bytes, fixed ids and times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use maru::api::{ApiKeys, AppState, Lifecycle, Phase, ServedModel, ServerConfig, Stamps, router};
use maru::engine::{EngineHandle, EngineLimits};
use maru::serving::{Generator, ServingConfig};
use maru::telemetry::{CacheInfo, Metrics};
use maru::text::TextModel;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fake_engine::{FakeEngine, Script};

pub(crate) const MODEL: &str = "LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct";
pub(crate) const ALIAS: &str = "demo";
/// The token that ends a turn; bytes are the tokens below it.
pub(crate) const END_OF_TURN: u32 = 256;
pub(crate) const MAX_MODEL_LEN: usize = 4096;

/// The token of a byte.
pub(crate) fn token_of(byte: u8) -> u32 {
    u32::from(byte)
}

/// Ids that count, and one moment for all.
#[derive(Debug, Default)]
struct FixedStamps(AtomicU64);

impl Stamps for FixedStamps {
    fn id(&self) -> String {
        format!("{:08}", self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn unix_seconds(&self) -> u64 {
        1_800_000_000
    }
}

/// A planted fault.
#[derive(Debug)]
struct PanickingStamps;

impl Stamps for PanickingStamps {
    fn id(&self) -> String {
        panic!("a planted fault")
    }

    fn unix_seconds(&self) -> u64 {
        0
    }
}

/// A router over a fake engine.
pub(crate) struct Harness {
    pub(crate) engine: FakeEngine,
    pub(crate) state: Arc<AppState>,
    pub(crate) router: Router,
}

impl Harness {
    /// A ready server without keys.
    pub(crate) fn new(script: Script) -> Self {
        Self::with_config(script, ServerConfig::default())
    }

    /// A ready server with these settings.
    pub(crate) fn with_config(script: Script, config: ServerConfig) -> Self {
        let limits =
            EngineLimits { max_model_len: MAX_MODEL_LEN, max_waiting: 256, max_buffered_events: 8192 };
        Self::with_limits(script, config, limits)
    }

    /// A ready server with these settings whose model thinks when it is told to.
    pub(crate) fn thinking(script: Script, config: ServerConfig) -> Self {
        let limits =
            EngineLimits { max_model_len: MAX_MODEL_LEN, max_waiting: 256, max_buffered_events: 8192 };
        let engine = FakeEngine::start(script, limits);
        let handle = engine.handle.clone();
        let text = TextModel::load(&|name: &str| match name {
            "tokenizer_config.json" => Ok(Some(tokenizer_config(THINKING).to_string().into_bytes())),
            other => text_file(other),
        });
        let text = text.expect("valid files");
        Self::assemble_with(engine, handle, config, Box::new(FixedStamps::default()), text)
    }

    /// A ready server with these settings on an engine with these limits.
    pub(crate) fn with_limits(script: Script, config: ServerConfig, limits: EngineLimits) -> Self {
        assert_eq!(config.faults(), []);
        let engine = FakeEngine::start(script, limits);
        let handle = engine.handle.clone();
        Self::assemble(engine, handle, config, Box::new(FixedStamps::default()))
    }

    /// The same server on another handle.
    pub(crate) fn with_engine(self, handle: EngineHandle) -> Self {
        Self::assemble(self.engine, handle, self.state.config.clone(), Box::new(FixedStamps::default()))
    }

    /// The same server with a fault: its handlers panic when they need an id.
    pub(crate) fn with_panicking_stamps(self) -> Self {
        let handle = self.engine.handle.clone();
        Self::assemble(self.engine, handle, self.state.config.clone(), Box::new(PanickingStamps))
    }

    fn assemble(
        engine: FakeEngine,
        handle: EngineHandle,
        config: ServerConfig,
        stamps: Box<dyn Stamps>,
    ) -> Self {
        let text = TextModel::load(&text_file).expect("valid files");
        Self::assemble_with(engine, handle, config, stamps, text)
    }

    fn assemble_with(
        engine: FakeEngine,
        handle: EngineHandle,
        config: ServerConfig,
        stamps: Box<dyn Stamps>,
        text: TextModel,
    ) -> Self {
        let cache = CacheInfo { block_size: 16, num_blocks: 100 };
        let metrics = Arc::new(Metrics::new(MODEL, cache).expect("valid names"));
        let generator =
            Generator::new(handle, Arc::new(text), Arc::clone(&metrics), ServingConfig::default());
        let lifecycle = Lifecycle::default();
        lifecycle.enter(Phase::Ready);
        let state = Arc::new(AppState {
            generator,
            model: ServedModel {
                id: MODEL.to_owned(),
                aliases: vec![ALIAS.to_owned()],
                created: 1_700_000_000,
                owned_by: "maru".to_owned(),
                root: "models/demo".to_owned(),
                fingerprint: "fp_0123456789".to_owned(),
            },
            metrics,
            keys: ApiKeys::load(&config).expect("valid keys"),
            config,
            lifecycle,
            stamps,
        });
        Self { engine, router: router(Arc::clone(&state)), state }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router does not fail");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("the body is whole").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("answers are UTF-8");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a valid request")).await
    }

    /// Asks for a chat completion with an API key.
    pub(crate) async fn chat_as(&self, key: &str, body: &Value) -> Answer {
        let mut request = post_json("/v1/chat/completions", body.to_string());
        let bearer = format!("Bearer {key}").parse().expect("a key is visible ASCII");
        request.headers_mut().insert("authorization", bearer);
        self.send(request).await
    }

    /// Asks for a chat completion.
    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        self.send(post_json("/v1/chat/completions", body.to_string())).await
    }
}

/// `POST path` with JSON.
pub(crate) fn post_json(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(body.into()).expect("a valid request")
}

/// A short request with `changes` on top.
pub(crate) fn hello(changes: Value) -> Value {
    let mut body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "안녕하세요" }] });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    body.as_object_mut().expect("an object").extend(changes);
    body
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are ASCII"))
    }

    /// Passes if this is an error in OpenAI's shape with all four keys; gives its object.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some());
        let mut body = self.json();
        let error = body["error"].take();
        let members = error.as_object().expect("an error object");
        let keys: Vec<_> = members.keys().map(String::as_str).collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
        assert!(!error["message"].as_str().expect("a message").is_empty());
        assert!(error["type"].is_string());
        assert_eq!(error["code"], code, "{error}");
        error
    }
}

/// The files of a model whose tokens are the 256 bytes and the end of a turn.
fn text_file(name: &str) -> std::io::Result<Option<Vec<u8>>> {
    let file = match name {
        "tokenizer.json" => tokenizer(),
        "tokenizer_config.json" => tokenizer_config(PLAIN),
        "generation_config.json" => json!({ "eos_token_id": END_OF_TURN }),
        _ => return Ok(None),
    };
    Ok(Some(file.to_string().into_bytes()))
}

/// A template that writes roles and contents.
const PLAIN: &str = "{% for message in messages %}[|{{ message.role }}|]{{ message.content }}\n{% endfor %}";
/// The same, and the answer begins with a thought where that is wanted.
const THINKING: &str = "{% for message in messages %}[|{{ message.role }}|]{{ message.content }}\n{% endfor %}\
                        {% if enable_thinking %}<think>{% endif %}";

fn tokenizer_config(template: &str) -> Value {
    json!({ "eos_token": "[|endofturn|]", "chat_template": template })
}

fn tokenizer() -> Value {
    let vocab: serde_json::Map<String, Value> =
        (0..=255).map(|byte| (visible(byte).to_string(), json!(token_of(byte)))).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [{
            "id": END_OF_TURN, "content": "[|endofturn|]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        }],
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": [],
        },
    })
}

/// The character that stands for a byte in byte-level vocabularies: itself if it is visible, else one from U+0100 on.
fn visible(byte: u8) -> char {
    let is_visible = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_visible(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|&other| !is_visible(other)).count();
    char::from_u32(0x100 + rank as u32).expect("a Latin letter")
}
