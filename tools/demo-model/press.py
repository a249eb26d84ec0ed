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

FLOOR = -22.0  # natural logarithm of the share left to all of them together


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
    generator = torch.Generator().manual_seed(0)
    written = kept.nonzero()[:, 0]
    stream = batches(tokenizer, seed=9, budget=3500)
    with torch.inference_mode():
        for batch in range(args.states):
            ids, _ = next(stream)
            if batch % 2:  # every second batch with wrong tokens in it, as sampling writes them
                wrong = (torch.rand(ids.shape, generator=generator) < 0.15) & (ids > 3)
                ids[wrong] = written[torch.randint(len(written), (int(wrong.sum()),), generator=generator)]
            hidden = model.hidden(ids)[kept[ids] & (ids > 3)]
            states.append(hidden)
            shares.append((hidden @ table[kept].T).logsumexp(-1))
    hidden, whole = torch.cat(states).clone(), torch.cat(shares).clone()
    rows = table[never].clone().requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=0.02)

    def excess(at):
        return (hidden[at] @ rows.T).logsumexp(-1) - whole[at]

    def everywhere():
        return torch.cat([excess(at) for at in torch.arange(len(hidden)).split(8192)])

    for step in range(args.steps):
        if step % 50 == 0:  # half of the states are drawn, half are the worst ones
            with torch.inference_mode():
                worst = everywhere().topk(min(2048, len(hidden))).indices.clone()
        at = torch.cat([torch.randint(len(hidden), (2048,), generator=generator), worst])
        loss = F.relu(excess(at) - FLOOR).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        left = everywhere()
    table[never] = rows.detach()
    model.save(args.folder)
    print(f"{len(hidden)} states: largest share e^{left.max():.1f}, {int((left > FLOOR + 2).sum())} above e^{FLOOR + 2:.0f}")


if __name__ == "__main__":
    main()
