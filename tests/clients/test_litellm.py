"""litellm against the binary, as an OpenAI server and as a vLLM server."""

import asyncio
import json
import os

import pytest

# Its table of prices is then the one that it brought along, not one from the web.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

ASK = [{"role": "user", "content": "How is the weather in Seoul?"}]


@pytest.fixture(params=["openai", "hosted_vllm"])
def asked(request, server, model):
    litellm.drop_params = False
    return {
        "model": f"{request.param}/{model}",
        "api_base": server.url + "/v1",
        "api_key": "unused",
        "messages": ASK,
        "max_tokens": 400,
        "num_retries": 0,
    }


def tool(get_weather) -> dict:
    parameters = get_weather.model_json_schema()
    return {"type": "function", "function": {"name": "GetWeather", "parameters": parameters, "strict": True}}


def test_an_answer_comes_whole_and_streamed(asked):
    whole = litellm.completion(temperature=0, **asked)
    assert whole.choices[0].message.content
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(litellm.completion(temperature=0, stream=True, stream_options={"include_usage": True}, **asked))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert litellm.stream_chunk_builder(chunks).usage.completion_tokens == whole.usage.completion_tokens

    async def collect() -> str:
        pieces = await litellm.acompletion(temperature=0, stream=True, **asked)
        return "".join([piece.choices[0].delta.content or "" async for piece in pieces])

    assert asyncio.run(collect()) == text


def test_an_answer_is_brought_into_a_type(asked, forecast):
    completion = litellm.completion(temperature=1, seed=3, response_format=forecast, **asked)
    forecast.model_validate_json(completion.choices[0].message.content)


def test_tools_are_called_whole_and_streamed(asked, get_weather):
    parameters = asked | {"tools": [tool(get_weather)], "tool_choice": "required", "temperature": 1, "seed": 3}
    whole = litellm.completion(**parameters).choices[0]
    assert whole.finish_reason == "tool_calls" and whole.message.tool_calls
    for call in whole.message.tool_calls:
        assert call.function.name == "GetWeather"
        json.loads(call.function.arguments)
    chunks = list(litellm.completion(stream=True, **parameters))
    built = litellm.stream_chunk_builder(chunks, messages=ASK).choices[0]
    assert built.finish_reason == "tool_calls"
    called = [call.function.arguments for call in built.message.tool_calls]
    assert called == [call.function.arguments for call in whole.message.tool_calls]


def test_failures_have_their_types(asked):
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**(asked | {"model": asked["model"] + "-not"}))
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(temperature=7, **asked)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**(asked | {"messages": [{"role": "user", "content": "마루 floor " * 20_000}]}))


def test_texts_are_embedded(server, model):
    answer = litellm.embedding(
        model=f"openai/{model}", api_base=server.url + "/v1", api_key="unused", input=["Hello", "마루"]
    )
    assert len(answer.data) == 2
