"""Training.

    python train.py --out ../../models/demo --state run/state.pt --steps 4250 --decay 1300 --budget 3500

Writes the checkpoint folder and the training state every --save steps and
resumes from the state if it exists. The learning rate warms up, stays, and
falls linearly to zero over the last --decay steps. The saved weights are a
running average of the trained ones.
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import batches, never_written
from model import Config, Model

WARMUP = 100
FLOOR = -18.0  # natural logarithm of the share left to tokens that are never written


def loss_of(model, ids, wanted, never):
    """Cross entropy on the answers; in addition, never-written tokens are pressed below the floor."""
    hidden = model.hidden(ids[:, :-1])
    chosen = wanted[:, 1:]
    logits = model.logits(hidden[chosen])
    entropy = F.cross_entropy(logits, ids[:, 1:][chosen])
    some = logits[::8]
    share = some[:, never].logsumexp(-1) - some.logsumexp(-1)
    return entropy, F.relu(share - FLOOR).mean()


def make_optimizers(model, learning_rate):
    """Muon for the matrices of the blocks, AdamW for the embedding and the norms."""
    matrices = [p for p in model.transformer.h.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    return [
        torch.optim.Muon(matrices, lr=learning_rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [{"params": [model.transformer.wte.weight], "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}],
            lr=learning_rate, betas=(0.9, 0.98), fused=True),
    ]


def rate(step, args):
    warm = min(1.0, (step + 1) / WARMUP)
    left = min(1.0, (args.steps - step) / max(1, args.decay))
    return args.rate * warm * left


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder with tokenizer.json; receives the checkpoint")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--decay", type=int, default=0)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--budget", type=int, default=5000, help="tokens per step")
    parser.add_argument("--seed", type=int, default=1, help="of the training text; change it when resuming")
    parser.add_argument("--save", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    config = Config(tokenizer.get_vocab_size(), tokenizer.token_to_id("[|endofturn|]"))
    model, average = Model(config), Model(config)
    model.initialise(args.seed)
    average.load_state_dict(model.state_dict())
    model.to(args.device), average.to(args.device)
    optimizers = make_optimizers(model, args.rate)
    first = 0
    if args.state.exists():
        state = torch.load(args.state, map_location=args.device)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        first = state["step"]
    never = torch.tensor(never_written(tokenizer), device=args.device)
    stream = batches(tokenizer, args.seed, args.budget)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, from step {first}", flush=True)

    seen, total, started = 0, 0.0, time.time()
    for step in range(first, args.steps):
        ids, wanted = (t.to(args.device) for t in next(stream))
        for group in (g for o in optimizers for g in o.param_groups):
            group["lr"] = rate(step, args)
        with torch.autocast(args.device, torch.bfloat16):
            entropy, excess = loss_of(model, ids, wanted, never)
        (entropy + 0.1 * excess).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        keep = min(0.995, step / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
        seen, total = seen + ids.numel(), total + entropy.item()
        if (step + 1) % 20 == 0:
            speed = seen / (time.time() - started)
            print(f"step {step + 1} loss {total / 20:.4f} excess {excess.item():.3f} rate {rate(step, args):.2e} {speed:.0f} tokens/s", flush=True)
            total = 0.0
        if (step + 1) % args.save == 0 or step + 1 == args.steps:
            args.state.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"model": model.state_dict(), "average": average.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step + 1}, args.state)
            average.save(args.out)


if __name__ == "__main__":
    main()
