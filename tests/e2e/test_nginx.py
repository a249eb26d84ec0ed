"""Two replicas behind the real nginx with the configuration of `deploy/`."""

import asyncio
import json
import os
import signal

import pytest

from harness.nginx import Nginx, nginx_binary
from harness.server import Maru
from harness.wire import PATIENCE_S, Answer, Connection, chat, finish_reasons, request, texts, user

NUM_CLIENTS = 16
MIN_REQUESTS = 400

pytestmark = pytest.mark.skipif(
    nginx_binary() is None and not os.environ.get("CI"), reason="nginx is not installed (Debian's package nginx-light)"
)


@pytest.fixture(scope="module")
def replicas():
    with Maru(SERVER__DRAIN_DELAY_S=1) as one, Maru(SERVER__DRAIN_DELAY_S=1) as two:
        yield [one, two]


@pytest.fixture(scope="module")
def nginx(replicas):
    with Nginx([replica.port for replica in replicas]) as nginx:
        yield nginx


@pytest.fixture(scope="module")
def model(replicas) -> str:
    return replicas[0].model()


def is_complete(answer: Answer, stream: bool) -> bool:
    if answer.status != 200:
        return False
    if not stream:
        return answer.json()["choices"][0]["finish_reason"] in ("stop", "length")
    return answer.body.endswith(b"data: [DONE]\n\n") and all(len(r) == 1 for r in finish_reasons(answer.chunks()).values())


def test_a_stream_arrives_piece_by_piece(nginx, replicas, model):
    # Eight choices are one long stream.
    body = {"model": model, "stream": True, "temperature": 2, "seed": 1, "n": 8, "messages": user("Tell me a story.")}

    async def stream_both():
        return await chat(replicas[0].port, body), await chat(nginx.port, body)

    direct, proxied = asyncio.run(stream_both())
    assert proxied.headers["content-type"].startswith("text/event-stream")
    assert texts(proxied.chunks()) == texts(direct.chunks())
    # Had it been gathered, it would have come in one piece or a few, and the first late. Two pieces that leave Maru at
    # the same moment may travel as one.
    assert len(proxied.arrivals) > len(direct.arrivals) / 5, (len(proxied.arrivals), len(direct.arrivals))
    whole = proxied.arrivals[-1]
    assert proxied.arrivals[0] < whole / 2, proxied.arrivals
    gaps = [later - earlier for earlier, later in zip(proxied.arrivals, proxied.arrivals[1:])]
    assert max(gaps) < whole / 2, sorted(gaps)[-5:]


def test_both_replicas_are_used(nginx, model):
    async def ask_all():
        body = {"model": model, "max_completion_tokens": 8, "messages": user("hello")}
        return await asyncio.gather(*(chat(nginx.port, body) for _ in range(32)))

    assert all(is_complete(answer, stream=False) for answer in asyncio.run(ask_all()))
    assert len({json.loads(line)["replica"] for line in nginx.requests()}) >= 2


def test_what_a_replica_says_of_a_fault_comes_through(nginx, model):
    body = {"model": model, "temperature": 9, "messages": user("hello")}
    answer = asyncio.run(chat(nginx.port, body, {"x-request-id": "through-nginx"}))
    assert answer.status == 400
    assert answer.json()["error"]["param"] == "temperature"
    assert answer.headers["x-request-id"] == "through-nginx"


def test_a_body_over_the_limit_is_refused_in_openais_words(nginx, model):
    for length in (5 << 20, 64 << 20):
        answer = asyncio.run(chat(nginx.port, {"model": model, "messages": user("x" * length)}))
        assert answer.status == 413
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_body_just_below_the_limit_reaches_a_replica(nginx, model):
    answer = asyncio.run(chat(nginx.port, {"model": model, "messages": user("x" * ((4 << 20) - 1000))}))
    assert answer.status == 400
    assert answer.json()["error"]["param"].startswith("messages")


def test_clients_killed_behind_nginx_leave_nothing(nginx, replicas, model):
    async def kill_all():
        connections = []
        for seed in range(NUM_CLIENTS):
            connection = await Connection(nginx.port).__aenter__()
            body = {"model": model, "stream": seed % 2 == 0, "temperature": 2, "seed": seed, "messages": user("story")}
            await connection.send("POST", "/v1/chat/completions", body)
            connections.append(connection)
        async with asyncio.timeout(PATIENCE_S):
            for connection in connections[::2]:
                answer = await connection.receive_head()
                answer.body += await connection.receive_piece(answer)
        for connection in connections:
            connection.kill()

    asyncio.run(kill_all())
    for replica in replicas:
        replica.wait_until_idle()


class Load:
    """Clients that ask one thing after the other, without retries, until they are told to stop."""

    def __init__(self, port: int, model: str):
        self.port, self.model = port, model
        self.stopping = False
        self.num_done = 0
        self.failed: list[object] = []

    async def client(self, number: int) -> None:
        turn = 0
        while not self.stopping:
            turn += 1
            stream = (number + turn) % 2 == 0
            body = {"model": self.model, "stream": stream, "seed": turn, "messages": user(f"{number}: 안녕, hello!")}
            try:
                answer = await chat(self.port, body | {"max_completion_tokens": 16})
                if not is_complete(answer, stream):
                    self.failed.append((answer.status, stream, answer.body[-300:]))
            except Exception as error:  # noqa: BLE001: whatever a client can meet is a failure
                self.failed.append(repr(error))
            self.num_done += 1

    async def during(self, steps) -> None:
        clients = [asyncio.create_task(self.client(number)) for number in range(NUM_CLIENTS)]
        try:
            await steps
        finally:
            self.stopping = True
            await asyncio.gather(*clients)

    async def reach(self, num_requests: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.num_done < num_requests:
                await asyncio.sleep(0.01)


def test_restarting_both_replicas_in_turn_loses_no_request(nginx, replicas, model, capsys):
    load = Load(nginx.port, model)

    async def restart_in_turn():
        await load.reach(MIN_REQUESTS // 4)
        for replica in replicas:
            assert await asyncio.to_thread(replica.stop) == 0
            await asyncio.to_thread(replica.start)
            await load.reach(load.num_done + MIN_REQUESTS // 4)
        await load.reach(MIN_REQUESTS)

    asyncio.run(load.during(restart_in_turn()))
    with capsys.disabled():
        print(f"\nrolling restart: {len(load.failed)} of {load.num_done} requests failed")
    assert load.failed == []
    assert load.num_done >= MIN_REQUESTS


def test_a_killed_replica_fails_only_what_was_on_it(nginx, replicas, model):
    load = Load(nginx.port, model)
    victim = replicas[0]

    async def kill_and_go_on():
        await load.reach(100)
        victim.signal(signal.SIGKILL)
        await asyncio.to_thread(victim.wait)
        # What was under way when it died is over once every client has begun anew.
        await load.reach(load.num_done + 2 * NUM_CLIENTS)
        failed_by_then = len(load.failed)
        await load.reach(load.num_done + 100)
        assert len(load.failed) == failed_by_then, load.failed[failed_by_then:]
        await asyncio.to_thread(victim.start)
        await load.reach(load.num_done + 100)
        assert len(load.failed) == failed_by_then, load.failed[failed_by_then:]

    asyncio.run(load.during(kill_and_go_on()))
    assert len(load.failed) <= NUM_CLIENTS


def test_without_replicas_the_answer_is_an_error_object(model):
    with Maru() as only:
        ports = [only.port, only.port]
        with Nginx(ports) as nginx:
            assert only.stop() == 0
            answer = asyncio.run(request(nginx.port, "GET", "/v1/models"))
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
