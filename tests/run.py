#!/usr/bin/env python3
"""Runs every suite, or the ones named on the command line, and says at the end how many tests passed and failed.

A suite that takes too long for every change runs only where it is named.

Needs Rust and Python 3.11 or newer; what the suites need beyond that they install for themselves: virtual environments
in `.venv` and `.venv-*`, Node packages in `tests/sdk/node`, and, as root on Debian, nginx. Where Node or nginx cannot be
had, their suites are left out with a word about it, except under CI, where that is a failure.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
NODE = TESTS / "sdk" / "node"
IN_CI = bool(os.environ.get("CI"))


class Unavailable(Exception):
    """What a suite needs cannot be had on this machine."""


@dataclass
class Suite:
    """A command with what it needs, and how its closing lines count."""

    name: str
    about: str
    command: list[str]
    folder: Path = ROOT
    needs: tuple[Callable[[], None], ...] = ()
    # Finds (passed, failed) counts; a suite without a pattern is one test: its exit code.
    count: Callable[[str], tuple[int, int]] | None = None
    # Runs only where its name is given.
    is_asked_for: bool = False


def count_cargo(output: str) -> tuple[int, int]:
    results = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed", output, re.MULTILINE)
    return sum(int(passed) for passed, _ in results), sum(int(failed) for _, failed in results)


def count_pytest(output: str) -> tuple[int, int]:
    closing = output.strip().rsplit("\n", 1)[-1]
    number = lambda word: sum(int(n) for n in re.findall(rf"(\d+) {word}", closing))  # noqa: E731
    return number("passed"), number("failed") + number("errors?")


def count_node(output: str) -> tuple[int, int]:
    number = lambda word: sum(int(n) for n in re.findall(rf"^. {word} (\d+)$", output, re.MULTILINE))  # noqa: E731
    return number("pass"), number("fail") + number("cancelled")


def run(*command: str, folder: Path = ROOT) -> None:
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)


def debian_package(*packages: str) -> None:
    """Installs Debian packages, where this process may."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(f"it needs the Debian package {' '.join(packages)}; as root it would be installed")
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)


def is_newer(made: Path, source: Path) -> bool:
    return made.exists() and made.stat().st_mtime >= source.stat().st_mtime


def environment(name: str = "") -> Path:
    """The virtual environment of that name, the common one without."""
    return ROOT / (f".venv-{name}" if name else ".venv")


def python(name: str = "") -> str:
    return str(environment(name) / "bin" / "python")


def python_packages(name: str = "") -> Callable[[], None]:
    """A virtual environment with what its list of requirements names."""

    def install() -> None:
        requirements = TESTS / (f"requirements-{name}.txt" if name else "requirements.txt")
        folder = environment(name)
        stamp = folder / "installed"
        if is_newer(stamp, requirements):
            return
        if sys.version_info < (3, 11):
            raise Unavailable(f"it needs Python 3.11 or newer; this is {sys.version.split()[0]}")
        try:
            run(sys.executable, "-m", "venv", "--clear", str(folder))
        except subprocess.CalledProcessError:
            debian_package("python3-venv")
            run(sys.executable, "-m", "venv", "--clear", str(folder))
        run(python(name), "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", str(requirements))
        stamp.touch()

    return install


def node_packages() -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        raise Unavailable("it needs Node 20 or newer, with npm")
    lock, stamp = NODE / "package-lock.json", NODE / "node_modules" / ".package-lock.json"
    if not is_newer(stamp, lock):
        run("npm", "ci", "--no-audit", "--no-fund", folder=NODE)
        stamp.touch()


def nginx() -> None:
    if not shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"):
        debian_package("nginx-light")


def release_binary() -> None:
    if "MARU_BIN" not in os.environ:
        run("cargo", "build", "--release", "--locked")


def pytest(*paths: str, name: str = "") -> list[str]:
    return [python(name), "-m", "pytest", "--quiet", "--color=no", *paths]


