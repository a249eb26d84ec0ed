"""Completions against the published types: whole, every chunk of the stream, and both the same."""

import pytest
from harness.schemas import check_answer

CASES: dict[str, dict] = {
    "text": {"prompt": "The floor is"},
    "korean": {"prompt": "마루는"},
    "texts": {"prompt": ["The floor is", "마루는"]},
    "tokens": {"prompt": [5, 6, 7, 8]},
    "token lists": {"prompt": [[5, 6, 7], [9, 10]]},
    "choices": {"prompt": "Hello", "n": 2, "temperature": 1, "seed": 3},
    "choices of several prompts": {"prompt": ["Hello", "안녕"], "n": 2, "temperature": 1, "seed": 3},
    "best of": {"prompt": "Hello", "best_of": 3, "temperature": 1, "seed": 3},
    "echo": {"prompt": "안녕하세요, floor", "echo": True},
    "logprobs": {"prompt": "안녕하세요, floor", "logprobs": 3},
    "logprobs of none": {"prompt": "Hello", "logprobs": 0},
    "echo and logprobs": {"prompt": "안녕하세요, floor 👋🏽", "echo": True, "logprobs": 2},
    "echo of tokens": {"prompt": [[5, 6, 7], [9, 10]], "echo": True, "logprobs": 1},
    "echo alone": {"prompt": "안녕하세요, floor", "echo": True, "logprobs": 1, "max_tokens": 0},
    "stop": {"prompt": "Hello", "stop": ["a", "e"]},
    "max_completion_tokens": {"prompt": "Hello", "max_completion_tokens": 2},
    "penalties": {"prompt": "Hello", "frequency_penalty": 1, "presence_penalty": 1, "logit_bias": {"5": -100}},
    "labels": {"prompt": "Hello", "user": "u1", "suffix": None, "best_of": None},
}
# The best of several is known only when all are there: such an answer cannot be streamed.
STREAMED = [case for case in CASES if not CASES[case].get("best_of")]


def body(case: str) -> dict:
    default = {} if "max_completion_tokens" in CASES[case] else {"max_tokens": 8}
    return {"temperature": 0} | default | CASES[case]


def gathered(chunks: list[dict]) -> list[dict]:
    """What the choices of a stream add up to."""
    choices: dict[int, dict] = {}
    for chunk in chunks:
        for piece in chunk["choices"]:
            choice = choices.setdefault(piece["index"], {"text": "", "finish_reason": None, "logprobs": None})
            choice["text"] += piece["text"]
            assert choice["finish_reason"] is None or not piece["finish_reason"], "two finish reasons"
            choice["finish_reason"] = choice["finish_reason"] or piece["finish_reason"]
            if piece["logprobs"]:
                lists = choice["logprobs"] = choice["logprobs"] or {name: [] for name in piece["logprobs"]}
                for name, values in piece["logprobs"].items():
                    lists[name] += values
    return [{"index": index, **choices[index]} for index in sorted(choices)]


def typed(completion: dict, prompt_echoed: bool) -> dict:
    """A completion as its published type wants it: that nothing precedes the first token of a prompt, and that in a
    stream the reason comes with the end only, is left out there."""
    choices = []
    for choice in completion["choices"]:
        logprobs = choice["logprobs"]
        if prompt_echoed and logprobs and logprobs["token_logprobs"][:1] == [None]:
            first = {"token_logprobs": [0.0], "top_logprobs": [{}]}
            logprobs = logprobs | {name: value + logprobs[name][1:] for name, value in first.items()}
        choices.append(choice | {"logprobs": logprobs, "finish_reason": choice["finish_reason"] or "stop"})
    return completion | {"choices": choices}


def check_logprobs(choice: dict, is_echoed: bool, num_top: int) -> None:
    logprobs = choice["logprobs"]
    num_tokens = len(logprobs["tokens"])
    assert num_tokens > 0
    assert {len(logprobs[name]) for name in ("token_logprobs", "top_logprobs", "text_offset")} == {num_tokens}
    offsets = logprobs["text_offset"]
    assert offsets[0] == 0 and offsets == sorted(offsets) and offsets[-1] <= len(choice["text"])
    for at, (logprob, top) in enumerate(zip(logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)):
        if is_echoed and at == 0:
            assert logprob is None and top is None, "nothing comes before the first token of a prompt"
        else:
            # Tokens that are written alike are one entry; the token that came may be one more.
            assert logprob <= 0 and len(top) <= num_top + 1
            assert all(value <= 0 for value in top.values())


@pytest.mark.parametrize("case", CASES)
def test_whole_and_streamed_answers_are_of_the_published_type_and_the_same(ask, case):
    answer = ask("/v1/completions", **body(case))
    assert answer.status == 200, answer.body
    whole = answer.json()
    is_echoed = CASES[case].get("echo", False)
    assert all(choice["finish_reason"] for choice in whole["choices"])
    check_answer("Completion", typed(whole, is_echoed))
    prompt = CASES[case]["prompt"]
    num_prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    num_choices = num_prompts * CASES[case].get("n", 1)
    assert [choice["index"] for choice in whole["choices"]] == list(range(num_choices))
    for choice in whole["choices"]:
        if isinstance(prompt, str) and is_echoed:
            assert choice["text"].startswith(prompt)
        if num_top := CASES[case].get("logprobs"):
            check_logprobs(choice, is_echoed, num_top)
        if "logprobs" not in CASES[case]:
            assert choice["logprobs"] is None
    if CASES[case].get("max_tokens") == 0:
        assert whole["usage"]["completion_tokens"] == 0 and whole["choices"][0]["text"] == prompt

    if case not in STREAMED:
        return
    answer = ask("/v1/completions", stream=True, stream_options={"include_usage": True}, **body(case))
    assert answer.status == 200, answer.body
    *chunks, last = answer.chunks()
    for chunk in chunks:
        check_answer("Completion", typed(chunk, is_echoed))
        assert chunk["usage"] is None and chunk["choices"]
    check_answer("Completion", last)
    assert last["choices"] == []
    names = ("index", "text", "finish_reason", "logprobs")
    assert gathered(chunks) == [{name: choice[name] for name in names} for choice in whole["choices"]]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert last["usage"][name] == whole["usage"][name]


def test_the_best_of_several_is_not_streamed(ask):
    answer = ask("/v1/completions", prompt="Hello", best_of=3, stream=True)
    assert answer.status == 400
    assert answer.json()["error"]["param"] in ("best_of", "stream")


def test_tokens_say_the_same_as_their_text(ask):
    text = "안녕하세요, floor"
    tokens = ask("/tokenize", prompt=text, add_special_tokens=False).json()["tokens"]
    parameters = {"temperature": 0, "max_tokens": 8, "echo": True, "logprobs": 2}
    [one] = ask("/v1/completions", prompt=tokens, **parameters).json()["choices"]
    [other] = ask("/v1/completions", prompt=text, add_special_tokens=False, **parameters).json()["choices"]
    assert one == other
