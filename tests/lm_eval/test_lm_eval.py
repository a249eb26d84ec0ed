"""lm-evaluation-harness against the binary, on the small tasks of this folder, which need no network.

`MARU_LM_EVAL_LIMIT` sets how many questions of each task are asked.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.server import Maru, clean_environment

HERE = Path(__file__).parent
LIMIT = os.environ.get("MARU_LM_EVAL_LIMIT", "4")
NUM_QUESTIONS = len((HERE / "floors.jsonl").read_text().splitlines())


@pytest.fixture(scope="module")
def lone_server():
    with Maru() as maru:
        yield maru
        maru.wait_until_idle()


@pytest.fixture
def evaluate(lone_server, tmp_path):
    def run(kind: str, path: str, tasks: str, *flags: str, **arguments: object) -> dict:
        """Runs tasks and returns what came out, by task."""
        told = {"model": lone_server.model(), "base_url": lone_server.url + path, "num_concurrent": 4, "max_retries": 1}
        told |= {"tokenizer_backend": "remote", "timeout": 60, "max_length": 2047} | arguments
        command = [str(Path(sys.executable).with_name("lm_eval")), "run", "--model", kind, "--tasks", tasks]
        command += ["--model_args", ",".join(f"{name}={value}" for name, value in told.items())]
        command += ["--include_path", str(HERE), "--limit", LIMIT, "--output_path", str(tmp_path / "out"), *flags]
        offline = {
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "hf"),
            "OPENAI_API_KEY": "x",
        }
        ended = subprocess.run(
            command,
            cwd=HERE,
            env=clean_environment() | offline,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-4000:]
        [found] = (tmp_path / "out").rglob("results_*.json")
        outcome = json.loads(found.read_text())
        for task in tasks.split(","):
            assert outcome["n-samples"][task]["effective"] == min(int(LIMIT), NUM_QUESTIONS)
        return outcome["results"]

    return run


@pytest.mark.parametrize("tokenized", [True, False])
def test_answers_are_scored_by_their_log_probabilities(evaluate, tokenized):
    tasks, in_batches = "floors_choice,floors_words", ("--batch_size", "4")
    results = evaluate("local-completions", "/v1/completions", tasks, *in_batches, tokenized_requests=tokenized)
    assert 0 <= results["floors_choice"]["acc,none"] <= 1
    assert math.isfinite(results["floors_words"]["bits_per_byte,none"])
    assert 0 < results["floors_words"]["bits_per_byte,none"] < 64


def test_answers_are_written(evaluate):
    results = evaluate("local-completions", "/v1/completions", "floors_answer", tokenized_requests=True)
    assert 0 <= results["floors_answer"]["exact_match,none"] <= 1


def test_answers_are_written_in_a_conversation(evaluate):
    results = evaluate(
        "local-chat-completions",
        "/v1/chat/completions",
        "floors_answer",
        "--apply_chat_template",
        tokenizer_backend="none",
    )
    assert 0 <= results["floors_answer"]["exact_match,none"] <= 1
