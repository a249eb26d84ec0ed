"""Embeddings, models, tokens and failures against the published types."""

import base64
import math
import struct
import unicodedata

import pytest
from harness.schemas import check_answer, parameters
from harness.wire import user

INPUTS: dict[str, object] = {
    "text": "The floor is oak.",
    "korean": "마루는 참나무다.",
    "texts": ["The floor is oak.", "마루는 참나무다.", "👋🏽"],
    "tokens": [5, 6, 7, 8],
    "token lists": [[5, 6, 7], [9, 10]],
}


def count(value: object) -> int:
    return len(value) if isinstance(value, list) and not isinstance(value[0], int) else 1


@pytest.mark.parametrize("name", INPUTS)
def test_embeddings_are_of_the_published_type_and_of_length_one(ask, name):
    answer = ask("/v1/embeddings", input=INPUTS[name])
    assert answer.status == 200, answer.body
    whole = answer.json()
    check_answer("CreateEmbeddingResponse", whole)
    assert [entry["index"] for entry in whole["data"]] == list(range(count(INPUTS[name])))
    assert whole["usage"]["prompt_tokens"] == whole["usage"]["total_tokens"] > 0
    packed = ask("/v1/embeddings", input=INPUTS[name], encoding_format="base64").json()
    for entry, other in zip(whole["data"], packed["data"], strict=True):
        assert math.isclose(math.hypot(*entry["embedding"]), 1, rel_tol=1e-3)
        data = base64.b64decode(other["embedding"])
        unpacked = struct.unpack(f"<{len(data) // 4}f", data)
        assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(entry["embedding"], unpacked, strict=True))


def test_an_embedding_is_that_of_its_text_alone_and_of_its_tokens(ask):
    texts = ["The floor is oak.", "마루는 참나무다.", "Hello"]
    together = ask("/v1/embeddings", input=texts).json()["data"]
    for text, entry in zip(texts, together, strict=True):
        [alone] = ask("/v1/embeddings", input=text).json()["data"]
        tokens = ask("/tokenize", prompt=text).json()["tokens"]
        [of_tokens] = ask("/v1/embeddings", input=tokens).json()["data"]
        for other in (alone, of_tokens):
            same = zip(entry["embedding"], other["embedding"], strict=True)
            assert all(math.isclose(a, b, abs_tol=1e-4) for a, b in same)
    assert together[0]["embedding"] != together[1]["embedding"]


@pytest.mark.parametrize(
    "changes",
    [{"input": value} for value in ("", [], [""], [[]], 5, [1.5], [-1], [10**9], None, [["a"]])]
    + [{"encoding_format": "hex"}, {"dimensions": 0}, {"dimensions": -3}, {"dimensions": 1_000_000}],
    ids=str,
)
def test_bad_embedding_parameters_are_named(ask, changes):
    answer = ask("/v1/embeddings", **({"input": "x"} | changes))
    assert answer.status == 400, answer.body
    check_answer("Error", answer.json())
    [name] = changes
    assert answer.json()["error"]["param"].startswith(name)


def test_no_shorter_vector_is_made_up(ask):
    fewer = ask("/v1/embeddings", input="Hello", dimensions=8)
    assert fewer.status == 400 and fewer.json()["error"]["param"] == "dimensions"


def test_models_are_of_the_published_types(get, model):
    listed = get("/v1/models").json()
    check_answer("ModelList", listed)
    found = get(f"/v1/models/{model}").json()
    check_answer("Model", found)
    assert found in listed["data"]
    missing = get("/v1/models/no-such-model")
    assert missing.status == 404
    check_answer("Error", missing.json())


@pytest.mark.parametrize("text", ["", "Hello", "안녕하세요 👩‍👩‍👧‍👦", " \n\t ", "[|endofturn|]", "e\u0301 \u0000"])
def test_text_becomes_tokens_and_text_again(ask, text):
    answer = ask("/tokenize", prompt=text, add_special_tokens=False)
    assert answer.status == 200, answer.body
    tokens = answer.json()
    assert tokens["count"] == len(tokens["tokens"]) and tokens["max_model_len"] > 0
    assert ask("/detokenize", tokens=tokens["tokens"]).json() == {"prompt": unicodedata.normalize("NFC", text)}


def test_a_conversation_is_counted_as_it_is_used(ask):
    messages = user("Hello! 안녕하세요!")
    counted = ask("/tokenize", messages=messages).json()
    usage = ask("/v1/chat/completions", messages=messages, max_completion_tokens=1).json()["usage"]
    assert counted["count"] == usage["prompt_tokens"]


