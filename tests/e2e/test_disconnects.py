"""Clients that leave at any moment: what they held is free at once, every admitted request is accounted for, and who
stays reads what it would have read alone.

`MARU_DISCONNECTS=1000` lets so many clients leave instead of 200.
"""

import asyncio
import json
import os
import random
import re
import time
import urllib.request

import pytest

from harness.server import Maru
from harness.wire import PATIENCE_S, Connection, chat, texts, user

CHAT = "/v1/chat/completions"
NUM_LEAVING = int(os.environ.get("MARU_DISCONNECTS", "200"))
AT_ONCE = 40
# A few run and the others wait; a prompt takes many steps.
SETTINGS = {"ENGINE__MAX_NUM_SEQS": 8, "ENGINE__MAX_NUM_BATCHED_TOKENS": 16}
# When a client leaves, and whether it asked for a stream.
MOMENTS = [
    ("in the header", True),
    ("in the body", False),
    ("when all is sent", True),
    ("when all is sent", False),
    ("after a while", True),
    ("after a while", False),
    ("in the prompt", True),
    ("in the stream", True),
    ("before [DONE]", True),
    ("before the body of the answer", False),
]


@pytest.fixture(scope="module")
def small():
    """A server on which most clients have to wait."""
    with Maru(**SETTINGS) as maru:
        yield maru


def by_label(maru: Maru, name: str) -> dict[str, int]:
    """A counter's values by the value of its last label."""
    text = urllib.request.urlopen(maru.url + "/metrics", timeout=10).read().decode()
    lines = re.findall(rf"^{name}\{{(.*)\}} (\S+)", text, re.MULTILINE)
    own = [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), value) for labels, value in lines]
    return {labels.get("phase") or labels.get("reason"): int(float(value)) for labels, value in own}


def account(maru: Maru) -> tuple[str, dict[str, int]]:
    """That every admitted request ended well or was aborted, in words, and the aborted ones by phase."""
    metrics, phases = maru.metrics(), by_label(maru, "maru_requests_aborted_total")
    failed, rejected = (metrics.get(f"maru_requests_{end}_total", 0) for end in ("failed", "rejected"))
    assert (failed, rejected) == (0, 0)
    admitted, success = metrics["vllm:request_prompt_tokens_count"], metrics["vllm:request_success_total"]
    assert admitted == success + sum(phases.values()), (admitted, success, phases)
    return f"{admitted:.0f} admitted = {success:.0f} ended well + {sum(phases.values())} aborted {phases}", phases


def body(model: str, index: int, moment: str, stream: bool) -> dict:
    """A request whose prompt is like no other's, long where its client leaves in the middle of it."""
    prompt = f"{index}: tell me a story. " + "그리고 하나 더, please. " * (60 if moment == "in the prompt" else 1)
    limit = 6 if moment.startswith("before") else 200
    asked = {"model": model, "stream": stream, "seed": index, "temperature": 2, "max_completion_tokens": limit}
    return asked | {"messages": user(prompt)}


def head_and_body(request: dict) -> tuple[bytes, bytes]:
    payload = json.dumps(request).encode()
    lines = [f"POST {CHAT} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(payload)}"]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode(), payload


async def leave(port: int, request: dict, moment: str, dice: random.Random) -> None:
    """Asks, and breaks off at the moment."""
    head, payload = head_and_body(request)
    sent = {
        "in the header": head[: dice.randrange(1, len(head))],
        "in the body": head + payload[: dice.randrange(len(payload))],
    }.get(moment, head + payload)
    connection = await Connection(port).__aenter__()
    try:
        connection.writer.write(sent)
        await connection.writer.drain()
        if moment == "after a while":
            await asyncio.sleep(dice.random() / 2)
        elif moment in ("in the prompt", "in the stream", "before [DONE]", "before the body of the answer"):
            # The head of a stream comes when its sequence is first scheduled, that of a whole answer at the end.
            answer = await connection.receive_head()
            assert answer.status == 200, (moment, answer)
            if moment == "in the stream":
                # What was ready together comes in one piece, so there may be fewer.
                num_left = dice.randrange(2, 6)
                while num_left and (piece := await connection.receive_piece(answer)):
                    answer.body += piece
                    num_left -= 1
            elif moment == "before [DONE]":
                while b'"finish_reason":"' not in answer.body and (piece := await connection.receive_piece(answer)):
                    answer.body += piece
    finally:
        connection.kill()


def test_whoever_leaves_at_any_moment_is_accounted_for_and_disturbs_nobody(small, record_property, capsys):
    model = small.model()
    witness = {"model": model, "stream": True, "seed": 1, "messages": user("짧은 이야기를 들려줘.")}
    expected = texts(asyncio.run(chat(small.port, witness)).chunks())
    num_whole = 1

    async def wave(first: int) -> list[dict[int, str]]:
        """Forty clients at once of whom two stay."""
        dice = random.Random(first)
        leaving = []
        for index in range(first, min(first + AT_ONCE, NUM_LEAVING)):
            moment, stream = MOMENTS[index % len(MOMENTS)]
            leaving.append(leave(small.port, body(model, index, moment, stream), moment, random.Random(index)))
        staying = [chat(small.port, witness) for _ in range(2)]
        dice.shuffle(leaving)
        async with asyncio.timeout(PATIENCE_S):
            *_, one, two = await asyncio.gather(*leaving, *staying)
        return [texts(one.chunks()), texts(two.chunks())]

    for first in range(0, NUM_LEAVING, AT_ONCE):
        for said in asyncio.run(wave(first)):
            assert said == expected
            num_whole += 1
        small.wait_until_idle()

    assert small.metrics()["vllm:request_success_total"] >= num_whole
    words, phases = account(small)
    assert phases["prefill"] > 0 and phases["decode"] > 0, phases
    record_property("account", words)
    with capsys.disabled():
        print(f"\n{NUM_LEAVING} left: {words}")


def test_when_all_leave_at_once_everything_is_free_at_once(small, record_property, capsys):
    model = small.model()

    async def start(index: int) -> Connection:
        connection = await Connection(small.port).__aenter__()
        stream = index % 2 == 0
        await connection.send("POST", CHAT, body(model, 100_000 + index, "in the prompt", stream))
        return connection

    async def leave_together() -> float:
        admitted = "vllm:request_prompt_tokens_count"
        num_expected = small.metrics()[admitted] + 64
        connections = await asyncio.gather(*(start(index) for index in range(64)))
        async with asyncio.timeout(PATIENCE_S):
            while (metrics := await asyncio.to_thread(small.metrics))[admitted] < num_expected:
                await asyncio.sleep(0.005)
        assert metrics["vllm:num_requests_waiting"] > 0 and metrics["vllm:kv_cache_usage_perc"] > 0
        for connection in connections:
            connection.kill()
        return time.monotonic()

    num_queued = by_label(small, "maru_requests_aborted_total").get("queued", 0)
    left = asyncio.run(leave_together())
    small.wait_until_idle()
    seconds = time.monotonic() - left
    _, phases = account(small)
    assert phases["queued"] > num_queued, phases
    record_property("seconds_to_free", seconds)
    with capsys.disabled():
        print(f"\n64 clients gone to all blocks free: {seconds:.3f} s")
