//! The parameters that endpoints honour, in the groups in which they are read. A request's members are held to the
//! groups of its endpoint as they are taken, so none can be read that is not described.

use super::shape::Shape::{AnyObject, Boolean, Either, List, Map, Object, OneOf, TokenId, Within};
use super::shape::{Param, Shape, param, required};
use crate::api::limits;

/// The groups of one endpoint.
pub(in crate::api) type Groups = &'static [&'static [Param]];

/// Whether one of the groups has a parameter of this name.
pub(in crate::api) fn describes(groups: Groups, name: &str) -> bool {
    groups.iter().any(|group| group.iter().any(|param| param.name == name))
}

const TOKEN_IDS_OUT: Shape = List(limits::STOP_TOKEN_IDS, &TokenId);

const MODEL: &[Param] =
    &[required("model", Within(limits::MODEL), "The model's name; `GET /v1/models` lists its names.")];

const TEMPERATURE: &[Param] = &[param(
    "temperature",
    Within(limits::TEMPERATURE),
    "How freely tokens are chosen; 0 takes the likeliest.",
)];

const SAMPLING: &[Param] = &[
    param(
        "top_p",
        Within(limits::TOP_P),
        "Chooses among the likeliest tokens that have this much probability.",
    ),
    param(
        "top_k",
        Within(limits::TOP_K),
        "Chooses among so many of the likeliest tokens; 0 and -1 among all.",
    ),
    param("min_p", Within(limits::MIN_P), "Leaves out tokens less likely than this share of the likeliest."),
    param(
        "seed",
        Within(limits::SEED),
        "The same seed gives the same tokens, whatever else the server does.",
    ),
    param("frequency_penalty", Within(limits::FREQUENCY_PENALTY), "Lowers tokens for each time they came."),
    param("presence_penalty", Within(limits::PRESENCE_PENALTY), "Lowers tokens that have come at all."),
    param(
        "repetition_penalty",
        Within(limits::REPETITION_PENALTY),
        "Divides the scores of tokens that have come, in the prompt too; 1 changes nothing.",
    ),
    param(
        "logit_bias",
        Map(limits::LOGIT_BIAS, &Within(limits::LOGIT_BIAS_VALUE)),
        "What is added to the scores of tokens, by their ids.",
    ),
    param("allowed_token_ids", List(limits::ALLOWED_TOKEN_IDS, &TokenId), "The only tokens that may come."),
    param(
        "bad_words",
        List(limits::BAD_WORDS, &Within(limits::BAD_WORD)),
        "Texts that may not come in the output.",
    ),
];

const CHOICES: &[Param] = &[param("n", Within(limits::NUM_CHOICES), "How many answers are made.")];

const LIMIT: &[Param] = &[
    param(
        "max_completion_tokens",
        Within(limits::MAX_COMPLETION_TOKENS),
        "Most tokens of an answer, its reasoning included.",
    ),
    param(
        "max_tokens",
        Within(limits::MAX_TOKENS),
        "The older name of `max_completion_tokens`, which wins over it.",
    ),
];

const END: &[Param] = &[
    param("min_tokens", Within(limits::MIN_TOKENS), "Fewest tokens before the output may end by itself."),
    param("ignore_eos", Boolean, "Goes on where the model would end."),
    param(
        "stop",
        Either(&[Within(limits::STOP_STRING), List(limits::STOP, &Within(limits::STOP_STRING))]),
        "Texts before which the output ends.",
    ),
    param("stop_token_ids", TOKEN_IDS_OUT, "Tokens with which the output ends."),
    param("include_stop_str_in_output", Boolean, "Leaves what ended the output in it."),
];

const CHAT_LOGPROBS: &[Param] = &[
    param("logprobs", Boolean, "Tells how likely each token was."),
    param("top_logprobs", Within(limits::TOP_LOGPROBS), "Tells so many of the likeliest tokens beside each."),
];

const TRUNCATE: &[Param] = &[param(
    "truncate_prompt_tokens",
    Within(limits::TRUNCATE_PROMPT_TOKENS),
    "Keeps so many of the prompt's last tokens; -1 for as many as the context holds. Not 0.",
)];

