"""Chat completions through the official Python package: whole and streamed."""

import asyncio

import openai
import pytest
from openai.types.chat import ChatCompletion

CONVERSATIONS = {
    "english": [{"role": "user", "content": "Hello! Who are you?"}],
    "korean": [{"role": "user", "content": "안녕하세요! 당신은 누구인가요?"}],
    "emoji": [{"role": "user", "content": "👩‍👩‍👧‍👦🇰🇷 Say hello! 👋🏽"}],
    "several turns": [
        {"role": "system", "content": "You answer briefly."},
        {"role": "user", "content": "내 이름은 민수야."},
        {"role": "assistant", "content": "반가워요, 민수님!"},
        {"role": "user", "content": "내 이름이 뭐라고?"},
    ],
}


@pytest.fixture(params=CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def messages(request):
    return request.param


def streamed(client, **parameters):
    """A streamed completion as its chunks, and the text of each choice."""
    chunks = list(client.chat.completions.create(stream=True, **parameters))
    texts = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return chunks, texts


def apart_from_the_cache(usage):
    """A usage without what was found cached, which depends on what was asked before."""
    return usage.model_dump(exclude={"prompt_tokens_details": {"cached_tokens"}})


def test_a_whole_answer_has_every_field(client, model, messages):
    completion = client.chat.completions.create(model=model, messages=messages, temperature=0)
    assert completion.id
    assert completion.object == "chat.completion"
    assert completion.created > 1_600_000_000
    assert completion.model == model
    assert completion.system_fingerprint
    [choice] = completion.choices
    assert choice.index == 0
    assert choice.finish_reason in ("stop", "length")
    assert choice.logprobs is None
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert "\ufffd" not in choice.message.content
    assert choice.message.refusal is None
    assert choice.message.tool_calls is None
    usage = completion.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens >= 0
    assert usage.completion_tokens_details.reasoning_tokens == 0
    assert usage.completion_tokens_details.accepted_prediction_tokens >= 0
    assert usage.completion_tokens_details.rejected_prediction_tokens >= 0
    assert completion.service_tier == "default"


def test_the_fields_that_clients_look_for_are_in_the_json(client, model):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=CONVERSATIONS["korean"], max_completion_tokens=4
    )
    body = raw.http_response.json()
    [choice] = body["choices"]
    assert choice["logprobs"] is None
    assert choice["message"]["refusal"] is None
    assert "tool_calls" not in choice["message"]


def test_a_stream_is_the_whole_answer_in_pieces(client, model, messages):
    whole = client.chat.completions.create(model=model, messages=messages, temperature=0)
    chunks, texts = streamed(client, model=model, messages=messages, temperature=0)
    assert texts == {0: whole.choices[0].message.content}
    assert len({chunk.id for chunk in chunks}) == 1 and chunks[0].id
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.model for chunk in chunks} == {model}
    assert {chunk.system_fingerprint for chunk in chunks} == {whole.system_fingerprint}
    first, *_, last = [chunk.choices[0] for chunk in chunks]
    assert first.delta.role == "assistant" and not first.delta.content
    assert last.finish_reason == whole.choices[0].finish_reason
    assert [c.choices[0].finish_reason for c in chunks].count(None) == len(chunks) - 1
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_last_when_asked_for(client, model):
    parameters = {"model": model, "messages": CONVERSATIONS["english"], "temperature": 0}
    whole = client.chat.completions.create(**parameters)
    chunks, _ = streamed(client, stream_options={"include_usage": True}, **parameters)
    *before, last = chunks
    assert last.choices == []
    assert apart_from_the_cache(last.usage) == apart_from_the_cache(whole.usage)
    assert all(chunk.choices and chunk.usage is None for chunk in before)


def test_three_choices_are_answered_whole_and_streamed(client, model):
    parameters = {"model": model, "messages": CONVERSATIONS["english"], "n": 3, "temperature": 1, "seed": 11}
    whole = client.chat.completions.create(**parameters)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    chunks, texts = streamed(client, **parameters)
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    roles = [choice.index for chunk in chunks for choice in chunk.choices if choice.delta.role]
    assert roles == [0, 1, 2]
    ends = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1, 2]
    alone = client.chat.completions.create(**parameters | {"n": 1})
    assert alone.choices[0].message.content == whole.choices[0].message.content
    assert whole.usage.prompt_tokens == alone.usage.prompt_tokens
    assert whole.usage.completion_tokens > alone.usage.completion_tokens


@pytest.mark.parametrize("messages", [CONVERSATIONS["english"], CONVERSATIONS["korean"]], ids=["english", "korean"])
def test_a_stop_string_ends_the_text_wherever_tokens_end(client, model, messages):
    parameters = {"model": model, "messages": messages, "temperature": 0}
    full = client.chat.completions.create(**parameters).choices[0].message.content
    assert len(full) >= 6
    for start in range(1, min(len(full) - 3, 12)):
        stop = full[start : start + 3]
        expected = full[: full.index(stop)]
        whole = client.chat.completions.create(stop=stop, **parameters).choices[0]
        assert (whole.message.content, whole.finish_reason) == (expected, "stop"), stop
        chunks, texts = streamed(client, stop=["not in there", stop], **parameters)
        assert texts == {0: expected}, stop
        assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_seed_makes_sampling_repeatable(client, model):
    def sample(seed):
        completion = client.chat.completions.create(
            model=model, messages=CONVERSATIONS["english"], temperature=1.5, seed=seed, max_completion_tokens=24
        )
        return completion.choices[0].message.content

    assert sample(5) == sample(5)
    assert len({sample(seed) for seed in range(12)}) > 1


