// Starts and stops the `maru` binary for the tests.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";

const BINARY = process.env.MARU_BIN ?? fileURLToPath(new URL("../../../target/release/maru", import.meta.url));
// Far above what a start takes, so that only a hang is caught on a busy machine.
const PATIENCE_MS = 60_000;

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

// One server process with the demo model; `stop` ends it with SIGTERM and returns its exit code.
export async function startMaru(...flags) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const kept = Object.entries(process.env).filter(([key]) => !key.startsWith("MARU_"));
  const child = spawn(BINARY, ["serve", "--host", "127.0.0.1", "--port", `${port}`, ...flags], {
    env: { ...Object.fromEntries(kept), MARU__SERVER__DRAIN_DELAY_S: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (log += piece));
  process.once("exit", () => child.kill("SIGKILL"));
  const exit = once(child, "exit").then(([code, signal]) => code ?? signal);

  const ready = async () => (await fetch(`${url}/ready`).catch(() => undefined))?.status === 200;
  for (const began = Date.now(); !(await ready()); await sleep(10)) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}\n${log}`);
    if (Date.now() - began > PATIENCE_MS) {
      child.kill("SIGKILL");
      throw new Error(`the server is not ready\n${log}`);
    }
  }
  return {
    url,
    async stop() {
      child.kill("SIGTERM");
      return exit;
    },
  };
}