const SPECIAL: &[Param] =
    &[param("skip_special_tokens", Boolean, "Leaves special tokens out of the text; true unless said.")];

const PROMPT_REPORT: &[Param] = &[param(
    "prompt_logprobs",
    Within(limits::PROMPT_LOGPROBS),
    "Tells how likely each token of the prompt was.",
)];

const SHOW: &[Param] = &[
    param("return_token_ids", Boolean, "Tells the ids of all tokens."),
    param(
        "return_tokens_as_token_ids",
        Boolean,
        "Writes `token_id:7` for a token's text in log probabilities.",
    ),
    param("echo", Boolean, "Begins the answer with what it continues."),
];

const STREAM: &[Param] = &[
    param("stream", Boolean, "Answers with server-sent events, piece by piece."),
    param(
        "stream_options",
        Object(&[
            param("include_usage", Boolean, "Ends the stream with a chunk that tells the usage."),
            param("continuous_usage_stats", Boolean, "Tells the usage so far in every chunk."),
        ]),
        "Only with `stream`.",
    ),
];

const JSON_SCHEMA: Shape = Object(&[
    required("name", Within(limits::SCHEMA_NAME), "Letters, digits, `_` and `-`."),
    required("schema", AnyObject, "The schema to which the output is held."),
    param("description", Within(limits::TOOL_DESCRIPTION), ""),
    param("strict", Boolean, "The schema is held to either way."),
]);

const SCHEMA_OR_TEXT: Shape = Either(&[AnyObject, Within(limits::GRAMMAR)]);

const FORM: &[Param] = &[
    param(
        "response_format",
        Object(&[
            required("type", OneOf(&["text", "json_object", "json_schema", "grammar"]), ""),
            param("json_schema", JSON_SCHEMA, "With the type `json_schema`."),
            param("grammar", Within(limits::GRAMMAR), "With the type `grammar`: in Lark's notation."),
        ]),
        "The form that the output has.",
    ),
    param(
        "structured_outputs",
        Object(&[
            param("json", SCHEMA_OR_TEXT, "A JSON schema."),
            param("regex", Within(limits::REGEX), "A regular expression."),
            param("choice", List(limits::CHOICES, &Within(limits::CHOICE)), "The texts to choose from."),
            param("grammar", Within(limits::GRAMMAR), "A grammar in Lark's notation."),
            param("json_object", Boolean, "Any JSON object."),
        ]),
        "The form that the output has, as vLLM spells it; one of its members.",
    ),
    param("guided_json", SCHEMA_OR_TEXT, "The older name of `structured_outputs.json`."),
    param("guided_regex", Within(limits::REGEX), "The older name of `structured_outputs.regex`."),
    param(
        "guided_choice",
        List(limits::CHOICES, &Within(limits::CHOICE)),
        "The older name of `structured_outputs.choice`.",
    ),
    param("guided_grammar", Within(limits::GRAMMAR), "The older name of `structured_outputs.grammar`."),
    param("response_language", OneOf(&["ko", "en"]), "Keeps the answer in Korean or in English."),
];

const LABELS: &[Param] = &[
    param("user", Within(limits::LABEL), "A label for the log."),
    param("safety_identifier", Within(limits::LABEL), "A label for the log."),
    param(
        "metadata",
        Map(limits::METADATA, &Within(limits::METADATA_VALUE)),
        "Labels that the answer repeats; their names have 1 to 64 characters.",
    ),
];

const SALT: &[Param] = &[
    param("cache_salt", Within(limits::CACHE_SALT), "Only requests with the same salt share cached prompts."),
    param("prompt_cache_key", Within(limits::PROMPT_CACHE_KEY), "As `cache_salt`, by OpenAI's name."),
];

const PLACE: &[Param] = &[
    param(
        "service_tier",
        OneOf(&["auto", "default", "flex", "scale", "priority"]),
        "How soon the request is served.",
    ),
    param("priority", Within(limits::PRIORITY), "A smaller number goes first."),
];

