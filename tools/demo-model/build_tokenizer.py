"""The tokenizer: byte-level BPE with every common Hangul syllable as one token.

    python build_tokenizer.py --out ../../models/demo
"""

import argparse
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from generate import conversations
from topics.names import SYLLABLES

SPECIAL = ["[PAD]", "[BOS]", "[EOS]", "[UNK]", "[|system|]", "[|user|]", "[|assistant|]", "[|tool|]", "[|endofturn|]"]
END_OF_TURN = "[|endofturn|]"
EMOJI = "😀😄😊🙂🎉🚀🌸👍👋🌙☀️🍀❤️"
VOCABULARY = 5120
DIGITS = pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated")
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

# a user turn ends with a newline, every other turn with end-of-turn and newline
TEMPLATE = """{%- if not messages or messages[0]['role'] != 'system' -%}
    {{- '[|system|][|endofturn|]\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '[|' + message['role'] + '|]' + message['content'] -}}
    {%- if message['role'] == 'user' -%}
        {{- '\\n' -}}
    {%- else -%}
        {{- '[|endofturn|]\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '[|assistant|]' -}}
{%- endif -%}
"""


def texts(count: int):
    for messages in conversations(seed=77, count=count):
        for m in messages:
            yield m["content"]


def learn_merges(count: int) -> list[tuple[str, str]]:
    """Merges of whole characters, so that no token ends inside a character."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    learner.pre_tokenizer = pre_tokenizers.Sequence([DIGITS, pre_tokenizers.Split(Regex(GPT2), behavior="isolated")])
    learner.train_from_iterator(texts(count), trainers.BpeTrainer(vocab_size=6000, show_progress=False))
    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]


def in_bytes(text: str) -> str:
    """The text in the alphabet of byte-level BPE: one letter per byte."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)[0][0]


def train(count: int) -> Tokenizer:
    merges = []
    learnt = learn_merges(count)
    used = {ch for pair in learnt for ch in "".join(pair)}
    for ch in dict.fromkeys(SYLLABLES + sorted(used) + list(EMOJI)):
        letters = in_bytes(ch)
        for end in range(1, len(letters)):
            merges.append((letters[:end], letters[end]))
    merges += [(in_bytes(a), in_bytes(b)) for a, b in learnt]
    merges = list(dict.fromkeys(merges))
    words = SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet())
    known = set(words)
    kept = []
    for a, b in merges:
        if len(words) < VOCABULARY:
            kept.append((a, b))
            if a + b not in known:
                known.add(a + b)
                words.append(a + b)
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=kept))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([DIGITS, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "[BOS]", "eos_token": END_OF_TURN, "pad_token": "[PAD]", "unk_token": "[UNK]",
        "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6000, help="conversations to read")
    args = parser.parse_args()
    tokenizer = train(args.count)
    split = [ch for ch in SYLLABLES if len(tokenizer.encode(ch).ids) != 1]
    assert not split, f"syllables of several tokens: {split[:20]}"
    save(tokenizer, args.out)
    print("vocabulary", tokenizer.get_vocab_size(), "end of turn", tokenizer.token_to_id(END_OF_TURN))


if __name__ == "__main__":
    main()
