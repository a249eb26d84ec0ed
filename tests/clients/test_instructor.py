"""instructor against the binary."""

import instructor
import openai
import pytest

ASK = [{"role": "user", "content": "How is the weather in Seoul?"}]


@pytest.fixture(params=[instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT], ids=str)
def client(request, server):
    plain = openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0)
    with plain:
        yield instructor.from_openai(plain, mode=request.param)


@pytest.fixture
def asked(model):
    return {
        "model": model,
        "messages": ASK,
        "temperature": 1,
        "seed": 3,
        "max_completion_tokens": 400,
        "max_retries": 0,
    }


def test_an_answer_is_brought_into_a_type(client, asked, forecast):
    answer = client.chat.completions.create(response_model=forecast, **asked)
    assert isinstance(answer, forecast)


def test_an_answer_grows_while_it_is_streamed(client, asked, forecast):
    *_, last = client.chat.completions.create_partial(response_model=forecast, **asked)
    assert forecast.model_validate(last.model_dump())