const TEXT_PART: Shape = Object(&[
    required("type", OneOf(&["text", "input_text", "output_text", "refusal"]), "The model reads text only."),
    param("text", Within(limits::CONTENT_TEXT), ""),
    param("refusal", Within(limits::CONTENT_TEXT), "With the type `refusal`."),
]);

const CONTENT: Shape = Either(&[Within(limits::CONTENT), List(limits::CONTENT_PARTS, &TEXT_PART)]);

const CALLED: Shape = Object(&[
    required("name", Within(limits::TOOL_NAME), ""),
    param("arguments", Either(&[Within(limits::ARGUMENTS), AnyObject]), "JSON, as its text or as an object."),
]);

const CALL: Shape = Object(&[
    param("id", Within(limits::TOOL_CALL_ID), ""),
    param("type", OneOf(&["function"]), ""),
    required("function", CALLED, ""),
]);

const MESSAGE: Shape = Object(&[
    required("role", OneOf(&["system", "developer", "user", "assistant", "tool", "function"]), ""),
    param("content", CONTENT, "All but the assistant's messages must have it."),
    param("name", Within(limits::MESSAGE_NAME), ""),
    param("tool_calls", List(limits::TOOL_CALLS, &CALL), "Only of the assistant."),
    param("tool_call_id", Within(limits::TOOL_CALL_ID), "Only of a tool."),
    param("function_call", CALLED, "The older way of `tool_calls`."),
    param("reasoning_content", Within(limits::REASONING), "What the assistant thought."),
    param("reasoning", Within(limits::REASONING), "The same by another name."),
]);

const FUNCTION: Shape = Object(&[
    required("name", Within(limits::TOOL_NAME), "Letters, digits, `_` and `-`."),
    param("description", Within(limits::TOOL_DESCRIPTION), ""),
    param("parameters", AnyObject, "A JSON schema."),
    param("strict", Boolean, "Holds the arguments to the schema."),
]);

const TOOL: Shape = Object(&[required("type", OneOf(&["function"]), ""), required("function", FUNCTION, "")]);

const NAMED: Shape = Object(&[required("name", Within(limits::TOOL_NAME), "")]);

const TOOL_CHOICE: Shape = Either(&[
    OneOf(&["none", "auto", "required", "any"]),
    Object(&[required("type", OneOf(&["function"]), ""), param("function", NAMED, "")]),
    Object(&[required("type", OneOf(&["allowed_tools"]), ""), param("allowed_tools", AnyObject, "")]),
]);

const MESSAGES: &[Param] =
    &[required("messages", List(limits::MESSAGES, &MESSAGE), "The conversation so far.")];

const TOOLS: &[Param] = &[
    param("tools", List(limits::TOOLS, &TOOL), "Functions that the model may call."),
    param("tool_choice", TOOL_CHOICE, "Whether and which tool is called."),
    param("parallel_tool_calls", Boolean, "Whether an answer may hold several calls; true unless said."),
];

const FUNCTIONS: &[Param] = &[
    param("functions", List(limits::TOOLS, &FUNCTION), "The older way of `tools`."),
    param("function_call", Either(&[OneOf(&["none", "auto"]), NAMED]), "The older way of `tool_choice`."),
];