SUITES = [
    Suite("fmt", "formatting", ["cargo", "fmt", "--all", "--check"]),
    Suite(
        "lint",
        "clippy, warnings as errors",
        ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ),
    Suite(
        "rust",
        "unit, simulation, golden-model, HTTP and architecture tests",
        ["cargo", "test", "--workspace", "--locked"],
        count=count_cargo,
    ),
    Suite(
        "sdk-python",
        "the official Python package against the binary",
        pytest("sdk/python"),
        TESTS,
        (python_packages(), release_binary),
        count_pytest,
    ),
    Suite(
        "sdk-node",
        "the official Node package against the binary",
        ["npm", "test", "--silent"],
        NODE,
        (node_packages, release_binary),
        count_node,
    ),
    Suite(
        "contract",
        "every answer and event against the published types; answers held to 300 JSON schemas",
        pytest("contract"),
        TESTS,
        (python_packages(), release_binary),
        count_pytest,
    ),
    Suite(
        "clients",
        "langchain, litellm, instructor and the Anthropic package against the binary",
        pytest("clients", name="clients"),
        TESTS,
        (python_packages("clients"), release_binary),
        count_pytest,
    ),
    Suite(
        "schemathesis",
        "requests made from the server's own OpenAPI document",
        pytest("openapi", name="schemathesis"),
        TESTS,
        (python_packages("schemathesis"), release_binary),
        count_pytest,
    ),
    Suite(
        "e2e",
        "the binary over a bare socket",
        pytest("e2e", "--ignore=e2e/test_nginx.py"),
        TESTS,
        (python_packages(), release_binary),
        count_pytest,
    ),
    Suite(
        "lm-eval",
        "lm-evaluation-harness against the binary",
        pytest("lm_eval", name="lm-eval"),
        TESTS,
        (python_packages("lm-eval"), release_binary),
        count_pytest,
        is_asked_for=True,
    ),
    Suite(
        "nginx",
        "two binaries behind the real nginx",
        pytest("e2e/test_nginx.py"),
        TESTS,
        (nginx, python_packages(), release_binary),
        count_pytest,
    ),
]


def run_suite(suite: Suite) -> tuple[int, int]:
    """Runs a suite, shows what it prints, and returns how many tests passed and failed."""
    for need in suite.needs:
        need()
    lines = []
    with subprocess.Popen(
        suite.command,
        cwd=suite.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    is_well = process.returncode == 0
    passed, failed = suite.count("".join(lines)) if suite.count else (int(is_well), 0)
    # A suite that broke before it could count, or ran nothing, is a failure too.
    if (not is_well or passed == 0) and failed == 0:
        failed = 1
    return passed, failed


def main() -> int:
    listing = "\n".join(f"  {suite.name:<12} {suite.about}" for suite in SUITES)
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"suites:\n{listing}\n\nMARU_BIN names the binary to test instead of the release build.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", choices=[[], *(suite.name for suite in SUITES)], metavar="SUITE")
    wanted = parser.parse_args().suites
    lines, total_passed, total_failed, began = [], 0, 0, time.monotonic()
    for suite in SUITES:
        if suite.name not in wanted if wanted else suite.is_asked_for:
            continue
        print(f"\n=== {suite.name}: {suite.about}", flush=True)
        start = time.monotonic()
        try:
            passed, failed = run_suite(suite)
            outcome = f"{passed} passed, {failed} failed"
        except Unavailable as reason:
            passed, failed = 0, int(IN_CI)
            outcome = f"left out: {reason}"
        except (subprocess.CalledProcessError, OSError) as error:
            passed, failed = 0, 1
            outcome = f"could not run: {error}"
        total_passed, total_failed = total_passed + passed, total_failed + failed
        lines.append(f"{suite.name:<12} {time.monotonic() - start:6.0f} s  {outcome}")
    print("\n=== all suites")
    print("\n".join(lines))
    print(f"{'in all':<12} {time.monotonic() - began:6.0f} s")
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed else 0


if __name__ == "__main__":
    sys.exit(main())
