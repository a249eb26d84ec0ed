"""Many streams at once: each ends as it should, and what its client leaves behind is freed."""

import asyncio

from harness.wire import PATIENCE_S, Connection, chat, finish_reasons, texts, user

NUM_CLIENTS = 64
# At temperature 2 the demo model seldom finds the end of its answer, so that these streams run long.
LONG = {"temperature": 2, "messages": user("Tell me a long story. 긴 이야기를 들려줘.")}

# More sequences than run at once, so that some still wait when their client goes.
CROWD = LONG | {"n": 4}


def test_sixty_four_streams_all_end_with_a_finish_reason(server, model):
    async def all_at_once():
        bodies = [
            {"model": model, "stream": True, "seed": seed, "max_completion_tokens": 96} | LONG
            for seed in range(NUM_CLIENTS)
        ]
        return await asyncio.gather(*(chat(server.port, body) for body in bodies))

    answers = asyncio.run(all_at_once())
    assert [answer.status for answer in answers] == [200] * NUM_CLIENTS
    for answer in answers:
        reasons = finish_reasons(answer.chunks())
        assert list(reasons) == [0] and reasons[0] in (["stop"], ["length"]), reasons
    server.wait_until_idle()


def test_a_crowd_does_not_change_an_answer(server, model):
    body = {"model": model, "stream": True, "seed": 7, "temperature": 1, "messages": user("짧은 이야기를 들려줘.")}
    crowd = [{"model": model, "stream": True, "seed": seed, "max_completion_tokens": 48} | LONG for seed in range(15)]

    async def alone_and_in_the_crowd():
        alone = await chat(server.port, body)
        among = await asyncio.gather(chat(server.port, body), *(chat(server.port, other) for other in crowd))
        return texts(alone.chunks()), texts(among[0].chunks())

    alone, among = asyncio.run(alone_and_in_the_crowd())
    assert alone == among


def test_sixty_four_clients_killed_in_mid_stream_leave_nothing(server, model):
    async def start_and_read_some(seed: int) -> tuple[Connection, bool]:
        """A connection that has some of its answer, and whether more is to come."""
        connection = await Connection(server.port).__aenter__()
        await connection.send("POST", "/v1/chat/completions", {"model": model, "stream": True, "seed": seed} | CROWD)
        answer = await connection.receive_head()
        assert answer.status == 200
        num_left = 1 + seed % 4
        while num_left and (piece := await connection.receive_piece(answer)):
            answer.body += piece
            num_left -= 1
        return connection, b"[DONE]" not in answer.body

    async def kill_all():
        async with asyncio.timeout(PATIENCE_S):
            started = await asyncio.gather(*(start_and_read_some(seed) for seed in range(NUM_CLIENTS)))
        for connection, _ in started:
            connection.kill()
        return sum(unfinished for _, unfinished in started)

    before = server.metrics()
    assert asyncio.run(kill_all()) > NUM_CLIENTS // 2
    server.wait_until_idle()
    assert aborted(server.metrics()) > aborted(before)


def test_sixty_four_clients_killed_while_they_wait_for_a_whole_answer_leave_nothing(server, model):
    async def start(seed: int) -> Connection:
        connection = await Connection(server.port).__aenter__()
        await connection.send("POST", "/v1/chat/completions", {"model": model, "seed": seed} | CROWD)
        return connection

    async def kill_all():
        connections = await asyncio.gather(*(start(seed) for seed in range(NUM_CLIENTS)))
        async with asyncio.timeout(PATIENCE_S):
            while (await asyncio.to_thread(server.metrics))["vllm:num_requests_running"] == 0:
                await asyncio.sleep(0.005)
        for connection in connections:
            connection.kill()

    before = server.metrics()
    asyncio.run(kill_all())
    server.wait_until_idle()
    assert aborted(server.metrics()) > aborted(before)


def test_a_request_broken_off_at_any_byte_leaves_nothing(server, model):
    async def break_off():
        for length in range(0, 260, 13):
            connection = await Connection(server.port).__aenter__()
            body = b'{"model": "' + model.encode() + b'", "messages": [{"role": "user", "content": "hello"}]}'
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            head += b"content-length: %d\r\n\r\n" % len(body)
            connection.writer.write((head + body)[:length])
            await connection.writer.drain()
            connection.kill()

    asyncio.run(break_off())
    server.wait_until_idle()


def aborted(metrics: dict[str, float]) -> float:
    return sum(value for name, value in metrics.items() if name.startswith("maru_") and "abort" in name)