def test_temperature_zero_is_greedy(client, model, messages):
    answers = {
        client.chat.completions.create(model=model, messages=messages, temperature=0, seed=seed)
        .choices[0]
        .message.content
        for seed in range(3)
    }
    assert len(answers) == 1


@pytest.mark.parametrize("limit", ["max_completion_tokens", "max_tokens"])
def test_a_token_limit_ends_the_answer(client, model, limit):
    completion = client.chat.completions.create(
        model=model, messages=CONVERSATIONS["korean"], temperature=0, **{limit: 3}
    )
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 3


def test_the_newer_limit_wins(client, model):
    completion = client.chat.completions.create(
        model=model, messages=CONVERSATIONS["english"], temperature=0, max_tokens=5, max_completion_tokens=2
    )
    assert completion.usage.completion_tokens == 2


def test_developer_is_another_word_for_system(client, model):
    def ask(role):
        return client.chat.completions.create(
            model=model,
            temperature=0,
            messages=[{"role": role, "content": "You answer briefly."}, {"role": "user", "content": "Hello!"}],
        )

    system, developer = ask("system"), ask("developer")
    assert developer.choices[0].message.content == system.choices[0].message.content
    assert developer.usage.prompt_tokens == system.usage.prompt_tokens


def test_text_parts_are_read_as_one_text(client, model):
    def ask(content):
        return client.chat.completions.create(
            model=model, temperature=0, messages=[{"role": "user", "content": content}]
        ).choices[0]

    parts = ask([{"type": "text", "text": "Hello! "}, {"type": "text", "text": "안녕하세요?"}])
    assert parts.message.content in {ask(text).message.content for text in ("Hello! 안녕하세요?", "Hello! \n안녕하세요?")}


def test_null_stands_for_absent(client, model):
    nulls = dict.fromkeys(
        ["top_p", "top_k", "seed", "stop", "n", "max_tokens", "stream", "stream_options", "max_completion_tokens"]
        + ["logprobs", "tools", "response_format", "user", "metadata", "frequency_penalty", "presence_penalty"]
    )
    body = {"model": model, "messages": CONVERSATIONS["english"], "temperature": 0}
    bare = client.post("/chat/completions", body=body, cast_to=ChatCompletion)
    with_nulls = client.post("/chat/completions", body=body | nulls, cast_to=ChatCompletion)
    assert with_nulls.choices[0].message.content == bare.choices[0].message.content


def test_what_is_ignored_is_told(client, model):
    parameters = {"model": model, "messages": CONVERSATIONS["english"], "max_completion_tokens": 1}
    raw = client.chat.completions.with_raw_response.create(
        verbosity="low", user="somebody", extra_body={"no_such_parameter": 1}, **parameters
    )
    told = {name.strip() for name in raw.headers["x-maru-ignored-params"].split(",")}
    assert {"verbosity", "no_such_parameter"} <= told
    plain = client.chat.completions.with_raw_response.create(response_format={"type": "text"}, n=1, **parameters)
    assert "x-maru-ignored-params" not in plain.headers


def test_the_stream_helper_gathers_every_choice(client, model):
    parameters = {"model": model, "messages": CONVERSATIONS["korean"], "n": 2, "temperature": 1, "seed": 3}
    whole = client.chat.completions.create(**parameters)
    deltas = 0
    with client.chat.completions.stream(stream_options={"include_usage": True}, **parameters) as stream:
        for event in stream:
            deltas += event.type == "content.delta"
        final = stream.get_final_completion()
    assert deltas > 0
    assert [c.message.content for c in final.choices] == [c.message.content for c in whole.choices]
    assert [c.finish_reason for c in final.choices] == [c.finish_reason for c in whole.choices]
    assert apart_from_the_cache(final.usage) == apart_from_the_cache(whole.usage)


def test_request_ids_are_made_and_kept(client, model):
    made = client.chat.completions.create(model=model, messages=CONVERSATIONS["english"], max_completion_tokens=1)
    assert made._request_id
    raw = client.chat.completions.with_raw_response.create(
        model=model,
        messages=CONVERSATIONS["english"],
        max_completion_tokens=1,
        extra_headers={"x-request-id": "kept-1.a_B"},
    )
    assert raw.headers["x-request-id"] == "kept-1.a_B"
    assert raw.parse()._request_id == "kept-1.a_B"
    with client.chat.completions.with_streaming_response.create(
        model=model, messages=CONVERSATIONS["english"], max_completion_tokens=1, stream=True
    ) as response:
        assert response.headers["x-request-id"]
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.read()


def test_a_stream_closed_early_frees_what_it_held(client, server, model):
    for _ in range(8):
        with client.chat.completions.create(
            model=model, messages=CONVERSATIONS["english"], temperature=2, stream=True
        ) as stream:
            next(iter(stream))
    server.wait_until_idle()


def test_async_answers_are_the_same(client, server, model, messages):
    parameters = {"model": model, "messages": messages, "temperature": 0}
    expected = client.chat.completions.create(**parameters).choices[0].message.content

    async def stream(other: openai.AsyncOpenAI) -> str:
        pieces = await other.chat.completions.create(stream=True, **parameters)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in pieces])

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0) as other:
            wholes = [other.chat.completions.create(**parameters) for _ in range(8)]
            streams = [stream(other) for _ in range(8)]
            answers = await asyncio.gather(*wholes, *streams)
        return [a if isinstance(a, str) else a.choices[0].message.content for a in answers]

    assert set(asyncio.run(all_at_once())) == {expected}


def test_models_are_listed_and_retrieved(client, model):
    listed = client.models.list().data
    assert [entry.id for entry in listed] == [model]
    entry = client.models.retrieve(model)
    assert (entry.id, entry.object) == (model, "model")
    assert entry.created > 0 and entry.owned_by
