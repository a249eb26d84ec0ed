"""Chat completions against the published types: whole, every chunk of the stream, and both the same."""

import json

import pytest
from harness.schemas import check, check_answer
from harness.wire import user
from shapes import FORECAST, WEATHER


def function(name: str, strict: bool = True) -> dict:
    about = {"name": name, "description": "Looks up the weather.", "parameters": WEATHER, "strict": strict}
    return {"type": "function", "function": about}


TOOLS = [function("get_weather"), function("get_tide", strict=False)]
AS_FORECAST = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": FORECAST, "strict": True}}
A_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"서울","unit":"celsius"}'},
}
CASES: dict[str, dict] = {
    "plain": {},
    "korean": {"messages": user("안녕하세요! 당신은 누구인가요?")},
    "system": {"messages": [{"role": "developer", "content": "You answer briefly."}, *user("Who are you?")]},
    "cut": {"max_completion_tokens": 1},
    "max_tokens": {"max_tokens": 3},
    "stop": {"stop": [" ", "a", "e"]},
    "choices": {"n": 3, "temperature": 1, "seed": 7},
    "logprobs": {"logprobs": True},
    "top logprobs": {"logprobs": True, "top_logprobs": 5, "messages": user("안녕 👋🏽")},
    "logprobs of choices": {"logprobs": True, "top_logprobs": 1, "n": 2, "temperature": 1, "seed": 3},
    "penalties": {"frequency_penalty": 0.5, "presence_penalty": -0.5},
    "bias": {"logit_bias": {"5": -100, "6": 2.5}},
    "text": {"response_format": {"type": "text"}},
    "object": {"response_format": {"type": "json_object"}, "temperature": 1, "seed": 1},
    "schema": {"response_format": AS_FORECAST, "temperature": 1, "seed": 2},
    "schema of choices": {"response_format": AS_FORECAST, "temperature": 1, "seed": 2, "n": 2},
    "schema with logprobs": {"response_format": AS_FORECAST, "logprobs": True, "top_logprobs": 2},
    "tools, none": {"tools": TOOLS, "tool_choice": "none"},
    "tools, auto": {"tools": TOOLS, "tool_choice": "auto"},
    "tools, required": {"tools": TOOLS, "tool_choice": "required", "temperature": 1, "seed": 3},
    "tools, required, one": {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
    "tools, named": {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    "tools, allowed": {
        "tools": TOOLS,
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
        },
    },
    "tools of choices": {"tools": TOOLS, "tool_choice": "required", "n": 2, "temperature": 1, "seed": 5},
    "tools and a schema": {"tools": TOOLS, "response_format": AS_FORECAST, "temperature": 1, "seed": 4},
    "a tool's result": {
        "tools": TOOLS,
        "tool_choice": "none",
        "messages": [
            *user("How is the weather?"),
            {"role": "assistant", "content": None, "tool_calls": [A_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 21}'},
        ],
    },
    "functions": {"functions": [TOOLS[0]["function"]], "function_call": {"name": "get_weather"}},
    "effort": {"reasoning_effort": "low"},
    "prediction": {"prediction": {"type": "content", "content": "Hello! I am Maru."}},
    "labels": {"user": "u1", "safety_identifier": "s1", "metadata": {"a": "b"}, "store": False, "service_tier": "flex"},
}


def body(case: str) -> dict:
    return {"messages": user("Hello! Who are you?"), "temperature": 0, "max_completion_tokens": 300} | CASES[case]


def gathered(chunks: list[dict]) -> list[dict]:
    """What the choices of a stream add up to, in the shape of a whole answer's choices."""
    choices: dict[int, dict] = {}
    for chunk in chunks:
        for piece in chunk["choices"]:
            empty = {"text": "", "calls": {}, "tokens": [], "reasons": [], "function_call": None}
            choice = choices.setdefault(piece["index"], empty)
            delta = piece["delta"]
            choice["text"] += delta.get("content") or ""
            choice["reasons"] += [piece["finish_reason"]] if piece["finish_reason"] else []
            choice["tokens"] += (piece["logprobs"] or {}).get("content") or []
            if called := delta.get("function_call"):
                call = choice["function_call"] = choice["function_call"] or {"name": "", "arguments": ""}
                call["name"] += called.get("name", "")
                call["arguments"] += called.get("arguments", "")
            for called in delta.get("tool_calls", []):
                call = choice["calls"].get(called["index"])
                if call is None:
                    # Name, type and id come once, at the start, and the calls in order.
                    assert called["id"] and called["type"] == "function" and called["function"]["name"]
                    assert called["index"] == len(choice["calls"])
                    call = choice["calls"][called["index"]] = {"name": called["function"]["name"], "arguments": ""}
                else:
                    assert not {"id", "type"} & set(called) and "name" not in called["function"]
                call["arguments"] += called["function"].get("arguments", "")
    assert list(choices) == sorted(choices), "the choices did not begin in the order of their indices"
    return [choices[index] for index in sorted(choices)]


def seen(choice: dict) -> dict:
    """A whole answer's choice in the shape of a gathered one."""
    message = choice["message"]
    calls = {i: dict(call["function"]) for i, call in enumerate(message.get("tool_calls", []))}
    return {
        "text": message["content"] or "",
        "calls": calls,
        "tokens": (choice["logprobs"] or {}).get("content") or [],
        "reasons": [choice["finish_reason"]],
        "function_call": message.get("function_call"),
    }


def check_tokens(choice: dict, num_top: int) -> None:
    for token in choice["tokens"]:
        assert token["logprob"] <= 0
        assert bytes(token["bytes"]).decode(errors="replace") == token["token"]
        assert len(token["top_logprobs"]) == num_top
        ranked = [top["logprob"] for top in token["top_logprobs"]]
        assert ranked == sorted(ranked, reverse=True)
    spelled = b"".join(bytes(token["bytes"]) for token in choice["tokens"])
    assert spelled.startswith(choice["text"].encode()), "the tokens do not spell the text"


def check_outcome(case: str, choice: dict) -> None:
    """What the parameters of a case ask of a choice."""
    parameters, [reason] = CASES[case], choice["reasons"]
    if parameters.get("tool_choice") in (None, "none", "auto") and "functions" not in parameters:
        assert parameters.get("tools") or not choice["calls"]
    elif "functions" in parameters:
        check(WEATHER, json.loads(choice["function_call"]["arguments"]))
    elif reason != "length":
        assert choice["calls"] and not choice["text"].strip()
        wanted = parameters["tool_choice"]
        names = ["get_weather"] if isinstance(wanted, dict) else ["get_weather", "get_tide"]
        assert {call["name"] for call in choice["calls"].values()} <= set(names)
        assert parameters.get("parallel_tool_calls", True) or len(choice["calls"]) == 1
        for call in choice["calls"].values():
            check(WEATHER, json.loads(call["arguments"]))
        is_named = isinstance(wanted, dict) and wanted["type"] == "function"
        assert reason == ("stop" if is_named else "tool_calls")
    shape = parameters.get("response_format", {"type": "text"})
    if shape["type"] != "text" and reason == "stop" and not choice["calls"]:
        check(FORECAST if shape is AS_FORECAST else {"type": "object"}, json.loads(choice["text"]))
    if "logprobs" in parameters:
        check_tokens(choice, parameters.get("top_logprobs", 0))
    else:
        assert choice["tokens"] == []


@pytest.mark.parametrize("case", CASES)
def test_whole_and_streamed_answers_are_of_the_published_types_and_the_same(ask, case):
    answer = ask("/v1/chat/completions", **body(case))
    assert answer.status == 200, answer.body
    whole = answer.json()
    check_answer("ChatCompletion", whole)
    assert [choice["index"] for choice in whole["choices"]] == list(range(CASES[case].get("n", 1)))
    for choice in whole["choices"]:
        message = choice["message"]
        assert choice["logprobs"] is None or "logprobs" in CASES[case]
        assert message["refusal"] is None
        # Clients ask whether the key is there: a list of none is a call to them.
        assert message.get("tool_calls") != [] and message.get("tool_calls", ()) is not None
        check_outcome(case, seen(choice))

    answer = ask("/v1/chat/completions", stream=True, stream_options={"include_usage": True}, **body(case))
    assert answer.status == 200, answer.body
    *chunks, last = answer.chunks()
    for chunk in [*chunks, last]:
        check_answer("ChatCompletionChunk", chunk)
    assert last["choices"] == [] and all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
    for name in ("id", "created", "model", "system_fingerprint", "object"):
        assert len({chunk[name] for chunk in [*chunks, last]}) == 1
    assert all("role" in chunk["choices"][0]["delta"] for chunk in chunks[: len(whole["choices"])])
    assert gathered(chunks) == [seen(choice) for choice in whole["choices"]]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens", "completion_tokens_details"):
        assert last["usage"][name] == whole["usage"][name]
