#!/usr/bin/env python3
"""What Maru does with four times as much work as it can bear.

Starts a server, finds its peak with `maru bench serve`, offers a multiple of it for a minute, and says whether goodput
stayed near the peak and refusals came at once.

    cargo build --release
    python3 tools/overload.py                                # two or three minutes, on an otherwise idle machine
    python3 tools/overload.py -- --model /path/to/model      # what follows `--` goes to `maru serve`

Goodput is what was answered within the bounds of --slo, per second. A sequence may wait in the server for no longer
than --max-wait, so that what is admitted can still be answered within them; the rest is refused. Server and load
generator share the machine, so that the generator's own part of it is in the result: see the send lag.

Exit code 0: goodput under overload was at least 90 % of the peak, 99 % of the refusals came within 100 ms, all of them
said when to come again, and nothing failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.server import Maru, binary  # noqa: E402

MIN_SHARE_OF_PEAK = 0.9
MAX_REFUSAL_MS = 100.0


def bench(maru: Maru, options: argparse.Namespace, *load: str) -> list[dict]:
    """The figures of each load that `maru bench serve` puts on the server."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        lengths = ["--prompt-tokens", options.prompt_tokens, "--output-tokens", options.output_tokens]
        command = [str(binary()), "bench", "serve", "--url", maru.url, "--slo", options.slo, *lengths, *load]
        subprocess.run([*command, "--json", report.name], check=True)
        return json.load(open(report.name))["points"]


def goodput(point: dict) -> float:
    return point["goodput"]["requests_per_s"]


def find_peak(maru: Maru, options: argparse.Namespace) -> float:
    """The highest goodput in requests per second, in closed loops first and then at rates near what these gave."""
    duration = ["--duration", f"{options.search_s}s"]
    closed = bench(maru, options, "--concurrency", options.concurrency, *duration)
    best = max(map(goodput, closed))
    rates = ",".join(f"{best * share:.1f}" for share in (0.8, 1.0, 1.2))
    return max(best, *map(goodput, bench(maru, options, "--rate", rates, *duration)))


def faults(point: dict, peak: float) -> list[str]:
    """What was not as it should be under overload."""
    found = []
    if goodput(point) < MIN_SHARE_OF_PEAK * peak:
        found.append(f"goodput fell below {MIN_SHARE_OF_PEAK:.0%} of the peak")
    refusals, requests = point["refusals"], point["requests"]
    if requests["refused"] == 0:
        found.append("nothing was refused: this was no overload")
    elif refusals["time_ms"]["p99"] > MAX_REFUSAL_MS:
        found.append(f"the p99 of refusals is above {MAX_REFUSAL_MS:.0f} ms")
    if refusals["with_retry_after"] < requests["refused"]:
        found.append("some refusals did not say when to come again")
    if requests["failed"]:
        found.append(f"requests failed: {point['failures']}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=float, default=4, help="offered load over the peak [4]")
    parser.add_argument("--seconds", type=int, default=60, help="length of the overload [60]")
    parser.add_argument("--search-s", type=int, default=10, help="length of each load of the search for the peak [10]")
    parser.add_argument("--concurrency", default="8,32,128", help="streams of the closed loops [8,32,128]")
    parser.add_argument("--prompt-tokens", default="64", help="as in `maru bench serve` [64]")
    parser.add_argument("--output-tokens", default="64", help="as in `maru bench serve` [64]")
    parser.add_argument("--slo", default="ttft=3s,e2e=10s", help="bounds of goodput [ttft=3s,e2e=10s]")
    parser.add_argument("--max-wait", type=int, default=1500, metavar="MS", help="longest wait in the queue [1500]")
    parser.add_argument("server", nargs="*", help="more flags for `maru serve`, after --")
    options = parser.parse_args()
    with Maru(*options.server, ENGINE__MAX_QUEUE_TIME_MS=options.max_wait) as maru:
        peak = find_peak(maru, options)
        rate = options.factor * peak
        [point] = bench(maru, options, "--rate", f"{rate:.1f}", "--duration", f"{options.seconds}s")
        maru.wait_until_idle()
    refusals = point["refusals"]["time_ms"] or {"p50": 0.0, "p99": 0.0}
    print(f"\n{os.cpu_count()} CPUs; peak goodput {peak:.1f}/s; offered {rate:.1f}/s for {point['window_s']:.0f} s")
    print(f"goodput {goodput(point):.1f}/s, {goodput(point) / peak:.1%} of the peak; requests {point['requests']}")
    print(f"refusals after p50 {refusals['p50']:.1f} ms, p99 {refusals['p99']:.1f} ms", end="; ")
    print(f"the client sent p99 {point['send_lag_ms']['p99']:.1f} ms late")
    found = faults(point, peak)
    print("\n".join(found) if found else "held")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
