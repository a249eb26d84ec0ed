"""Asking the server, and holding what it answers against the published schemas."""

import asyncio

import pytest
from harness import wire


@pytest.fixture
def ask(server, model):
    """Posts a body to an endpoint, with the model put in, and returns the answer."""

    def post(path: str, headers: dict[str, str] | None = None, **body: object) -> wire.Answer:
        return asyncio.run(wire.request(server.port, "POST", path, {"model": model} | body, headers))

    return post


@pytest.fixture
def get(server):
    def get(path: str) -> wire.Answer:
        return asyncio.run(wire.request(server.port, "GET", path))

    return get


def pytest_terminal_summary(terminalreporter):
    """How the answers to schemas ended, and how long the slowest hostile ones took: to be looked at, not held."""
    from test_any_model import ENDINGS
    from test_structured_outputs import SLOWEST

    for group, endings in ENDINGS.items():
        terminalreporter.write_line(f"{endings['stop']:6} held to the end, {endings['length']} cut: {group}")
    slowest = sorted(SLOWEST.items(), key=lambda item: -item[1][0])[:8]
    for name, (seconds, status) in slowest:
        terminalreporter.write_line(f"{seconds:6.2f} s until {status}: {name}")
