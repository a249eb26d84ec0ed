"""Checks of a checkpoint folder that need no training.

    python check.py ../../models/demo
"""

import argparse
import json
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment
from safetensors import safe_open
from tokenizers import Tokenizer

from build_tokenizer import EMOJI, SPECIAL
from data import encode
from generate import conversations
from topics.names import SYLLABLES

USER = {"role": "user", "content": "Hello"}
DIALOGUE = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}]
RENDERED = [
    ([USER], True, "[|system|][|endofturn|]\n[|user|]Hello\n[|assistant|]"),
    ([USER], False, "[|system|][|endofturn|]\n[|user|]Hello\n"),
    (DIALOGUE, True, "[|system|]Be brief.[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello![|endofturn|]\n[|user|]Bye\n[|assistant|]"),
]


def check_template(template: str, tokenizer: Tokenizer):
    """The chat format of EXAONE 3.5, and the pieces of data.encode are its tokens."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    compiled = environment.from_string(template)
    for messages, prompt, expected in RENDERED:
        assert compiled.render(messages=messages, add_generation_prompt=prompt) == expected
    for messages in conversations(seed=5, count=300):
        text = compiled.render(messages=messages, add_generation_prompt=True)
        assert tokenizer.encode(text).ids == encode(tokenizer, messages, prompt=True)[0], messages


def check_tokenizer(tokenizer: Tokenizer):
    for i, text in enumerate(SPECIAL):
        assert tokenizer.token_to_id(text) == i and tokenizer.encode(text).ids == [i]
    for ch in SYLLABLES:
        assert len(tokenizer.encode(ch).ids) == 1, ch
    for text in ("마루 2024", "뷁 ☃ \U0001f9ff naïve\n\ttab", " two  spaces ", EMOJI, "don't 12,345"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text, text
    assert len(tokenizer.encode("2024").ids) == 4


def check_answers(tokenizer: Tokenizer, count: int) -> int:
    """No answer of the training text contains a token that ends inside a character."""
    pieces = {i: tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size())}
    seen = 0
    for messages in conversations(seed=6, count=count):
        for m in messages:
            if m["role"] == "assistant":
                ids = tokenizer.encode(m["content"]).ids
                assert not any("\ufffd" in pieces[i] for i in ids), m["content"]
                seen += len(ids)
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    template = (folder / "chat_template.jinja").read_text()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    assert settings["chat_template"] == template
    assert config["vocab_size"] == tokenizer.get_vocab_size()
    assert config["eos_token_id"] == tokenizer.token_to_id(settings["eos_token"])
    check_template(template, tokenizer)
    check_tokenizer(tokenizer)
    print(check_answers(tokenizer, 5000), "answer tokens, none ends inside a character")
    with safe_open(folder / "model.safetensors", "pt") as tensors:
        names = list(tensors.keys())
        total = sum(tensors.get_tensor(n).numel() for n in names)
        kinds = {str(tensors.get_tensor(n).dtype) for n in names}
    print(f"{len(names)} tensors, {total} parameters, {kinds}")
    print(f"{sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
