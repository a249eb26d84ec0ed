"""A bare HTTP/1.1 client for server-sent events: it sees each piece as it arrives, and can break off at any point."""

import asyncio
import json
import socket
import struct
import time
from dataclasses import dataclass, field

# Far above what any answer takes, so that only a hang is caught on a busy machine.
PATIENCE_S = 120.0


@dataclass
class Answer:
    """An answer, whole or streamed."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    # Seconds since the request was sent at which each piece of the body arrived.
    arrivals: list[float] = field(default_factory=list)

    def json(self) -> dict:
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The data of each event; comments are left out."""
        lines = [line for line in self.body.decode().split("\n\n") if line and not line.startswith(":")]
        assert all(line.startswith("data: ") for line in lines), lines
        return [line.removeprefix("data: ") for line in lines]

    def chunks(self) -> list[dict]:
        """The chunks of a stream that must have ended with `[DONE]`."""
        *chunks, last = self.events()
        assert last == "[DONE]", f"the stream ended with {last!r}"
        return [json.loads(chunk) for chunk in chunks]

    def named_events(self) -> list[dict]:
        """The data of each event of a stream whose events carry their type as their name too."""
        events = []
        for block in self.body.decode().split("\n\n"):
            if not block or block.startswith(":"):
                continue
            first, second = block.split("\n")
            assert first.startswith("event: ") and second.startswith("data: "), block
            events.append(json.loads(second.removeprefix("data: ")))
            assert events[-1]["type"] == first.removeprefix("event: "), block
        return events


def texts(chunks: list[dict]) -> dict[int, str]:
    """The text of each choice."""
    joined: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            joined[choice["index"]] = joined.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return joined


def finish_reasons(chunks: list[dict]) -> dict[int, list[str]]:
    """The finish reasons of each choice; there must be one."""
    found: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            found.setdefault(choice["index"], []).extend(filter(None, [choice["finish_reason"]]))
    return found


class Connection:
    """One connection. Requests follow each other on it."""

    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.host, self.port = host, port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "Connection":
        # A long line must not end the reading: an answer is one line.
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 24)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def kill(self) -> None:
        """Breaks off as a killed client does: a reset, without a word of farewell."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def send(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> None:
        """Sends a request; `body` is bytes as they are, or an object to send as JSON."""
        payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"host": f"{self.host}:{self.port}"} | (headers or {})
        if body is not None:
            lines = {"content-type": "application/json", "content-length": str(len(payload))} | lines
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.writer.write(head.encode() + b"\r\n" + payload)
        await self.writer.drain()

    async def receive_head(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return Answer(int(first.split()[1]), {name.strip().lower(): value.strip() for name, value in pairs})

    async def receive_piece(self, answer: Answer) -> bytes:
        """The next piece of the body, empty at its end."""
        if answer.headers.get("transfer-encoding") == "chunked":
            size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
            piece = (await self.reader.readexactly(size + 2))[:-2]
        else:
            left = int(answer.headers.get("content-length", 0)) - len(answer.body)
            piece = await self.reader.readexactly(left)
        return piece

    async def receive(self, began: float | None = None) -> Answer:
        """A whole answer."""
        began = time.monotonic() if began is None else began
        answer = await self.receive_head()
        while piece := await self.receive_piece(answer):
            answer.arrivals.append(time.monotonic() - began)
            answer.body += piece
        return answer


async def request(
    port: int, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request on its own connection."""
    async with asyncio.timeout(PATIENCE_S), Connection(port) as connection:
        began = time.monotonic()
        await connection.send(method, path, body, headers)
        return await connection.receive(began)


async def chat(port: int, body: dict, headers: dict[str, str] | None = None) -> Answer:
    """One chat completion on its own connection."""
    return await request(port, "POST", "/v1/chat/completions", body, headers)


def user(text: str) -> list[dict[str, str]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]
