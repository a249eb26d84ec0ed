"""Requests made from the server's own OpenAPI document, right and wrong ones: no answer may be other than it says.

`MARU_SCHEMATHESIS_CASES` sets how many requests are made, about; `MARU_SCHEMATHESIS_SEED` repeats a run.
"""

import json
import os
import subprocess
import sys
import urllib.request

import pytest
from harness.server import Maru

CASES = int(os.environ.get("MARU_SCHEMATHESIS_CASES", "2000"))
SEED = os.environ.get("MARU_SCHEMATHESIS_SEED", "1")
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
METHODS = {"get", "post", "put", "delete", "patch"}


@pytest.fixture(scope="module")
def short_server():
    """A server with so short a context that a request that asks for much is soon answered."""
    with Maru("--max-model-len", "128") as maru:
        yield maru
        maru.wait_until_idle()


@pytest.fixture(scope="module")
def operations(short_server) -> list[tuple[str, str]]:
    document = json.load(urllib.request.urlopen(short_server.url + "/openapi.json", timeout=10))
    assert document["openapi"].startswith("3.")
    return [(method, path) for path, item in document["paths"].items() for method in METHODS & set(item)]


def test_the_document_names_what_is_served(operations):
    served = {
        ("post", "/v1/chat/completions"),
        ("post", "/v1/completions"),
        ("post", "/v1/responses"),
        ("post", "/v1/embeddings"),
        ("post", "/v1/messages"),
        ("post", "/v1/messages/count_tokens"),
        ("get", "/v1/models"),
        ("post", "/tokenize"),
        ("post", "/detokenize"),
        ("get", "/ready"),
    }
    assert served <= set(operations)


def test_no_request_is_answered_other_than_the_document_says(short_server, operations):
    # An example is a request; the examples of the document and those at the borders of values come on top.
    num_examples = max(1, CASES // len(operations))
    command = [
        f"{os.path.dirname(sys.executable)}/schemathesis",
        "run",
        f"{short_server.url}/openapi.json",
        f"--url={short_server.url}",
        f"--checks={','.join(CHECKS)}",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={num_examples}",
        f"--seed={SEED}",
        # More would parse Python in threads, which CPython 3.11 sometimes fails at ("recursion depth mismatch").
        "--workers=1",
        "--continue-on-failure",
        "--request-timeout=60",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--warnings=off",
        "--no-color",
    ]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    print(ended.stdout[-20_000:], ended.stderr[-5_000:])
    assert ended.returncode == 0, f"schemathesis found something: {ended.stdout[-4_000:]}"
    assert short_server.status("/ready") == 200