def test_the_tokenizer_tells_of_itself(get):
    told = get("/tokenizer_info").json()
    assert told["eos_token"]


ENDPOINTS: dict[str, dict] = {
    "/v1/chat/completions": {"messages": user("x"), "max_completion_tokens": 1},
    "/v1/completions": {"prompt": "x", "max_tokens": 1},
    "/v1/responses": {"input": "x", "max_output_tokens": 16},
    "/v1/embeddings": {"input": "x"},
    "/tokenize": {"prompt": "x"},
    "/detokenize": {"tokens": [1]},
}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_failures_are_of_the_published_type_everywhere(ask, get, path):
    for answer, status in [
        (ask(path, **(ENDPOINTS[path] | {"model": "no-such-model"})), 404),
        (ask(path, **(ENDPOINTS[path] | {"model": 5})), 400),
        (ask(path), 400),
        (get(path), 405),
        (get(path + "/nothing/here"), 404),
    ]:
        assert answer.status == status, (path, answer.body)
        check_answer("Error", answer.json())
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("name", ["chat", "completions", "responses", "embeddings"])
def test_null_is_none_for_every_published_parameter(ask, name):
    [path] = [path for path in ENDPOINTS if path.split("/")[2:3] == [name]]
    answer = ask(path, **(dict.fromkeys(set(parameters(name)) - {"model"}) | ENDPOINTS[path]))
    assert answer.status == 200, answer.body
    assert "x-maru-ignored-params" not in answer.headers


# What each published parameter of chat completions may hold. A name that is not here is one that the document gained.
CHAT_PARAMETERS: dict[str, object] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f", "parameters": {"type": "object", "properties": {}}}],
    "logit_bias": {"5": -1},
    "logprobs": True,
    "max_completion_tokens": 2,
    "max_tokens": 2,
    "messages": user("Hello!"),
    "metadata": {"a": "b"},
    "modalities": ["text"],
    "model": None,
    "moderation": {"model": "omni-moderation-latest"},
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "Hi!"},
    "presence_penalty": 0.5,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "s",
    "seed": 1,
    "service_tier": "auto",
    "stop": ["x"],
    "store": True,
    "stream": False,
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "temperature": 1,
    "tool_choice": "auto",
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "top_logprobs": 1,
    "top_p": 0.9,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {},
}
# A parameter that means something only beside another.
BESIDE: dict[str, dict] = {
    "function_call": {"functions": CHAT_PARAMETERS["functions"]},
    "parallel_tool_calls": {"tools": CHAT_PARAMETERS["tools"]},
    "tool_choice": {"tools": CHAT_PARAMETERS["tools"]},
    "top_logprobs": {"logprobs": True},
    "audio": {"modalities": ["text", "audio"]},
}
# What a server of text alone cannot do: it must say so.
REFUSED = {"audio", "web_search_options"}
# What changes nothing here: it is told in a header.
TOLD = {"moderation", "prompt_cache_retention", "store", "verbosity"}
# What depends on the model and on how the server was set up.
EITHER = {"prediction", "prompt_cache_options", "reasoning_effort"}


def test_the_table_of_parameters_is_the_published_one():
    assert sorted(CHAT_PARAMETERS) == parameters("chat")
    assert len(CHAT_PARAMETERS) == 37


@pytest.mark.parametrize("name", sorted(set(CHAT_PARAMETERS) - {"model", "messages"}))
def test_every_published_parameter_is_heard_or_told_and_null_is_none(ask, name):
    base = {"messages": user("Hello!"), "max_completion_tokens": 2} | BESIDE.get(name, {})
    base |= {"stream": True} if name == "stream_options" else {}
    answer = ask("/v1/chat/completions", **(base | {name: CHAT_PARAMETERS[name]}))
    told = {part.strip() for part in answer.headers.get("x-maru-ignored-params", "").split(",")}
    if name in REFUSED and answer.status == 400:
        check_answer("Error", answer.json())
        assert answer.json()["error"]["param"].startswith((name, "modalities"))
    else:
        assert answer.status == 200, answer.body
        assert name in EITHER or (name in told) == (name in TOLD or name in REFUSED), told
    nothing = ask("/v1/chat/completions", **({"messages": user("Hello!"), "max_completion_tokens": 2} | {name: None}))
    assert nothing.status == 200, nothing.body
    assert "x-maru-ignored-params" not in nothing.headers


def test_a_parameter_that_nobody_published_is_told(ask):
    answer = ask("/v1/chat/completions", messages=user("Hello!"), max_completion_tokens=2, no_such_parameter=1)
    assert answer.headers["x-maru-ignored-params"] == "no_such_parameter"