const REASONING: &[Param] = &[
    param(
        "reasoning_effort",
        OneOf(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "How much the model thinks first.",
    ),
    param("enable_thinking", Boolean, "Whether the model thinks first."),
    param("thinking_token_budget", Within(limits::THINKING_TOKEN_BUDGET), "Most tokens of the reasoning."),
    param("include_reasoning", Boolean, "Whether the answer shows the reasoning; true unless said."),
    param("separate_reasoning", Boolean, "Whether it stands apart from the content; true unless said."),
    param(
        "chat_template_kwargs",
        AnyObject,
        "Variables for the chat template, of those that the server allows.",
    ),
];

const TEMPLATE_ENDS: &[Param] = &[
    param("add_generation_prompt", Boolean, "Ends the prompt where the assistant begins."),
    param("continue_final_message", Boolean, "Goes on with the last message, which is the assistant's."),
    param("add_special_tokens", Boolean, "Only false: the chat template writes them."),
];

const PREDICTION: &[Param] = &[param(
    "prediction",
    Object(&[param("type", OneOf(&["content"]), ""), required("content", CONTENT, "")]),
    "What the answer is expected to be; where it is so, it comes sooner.",
)];

/// What `POST /v1/chat/completions` honours.
pub(in crate::api) const CHAT_COMPLETIONS: Groups = &[
    MODEL,
    MESSAGES,
    TOOLS,
    FUNCTIONS,
    REASONING,
    FORM,
    TEMPERATURE,
    SAMPLING,
    CHOICES,
    LIMIT,
    END,
    CHAT_LOGPROBS,
    PROMPT_REPORT,
    TRUNCATE,
    SPECIAL,
    SHOW,
    STREAM,
    PREDICTION,
    LABELS,
    PLACE,
    SALT,
    TEMPLATE_ENDS,
];

const ADD_SPECIAL: &[Param] =
    &[param("add_special_tokens", Boolean, "Begins a text as the tokenizer does; true unless said.")];

/// A text, token ids, or a list of either.
macro_rules! prompts {
    ($text:expr, $list:expr, $tokens:expr) => {
        Either(&[
            Within($text),
            List($tokens, &TokenId),
            List($list, &Either(&[Within($text), List($tokens, &TokenId)])),
        ])
    };
}

const COMPLETION: &[Param] = &[
    required(
        "prompt",
        prompts!(limits::PROMPT, limits::PROMPTS, limits::PROMPT_TOKENS),
        "What is continued: a text, token ids, or a list of either.",
    ),
    param(
        "max_tokens",
        Within(limits::COMPLETION_MAX_TOKENS),
        "Most tokens of an output; 16 unless said, 0 only reads the prompt.",
    ),
    param(
        "max_completion_tokens",
        Within(limits::COMPLETION_MAX_COMPLETION_TOKENS),
        "The newer name of `max_tokens`, which it wins over.",
    ),
    param("logprobs", Within(limits::LOGPROBS), "Tells so many of the likeliest tokens beside each."),
    param("best_of", Within(limits::BEST_OF), "Makes so many outputs and shows the `n` likeliest."),
];

/// What `POST /v1/completions` honours.
pub(in crate::api) const COMPLETIONS: Groups = &[
    MODEL,
    COMPLETION,
    ADD_SPECIAL,
    FORM,
    TEMPERATURE,
    SAMPLING,
    CHOICES,
    END,
    PROMPT_REPORT,
    TRUNCATE,
    SPECIAL,
    SHOW,
    STREAM,
    LABELS,
    PLACE,
    SALT,
];

const EMBEDDING: &[Param] = &[
    required(
        "input",
        prompts!(limits::EMBEDDING_INPUT, limits::INPUTS, limits::INPUT_TOKENS),
        "What is embedded: a text, token ids, or a list of either.",
    ),
    param("encoding_format", OneOf(&["float", "base64"]), "How a vector is written; `float` unless said."),
    param("pooling", OneOf(&["last", "mean"]), "Which hidden states make the vector; `last` unless said."),
];

/// What `POST /v1/embeddings` honours.
pub(in crate::api) const EMBEDDINGS: Groups = &[MODEL, EMBEDDING, ADD_SPECIAL, TRUNCATE, LABELS, PLACE, SALT];

const ANY_MODEL: &[Param] = &[param("model", Within(limits::MODEL), "The model's name; there is only one.")];

const TOKENIZED: &[Param] = &[
    param("prompt", Within(limits::TOKENIZE_PROMPT), "A text; a request has this or `messages`."),
    param("messages", List(limits::MESSAGES, &MESSAGE), "A conversation."),
    param("return_token_strs", Boolean, "Tells how the vocabulary spells each token."),
];

/// What `POST /tokenize` honours.
pub(in crate::api) const TOKENIZE: Groups =
    &[ANY_MODEL, TOKENIZED, TOOLS, FUNCTIONS, REASONING, TEMPLATE_ENDS];

/// What `POST /detokenize` honours.
pub(in crate::api) const DETOKENIZE: Groups =
    &[ANY_MODEL, &[required("tokens", List(limits::TOKENS, &TokenId), "Ids of tokens.")]];

const GRAMMAR: Shape = Object(&[
    required("type", OneOf(&["json", "json_schema", "regex"]), ""),
    required("value", Either(&[AnyObject, Within(limits::REGEX)]), ""),
]);

const PARAMETERS: Shape = Object(&[
    param("do_sample", Boolean, ""),
    param("temperature", Within(limits::TEMPERATURE), ""),
    param("top_p", Within(limits::TOP_P), ""),
    param("top_k", Within(limits::TOP_K), ""),
    param("seed", Within(limits::SEED), ""),
    param("repetition_penalty", Within(limits::REPETITION_PENALTY), ""),
    param("frequency_penalty", Within(limits::FREQUENCY_PENALTY), ""),
    param("best_of", Within(limits::BEST_OF), ""),
    param("max_new_tokens", Within(limits::MAX_NEW_TOKENS), "100 unless said."),
    param("stop", List(limits::STOP, &Within(limits::STOP_STRING)), ""),
    param("return_full_text", Boolean, ""),
    param("details", Boolean, ""),
    param("decoder_input_details", Boolean, ""),
    param("top_n_tokens", Within(limits::TOP_N_TOKENS), ""),
    param("truncate", Within(limits::TRUNCATE), ""),
    param("grammar", GRAMMAR, ""),
]);

/// What `POST /generate` and `POST /generate_stream` honour.
pub(in crate::api) const TEXT_GENERATION: Groups = &[
    &[
        required("inputs", Within(limits::TEXT_INPUTS), "What is continued."),
        param("parameters", PARAMETERS, "As in text-generation-inference."),
    ],
    SALT,
];

const FORMAT: Shape = Object(&[
    required("type", OneOf(&["text", "json_object", "json_schema"]), ""),
    param("name", Within(limits::SCHEMA_NAME), "With the type `json_schema`."),
    param("schema", AnyObject, "With the type `json_schema`."),
    param("strict", Boolean, ""),
    param("description", Within(limits::TOOL_DESCRIPTION), ""),
]);

const RESPONSE: &[Param] = &[
    param(
        "input",
        Either(&[Within(limits::ITEM_TEXT), List(limits::ITEMS, &AnyObject)]),
        "A text of the user, or the items of a conversation.",
    ),
    param("instructions", Within(limits::INSTRUCTIONS), "What the system says first."),
    param(
        "previous_response_id",
        Within(limits::PREVIOUS_RESPONSE_ID),
        "A kept response whose conversation goes on.",
    ),
    param("max_output_tokens", Within(limits::MAX_OUTPUT_TOKENS), "Most tokens of the answer."),
    param(
        "max_tool_calls",
        Within(limits::MAX_TOOL_CALLS),
        "Counts the server's own tools, of which there are none.",
    ),
    param("tools", List(limits::TOOLS, &AnyObject), "Functions that the model may call."),
    param("tool_choice", TOOL_CHOICE, "Whether and which tool is called."),
    param("parallel_tool_calls", Boolean, "Whether an answer may hold several calls; true unless said."),
    param(
        "reasoning",
        Object(&[param("effort", OneOf(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]), "")]),
        "How much the model thinks first.",
    ),
    param("text", Object(&[param("format", FORMAT, "")]), "The form that the answer has."),
    param(
        "include",
        List(limits::INCLUDE, &Within(limits::INCLUDED)),
        "`message.output_text.logprobs` tells how likely tokens were.",
    ),
    param("top_logprobs", Within(limits::TOP_LOGPROBS), "Tells so many of the likeliest tokens beside each."),
    param("store", Boolean, "Whether the response is kept; true unless said."),
];

