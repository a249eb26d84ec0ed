"""Function calls and answers held to a type, through the official Python package."""

import json
from enum import Enum
from typing import Annotated

import openai
import pytest
from pydantic import BaseModel, Field

ASK = [{"role": "user", "content": "How is the weather in Seoul?"}]


class Sky(str, Enum):
    clear = "맑음"
    cloudy = "흐림"
    rain = "비"


class Forecast(BaseModel):
    sky: Sky
    degrees: int = Field(ge=-40, le=50)
    hours: list[Annotated[int, Field(ge=0, le=23)]] = Field(max_length=3)
    is_certain: bool


class GetWeather(BaseModel):
    """Looks up the weather."""

    city: str = Field(max_length=12)
    unit: Sky


WEATHER = openai.pydantic_function_tool(GetWeather, name="get_weather")
TIDE = openai.pydantic_function_tool(GetWeather, name="get_tide")


@pytest.fixture
def sampled(model):
    """What every request of these tests has in common."""
    return {"model": model, "messages": ASK, "temperature": 1, "seed": 5, "max_completion_tokens": 400}


def test_an_answer_is_parsed_into_its_type(client, sampled):
    completion = client.chat.completions.parse(response_format=Forecast, **sampled)
    [choice] = completion.choices
    assert isinstance(choice.message.parsed, Forecast)
    assert choice.message.refusal is None and not choice.message.tool_calls
    with client.chat.completions.stream(response_format=Forecast, **sampled) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert final.choices[0].message.parsed == choice.message.parsed


def test_an_answer_that_is_cut_is_told_as_such(client, sampled):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(response_format=Forecast, **(sampled | {"max_completion_tokens": 2}))


def test_required_calls_are_parsed_into_their_type(client, sampled):
    completion = client.chat.completions.parse(tools=[WEATHER, TIDE], tool_choice="required", **sampled)
    [choice] = completion.choices
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert choice.message.tool_calls
    for call in choice.message.tool_calls:
        assert call.id and call.type == "function" and call.function.name in ("get_weather", "get_tide")
        assert isinstance(call.function.parsed_arguments, GetWeather)
    assert len({call.id for call in choice.message.tool_calls}) == len(choice.message.tool_calls)


def test_the_stream_helper_tells_of_calls(client, sampled):
    parameters = sampled | {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    [whole] = client.chat.completions.create(**parameters).choices[0].message.tool_calls
    with client.chat.completions.stream(**parameters) as stream:
        events = list(stream)
        [call] = stream.get_final_completion().choices[0].message.tool_calls
    pieces = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    [done] = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert "".join(piece.arguments_delta for piece in pieces) == done.arguments == call.function.arguments
    assert (done.name, done.index, call.function.name) == ("get_weather", 0, "get_weather")
    assert isinstance(done.parsed_arguments, GetWeather)
    assert call.function.arguments == whole.function.arguments


def test_a_named_function_is_called(client, sampled):
    choice = {"type": "function", "function": {"name": "get_tide"}}
    completion = client.chat.completions.create(tools=[WEATHER, TIDE], tool_choice=choice, **sampled)
    [call] = completion.choices[0].message.tool_calls
    assert call.function.name == "get_tide"
    GetWeather.model_validate_json(call.function.arguments)


def test_results_are_given_back(client, sampled):
    parameters = sampled | {"tools": [WEATHER], "parallel_tool_calls": False}
    completion = client.chat.completions.create(tool_choice="required", **parameters)
    message = completion.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"degrees": 21}'}
    parameters["messages"] = [*ASK, message, result]
    after = client.chat.completions.create(tool_choice="none", **parameters)
    assert after.choices[0].message.content and not after.choices[0].message.tool_calls
    # With no call to come the prompt holds the conversation alone, not what might be called.
    asked_alone = client.chat.completions.create(**sampled)
    assert asked_alone.usage.prompt_tokens < after.usage.prompt_tokens


NO_TYPE = {"name": "f", "strict": True, "parameters": {"type": "nothing"}}


@pytest.mark.parametrize(
    ("param", "changes"),
    [
        ("tools", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
        ("tools", {"tools": [{"type": "function", "function": {"name": "has a space"}}]}),
        ("tools", {"tools": [{"type": "function", "function": {"name": "f" * 65}}]}),
        ("tools", {"tools": [{"type": "function", "function": NO_TYPE}]}),
        ("tools", {"tools": [WEATHER, WEATHER]}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": "sometimes"}),
        ("tool_choice", {"tool_choice": "required"}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "nobody"}}}),
        ("messages", {"messages": [*ASK, {"role": "tool", "content": 5}]}),
        ("response_format", {"response_format": {"type": "yaml"}}),
        ("response_format", {"response_format": {"type": "json_schema"}}),
        ("response_format", {"response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": 5}}}),
        ("logit_bias", {"logit_bias": {"Hello": 1}}),
        ("logit_bias", {"logit_bias": {"5": 101}}),
        ("logit_bias", {"logit_bias": {"99999999": 1}}),
        ("top_logprobs", {"top_logprobs": 2}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
    ],
    ids=str,
)
def test_a_bad_parameter_is_named(client, sampled, param, changes):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**(sampled | changes))
    assert caught.value.param.startswith(param), caught.value.param


def test_log_probabilities_spell_the_text(client, sampled):
    completion = client.chat.completions.create(
        logprobs=True, top_logprobs=3, **(sampled | {"max_completion_tokens": 16})
    )
    [choice] = completion.choices
    tokens = choice.logprobs.content
    assert 0 < len(tokens) <= 16 and choice.logprobs.refusal is None
    spelled = b"".join(bytes(token.bytes) for token in tokens)
    assert spelled.startswith(choice.message.content.encode())
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens)
    pieces = list(
        client.chat.completions.create(
            stream=True, logprobs=True, top_logprobs=3, **(sampled | {"max_completion_tokens": 16})
        )
    )
    streamed = [token for piece in pieces if piece.choices[0].logprobs for token in piece.choices[0].logprobs.content]
    assert streamed == tokens


def test_a_greedy_token_is_the_most_likely_one(client, sampled):
    asked = sampled | {"temperature": 0, "max_completion_tokens": 16}
    [choice] = client.chat.completions.create(logprobs=True, top_logprobs=1, **asked).choices
    assert all(token.top_logprobs[0].logprob == token.logprob for token in choice.logprobs.content)


def test_deprecated_functions_are_called_too(client, sampled):
    about = {"name": "get_weather", "parameters": WEATHER["function"]["parameters"]}
    completion = client.chat.completions.create(functions=[about], function_call={"name": "get_weather"}, **sampled)
    call = completion.choices[0].message.function_call
    assert call.name == "get_weather"
    GetWeather.model_validate(json.loads(call.arguments))
