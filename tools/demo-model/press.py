"""Last step: take the remaining probability from tokens that are never written.

    python press.py ../../models/demo

Only the embedding rows of these tokens change (parts of characters, [PAD] and
the like). Text made of whole characters never contains them, so its other
logits stay what they were.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import batches, never_written
from model import Model

FLOOR = -20.0  # natural logarithm of the share left to all of them together


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--states", type=int, default=60, help="batches of text to look at")
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    model = Model.load(args.folder)
    roles = {tokenizer.token_to_id(f"[|{role}|]") for role in ("system", "user", "assistant")}
    never = torch.tensor([i for i in never_written(tokenizer) if i not in roles])
    kept = torch.ones(model.config.vocab_size, dtype=torch.bool)
    kept[never] = False
    table = model.transformer.wte.weight.data
    states, shares = [], []
    stream = batches(tokenizer, seed=9, budget=3500)
    with torch.inference_mode():
        for _ in range(args.states):
            ids, _ = next(stream)
            hidden = model.hidden(ids)[ids > 3]
            states.append(hidden)
            shares.append((hidden @ table[kept].T).logsumexp(-1))
    hidden, whole = torch.cat(states).clone(), torch.cat(shares).clone()
    rows = table[never].clone().requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=0.02)

    def excess(at):
        return (hidden[at] @ rows.T).logsumexp(-1) - whole[at]

    generator = torch.Generator().manual_seed(0)
    for _ in range(args.steps):
        at = torch.randint(len(hidden), (4096,), generator=generator)
        loss = F.relu(excess(at) - FLOOR).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        left = torch.cat([excess(at) for at in torch.arange(len(hidden)).split(8192)])
    table[never] = rows.detach()
    model.save(args.folder)
    print(f"{len(hidden)} states: largest share e^{left.max():.1f}, {int((left > FLOOR + 2).sum())} above e^{FLOOR + 2:.0f}")


if __name__ == "__main__":
    main()
