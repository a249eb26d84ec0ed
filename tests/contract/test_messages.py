"""Anthropic's messages against the published types: whole, every event of the stream, and both the same."""

import json

import pytest
from harness.schemas import check, check_answer
from harness.wire import user
from shapes import WEATHER

TOOLS = [
    {"name": "get_weather", "description": "Looks it up.", "input_schema": WEATHER},
    {"name": "get_tide", "input_schema": WEATHER},
]
CASES: dict[str, dict] = {
    "plain": {"messages": user("Hello! Who are you?")},
    "korean": {"messages": user("안녕하세요! 당신은 누구인가요?")},
    "system": {"messages": user("Hello!"), "system": "You answer briefly."},
    "blocks": {
        "system": [{"type": "text", "text": "You answer briefly.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello!"}]}],
    },
    "turns": {"messages": [*user("Hello!"), {"role": "assistant", "content": "Hi!"}, *user("Who are you?")]},
    "prefilled": {"messages": [*user("Hello!"), {"role": "assistant", "content": "I am"}]},
    "cut": {"messages": user("Hello!"), "max_tokens": 1},
    "stop": {"messages": user("Hello!"), "stop_sequences": ["a", "e", "i", "o", "u"]},
    "sampled": {"messages": user("Hello!"), "temperature": 1, "top_p": 0.9, "top_k": 20, "seed": 4},
    "tools, none": {"messages": user("Hello!"), "tools": TOOLS, "tool_choice": {"type": "none"}},
    "tools, auto": {"messages": user("Hello!"), "tools": TOOLS},
    "tools, any": {"messages": user("Hello!"), "tools": TOOLS, "tool_choice": {"type": "any"}},
    "tools, one": {
        "messages": user("Hello!"),
        "tools": TOOLS,
        "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
    },
    "a tool's result": {
        "tools": TOOLS,
        "tool_choice": {"type": "none"},
        "messages": [
            *user("How is the weather?"),
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "서울"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "21"}]},
        ],
    },
    "labels": {"messages": user("Hello!"), "metadata": {"user_id": "u1"}, "service_tier": "auto"},
}


def body(case: str) -> dict:
    return {"temperature": 0, "max_tokens": 300} | CASES[case]


def check_outcome(case: str, message: dict) -> None:
    parameters = CASES[case]
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    if message["stop_reason"] == "max_tokens":
        return
    if parameters.get("tool_choice", {}).get("type") in ("any", "tool"):
        assert calls and message["stop_reason"] == "tool_use"
        for call in calls:
            check(WEATHER, call["input"])
    if "stop_sequences" in parameters and message["stop_reason"] == "stop_sequence":
        assert message["stop_sequence"] in parameters["stop_sequences"]
    else:
        assert message["stop_sequence"] is None


def gathered(events: list[dict]) -> dict:
    """Follows the events as clients do, and returns the message that they add up to."""
    events = [event for event in events if event["type"] != "ping"]
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    message = dict(events[0]["message"])
    assert message["content"] == [] and message["stop_reason"] is None
    blocks: list[dict] = []
    is_open, json_text = False, ""
    for event in events[1:-1]:
        if event["type"] == "content_block_start":
            assert not is_open and event["index"] == len(blocks)
            is_open, json_text = True, ""
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            assert is_open and event["index"] == len(blocks) - 1
            delta = event["delta"]
            if delta["type"] == "text_delta":
                blocks[-1]["text"] += delta["text"]
            elif delta["type"] == "input_json_delta":
                json_text += delta["partial_json"]
            elif delta["type"] == "thinking_delta":
                blocks[-1]["thinking"] += delta["thinking"]
        elif event["type"] == "content_block_stop":
            assert is_open and event["index"] == len(blocks) - 1
            is_open = False
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = json.loads(json_text or "{}")
        elif event["type"] == "message_delta":
            assert not is_open
            message |= {name: event["delta"][name] for name in ("stop_reason", "stop_sequence")}
            message["usage"] = message["usage"] | event["usage"]
        else:
            raise AssertionError(f"an event that nobody asked for: {event['type']}")
    assert not is_open
    return message | {"content": blocks}


@pytest.mark.parametrize("case", CASES)
def test_whole_and_streamed_messages_are_of_the_published_types_and_the_same(ask, case):
    answer = ask("/v1/messages", **body(case))
    assert answer.status == 200, answer.body
    whole = answer.json()
    check_answer("Message", whole, "anthropic")
    check_outcome(case, whole)

    answer = ask("/v1/messages", stream=True, **body(case))
    assert answer.status == 200, answer.body
    events = answer.named_events()
    for event in events:
        if event["type"] != "ping":
            check_answer("RawMessageStreamEvent", event, "anthropic")
    message = gathered(events)
    check_answer("Message", message, "anthropic")

    def alike(message: dict) -> dict:
        blocks = [{key: value for key, value in block.items() if key != "id"} for block in message["content"]]
        return {"content": blocks} | {name: message[name] for name in ("role", "model", "stop_reason", "stop_sequence")}

    assert alike(message) == alike(whole)
    assert message["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


def test_tokens_are_counted_as_they_are_used(ask):
    body = {"messages": user("Hello! 안녕하세요!"), "system": "You answer briefly."}
    counted = ask("/v1/messages/count_tokens", **body)
    assert counted.status == 200, counted.body
    check_answer("MessageTokensCount", counted.json(), "anthropic")
    usage = ask("/v1/messages", max_tokens=1, **body).json()["usage"]
    used = sum(
        usage.get(name) or 0 for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    assert counted.json()["input_tokens"] == used
    more = ask("/v1/messages/count_tokens", tools=TOOLS, **body).json()["input_tokens"]
    assert more >= used


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"max_tokens": 0}, 400),
        ({"max_tokens": None}, 400),
        ({"messages": []}, 400),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400),
        ({"temperature": 7}, 400),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, 400),
        ({"tool_choice": {"type": "tool", "name": "nobody"}, "tools": TOOLS}, 400),
        ({"model": "no-such-model"}, 404),
    ],
    ids=str,
)
def test_failures_have_the_shape_that_clients_of_messages_know(ask, changes, status):
    answer = ask("/v1/messages", **({"messages": user("Hello!"), "max_tokens": 4} | changes))
    assert answer.status == status, answer.body
    failure = answer.json()
    check_answer("Error", {"request_id": None} | failure, "anthropic")
    assert failure["type"] == "error" and failure["error"]["message"]
    assert failure["error"]["type"] == {400: "invalid_request_error", 404: "not_found_error"}[status]
