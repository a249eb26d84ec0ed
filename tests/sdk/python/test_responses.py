"""Responses, completions and embeddings through the official Python package."""

import asyncio
import math

import openai
import pytest
from test_tools import Forecast, GetWeather

ASK = "How is the weather in Seoul?"


@pytest.fixture
def asked(model):
    return {"model": model, "input": ASK, "temperature": 1, "max_output_tokens": 400, "extra_body": {"seed": 5}}


TOOL = openai.pydantic_responses_function_tool(GetWeather, name="get_weather")


def test_a_response_is_created_found_and_deleted(client, asked):
    response = client.responses.create(instructions="You answer briefly.", metadata={"a": "b"}, **asked)
    assert response.status in ("completed", "incomplete") and response.output_text
    assert response.metadata == {"a": "b"} and response.instructions == "You answer briefly."
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    found = client.responses.retrieve(response.id)
    assert found.output == response.output
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_conversation_goes_on_from_a_response(client, asked):
    first = client.responses.create(**asked)
    second = client.responses.create(previous_response_id=first.id, **(asked | {"input": "And tomorrow?"}))
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens


def test_the_stream_helper_gathers_a_response(client, asked):
    pieces = []
    with client.responses.stream(**asked) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
        final = stream.get_final_response()
    assert "".join(pieces) == final.output_text != ""
    assert final.usage.output_tokens > 0


def test_a_plain_stream_ends_in_the_whole_response(client, asked):
    events = list(client.responses.create(stream=True, **(asked | {"temperature": 0})))
    assert events[0].type == "response.created"
    whole = client.responses.create(**(asked | {"temperature": 0}))
    assert events[-1].response.output_text == whole.output_text


def test_a_response_is_parsed_into_its_type(client, asked):
    response = client.responses.parse(text_format=Forecast, **asked)
    assert isinstance(response.output_parsed, Forecast)
    with client.responses.stream(text_format=Forecast, **asked) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_response().output_parsed, Forecast)


def test_a_function_is_called_and_its_result_given_back(client, asked):
    parameters = asked | {"tools": [TOOL], "parallel_tool_calls": False}
    response = client.responses.parse(tool_choice="required", **parameters)
    [call] = response.output
    assert call.type == "function_call" and call.name == "get_weather"
    assert isinstance(call.parsed_arguments, GetWeather)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"degrees": 21}'}
    for way in (
        {"input": [{"role": "user", "content": ASK}, call, result]},
        {"previous_response_id": response.id, "input": [result]},
    ):
        after = client.responses.create(tool_choice="none", **(parameters | way))
        assert after.output_text


def test_calls_are_streamed(client, asked):
    with client.responses.stream(tools=[TOOL], tool_choice="required", parallel_tool_calls=False, **asked) as stream:
        pieces = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        [call] = stream.get_final_response().output
    assert "".join(pieces) == call.arguments
    assert isinstance(call.parsed_arguments, GetWeather)


def test_input_tokens_are_counted_as_they_are_used(client, asked):
    response = client.responses.create(**(asked | {"max_output_tokens": 16}))
    counted = client.responses.input_tokens.count(model=asked["model"], input=ASK)
    assert counted.input_tokens == response.usage.input_tokens


def test_async_responses_are_the_same(client, server, asked):
    expected = client.responses.create(**(asked | {"temperature": 0})).output_text

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0) as other:
            return (await other.responses.create(**(asked | {"temperature": 0}))).output_text

    assert asyncio.run(ask()) == expected


@pytest.mark.parametrize(
    ("param", "changes"),
    [
        ("input", {"input": []}),
        ("input", {"input": 5}),
        ("input", {"input": [{"role": "wizard", "content": "x"}]}),
        ("input", {"input": [{"type": "function_call_output", "call_id": "nobody", "output": "x"}]}),
        ("max_output_tokens", {"max_output_tokens": 0}),
        ("temperature", {"temperature": 3}),
        ("tools", {"tools": [{"type": "web_search"}]}),
        ("tool_choice", {"tool_choice": "required"}),
        ("text", {"text": {"format": {"type": "yaml"}}}),
        ("previous_response_id", {"previous_response_id": "resp_nobody"}),
    ],
    ids=str,
)
def test_a_bad_parameter_is_named(client, asked, param, changes):
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(**(asked | changes))
    assert caught.value.status_code in (400, 404)
    assert caught.value.param.startswith(param), caught.value.param


def test_a_completion_echoes_and_scores_its_prompt(client, model):
    parameters = {"model": model, "prompt": "안녕하세요, floor", "max_tokens": 4, "temperature": 0}
    [plain] = client.completions.create(**parameters).choices
    [echoed] = client.completions.create(echo=True, logprobs=2, **parameters).choices
    assert echoed.text == parameters["prompt"] + plain.text
    assert echoed.logprobs.token_logprobs[0] is None
    assert all(logprob <= 0 for logprob in echoed.logprobs.token_logprobs[1:])
    [scored] = client.completions.create(echo=True, logprobs=2, **(parameters | {"max_tokens": 0})).choices
    assert scored.text == parameters["prompt"]
    assert scored.logprobs.tokens == echoed.logprobs.tokens[: len(scored.logprobs.tokens)]
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(stream=True, **parameters))
    assert streamed == plain.text


def test_embeddings_come_packed_and_are_unpacked(client, model):
    # The package asks for base64 unless told otherwise.
    packed = client.embeddings.create(model=model, input=["Hello", "안녕"]).data
    listed = client.embeddings.create(model=model, input=["Hello", "안녕"], encoding_format="float").data
    for one, other in zip(packed, listed, strict=True):
        assert math.isclose(math.hypot(*one.embedding), 1, rel_tol=1e-3)
        assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(one.embedding, other.embedding, strict=True))
