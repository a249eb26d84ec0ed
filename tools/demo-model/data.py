"""From conversations to padded batches of token ids."""

from random import Random

import torch
from tokenizers import Tokenizer

from generate import conversations

CHUNK = 2048


def encode(tokenizer: Tokenizer, messages: list[dict], prompt=False) -> tuple[list[int], list[bool]]:
    """Ids of the rendered conversation, and which of them the model has to produce.

    Role tokens split the text, so encoding piece by piece equals encoding the
    whole text of the chat template. With `prompt` the next answer is opened.
    """
    ids, wanted = [], []

    def add(text, want=False):
        new = tokenizer.encode(text, add_special_tokens=False).ids
        ids.extend(new)
        wanted.extend([want] * len(new))

    if messages[0]["role"] != "system":
        add("[|system|][|endofturn|]\n")
    for m in messages:
        add(f"[|{m['role']}|]")
        if m["role"] == "user":
            add(m["content"] + "\n")
        else:
            add(m["content"] + "[|endofturn|]", want=m["role"] == "assistant")
            add("\n")
    if prompt:
        add("[|assistant|]")
    return ids, wanted


def batches(tokenizer: Tokenizer, seed: int, budget: int):
    """Endless batches of about `budget` tokens; rows of similar length, one conversation each."""
    chunk = 0
    while True:
        rows = [encode(tokenizer, m) for m in conversations(seed * 100_000 + chunk, CHUNK)]
        rows.sort(key=lambda row: len(row[0]))
        groups, start = [], 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or len(rows[end][0]) * (end + 1 - start) > budget:
                groups.append(rows[start:end])
                start = end
        Random(seed * 100_000 + chunk).shuffle(groups)
        for group in groups:
            yield padded(group)
        chunk += 1


def padded(rows):
    """Token ids [rows, length] and the mask of the ids to predict."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    wanted = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, (row, want) in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        wanted[i, :len(row)] = torch.tensor(want)
    return ids, wanted


def never_written(tokenizer: Tokenizer) -> list[int]:
    """Ids that no answer contains: parts of characters, and role tokens but end-of-turn."""
    end = tokenizer.token_to_id("[|endofturn|]")
    found = []
    for i in range(tokenizer.get_vocab_size()):
        text = tokenizer.decode([i], skip_special_tokens=True)
        if i != end and (not text or "\ufffd" in text):
            found.append(i)
    return found
