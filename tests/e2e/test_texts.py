"""Whole text equals the joined deltas, for 200 prompts in Korean, English and emoji."""

import asyncio
from itertools import product

import pytest

from harness.wire import chat, texts, user

KOREAN = [
    ["안녕하세요", "고마워요", "잘 가", "누구세요", "마루가 뭐야", "토큰이 뭐야", "온도가 뭐야", "한국의 수도는"],
    ["?", "!", " 짧게 답해 줘.", " 자세히 설명해 줘.", " 세 가지만 말해 줘.", " ㅎㅎ", " 😀", " 그리고 하나 더 알려 줘.", "…"],
]
ENGLISH = [
    ["hello", "who are you", "what is a token", "what is top-p", "count to five", "tell me a story", "say it in JSON"],
    ["", "?", "!", " in one line", " in Korean, please", " 🙂", " naïve café", " 1 + 2 = ?", "\n\nThanks"],
]
EMOJI = [
    ["😀", "👩‍👩‍👧‍👦", "🇰🇷", "👋🏽", "e\u0301", "각", "🏳️‍🌈", "❤️", "𝕄𝕒𝕣𝕦", "1️⃣"],
    ["", " hello", " 안녕", "😀😀", " {\"a\": 1}", "\t", " [|user|] "],
]
PROMPTS = [a + b for words in (KOREAN, ENGLISH, EMOJI) for a, b in product(*words)][:205]

SAMPLINGS = {
    "greedy": {"temperature": 0},
    "seeded": {"temperature": 1, "top_p": 0.95, "seed": 42},
    "hot": {"temperature": 2, "seed": 42, "n": 2},
}


def test_there_are_two_hundred_prompts():
    assert len(set(PROMPTS)) >= 200


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
def test_whole_text_is_the_joined_deltas(server, model, sampling):
    async def both(prompt: str, turn: asyncio.Semaphore):
        body = {"model": model, "messages": user(prompt), "max_completion_tokens": 48} | sampling
        async with turn:
            options = {"stream": True, "stream_options": {"include_usage": True}}
            return await asyncio.gather(chat(server.port, body), chat(server.port, body | options))

    async def all_prompts():
        turn = asyncio.Semaphore(8)
        return await asyncio.gather(*(both(prompt, turn) for prompt in PROMPTS))

    num_pieces = 0
    for prompt, (whole, stream) in zip(PROMPTS, asyncio.run(all_prompts())):
        assert (whole.status, stream.status) == (200, 200), (prompt, whole.body, stream.body)
        expected = {choice["index"]: choice["message"]["content"] for choice in whole.json()["choices"]}
        chunks = stream.chunks()
        assert texts(chunks) == expected, prompt
        usages = [chunks[-1]["usage"], whole.json()["usage"]]
        for usage in usages:
            # What is cached depends on which of the two came first.
            del usage["prompt_tokens_details"]["cached_tokens"]
        assert usages[0] == usages[1], prompt
        num_pieces += sum(bool(c["delta"].get("content")) for chunk in chunks for c in chunk["choices"])
        if sampling["temperature"] <= 1:
            assert "\ufffd" not in "".join(expected.values()), prompt
    assert num_pieces > 2 * len(PROMPTS), "the answers did not come in pieces"
