"""A model that reasons: where its reasoning goes, what it costs, what ends it, and what holds the answer after it."""

import asyncio
import json
import shutil

import pytest

from harness.server import ROOT, Maru
from harness.wire import chat, user

# The demo model has never seen these tags, and its tokenizer spells them with ordinary tokens.
SWITCH = """{{- '[|assistant|]' -}}
    {%- if enable_thinking is not defined or enable_thinking -%}
        {{- '<think>\\n' -}}
    {%- else -%}
        {{- '<think>\\n\\n</think>\\n\\n' -}}
    {%- endif -%}"""
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["maru", "other"]}},
    "required": ["name"],
    "additionalProperties": False,
}
FORM = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}}
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "say", "parameters": SCHEMA, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "say"}},
}
SAMPLINGS = [{"temperature": 0}, {"temperature": 1, "seed": 11}]


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    """A server of the demo model whose template opens the reasoning."""
    folder = tmp_path_factory.mktemp("models") / "thinker"
    shutil.copytree(ROOT / "models" / "demo", folder)
    template = (folder / "chat_template.jinja").read_text()
    assert template.count("{{- '[|assistant|]' -}}") == 1
    (folder / "chat_template.jinja").write_text(template.replace("{{- '[|assistant|]' -}}", SWITCH))
    with Maru("--model", str(folder)) as maru:
        yield maru
        maru.wait_until_idle()


def ask(maru: Maru, body: dict) -> dict:
    """The one choice of a chat completion, with its usage; the same again as a stream."""
    model = {"model": maru.model(), "messages": user("hello, who are you?"), "max_completion_tokens": 96}

    async def both():
        options = {"stream": True, "stream_options": {"include_usage": True}}
        return await chat(maru.port, model | body), await chat(maru.port, model | body | options)

    whole, stream = asyncio.run(both())
    assert (whole.status, stream.status) == (200, 200), (whole.body, stream.body)
    choice, usage = whole.json()["choices"][0], whole.json()["usage"]
    *chunks, last = stream.chunks()
    assert last["usage"]["completion_tokens_details"] == usage["completion_tokens_details"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for field in ("reasoning_content", "reasoning", "content"):
        joined = "".join(delta.get(field) or "" for delta in deltas)
        assert joined == (choice["message"].get(field) or ""), field
    return choice | {"usage": usage, "num_reasoning": usage["completion_tokens_details"]["reasoning_tokens"]}


def test_reasoning_that_never_closes_is_delivered_as_reasoning(thinker):
    choice = ask(thinker, {"temperature": 0, "ignore_eos": True, "max_completion_tokens": 8})
    message = choice["message"]
    assert message["reasoning_content"] and message["reasoning"] == message["reasoning_content"]
    assert not message["content"]
    assert (choice["finish_reason"], choice["num_reasoning"]) == ("length", 8)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_budget_ends_the_reasoning_and_an_answer_follows(thinker, sampling):
    endless = ask(thinker, sampling | {"ignore_eos": True})
    closed = ask(thinker, sampling | {"ignore_eos": True, "thinking_token_budget": 0})
    assert not closed["message"].get("reasoning_content") and closed["message"]["content"]
    num_closing = closed["num_reasoning"]
    assert 0 < num_closing <= len("\n</think>\n\n")
    for budget in (5, 50):
        choice = ask(thinker, sampling | {"ignore_eos": True, "thinking_token_budget": budget})
        # A character that has begun is ended first, and a newline that stands there already is not written again.
        assert budget + num_closing - 2 <= choice["num_reasoning"] <= budget + num_closing + 3
        reasoning = choice["message"]["reasoning_content"]
        assert endless["message"]["reasoning_content"].startswith(reasoning)
        assert choice["message"]["content"] and "think>" not in reasoning + choice["message"]["content"]
        assert choice["usage"]["completion_tokens"] == 96


def test_no_effort_is_no_reasoning(thinker):
    for said in ({"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}):
        choice = ask(thinker, {"temperature": 0} | said)
        assert not choice["message"].get("reasoning_content") and choice["message"]["content"]
        assert choice["num_reasoning"] == 0
    plain, low = (ask(thinker, {"temperature": 0} | effort) for effort in ({}, {"reasoning_effort": "low"}))
    assert low["message"] == plain["message"]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("budget", [0, 5, 30])
def test_a_form_holds_the_answer_after_the_reasoning(thinker, sampling, budget):
    choice = ask(thinker, sampling | FORM | {"thinking_token_budget": budget})
    assert bool(choice["message"].get("reasoning_content")) == (budget > 0)
    assert json.loads(choice["message"]["content"])["name"] in ("maru", "other")
    assert choice["message"]["content"] == choice["message"]["content"].strip()
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("budget", [0, 5])
def test_a_tool_is_called_after_the_reasoning(thinker, sampling, budget):
    body = sampling | TOOLS | {"thinking_token_budget": budget, "max_completion_tokens": 200}
    choice = ask(thinker, body)
    assert bool(choice["message"].get("reasoning_content")) == (budget > 0)
    [call] = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "say"
    assert json.loads(call["function"]["arguments"])["name"] in ("maru", "other")


def test_stop_strings_do_not_end_the_reasoning(thinker):
    open_end = ask(thinker, {"temperature": 0, "thinking_token_budget": 30})
    word = open_end["message"]["reasoning_content"].split()[0]
    choice = ask(thinker, {"temperature": 0, "thinking_token_budget": 30, "stop": [word]})
    assert choice["message"]["reasoning_content"] == open_end["message"]["reasoning_content"]


def test_reasoning_that_only_repeats_itself_is_closed(thinker):
    body = {"temperature": 0, "ignore_eos": True, "logit_bias": {"40": 100}, "max_completion_tokens": 600}
    message = ask(thinker, body)["message"]
    assert set(message["reasoning_content"]) == set(message["content"]) and len(set(message["content"])) == 1
    assert len(message["reasoning_content"]) >= 512
