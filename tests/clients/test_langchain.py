"""langchain-openai against the binary."""

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

ASK = [SystemMessage("You answer briefly."), HumanMessage("How is the weather in Seoul?")]


@pytest.fixture
def chat(server, model):
    def make(**parameters: object) -> ChatOpenAI:
        return ChatOpenAI(
            base_url=server.url + "/v1",
            api_key="unused",
            model=model,
            max_retries=0,
            max_completion_tokens=400,
            **parameters,
        )

    return make


def test_an_answer_comes_whole_and_streamed(chat):
    llm = chat(temperature=0, stream_usage=True)
    whole = llm.invoke(ASK)
    assert isinstance(whole, AIMessage) and whole.content
    assert whole.usage_metadata["total_tokens"] > 0
    assert whole.response_metadata["finish_reason"] in ("stop", "length")
    pieces = list(llm.stream(ASK))
    assert "".join(piece.content for piece in pieces) == whole.content
    assert sum(piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata) > 0

    async def collect() -> str:
        return "".join([piece.content async for piece in llm.astream(ASK)])

    assert asyncio.run(collect()) == whole.content


def test_many_are_answered_at_once(chat):
    answers = chat(temperature=0).batch([ASK] * 8)
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_an_answer_is_brought_into_a_type(chat, forecast, method):
    llm = chat(temperature=1, seed=3)
    if method == "json_mode":
        # Any object will do there, so that the type cannot be asked for.
        assert isinstance(llm.with_structured_output(None, method=method).invoke(ASK), dict)
    else:
        assert isinstance(llm.with_structured_output(forecast, method=method).invoke(ASK), forecast)


@pytest.mark.parametrize("choice", ["any", "GetWeather"])
def test_tools_are_called_whole_and_streamed_and_answered(chat, get_weather, choice):
    llm = chat(temperature=1, seed=3).bind_tools([get_weather], tool_choice=choice, strict=True)
    whole = llm.invoke(ASK)
    assert whole.tool_calls and not whole.invalid_tool_calls
    for call in whole.tool_calls:
        assert call["name"] == "GetWeather" and call["id"]
        get_weather.model_validate(call["args"])
    total = None
    for piece in llm.stream(ASK):
        total = piece if total is None else total + piece
    assert [call["args"] for call in total.tool_calls] == [call["args"] for call in whole.tool_calls]
    results = [ToolMessage('{"degrees": 21}', tool_call_id=call["id"]) for call in whole.tool_calls]
    after = chat(temperature=0).bind_tools([get_weather], tool_choice="none").invoke([*ASK, whole, *results])
    assert after.content and not after.tool_calls


def test_log_probabilities_are_handed_on(chat):
    answer = chat(temperature=0, logprobs=True, top_logprobs=2).invoke(ASK)
    assert answer.response_metadata["logprobs"]["content"]


def test_the_responses_api_is_spoken(chat, forecast):
    llm = chat(temperature=1, use_responses_api=True)
    assert llm.invoke(ASK).text
    assert "".join(piece.text for piece in llm.stream(ASK))
    assert isinstance(llm.with_structured_output(forecast).invoke(ASK), forecast)


def test_texts_are_embedded(server, model):
    embeddings = OpenAIEmbeddings(
        base_url=server.url + "/v1", api_key="unused", model=model, check_embedding_ctx_length=False, max_retries=0
    )
    one, two = embeddings.embed_documents(["The floor is oak.", "마루"])
    assert len(one) == len(two) > 0
    assert embeddings.embed_query("마루") == pytest.approx(two, abs=1e-4)
