"""Starts and stops the `maru` binary."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Far above what any start or drain takes, so that only a hang is caught on a busy machine.
PATIENCE_S = 60.0


def binary() -> Path:
    """The binary under test: `MARU_BIN`, else the release build."""
    path = Path(os.environ.get("MARU_BIN", ROOT / "target" / "release" / "maru"))
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: build it with `cargo build --release`, or set MARU_BIN")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(**settings: object) -> dict[str, str]:
    """The environment without Maru's own settings, with `settings` such as `SERVER__DRAIN_DELAY_S=1` put in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MARU_")}
    return kept | {f"MARU__{key}": str(value) for key, value in settings.items()}


class Maru:
    """One server process with the demo model. Use it as a context: on leaving, it must end on SIGTERM with 0."""

    def __init__(self, *flags: str, port: int | None = None, **settings: object):
        self.port = port or free_port()
        self.flags = flags
        self.settings = {"SERVER__DRAIN_DELAY_S": 0} | settings
        self.log = tempfile.NamedTemporaryFile(prefix="maru-", suffix=".log", delete=False)
        self.process: subprocess.Popen | None = None
        self.seconds_to_ready = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Maru":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            code = self.stop()
            assert code == 0, f"the server ended with {code} on SIGTERM\n{self.logged()}"
        os.unlink(self.log.name)

    def start(self) -> None:
        """Starts the process and waits until `/ready` is green."""
        command = [str(binary()), "serve", "--host", "127.0.0.1", "--port", str(self.port), *self.flags]
        began = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=clean_environment(**self.settings),
        )
        while self.status("/ready") != 200:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}\n{self.logged()}")
            if time.monotonic() - began > PATIENCE_S:
                self.process.kill()
                raise AssertionError(f"the server is not ready after {PATIENCE_S} s\n{self.logged()}")
            time.sleep(0.01)
        self.seconds_to_ready = time.monotonic() - began

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for the end and returns the exit code."""
        try:
            return self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not end\n{self.logged()}") from None

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def logged(self) -> str:
        return Path(self.log.name).read_text(errors="replace")

    def status(self, path: str) -> int | None:
        """The status of a GET, None when nobody answers."""
        try:
            return urllib.request.urlopen(self.url + path, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def metrics(self) -> dict[str, float]:
        """Every metric by its name, the values of a name's label sets added up."""
        text = urllib.request.urlopen(self.url + "/metrics", timeout=10).read().decode()
        values: dict[str, float] = {}
        for name, value in re.findall(r"^([A-Za-z_:][\w:]*)(?:\{.*\})? (\S+)", text, re.MULTILINE):
            values[name] = values.get(name, 0.0) + float(value)
        return values

    def wait_until_idle(self) -> None:
        """Waits until no sequence runs or waits and no block is in use."""
        names = ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"]
        seen: list[float] = []
        for _ in range(400):
            metrics = self.metrics()
            seen = [metrics[name] for name in names]
            if seen == [0.0, 0.0, 0.0]:
                return
            time.sleep(0.025)
        raise AssertionError(f"still in use after 400 looks: {dict(zip(names, seen))}")

    def model(self, api_key: str = "unused") -> str:
        """The id of the model that it serves."""
        request = urllib.request.Request(self.url + "/v1/models", headers={"authorization": f"Bearer {api_key}"})
        return json.load(urllib.request.urlopen(request, timeout=10))["data"][0]["id"]
