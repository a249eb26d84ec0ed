"""The life of the process: start, the README's first steps, drain and end."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from harness.server import PATIENCE_S, ROOT, Maru, binary, clean_environment, free_port
from harness.wire import Connection, chat, finish_reasons, request, texts, user

README_PORT = 8000


def readme_commands(language: str, mark: str) -> list[str]:
    """The code blocks of the README in `language` that contain `mark`."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if mark in block]


def test_the_demo_model_is_ready_in_no_time(record_property, capsys):
    seconds = []
    for _ in range(3):
        with Maru() as maru:
            seconds.append(maru.seconds_to_ready)
    record_property("seconds_to_ready", min(seconds))
    with capsys.disabled():
        print(f"\nstart to ready, best of three: {min(seconds):.3f} s")


@pytest.mark.parametrize("command", readme_commands("sh", "curl "))
def test_a_curl_line_of_the_readme_is_answered(server, command):
    assert f"localhost:{README_PORT}/" in command
    command = command.replace(f"localhost:{README_PORT}/", f"127.0.0.1:{server.port}/")
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, timeout=PATIENCE_S)
    assert ran.returncode == 0, ran.stderr.decode()
    completion = json.loads(ran.stdout)
    assert completion["choices"][0]["message"]["content"], completion


def test_the_python_lines_of_the_readme_run(server):
    [lines] = readme_commands("python", "from openai import OpenAI")
    assert f"localhost:{README_PORT}/" in lines
    lines = lines.replace(f"localhost:{README_PORT}/", f"127.0.0.1:{server.port}/")
    ran = subprocess.run([sys.executable, "-c", lines], capture_output=True, timeout=PATIENCE_S)
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stdout.decode().strip()


def test_the_port_of_the_readme_is_the_default():
    """The defaults of host and port, as the server itself would take them."""
    text = (ROOT / "config" / "default.toml").read_text()
    assert re.search(rf"^port = {README_PORT}$", text, re.MULTILINE)
    assert re.search(r'^host = "127\.0\.0\.1"$', text, re.MULTILINE)


def test_on_sigterm_what_runs_finishes_and_ready_turns_red():
    async def drained(maru: Maru):
        body = {"model": maru.model(), "stream": True, "temperature": 2, "messages": user("Tell me a story.")}
        began = asyncio.Event()

        async def stream(seed: int):
            async with asyncio.timeout(PATIENCE_S), Connection(maru.port) as connection:
                await connection.send("POST", "/v1/chat/completions", body | {"seed": seed})
                answer = await connection.receive_head()
                while piece := await connection.receive_piece(answer):
                    answer.body += piece
                    began.set()
                return answer

        streams = [asyncio.create_task(stream(seed)) for seed in range(8)]
        await began.wait()
        assert (await request(maru.port, "GET", "/ready")).status == 200
        maru.signal(signal.SIGTERM)
        # Within the drain delay the port still answers, so that a balancer can see that it should leave.
        async with asyncio.timeout(PATIENCE_S):
            while (await request(maru.port, "GET", "/ready")).status != 503:
                await asyncio.sleep(0.01)
        assert (await request(maru.port, "GET", "/live")).status == 200
        return await asyncio.gather(*streams)

    with Maru(SERVER__DRAIN_DELAY_S=2) as maru:
        for answer in asyncio.run(drained(maru)):
            assert answer.status == 200
            [reasons] = finish_reasons(answer.chunks()).values()
            assert reasons in (["stop"], ["length"])
        assert maru.wait() == 0
        assert maru.status("/ready") is None


def test_a_whole_answer_is_finished_too():
    async def answered(maru: Maru):
        body = {"model": maru.model(), "temperature": 2, "seed": 1, "messages": user("Tell me a story.")}
        expected = (await chat(maru.port, body)).json()["choices"]
        task = asyncio.create_task(chat(maru.port, body))
        while (await asyncio.to_thread(maru.metrics))["vllm:num_requests_running"] == 0 and not task.done():
            await asyncio.sleep(0.005)
        maru.signal(signal.SIGTERM)
        return expected, (await task).json()["choices"]

    with Maru() as maru:
        expected, choices = asyncio.run(answered(maru))
        assert choices == expected
        assert maru.wait() == 0


def test_the_same_seed_says_the_same_after_a_restart():
    def say() -> dict[int, str]:
        with Maru() as maru:
            body = {"model": maru.model(), "stream": True, "temperature": 1.2, "seed": 99, "messages": user("Hello!")}
            return texts(asyncio.run(chat(maru.port, body)).chunks())

    assert say() == say()


def test_a_port_in_use_is_told_and_ends_the_process(server):
    command = [str(binary()), "serve", "--port", str(server.port)]
    ran = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, env=clean_environment())
    assert ran.returncode not in (0, 101), ran
    assert str(server.port) in ran.stderr.decode() + ran.stdout.decode()


def test_a_wrong_setting_is_told_before_a_port_is_bound():
    command = [str(binary()), "serve"]
    settings = {"SERVER__PORT": "harbour", "SERVER__NO_SUCH_KEY": 1}
    ran = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, env=clean_environment(**settings))
    assert ran.returncode not in (0, 101), ran
    told = (ran.stderr + ran.stdout).decode().lower()
    assert "port" in told or "no_such_key" in told, told


@pytest.mark.skipif("MARU_BIN" in os.environ, reason="the binary may be a debug build")
def test_a_release_build_holds_no_planned_faults():
    assert b"MARU_FAILPOINTS" not in binary().read_bytes()


def test_health_is_asked_without_curl(server):
    def ask(port: int) -> int:
        command = [str(binary()), "health", "--port", str(port)]
        return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, env=clean_environment()).returncode

    assert ask(server.port) == 0
    assert ask(free_port()) == 1


def test_keys_guard_all_but_the_probes(keyed_server):
    async def statuses(headers: dict[str, str]) -> dict[str, int]:
        paths = ["/live", "/ready", "/health", "/version", "/v1/models", "/v1/nothing", "/", "//v1/models"]
        return {path: (await request(keyed_server.port, "GET", path, headers=headers)).status for path in paths}

    closed = asyncio.run(statuses({}))
    assert {path for path, status in closed.items() if status != 401} == {"/live", "/ready", "/health", "/version"}
    opened = asyncio.run(statuses({"authorization": "Bearer sk-two"}))
    assert opened["/v1/models"] == 200 and opened["/v1/nothing"] == 404
