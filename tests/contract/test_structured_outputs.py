"""Answers held to JSON schemas: 300 as applications send them, and those that no server should be sent."""

import asyncio
import json
import re
import time

import jsonschema
import pytest
import referencing.exceptions
from harness import wire
from harness.schemas import FORMATS, check, check_answer, hostile, real_world

REAL_WORLD = {entry["name"]: entry["schema"] for entry in real_world()}
HOSTILE = hostile()
AT_ONCE = 32
# A body this deep is not read as JSON at all, so that no parameter can be named.
TOO_DEEP = {name for name in HOSTILE if "10,000 deep" in name}
HANGUL_ESCAPE = re.compile(r"\\u(11|3[0-9a-f]|a9|[a-d])[0-9a-f]+", re.IGNORECASE)
SLOWEST: dict[str, tuple[float, int]] = {}


def body(model: str, schema_text: str, **parameters: object) -> bytes:
    """A request whose schema is given as JSON text, which need not be one that Python can read."""
    mark = "the schema goes here"
    asked = {
        "model": model,
        "messages": wire.user("답을 JSON으로 적어 줘."),
        "response_format": {"type": "json_schema", "json_schema": {"name": "asked", "strict": True, "schema": mark}},
    }
    return json.dumps(asked | parameters).replace(f'"{mark}"', schema_text).encode()


@pytest.fixture(scope="module")
def answers(server, model) -> dict[str, wire.Answer]:
    """The answers to all the real schemas, many asked for at a time."""

    async def ask_all() -> dict[str, wire.Answer]:
        seats = asyncio.Semaphore(AT_ONCE)

        async def ask(seed: int, schema: dict) -> wire.Answer:
            parameters = {"temperature": 1, "seed": seed, "max_completion_tokens": 400}
            async with seats:
                text = json.dumps(schema, ensure_ascii=False)
                return await wire.chat(server.port, body(model, text, **parameters))

        asked = [ask(seed, schema) for seed, schema in enumerate(REAL_WORLD.values())]
        return dict(zip(REAL_WORLD, await asyncio.gather(*asked), strict=True))

    return asyncio.run(ask_all())


@pytest.mark.parametrize("name", REAL_WORLD)
def test_an_answer_is_what_its_schema_allows(answers, name):
    answer = answers[name]
    assert answer.status == 200, answer.body
    whole = answer.json()
    check_answer("ChatCompletion", whole)
    [choice] = whole["choices"]
    text = choice["message"]["content"]
    assert not HANGUL_ESCAPE.search(text), f"Hangul is escaped: {text}"
    assert choice["finish_reason"] in ("stop", "length")
    if choice["finish_reason"] == "stop":
        check(REAL_WORLD[name], json.loads(text))
    else:
        assert text.lstrip()[:1] in '{["' and whole["usage"]["completion_tokens"] == 400


def test_many_answers_come_to_their_end(answers):
    ended = [name for name, answer in answers.items() if b'"finish_reason":"stop"' in answer.body]
    # The demo model knows no JSON and fills free texts until it is cut; what ends must still be plenty to be held.
    assert len(ended) >= 100, f"only {len(ended)} of {len(answers)} answers were held to the end"


def allows(schema_text: str, text: str) -> bool:
    """Whether a text is what a schema allows, as far as that can be known of a schema that need not be one."""
    value = json.loads(text)
    try:
        schema = json.loads(schema_text)
        jsonschema.Draft202012Validator.check_schema(schema)
        return jsonschema.Draft202012Validator(schema, format_checker=FORMATS).is_valid(value)
    except (jsonschema.SchemaError, RecursionError, referencing.exceptions.Unresolvable, re.error, OverflowError):
        return True


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_refused_or_obeyed_and_does_no_harm(server, model, name):
    async def ask() -> tuple[wire.Answer, wire.Answer]:
        hard = body(model, HOSTILE[name], temperature=1, seed=1, max_completion_tokens=24)
        easy = {"model": model, "messages": wire.user("Hello!"), "max_completion_tokens": 1}
        return await asyncio.gather(wire.chat(server.port, hard), wire.chat(server.port, easy))

    began = time.monotonic()
    answer, other = asyncio.run(ask())
    SLOWEST[name] = (time.monotonic() - began, answer.status)
    assert other.status == 200 and server.status("/ready") == 200
    assert answer.status in (200, 400, 413), answer.body
    if answer.status == 200:
        [choice] = answer.json()["choices"]
        if choice["finish_reason"] == "stop":
            assert allows(HOSTILE[name], choice["message"]["content"]), choice["message"]["content"]
        return
    failure = answer.json()
    check_answer("Error", failure)
    assert 0 < len(failure["error"]["message"]) < 2000
    if answer.status == 400 and name not in TOO_DEEP:
        assert failure["error"]["param"].startswith("response_format"), failure


def test_hostile_schemas_of_tools_do_no_harm_either(server, model):
    """The same way is open through a tool's parameters."""
    names = [name for name in HOSTILE if name not in TOO_DEEP]

    async def ask_all() -> list[wire.Answer]:
        seats = asyncio.Semaphore(4)

        async def ask(name: str) -> wire.Answer:
            mark = "the schema goes here"
            tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": mark}}
            asked = {"model": model, "messages": wire.user("x"), "tools": [tool], "max_completion_tokens": 8}
            text = json.dumps(asked | {"tool_choice": "required"}).replace(f'"{mark}"', HOSTILE[name])
            async with seats:
                return await wire.chat(server.port, text.encode())

        return await asyncio.gather(*(ask(name) for name in names))

    for name, answer in zip(names, asyncio.run(ask_all()), strict=True):
        assert answer.status in (200, 400, 413), (name, answer.body)
        if answer.status == 400:
            error = answer.json()["error"]
            assert error["param"].startswith("tools"), (name, error)
    assert server.status("/ready") == 200


def test_a_hostile_pattern_or_grammar_of_its_own_does_no_harm(ask):
    """Beside schemas, a regular expression, a list of choices or a grammar may be given."""
    asked = [
        {"guided_regex": pattern} for pattern in ("", "(a{1,1000}){1,1000}", "(", "(?=a)", "a{1000000000}", "\0", 5)
    ]
    asked += [{"guided_choice": choice} for choice in ([], [""], ["a"] * 100_000, [1], "a", ["a" * 100_000])]
    asked += [
        {"guided_grammar": grammar} for grammar in ("", "start: start", "start: /(/", "x: x", "start: %json {", 1)
    ]
    asked += [
        {"structured_outputs": value} for value in ({}, 5, {"regex": "a", "choice": ["b"]}, {"json": "{"}, {"x": 1})
    ]
    for parameters in asked:
        answer = ask("/v1/chat/completions", messages=wire.user("x"), max_completion_tokens=4, **parameters)
        assert answer.status in (200, 400), (str(parameters)[:200], answer.body)
        if answer.status == 400:
            check_answer("Error", answer.json())
            [name] = parameters
            assert answer.json()["error"]["param"].startswith(name), answer.body
