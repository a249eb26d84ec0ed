"""Responses against the published types: whole, every event of the stream, their order, and both the same."""

import json

import pytest
from harness.schemas import check, check_answer
from shapes import FORECAST, WEATHER

TOOLS = [
    {"type": "function", "name": "get_weather", "description": "Looks it up.", "parameters": WEATHER, "strict": True},
    {"type": "function", "name": "get_tide", "parameters": WEATHER, "strict": True},
]
AS_FORECAST = {"format": {"type": "json_schema", "name": "forecast", "schema": FORECAST, "strict": True}}
A_CALL = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": '{"city":"서울","unit":"celsius"}',
}
CASES: dict[str, dict] = {
    "text": {"input": "Hello! Who are you?"},
    "korean": {"input": "안녕하세요! 당신은 누구인가요?"},
    "messages": {"input": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]},
    "parts": {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}]},
    "instructions": {"input": "Hello!", "instructions": "You answer briefly."},
    "cut": {"input": "Hello!", "max_output_tokens": 16, "temperature": 2, "seed": 4},
    "schema": {"input": "How is the weather?", "text": AS_FORECAST, "temperature": 1, "seed": 4},
    "object": {"input": "Say it as JSON.", "text": {"format": {"type": "json_object"}}, "temperature": 1, "seed": 4},
    "tools, none": {"input": "Hello!", "tools": TOOLS, "tool_choice": "none"},
    "tools, auto": {"input": "Hello!", "tools": TOOLS},
    "tools, required": {"input": "How is the weather?", "tools": TOOLS, "tool_choice": "required"},
    "tools, one": {"input": "Hello!", "tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
    "tools, named": {"input": "Hello!", "tools": TOOLS, "tool_choice": {"type": "function", "name": "get_weather"}},
    "a tool's result": {
        "input": [
            {"role": "user", "content": "How is the weather?"},
            A_CALL,
            {"type": "function_call_output", "call_id": "call_1", "output": '{"degrees": 21}'},
        ],
        "tools": TOOLS,
        "tool_choice": "none",
    },
    "logprobs": {"input": "Hello!", "include": ["message.output_text.logprobs"], "top_logprobs": 2},
    "labels": {"input": "Hello!", "metadata": {"a": "b"}, "user": "u1", "store": False, "truncation": "disabled"},
    "effort": {"input": "Hello!", "reasoning": {"effort": "low"}},
}
ENDS = {"response.completed": "completed", "response.incomplete": "incomplete"}


def body(case: str) -> dict:
    return {"temperature": 0, "max_output_tokens": 300} | CASES[case]


def apart_from_names(output: list[dict]) -> list[dict]:
    """Output items without what is new in each response."""
    return [{key: value for key, value in item.items() if key not in ("id", "call_id")} for item in output]


def check_outcome(case: str, response: dict) -> None:
    """What the parameters of a case ask of a response."""
    parameters = CASES[case]
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    texts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    assert all(text["annotations"] == [] for text in texts)
    if response["status"] == "incomplete":
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        return
    assert response["status"] == "completed" and response["incomplete_details"] is None
    choice = parameters.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        assert calls and not texts
        assert len(calls) == 1 or parameters.get("parallel_tool_calls", True)
        for call in calls:
            assert call["name"] == "get_weather" or not isinstance(choice, dict)
            check(WEATHER, json.loads(call["arguments"]))
    if shape := parameters.get("text"):
        check(FORECAST if shape is AS_FORECAST else {"type": "object"}, json.loads(texts[0]["text"]))
    if "include" in parameters:
        assert texts[0]["logprobs"] and all(len(token["top_logprobs"]) == 2 for token in texts[0]["logprobs"])


def check_order(events: list[dict]) -> list[dict]:
    """Follows the events as clients do, and returns the output that they add up to."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in ENDS and not set(kinds[2:-1]) & {"response.created", "response.in_progress", *ENDS}
    assert len({event["response"]["id"] for event in (events[0], events[1], events[-1])}) == 1
    output: list[dict] = []
    item: dict | None = None
    part: dict | None = None
    for event in events[2:-1]:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert item is None and event["output_index"] == len(output)
            item = {"id": event["item"]["id"], "type": event["item"]["type"], "parts": [], "arguments": ""}
            continue
        assert item is not None and event["output_index"] == len(output)
        assert (
            event["item"]["id"] == item["id"] if kind == "response.output_item.done" else event["item_id"] == item["id"]
        )
        if kind.endswith("_part.added"):
            assert part is None
            part = {"text": ""}
        elif kind.endswith("text.delta"):
            part["text"] += event["delta"]
        elif kind.endswith("text.done"):
            assert event["text"] == part["text"]
        elif kind.endswith("_part.done"):
            assert event["part"]["text"] == part["text"]
            item["parts"].append(event["part"])
            part = None
        elif kind == "response.function_call_arguments.delta":
            item["arguments"] += event["delta"]
        elif kind == "response.function_call_arguments.done":
            assert event["arguments"] == item["arguments"]
        elif kind == "response.output_item.done":
            assert part is None
            done = event["item"]
            if item["type"] == "function_call":
                assert done["arguments"] == item["arguments"]
            elif item["type"] == "message":
                assert done["content"] == item["parts"]
            output.append(done)
            item = None
        else:
            raise AssertionError(f"an event that nobody asked for: {kind}")
    assert item is None and part is None, "something was begun and not ended"
    return output


@pytest.mark.parametrize("case", CASES)
def test_whole_and_streamed_responses_are_of_the_published_types_and_the_same(ask, case):
    answer = ask("/v1/responses", **body(case))
    assert answer.status == 200, answer.body
    whole = answer.json()
    check_answer("Response", whole)
    assert whole["object"] == "response" and whole["error"] is None
    check_outcome(case, whole)

    answer = ask("/v1/responses", stream=True, **body(case))
    assert answer.status == 200, answer.body
    events = answer.named_events()
    for event in events:
        check_answer("ResponseStreamEvent", event)
    output = check_order(events)
    last = events[-1]["response"]
    assert last["status"] == ENDS[events[-1]["type"]] == whole["status"]
    assert output == last["output"]
    assert apart_from_names(output) == apart_from_names(whole["output"])
    for name in ("input_tokens", "output_tokens", "total_tokens", "output_tokens_details"):
        assert last["usage"][name] == whole["usage"][name]


def test_a_stored_response_is_found_continued_and_deleted(ask, get, server):
    first = ask("/v1/responses", input="Hello!", max_output_tokens=16, temperature=0).json()
    found = get(f"/v1/responses/{first['id']}")
    assert found.status == 200
    check_answer("Response", found.json())
    assert found.json()["output"] == first["output"]
    second = ask("/v1/responses", input="And?", previous_response_id=first["id"], max_output_tokens=16).json()
    assert second["previous_response_id"] == first["id"]
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    unstored = ask("/v1/responses", input="Hello!", max_output_tokens=16, store=False).json()
    for missing in (unstored["id"], "resp_nothing"):
        assert get(f"/v1/responses/{missing}").status == 404
        answer = ask("/v1/responses", input="And?", previous_response_id=missing)
        assert answer.status in (400, 404)
        check_answer("Error", answer.json())
        assert answer.json()["error"]["param"] == "previous_response_id"
