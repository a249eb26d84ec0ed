"""The real nginx with the configuration of `deploy/`, in front of processes on this machine."""

import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.server import PATIENCE_S, ROOT, free_port


def nginx_binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


class Nginx:
    """nginx before the replicas on `ports`. Only addresses and the folder for temporary files are replaced."""

    def __init__(self, ports: list[int]):
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="maru-nginx-"))
        # Workers of an nginx that root starts run as another user.
        self.folder.chmod(0o755)
        text = (ROOT / "deploy" / "nginx.conf").read_text()
        replacements = {
            "listen 8080;": f"listen 127.0.0.1:{self.port};",
            "/tmp/": f"{self.folder}/",
            "/dev/stdout": f"{self.folder}/access.log",
            "/dev/stderr": f"{self.folder}/error.log",
        }
        replacements |= {f"server maru-{i}:8000 ": f"server 127.0.0.1:{port} " for i, port in enumerate(ports, 1)}
        for old, new in replacements.items():
            assert old in text, f"deploy/nginx.conf has no {old!r}"
            text = text.replace(old, new)
        self.conf = self.folder / "nginx.conf"
        self.conf.write_text(text)

    def __enter__(self) -> "Nginx":
        command = [nginx_binary(), "-c", str(self.conf), "-p", str(self.folder), "-g", "daemon off;"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() - began > PATIENCE_S:
                self.process.kill()
                raise AssertionError(f"nginx does not answer\n{self.logged()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=PATIENCE_S)
        shutil.rmtree(self.folder)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/live", timeout=10)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def logged(self) -> str:
        log = self.folder / "error.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def requests(self) -> list[str]:
        """The lines of the access log."""
        return (self.folder / "access.log").read_text().splitlines()
