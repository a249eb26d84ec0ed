//! The table of operations: what is served where, what it takes and what it answers.

use super::examples;
use super::groups::{self, Groups};
use super::shape::Param;
use crate::api::params::{self, Policy};

/// What can be asked for with one method at one path.
pub(super) struct Operation {
    /// In small letters.
    pub(super) method: &'static str,
    /// With its parameters in braces.
    pub(super) path: &'static str,
    /// The heading under which it stands.
    pub(super) tag: &'static str,
    /// Its name for clients that are generated from the document.
    pub(super) id: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// The JSON that it takes.
    pub(super) body: Option<Body>,
    /// What may stand in the address after `?`.
    pub(super) query: &'static [Param],
    /// What it answers with when all is well.
    pub(super) answer: Answer,
    /// What can go wrong.
    pub(super) faults: Faults,
}

/// The JSON that an operation takes.
pub(super) struct Body {
    /// The name of its schema.
    pub(super) name: &'static str,
    /// What is honoured.
    pub(super) honoured: Groups,
    /// What is known, but not honoured.
    pub(super) policies: &'static [Policy],
    /// A request that is answered.
    pub(super) example: fn() -> serde_json::Value,
}

/// What an operation answers with.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// JSON of a named schema.
    Json(&'static str),
    /// JSON, or with `stream` events of the second schema.
    JsonOrEvents(&'static str, &'static str),
    /// Events of a named schema.
    Events(&'static str),
    /// JSON of a named schema, and the same with 503 when it is not well.
    Probe(&'static str),
    /// A text of this content type.
    Text(&'static str),
    /// Nothing good: it always refuses.
    Never,
}

/// What can go wrong with an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Faults {
    /// It takes no key and no body.
    Public,
    /// It takes no body.
    Plain,
    /// It names something in its path.
    Named,
    /// It takes a body.
    Body,
    /// The same in Anthropic's shape.
    AnthropicBody,
}

impl Faults {
    /// The statuses.
    pub(super) fn statuses(self) -> &'static [u16] {
        match self {
            Self::Public => &[405, 431, 500, 503],
            Self::Plain => &[401, 405, 431, 500, 503],
            Self::Named => &[400, 401, 404, 405, 431, 500, 503],
            Self::Body => &[400, 401, 404, 405, 408, 413, 415, 429, 431, 500, 503, 504],
            Self::AnthropicBody => &[400, 401, 404, 405, 408, 413, 415, 429, 431, 500, 504, 529],
        }
    }

    /// The name of the schema of an error.
    pub(super) fn schema(self) -> &'static str {
        if self == Self::AnthropicBody { "AnthropicError" } else { "Error" }
    }
}

const fn get(
    path: &'static str,
    tag: &'static str,
    id: &'static str,
    summary: &'static str,
    answer: Answer,
    faults: Faults,
) -> Operation {
    Operation { method: "get", path, tag, id, summary, body: None, query: &[], answer, faults }
}

const fn post(
    path: &'static str,
    tag: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Body,
    answer: Answer,
) -> Operation {
    let faults = Faults::Body;
    Operation { method: "post", path, tag, id, summary, body: Some(body), query: &[], answer, faults }
}

const fn body(
    name: &'static str,
    honoured: Groups,
    policies: &'static [Policy],
    example: fn() -> serde_json::Value,
) -> Body {
    Body { name, honoured, policies, example }
}

const GENERATION: &str = "Generation";
const RESPONSES: &str = "Responses";
const ANTHROPIC: &str = "Messages, in Anthropic's dialect";
const TOKENS: &str = "Tokens and prompts";
const MODELS: &str = "Models";
const OPERATION: &str = "Operation";

