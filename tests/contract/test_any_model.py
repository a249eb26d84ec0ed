"""An answer that ends by itself is what its schema allows: whatever the weights, and however the server computes it."""

import asyncio
import json
from collections import Counter
from contextlib import contextmanager

import pytest
from harness import random_model, wire
from harness.schemas import check, real_world
from harness.server import Maru

REAL_WORLD = [(entry["name"], entry["schema"]) for entry in real_world()]
AT_ONCE = 32
# How each group of answers ended; told at the end.
ENDINGS: dict[str, Counter] = {}
# What a server is started with. The least cache that one sequence fits into makes many of them make room for others.
SETTINGS = {
    "as it is": {},
    "guessing ahead": {"ENGINE__SPECULATION__MAX_DRAFT_TOKENS": 5, "ENGINE__SPECULATION__MIN_NGRAM": 1},
    "short of cache": {"MODEL__KV_CACHE_MEMORY": "640KiB", "MODEL__MAX_MODEL_LEN": 1024},
}
# Which metric shows that a setting had its effect.
EFFECTS = {
    "guessing ahead": "vllm:spec_decode_num_draft_tokens_total",
    "short of cache": "vllm:num_preemptions_total",
}
FORMS = ("whole", "choices", "streamed", "tool", "streamed tool")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return random_model.write(tmp_path_factory.mktemp("random"))


@contextmanager
def serving(settings: str, *flags: str):
    """A server, which must be idle and have done what its settings ask for in the end."""
    with Maru(*flags, **SETTINGS[settings]) as maru:
        yield maru
        maru.wait_until_idle()
        if metric := EFFECTS.get(settings):
            assert maru.metrics()[metric] > 0, f"nothing was seen of {settings}"


def body(model: str, form: str, schema: dict, seed: int) -> dict:
    """A request to be held to a schema, as an answer or as a tool's arguments."""
    asked = {"model": model, "messages": wire.user("답을 JSON으로 적어 줘."), "temperature": 1, "seed": seed}
    asked |= {"max_completion_tokens": 250, "stream": form.startswith("streamed")}
    if form.endswith("tool"):
        function = {"name": "asked", "strict": True, "parameters": schema}
        choice = {"type": "function", "function": {"name": "asked"}}
        return asked | {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    shape = {"type": "json_schema", "json_schema": {"name": "asked", "strict": True, "schema": schema}}
    return asked | {"response_format": shape, "n": 2 if form == "choices" else 1}


def ends(answer: wire.Answer, form: str) -> list[tuple[str, str]]:
    """How each choice of an answer ended, and its text, or the arguments of its call."""
    assert answer.status == 200, answer.body
    found: dict[int, list[str]] = {}
    for event in answer.chunks() if form.startswith("streamed") else [answer.json()]:
        for choice in event["choices"]:
            kept = found.setdefault(choice["index"], ["", ""])
            said = choice.get("delta") or choice.get("message") or {}
            kept[0] += choice["finish_reason"] or ""
            kept[1] += said.get("content") or ""
            kept[1] += "".join(call["function"].get("arguments", "") for call in said.get("tool_calls", []))
    assert len(found) == (2 if form == "choices" else 1)
    return [(reason, text) for reason, text in found.values()]


def hold(maru: Maru, group: str, form: str, asked: list[tuple[str, dict]]) -> None:
    """Asks for an answer to each schema, many at a time, and holds those that end by themselves to it."""
    model = maru.model()

    async def ask_all() -> list[wire.Answer]:
        seats = asyncio.Semaphore(AT_ONCE)

        async def ask(seed: int, schema: dict) -> wire.Answer:
            async with seats:
                return await wire.chat(maru.port, body(model, form, schema, seed))

        return await asyncio.gather(*(ask(seed, schema) for seed, (_, schema) in enumerate(asked)))

    faults, endings = [], ENDINGS.setdefault(group, Counter())
    for (name, schema), answer in zip(asked, asyncio.run(ask_all()), strict=True):
        try:
            for reason, text in ends(answer, form):
                assert reason in ("stop", "length"), reason
                endings[reason] += 1
                if reason == "stop":
                    check(schema, json.loads(text))
        except (AssertionError, ValueError) as fault:
            faults.append(f"{name}: {fault}")
    assert not faults, f"{len(faults)} of {len(asked)}:\n" + "\n".join(faults[:10])
    assert endings["stop"] > 0, "nothing ended, so that nothing was held"


@pytest.mark.parametrize("settings", SETTINGS)
def test_random_weights_are_held_to_every_schema(folder, settings):
    """They know nothing of JSON: what is right about an answer is the server's doing alone."""
    with serving(settings, "--model", str(folder)) as maru:
        step = 1 if settings == "as it is" else 3
        hold(maru, f"random weights {settings}", "whole", REAL_WORLD[::step])


@pytest.mark.parametrize("form", FORMS[1:])
def test_random_weights_are_held_in_every_form(folder, form):
    with serving("as it is", "--model", str(folder)) as maru:
        hold(maru, f"random weights, {form}", form, REAL_WORLD[FORMS.index(form) :: 5])


@pytest.mark.parametrize("form", FORMS[1:])
def test_the_demo_model_is_held_in_every_form(form):
    with serving("guessing ahead") as maru:
        hold(maru, f"the demo model guessing ahead, {form}", form, REAL_WORLD[FORMS.index(form) :: 5])
