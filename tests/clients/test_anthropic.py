"""The official Anthropic package against the binary."""

import anthropic
import pytest

ASK = [{"role": "user", "content": "How is the weather in Seoul? 안녕!"}]


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
def asked(model):
    return {"model": model, "messages": ASK, "max_tokens": 300}


@pytest.fixture
def tool(get_weather) -> dict:
    schema = get_weather.model_json_schema()
    return {"name": "get_weather", "description": "Looks it up.", "input_schema": schema}


def test_a_message_comes_whole_and_streamed(client, asked):
    whole = client.messages.create(extra_body={"temperature": 0}, system="You answer briefly.", **asked)
    assert (whole.role, whole.type) == ("assistant", "message")
    [block] = whole.content
    assert block.type == "text" and block.text
    assert whole.stop_reason in ("end_turn", "max_tokens")
    assert whole.usage.input_tokens >= 0 and whole.usage.output_tokens > 0
    with client.messages.stream(extra_body={"temperature": 0}, system="You answer briefly.", **asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == block.text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}], ids=str)
def test_a_tool_is_used_and_its_result_given_back(client, asked, tool, get_weather, choice):
    choice |= {"disable_parallel_tool_use": True}
    whole = client.messages.create(tools=[tool], tool_choice=choice, extra_body={"temperature": 0}, **asked)
    assert whole.stop_reason == "tool_use"
    [call] = [block for block in whole.content if block.type == "tool_use"]
    get_weather.model_validate(call.input)
    with client.messages.stream(tools=[tool], tool_choice=choice, extra_body={"temperature": 0}, **asked) as stream:
        [streamed] = [block for block in stream.get_final_message().content if block.type == "tool_use"]
    assert (streamed.name, streamed.input) == (call.name, call.input)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
    messages = [*ASK, {"role": "assistant", "content": whole.content}, {"role": "user", "content": [result]}]
    after = client.messages.create(tools=[tool], tool_choice={"type": "none"}, **(asked | {"messages": messages}))
    assert after.content[0].type == "text"


def test_a_stop_sequence_ends_a_message(client, asked):
    text = client.messages.create(extra_body={"temperature": 0}, **asked).content[0].text
    stop = next(text[at : at + 2] for at in range(1, len(text) - 2) if text[at : at + 2].strip())
    whole = client.messages.create(extra_body={"temperature": 0}, stop_sequences=[stop], **asked)
    assert (whole.stop_reason, whole.stop_sequence) == ("stop_sequence", stop)
    assert whole.content[0].text == text[: text.index(stop)]


def test_tokens_are_counted(client, asked, model, tool):
    counted = client.messages.count_tokens(model=model, messages=ASK).input_tokens
    usage = client.messages.create(**(asked | {"max_tokens": 1})).usage
    used = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    assert counted == used
    assert client.messages.count_tokens(model=model, messages=ASK, tools=[tool]).input_tokens >= counted


def test_failures_have_their_types(client, asked):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**(asked | {"model": "no-such-model"}))
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(extra_body={"temperature": 7}, **asked)
    assert caught.value.body["error"]["type"] == "invalid_request_error"


def test_its_way_of_sending_a_key_opens_too(keyed_server):
    with anthropic.Anthropic(base_url=keyed_server.url, api_key="sk-one", max_retries=0) as client:
        client.messages.create(model=keyed_server.model(api_key="sk-one"), messages=ASK, max_tokens=1)
    with anthropic.Anthropic(base_url=keyed_server.url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError):
            client.messages.create(model="any", messages=ASK, max_tokens=1)