/// What `POST /v1/responses` honours.
pub(in crate::api) const RESPONSES: Groups = &[
    MODEL,
    RESPONSE,
    REASONING,
    FORM,
    TEMPERATURE,
    SAMPLING,
    END,
    TRUNCATE,
    SPECIAL,
    STREAM,
    LABELS,
    PLACE,
    SALT,
];

const BLOCKS: Shape = Either(&[Within(limits::CONTENT), List(limits::BLOCKS, &AnyObject)]);

const MESSAGES_TOOL: Shape = Object(&[
    required("name", Within(limits::TOOL_NAME), "Letters, digits, `_` and `-`."),
    required("input_schema", AnyObject, "A JSON schema."),
    param("type", OneOf(&["custom"]), ""),
    param("description", Within(limits::TOOL_DESCRIPTION), ""),
    param("strict", Boolean, ""),
]);

const MESSAGES_FORMAT: Shape = Object(&[
    required("type", OneOf(&["json_schema"]), ""),
    required("schema", AnyObject, ""),
    param("name", Within(limits::SCHEMA_NAME), ""),
]);

const DIALECT: &[Param] = &[
    required(
        "messages",
        List(
            limits::MESSAGES,
            &Object(&[
                required("role", OneOf(&["user", "assistant", "system"]), ""),
                required("content", BLOCKS, "A text, or typed blocks."),
            ]),
        ),
        "The conversation so far.",
    ),
    param(
        "system",
        Either(&[Within(limits::SYSTEM), List(limits::BLOCKS, &AnyObject)]),
        "What the system says first.",
    ),
    param("tools", List(limits::TOOLS, &MESSAGES_TOOL), "Functions that the model may call."),
    param(
        "tool_choice",
        Object(&[
            required("type", OneOf(&["auto", "any", "none", "tool"]), ""),
            param("name", Within(limits::TOOL_NAME), "With the type `tool`."),
            param("disable_parallel_tool_use", Boolean, ""),
        ]),
        "Whether and which tool is called.",
    ),
    param(
        "thinking",
        Object(&[
            required("type", OneOf(&["enabled", "adaptive", "disabled"]), ""),
            param("budget_tokens", Within(limits::BUDGET_TOKENS), "With the type `enabled`."),
            param("display", OneOf(&["summarized", "omitted"]), ""),
        ]),
        "Whether the model thinks first.",
    ),
    param(
        "output_config",
        Object(&[
            param("effort", OneOf(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]), ""),
            param("format", MESSAGES_FORMAT, ""),
        ]),
        "How hard the model thinks, and the form of its answer.",
    ),
    param("output_format", MESSAGES_FORMAT, "The older way of `output_config.format`."),
    param("temperature", Within(limits::MESSAGES_TEMPERATURE), "How freely tokens are chosen."),
    param(
        "stop_sequences",
        List(limits::STOP_SEQUENCES, &Within(limits::STOP_SEQUENCE)),
        "Texts before which the answer ends.",
    ),
    param("stream", Boolean, "Answers with server-sent events, piece by piece."),
    param("metadata", Object(&[param("user_id", Within(limits::USER_ID), "A label for the log.")]), ""),
];

/// What `POST /v1/messages` honours.
pub(in crate::api) const MESSAGES_API: Groups = &[
    MODEL,
    &[required("max_tokens", Within(limits::MAX_TOKENS), "Most tokens of the answer.")],
    DIALECT,
    SAMPLING,
    SALT,
];

/// What `POST /v1/messages/count_tokens` honours: the same, but no length is needed.
pub(in crate::api) const MESSAGES_COUNT: Groups = &[
    MODEL,
    &[param("max_tokens", Within(limits::MAX_TOKENS), "Most tokens of the answer.")],
    DIALECT,
    SAMPLING,
    SALT,
];

/// What `GET /v1/responses/{id}/input_items` takes in its address.
pub(super) const PAGE: &[Param] = &[
    param("order", OneOf(&["asc", "desc"]), "`desc` unless said: the last item first."),
    param("after", Within(limits::ITEM_ID), "The item after which the page begins."),
    param("limit", Within(limits::PAGE_LIMIT), "Most items of a page; 20 unless said."),
];

/// What `GET /v1/responses/{id}` takes in its address.
pub(super) const FOLLOW: &[Param] =
    &[param("stream", OneOf(&["false"]), "Only answers made in the background could be followed.")];
