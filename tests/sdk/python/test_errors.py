"""Failures through the official Python package: each arrives as its typed exception."""

import openai
import pytest
from harness.server import Maru

HELLO = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
def complete(client, model):
    """Asks for a completion with something changed."""

    def ask(**changes):
        return client.chat.completions.create(**{"model": model, "messages": HELLO, "max_completion_tokens": 2} | changes)

    return ask


def assert_openai_error(error: openai.APIStatusError) -> None:
    assert error.request_id
    assert set(error.body) == {"message", "type", "param", "code"}
    assert error.message and error.type


@pytest.mark.parametrize("key", ["sk-wrong", "sk-on", "sk-onee", "SK-ONE"])
def test_a_wrong_key_is_an_authentication_error(keyed_server, key):
    client = openai.OpenAI(base_url=keyed_server.url + "/v1", api_key=key, max_retries=0)
    for call in (client.models.list, lambda: client.chat.completions.create(model="any", messages=HELLO)):
        with pytest.raises(openai.AuthenticationError) as caught:
            call()
        assert_openai_error(caught.value)
        assert caught.value.code == "invalid_api_key"
        assert key not in caught.value.message


@pytest.mark.parametrize("key", ["sk-one", "sk-two"])
def test_either_key_opens(keyed_server, key):
    client = openai.OpenAI(base_url=keyed_server.url + "/v1", api_key=key, max_retries=0)
    [entry] = client.models.list().data
    completion = client.chat.completions.create(model=entry.id, messages=HELLO, max_completion_tokens=2)
    assert completion.usage.completion_tokens > 0


def test_an_unknown_model_is_not_found(client, complete):
    for call in (lambda: complete(model="no-such-model"), lambda: client.models.retrieve("no-such-model")):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert_openai_error(caught.value)
        assert caught.value.code == "model_not_found"
        assert "no-such-model" in caught.value.message


def test_a_prompt_that_is_too_long_is_told_with_the_numbers(complete):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            complete(messages=[{"role": "user", "content": "마루 floor " * 20_000}], stream=stream)
        assert_openai_error(caught.value)
        assert caught.value.code == "context_length_exceeded"
        assert any(character.isdigit() for character in caught.value.message)


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("temperature", 2.5),
        ("temperature", -0.1),
        ("temperature", "warm"),
        ("top_p", 1.5),
        ("top_p", -1),
        ("n", 0),
        ("n", 100_000),
        ("n", "two"),
        ("seed", "lucky"),
        ("max_completion_tokens", 0),
        ("max_completion_tokens", -1),
        ("max_tokens", 0),
        ("stop", ["x"] * 17),
        ("stop", [1, 2]),
        ("service_tier", "gold"),
        ("prompt_cache_key", "k" * 65),
        ("prompt_cache_key", 7),
        ("messages", []),
        ("messages", [{"role": "wizard", "content": "x"}]),
        ("messages", [{"role": "user"}]),
        ("messages", [{"role": "user", "content": 5}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]),
    ],
)
def test_a_bad_parameter_is_named(complete, param, value):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(**{param: value})
    assert_openai_error(caught.value)
    assert caught.value.param and caught.value.param.startswith(param)
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("tools", [{"type": "custom", "custom": {"name": "f"}}]),
        ("modalities", ["text", "audio"]),
    ],
)
def test_what_would_change_the_meaning_and_is_not_served_is_refused(complete, param, value):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(**{param: value})
    assert_openai_error(caught.value)
    assert caught.value.param.startswith(param)


def test_a_body_over_the_limit_is_refused(complete):
    with pytest.raises(openai.APIStatusError) as caught:
        complete(messages=[{"role": "user", "content": "x" * (5 << 20)}])
    assert caught.value.status_code == 413
    assert_openai_error(caught.value)


def test_what_is_not_served_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.moderations.create(model="any", input="x")
    assert_openai_error(caught.value)


def test_more_work_than_may_wait_is_a_rate_limit_that_says_when_to_come_back():
    # One choice runs, one waits, the third of eight is refused, and with it the whole request.
    with Maru(ENGINE__MAX_NUM_SEQS=1, ENGINE__MAX_WAITING=1) as maru:
        client = openai.OpenAI(base_url=maru.url + "/v1", api_key="unused", max_retries=0)
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as caught:
                client.chat.completions.create(model=maru.model(), messages=HELLO, n=8, stream=stream)
            assert_openai_error(caught.value)
            assert caught.value.code == "rate_limit_exceeded"
            headers = caught.value.response.headers
            assert 1 <= int(headers["retry-after"]) <= 120
            assert 1 <= int(headers["retry-after-ms"]) <= 120_000
            maru.wait_until_idle()
        assert maru.metrics()["maru_requests_rejected_total"] == 2
        completion = client.chat.completions.create(model=maru.model(), messages=HELLO)
        assert completion.choices[0].message.content
