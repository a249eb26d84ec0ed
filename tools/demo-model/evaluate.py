"""Evaluation of a checkpoint folder, read from its files.

    python evaluate.py ../../models/demo                  questions, greedy
    python evaluate.py ../../models/demo --overlap 50000  evaluation wordings in the training text
    python evaluate.py ../../models/demo --samples 1000   broken characters at temperature 1
    python evaluate.py ../../models/demo --chat           talk to it

The questions of blind.jsonl are only measured with, never tuned with. Those of
the other files told which wordings the generator lacked: fresh.jsonl before the
last stage of the training, the rest (tuning) before all of them. Every question
has a deterministic judge: key words, a number, exact text, items of a list, or
equal JSON. Unless a language is given, the answer has to be in the language of
the question.
"""

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

from data import encode
from generate import EVALUATION, conversations, held_out, plain
from model import Model
from topics.world import LISTS

SETS = ("tuning", "fresh", "blind")
FREE_LANGUAGE = {"arithmetic", "counting", "json", "lists"}


class Answerer:
    def __init__(self, folder: Path):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model = Model.load(folder)
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, messages, temperature=0.0):
        ids, _ = encode(self.tokenizer, messages, prompt=True)
        new = self.model.generate(ids, temperature=temperature, generator=self.generator)
        return self.tokenizer.decode(new, skip_special_tokens=False)


def language(text: str) -> str:
    return "ko" if re.search("[가-힣]", text) else "en"


def items_right(items: list, kind: str, count: int) -> bool:
    known = {w.lower() for words in LISTS[kind][2:] for w in words}
    return len(items) == count == len(set(items)) and all(isinstance(i, str) and i.lower() in known for i in items)


def parsed(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def right(question: dict, answer: str) -> bool:
    low = answer.lower()
    wanted = question.get("lang", language(question["ask"][-1]))
    checks = [
        question["topic"] in FREE_LANGUAGE or language(answer) == wanted or (wanted == "ko" and answer.startswith("curl")),
        all(any(word.lower() in low for word in group) for group in question.get("all", [])),
        not any(word.lower() in low for word in question.get("none", [])),
    ]
    if "number" in question:
        checks.append(re.findall(r"-?\d+", answer)[-1:] == [str(question["number"])])
    if "exact" in question:
        checks.append(answer == question["exact"])
    if "items" in question:
        lines = [re.fullmatch(r"\d+\. (.+)", line) for line in answer.split("\n")]
        checks.append(all(lines) and items_right([line[1] for line in lines], *question["items"]))
    if "json" in question:
        checks.append(parsed(answer) == question["json"])
    if "json_items" in question:
        checks.append(items_right(parsed(answer) or [], *question["json_items"]))
    if "words" in question:
        checks.append(len(answer.split()) >= question["words"])
    return all(checks)


def questions(only: str):
    for file in sorted(EVALUATION.glob("*.jsonl")):
        name = file.stem if file.stem in SETS else "tuning"
        if only in ("all", name):
            for line in file.read_text().splitlines():
                yield name, json.loads(line)


def score(answer: Answerer, only: str, verbose: bool):
    table = defaultdict(lambda: [0, 0])
    for name, q in questions(only):
        messages = [{"role": "system", "content": q["system"]}] if "system" in q else []
        for text in q["ask"]:
            messages.append({"role": "user", "content": text})
            said = answer(messages)
            messages.append({"role": "assistant", "content": said})
        good = right(q, said)
        for key in (q["topic"], "korean" if language(q["ask"][-1]) == "ko" else "english", "all"):
            for column in (name, "all"):
                table[key, column][0] += good
                table[key, column][1] += 1
        if verbose or not good:
            print("right" if good else "WRONG", name, q["topic"], "|", " / ".join(q["ask"]), "|", said, flush=True)
    columns = [c for c in SETS if ("all", c) in table]
    columns += ["all"] if len(columns) > 1 else []
    print(" " * 12 + "".join(f"{column:>22}" for column in columns))
    topics = sorted({key for key, _ in table} - {"english", "korean", "all"})
    for key in topics + ["english", "korean", "all"]:
        cells = [table.get((key, column), (0, 0)) for column in columns]
        print(f"{key:12}" + "".join(f"{f'{good} of {total}':>14}{100 * good / total if total else 0:6.1f} %" for good, total in cells))


def overlap(count: int, seed: int):
    """Looks for evaluation wordings in training text written without the filter."""
    forbidden = held_out()
    written = {plain(m["content"]) for c in conversations(seed, count, unfiltered=True) for m in c if m["role"] == "user"}
    shared = sorted(forbidden & written)
    print(f"{len(written)} different user turns in {count} conversations")
    print(f"{len(forbidden)} judged wordings, of which the generator would write {len(shared)} {shared}")


def sample(answer: Answerer, count: int, temperature: float):
    """Answers drawn at a temperature; counts replacement characters and unknown role tokens."""
    broken = unfinished = 0
    prompts = [c for c in conversations(987_654, count)]
    for messages in prompts:
        ids, _ = encode(answer.tokenizer, messages[:-1], prompt=True)
        new = answer.model.generate(ids, temperature=temperature, generator=answer.generator)
        text = answer.tokenizer.decode(new, skip_special_tokens=False)
        unfinished += len(new) == 200
        if "\ufffd" in text or re.search(r"\[\|?\w+\|?\]", text):
            broken += 1
            print(repr(text))
    print(f"{count} answers at temperature {temperature}: {broken} broken, {unfinished} not finished after 200 tokens")


def chat(answer: Answerer, temperature: float):
    messages = []
    while True:
        messages.append({"role": "user", "content": input("> ")})
        messages.append({"role": "assistant", "content": answer(messages, temperature)})
        print(messages[-1]["content"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", choices=("all", *SETS), default="all")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--seed", type=int, default=100_000)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--chat", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.overlap:
        overlap(args.overlap, args.seed)
    elif args.samples:
        sample(Answerer(args.folder), args.samples, 1.0 if args.temperature is None else args.temperature)
    elif args.chat:
        chat(Answerer(args.folder), args.temperature or 0.0)
    else:
        score(Answerer(args.folder), args.set, args.verbose)


if __name__ == "__main__":
    main()
