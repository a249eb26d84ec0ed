"""No input is answered with a 5xx: a client's fault is told in OpenAI's words."""

import asyncio
import json

import pytest

from harness.wire import PATIENCE_S, Connection, request, user

CHAT = "/v1/chat/completions"


def with_fields(**fields: object) -> bytes:
    return json.dumps({"model": "MODEL", "messages": user("hi"), "max_completion_tokens": 2} | fields).encode()


BAD_BODIES = {
    "nothing": b"",
    "not json": b"{",
    "not utf-8": b'{"model": "\xff\xfe"}',
    "an array": b"[]",
    "a number": b"1",
    "null": b"null",
    "two values": b"{} {}",
    "no messages": b'{"model": "MODEL"}',
    "deep": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "lone surrogate": b'{"model": "MODEL", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "huge number": b'{"model": "MODEL", "messages": [], "seed": 1e400}',
    "model is null": with_fields(model=None),
    "model is a number": with_fields(model=5),
    "model is empty": with_fields(model=""),
    "messages are null": with_fields(messages=None),
    "messages are a string": with_fields(messages="hi"),
    "a message is a string": with_fields(messages=["hi"]),
    "a message is empty": with_fields(messages=[{}]),
    "content is an object": with_fields(messages=[{"role": "user", "content": {}}]),
    "a part has no type": with_fields(messages=[{"role": "user", "content": [{}]}]),
    "a part has no text": with_fields(messages=[{"role": "user", "content": [{"type": "text"}]}]),
    "stream is a string": with_fields(stream="yes"),
    "stream options are a list": with_fields(stream=True, stream_options=[1]),
    "stop is a number": with_fields(stop=5),
}
NUMBERS = ["temperature", "top_p", "top_k", "n", "seed", "max_tokens", "max_completion_tokens", "priority"]
VALUES = [-1, 0, 1, 2, 3, -0.0, 0.5, 1e300, -(2**63), 2**63, 2**64, 2**200, "1", "", True, [], {}, [1]]


def assert_no_fault_of_ours(answer, name: object) -> None:
    assert 200 <= answer.status < 500, (name, answer.status, answer.body[:200])
    assert answer.headers.get("x-request-id"), name
    if answer.status >= 400:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, (name, error)
        assert error["message"] and isinstance(error["type"], str), (name, error)


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_the_clients_fault(server, model, name):
    body = BAD_BODIES[name].replace(b"MODEL", model.encode())
    answer = asyncio.run(request(server.port, "POST", CHAT, body))
    assert_no_fault_of_ours(answer, name)
    assert answer.status in (400, 404, 413, 415, 422), (name, answer.status, answer.body)


def test_no_value_of_a_number_is_our_fault(server, model):
    async def try_all():
        turn = asyncio.Semaphore(8)

        async def ask(name: str, value: object):
            body = {"model": model, "messages": user("hi"), "max_completion_tokens": 2} | {name: value}
            if name == "max_tokens":
                del body["max_completion_tokens"]
            async with turn:
                return (name, value), await request(server.port, "POST", CHAT, body)

        return await asyncio.gather(*(ask(name, value) for name in NUMBERS for value in VALUES))

    for case, answer in asyncio.run(try_all()):
        assert_no_fault_of_ours(answer, case)
        if answer.status >= 400:
            assert answer.status == 400 and answer.json()["error"]["param"] == case[0], (case, answer.body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", (200, 404)),
        ("GET", "/v1", (404,)),
        ("GET", "/v1/nothing", (404,)),
        ("POST", "/v1/nothing", (404,)),
        ("GET", CHAT, (405,)),
        ("DELETE", CHAT, (405,)),
        ("POST", "/v1/models", (405,)),
        ("GET", "/v1/models/", (404,)),
        ("GET", "/v1/models/%00", (400, 404)),
        ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", (400, 404)),
        ("GET", "//v1/models", (404,)),
    ],
)
def test_a_wrong_address_is_told_in_openais_words(server, method, path, status):
    answer = asyncio.run(request(server.port, method, path))
    assert_no_fault_of_ours(answer, path)
    assert answer.status in status


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server):
    async def announce():
        async with asyncio.timeout(PATIENCE_S), Connection(server.port) as connection:
            headers = {"content-type": "application/json", "content-length": str(1 << 40)}
            await connection.send("POST", CHAT, headers=headers)
            return await connection.receive()

    answer = asyncio.run(announce())
    assert answer.status == 413
    assert_no_fault_of_ours(answer, "announced")


def test_many_bad_requests_leave_nothing_behind(server, model):
    before = server.metrics()
    asyncio.run(request(server.port, "POST", CHAT, {"model": model, "messages": user("hi"), "temperature": 9}))
    server.wait_until_idle()
    assert server.metrics()["vllm:generation_tokens_total"] == before["vllm:generation_tokens_total"]
