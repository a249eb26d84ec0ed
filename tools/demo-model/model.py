"""The decoder: EXAONE 3.x (= Llama) in plain PyTorch, and its files.

Parameter names of the modules equal the tensor names of an EXAONE 3.5
checkpoint, so saving and loading need no translation.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn


@dataclass
class Config:
    vocab_size: int
    eos_token_id: int
    hidden_size: int = 256
    num_layers: int = 5
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    intermediate_size: int = 640
    max_position_embeddings: int = 2048
    rope_theta: float = 1000000.0
    layer_norm_epsilon: float = 1e-5
    rope_factor: float = 8.0
    rope_low: float = 1.0
    rope_high: float = 4.0
    rope_original: int = 8192

    def to_json(self) -> dict:
        """The config.json of the checkpoint, spelled like EXAONE 3.5's."""
        return {
            "architectures": ["ExaoneForCausalLM"],
            "model_type": "exaone",
            "activation_function": "silu",
            "attention_dropout": 0.0,
            "bos_token_id": 1,
            "embed_dropout": 0.0,
            "eos_token_id": self.eos_token_id,
            "head_dim": self.head_dim,
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "max_position_embeddings": self.max_position_embeddings,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "num_layers": self.num_layers,
            "pad_token_id": 0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": self.rope_factor,
                "low_freq_factor": self.rope_low,
                "high_freq_factor": self.rope_high,
                "original_max_position_embeddings": self.rope_original,
            },
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "vocab_size": self.vocab_size,
        }

    @staticmethod
    def from_json(data: dict) -> "Config":
        scaling = data["rope_scaling"]
        own = {k: data[k] for k in Config.__dataclass_fields__ if k in data}
        return Config(
            **own,
            rope_factor=scaling["factor"],
            rope_low=scaling["low_freq_factor"],
            rope_high=scaling["high_freq_factor"],
            rope_original=scaling["original_max_position_embeddings"],
        )


def inverse_frequencies(c: Config) -> torch.Tensor:
    """Rope frequencies with llama3 scaling."""
    f = c.rope_theta ** (-torch.arange(0, c.head_dim, 2, dtype=torch.float64) / c.head_dim)
    wavelength = 2 * math.pi / f
    blend = (c.rope_original / wavelength - c.rope_low) / (c.rope_high - c.rope_low)
    blend = blend.clamp(0, 1)
    return (f * (blend + (1 - blend) / c.rope_factor)).float()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Half-split rope: dimension i turns with dimension i + head_dim / 2."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return x * cos + turned * sin


class Norm(nn.Module):
    """RMS normalisation, computed in float32."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return wide.to(x.dtype) * self.weight


class Projections(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.config = c
        q, kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.q_proj = nn.Linear(c.hidden_size, q, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, kv, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, kv, bias=False)
        self.out_proj = nn.Linear(q, c.hidden_size, bias=False)

    def forward(self, x, cos, sin, cache):
        c, (rows, length, _) = self.config, x.shape
        q = self.q_proj(x).view(rows, length, -1, c.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(rows, length, -1, c.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(rows, length, -1, c.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        group = c.num_attention_heads // c.num_key_value_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = q @ k.transpose(-1, -2) * c.head_dim ** -0.5
        if length > 1:
            scores = scores + torch.full_like(scores[0, 0], -torch.inf).triu(1)
        out = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
        return self.out_proj(out.transpose(1, 2).reshape(rows, length, -1))


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.attention = Projections(c)


class Mlp(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c_fc_0 = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.c_fc_1 = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.c_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.c_proj(F.silu(self.c_fc_0(x)) * self.c_fc_1(x))


class Block(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.ln_1 = Norm(c.hidden_size, c.layer_norm_epsilon)
        self.attn = Attention(c)
        self.ln_2 = Norm(c.hidden_size, c.layer_norm_epsilon)
        self.mlp = Mlp(c)

    def forward(self, x, cos, sin, cache):
        x = x + self.attn.attention(self.ln_1(x), cos, sin, cache)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.wte = nn.Embedding(c.vocab_size, c.hidden_size)
        self.h = nn.ModuleList(Block(c) for _ in range(c.num_layers))
        self.ln_f = Norm(c.hidden_size, c.layer_norm_epsilon)


class Model(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.config = c
        self.transformer = Transformer(c)
        angles = torch.outer(torch.arange(c.max_position_embeddings).float(), inverse_frequencies(c))
        angles = torch.cat((angles, angles), dim=-1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def initialise(self, seed: int):
        generator = torch.Generator().manual_seed(seed)
        residual = 0.02 / math.sqrt(2 * self.config.num_layers)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = residual if name.endswith(("out_proj.weight", "c_proj.weight")) else 0.02
                p.data.normal_(0, std, generator=generator)

    def hidden(self, ids, caches=None):
        """Hidden states after the last norm. One cache (a list) per layer."""
        start = caches[0][0].shape[2] if caches and caches[0] else 0
        cos, sin = self.cos[start:start + ids.shape[1]], self.sin[start:start + ids.shape[1]]
        x = self.transformer.wte(ids)
        for i, block in enumerate(self.transformer.h):
            x = block(x, cos, sin, caches[i] if caches is not None else None)
        return self.transformer.ln_f(x)

    def logits(self, hidden):
        return F.linear(hidden, self.transformer.wte.weight).float()

    @torch.inference_mode()
    def generate(self, ids: list[int], limit=200, temperature=0.0, generator=None) -> list[int]:
        """Continue one sequence until the end-of-turn token (not included)."""
        caches = [[] for _ in self.transformer.h]
        new, step = [], torch.tensor([ids])
        while len(new) < limit:
            scores = self.logits(self.hidden(step, caches)[0, -1])
            if temperature > 0:
                shares = (scores / temperature).softmax(-1)
                token = torch.multinomial(shares, 1, generator=generator).item()
            else:
                token = scores.argmax().item()
            if token == self.config.eos_token_id:
                break
            new.append(token)
            step = torch.tensor([[token]])
        return new

    def save(self, folder: Path):
        """config.json, generation_config.json and model.safetensors in bfloat16."""
        folder.mkdir(parents=True, exist_ok=True)
        config = self.config.to_json()
        ids = {k: config[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id")}
        for name, data in (("config.json", config), ("generation_config.json", ids)):
            (folder / name).write_text(json.dumps(data, indent=2) + "\n")
        tensors = {k: v.detach().cpu().bfloat16().contiguous() for k, v in self.state_dict().items()}
        file = folder / "model.safetensors"
        save_file(tensors, file, metadata={"format": "pt"})
        file.chmod(0o644)

    @staticmethod
    def load(folder: Path) -> "Model":
        model = Model(Config.from_json(json.loads((folder / "config.json").read_text())))
        tensors = load_file(folder / "model.safetensors")
        model.load_state_dict({k: v.float() for k, v in tensors.items()})
        return model.eval()
