"""What clients of one server see of each other through the official Python package: cached prefixes and tiers."""

import uuid

import openai
import pytest
from harness.server import Maru

LONG = " ".join(f"Board {number} of the floor is {7 * number} cm long." for number in range(40))
HELLO = [{"role": "user", "content": "Hello!"}]


def fresh() -> str:
    """A name that nobody has used before."""
    return uuid.uuid4().hex


def client_of(server: Maru, key: str = "unused") -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0)


def answer(client, model, **parameters):
    """Text and usage of the answer to a long prompt, the streamed one if that is asked for."""
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": LONG}],
        "temperature": 0,
        "max_completion_tokens": 8,
    } | parameters
    if not parameters.get("stream"):
        completion = client.chat.completions.create(**asked)
        return completion.choices[0].message.content, completion.usage
    *pieces, last = client.chat.completions.create(stream_options={"include_usage": True}, **asked)
    return "".join(piece.choices[0].delta.content or "" for piece in pieces), last.usage


def cached(client, model, **parameters) -> int:
    """Tokens of a long prompt that were found cached."""
    return answer(client, model, **parameters)[1].prompt_tokens_details.cached_tokens


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_second_equal_prompt_is_found_in_the_cache_and_answered_alike(client, model, stream):
    key = fresh()
    text, first = answer(client, model, prompt_cache_key=key, stream=stream)
    assert first.prompt_tokens_details.cached_tokens == 0
    again, second = answer(client, model, prompt_cache_key=key, stream=stream)
    assert first.prompt_tokens / 2 < second.prompt_tokens_details.cached_tokens < first.prompt_tokens
    assert again == text
    assert (second.prompt_tokens, second.completion_tokens) == (first.prompt_tokens, first.completion_tokens)


def test_a_longer_conversation_finds_its_beginning_in_the_cache(client, model):
    key = fresh()
    text, first = answer(client, model, prompt_cache_key=key)
    messages = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": text},
        {"role": "user", "content": "Thank you! And the longest?"},
    ]
    _, second = answer(client, model, prompt_cache_key=key, messages=messages)
    assert second.prompt_tokens > first.prompt_tokens
    assert second.prompt_tokens_details.cached_tokens > first.prompt_tokens / 2


def test_choices_count_their_common_prompt_once(client, model):
    key = fresh()
    _, first = answer(client, model, prompt_cache_key=key, n=3)
    assert first.prompt_tokens_details.cached_tokens == 0
    _, alone = answer(client, model, prompt_cache_key=fresh())
    assert first.prompt_tokens == alone.prompt_tokens


@pytest.mark.parametrize("name", ["prompt_cache_key", "cache_salt"])
def test_other_names_share_no_prefixes(client, model, name):
    def ask(value):
        return cached(client, model, extra_body={name: value})

    mine, other = fresh(), fresh()
    assert ask(mine) == 0
    assert ask(mine) > 0
    assert ask(other) == 0


def test_api_keys_share_no_prefixes(keyed_server):
    one, two = client_of(keyed_server, "sk-one"), client_of(keyed_server, "sk-two")
    model, key = one.models.list().data[0].id, fresh()
    assert cached(one, model, prompt_cache_key=key) == 0
    assert cached(one, model, prompt_cache_key=key) > 0
    assert cached(two, model, prompt_cache_key=key) == 0


def test_api_keys_share_prefixes_where_the_operator_wants_it():
    with Maru("--api-key", "sk-one", "--api-key", "sk-two", SERVER__SHARE_PREFIX_CACHE="true") as maru:
        one, two = client_of(maru, "sk-one"), client_of(maru, "sk-two")
        model = one.models.list().data[0].id
        assert cached(one, model) == 0
        assert cached(two, model) > 0
        assert cached(two, model, prompt_cache_key="own") == 0


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ({}, "default"),
        ({"service_tier": "auto"}, "default"),
        ({"service_tier": "default"}, "default"),
        ({"service_tier": "flex"}, "flex"),
        ({"extra_body": {"priority": 5}}, "flex"),
        ({"service_tier": "flex", "extra_body": {"priority": 0}}, "default"),
    ],
    ids=str,
)
def test_an_answer_names_the_tier_in_which_it_was_served(client, model, asked, served):
    parameters = {"model": model, "messages": HELLO, "max_completion_tokens": 2} | asked
    assert client.chat.completions.create(**parameters).service_tier == served
    chunks = list(client.chat.completions.create(stream=True, **parameters))
    assert {chunk.service_tier for chunk in chunks} == {served}


def test_going_before_others_is_the_operators_to_allow(client, model):
    def ask(client, **parameters):
        parameters = {"messages": HELLO, "max_completion_tokens": 2} | parameters
        raw = client.chat.completions.with_raw_response.create(model=model, **parameters)
        return raw.parse().service_tier, raw.headers.get("x-maru-ignored-params")

    assert ask(client, service_tier="priority") == ("default", "service_tier")
    assert ask(client, extra_body={"priority": -5}) == ("default", "priority")
    with Maru(SERVER__ALLOW_PRIORITY="true") as maru:
        allowed = client_of(maru)
        assert ask(allowed, service_tier="priority") == ("priority", None)
        assert ask(allowed, extra_body={"priority": -5}) == ("priority", None)