/// All operations, in the order of the document.
pub(super) const OPERATIONS: &[Operation] = &[
    post(
        "/v1/chat/completions",
        GENERATION,
        "createChatCompletion",
        "Answers a conversation, whole or as a stream.",
        body("ChatCompletionRequest", groups::CHAT_COMPLETIONS, params::CHAT_COMPLETIONS, examples::chat),
        Answer::JsonOrEvents("ChatCompletion", "ChatCompletionChunk"),
    ),
    post(
        "/v1/chat/completions/render",
        TOKENS,
        "renderChatCompletion",
        "The prompt that a conversation becomes, without an answer.",
        body("ChatCompletionRequest", groups::CHAT_COMPLETIONS, params::CHAT_COMPLETIONS, examples::chat),
        Answer::Json("Rendered"),
    ),
    post(
        "/v1/completions",
        GENERATION,
        "createCompletion",
        "Continues texts, whole or as a stream.",
        body("CompletionRequest", groups::COMPLETIONS, params::COMPLETIONS, examples::completion),
        Answer::JsonOrEvents("Completion", "CompletionChunk"),
    ),
    post(
        "/v1/completions/render",
        TOKENS,
        "renderCompletion",
        "The prompts of a completion as the model would read them, without an answer.",
        body("CompletionRequest", groups::COMPLETIONS, params::COMPLETIONS, examples::completion),
        Answer::Json("RenderedList"),
    ),
    post(
        "/v1/responses",
        RESPONSES,
        "createResponse",
        "Answers a conversation with typed items, whole or as a stream, and keeps it.",
        body("ResponseRequest", groups::RESPONSES, params::RESPONSES, examples::response),
        Answer::JsonOrEvents("Response", "ResponseEvent"),
    ),
    post(
        "/v1/responses/input_tokens",
        RESPONSES,
        "countResponseTokens",
        "Counts the tokens of a conversation without answering it.",
        body("ResponseRequest", groups::RESPONSES, params::RESPONSES, examples::response),
        Answer::Json("ResponseTokens"),
    ),
    Operation {
        query: groups::FOLLOW,
        ..get(
            "/v1/responses/{id}",
            RESPONSES,
            "retrieveResponse",
            "A response that is kept.",
            Answer::Json("Response"),
            Faults::Named,
        )
    },
    Operation {
        method: "delete",
        ..get(
            "/v1/responses/{id}",
            RESPONSES,
            "deleteResponse",
            "Forgets a response.",
            Answer::Json("ResponseDeleted"),
            Faults::Named,
        )
    },
    Operation {
        method: "post",
        ..get(
            "/v1/responses/{id}/cancel",
            RESPONSES,
            "cancelResponse",
            "Always refuses: only a response made in the background can be cancelled, and there are none.",
            Answer::Never,
            Faults::Named,
        )
    },
    Operation {
        query: groups::PAGE,
        ..get(
            "/v1/responses/{id}/input_items",
            RESPONSES,
            "listResponseItems",
            "The items that a response was made from.",
            Answer::Json("ResponseItems"),
            Faults::Named,
        )
    },
    Operation {
        faults: Faults::AnthropicBody,
        ..post(
            "/v1/messages",
            ANTHROPIC,
            "createMessage",
            "Answers a conversation, whole or as a stream.",
            body("MessageRequest", groups::MESSAGES_API, params::MESSAGES_API, examples::message),
            Answer::JsonOrEvents("Message", "MessageEvent"),
        )
    },
    Operation {
        faults: Faults::AnthropicBody,
        ..post(
            "/v1/messages/count_tokens",
            ANTHROPIC,
            "countMessageTokens",
            "Counts the tokens of a conversation without answering it.",
            body("MessageCountRequest", groups::MESSAGES_COUNT, params::MESSAGES_API, examples::count),
            Answer::Json("MessageTokens"),
        )
    },
    post(
        "/v1/embeddings",
        GENERATION,
        "createEmbedding",
        "Texts and tokens as vectors of length 1.",
        body("EmbeddingRequest", groups::EMBEDDINGS, params::EMBEDDINGS, examples::embedding),
        Answer::Json("Embeddings"),
    ),
    post(
        "/generate",
        GENERATION,
        "generate",
        "Continues a text, in the shape of text-generation-inference.",
        body("GenerateRequest", groups::TEXT_GENERATION, params::TEXT_GENERATION, examples::generate),
        Answer::Json("Generated"),
    ),
    post(
        "/generate_stream",
        GENERATION,
        "generateStream",
        "The same as a stream of tokens.",
        body("GenerateRequest", groups::TEXT_GENERATION, params::TEXT_GENERATION, examples::generate),
        Answer::Events("GeneratedToken"),
    ),
    post(
        "/tokenize",
        TOKENS,
        "tokenize",
        "The tokens of a text or of a conversation.",
        body("TokenizeRequest", groups::TOKENIZE, params::TOKENIZE, examples::tokenize),
        Answer::Json("Tokenized"),
    ),
    post(
        "/detokenize",
        TOKENS,
        "detokenize",
        "The text of tokens.",
        body("DetokenizeRequest", groups::DETOKENIZE, params::DETOKENIZE, examples::detokenize),
        Answer::Json("Detokenized"),
    ),
    get(
        "/tokenizer_info",
        TOKENS,
        "tokenizerInfo",
        "What the model's files say of its tokenizer.",
        Answer::Json("TokenizerInfo"),
        Faults::Plain,
    ),
    get(
        "/v1/models",
        MODELS,
        "listModels",
        "The names that the model answers to.",
        Answer::Json("ModelList"),
        Faults::Plain,
    ),
    get(
        "/v1/models/{id}",
        MODELS,
        "retrieveModel",
        "One model by its name.",
        Answer::Json("Model"),
        Faults::Named,
    ),
    get(
        "/live",
        OPERATION,
        "live",
        "Whether a restart is not needed.",
        Answer::Probe("Probe"),
        Faults::Public,
    ),
    get(
        "/ready",
        OPERATION,
        "ready",
        "Whether new requests are welcome.",
        Answer::Probe("Probe"),
        Faults::Public,
    ),
    get(
        "/health",
        OPERATION,
        "health",
        "The engine's health with counts.",
        Answer::Probe("Health"),
        Faults::Public,
    ),
    get(
        "/version",
        OPERATION,
        "version",
        "Name and version of the server.",
        Answer::Json("Version"),
        Faults::Public,
    ),
    get(
        "/metrics",
        OPERATION,
        "metrics",
        "All metrics, in Prometheus' text format.",
        Answer::Text("text/plain"),
        Faults::Plain,
    ),
    get("/openapi.json", OPERATION, "openapi", "This document.", Answer::Json("Document"), Faults::Public),
    get(
        "/docs",
        OPERATION,
        "docs",
        "This document as a page to read.",
        Answer::Text("text/html"),
        Faults::Public,
    ),
];
