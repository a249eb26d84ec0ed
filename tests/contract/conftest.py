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
