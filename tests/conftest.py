"""The servers that the suites share."""

import pytest

from harness.server import Maru


@pytest.fixture(scope="session")
def server():
    """A server without keys."""
    with Maru() as maru:
        yield maru
        maru.wait_until_idle()


@pytest.fixture(scope="session")
def keyed_server():
    """A server that wants one of two keys."""
    with Maru("--api-key", "sk-one", "--api-key", "sk-two") as maru:
        yield maru


@pytest.fixture(scope="session")
def model(server) -> str:
    return server.model()
