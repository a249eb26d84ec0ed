"""Writes a model that says anything at all: the demo's tokenizer under weights drawn from a fixed seed."""

import array
import json
import random
import shutil
import struct
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
# Logits are the product of a row of the embedding with a vector whose numbers are about 1: with this they are about 1
# apart, so that nearly every token that is allowed can come, and some come often.
SPREAD = 0.15


def shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    queries, keys = (config[name] * config["head_dim"] for name in ("num_attention_heads", "num_key_value_heads"))
    found = {"wte.weight": (config["vocab_size"], width), "ln_f.weight": (width,)}
    for layer in range(config["num_layers"]):
        attention, mlp = f"h.{layer}.attn.attention", f"h.{layer}.mlp"
        found |= {
            f"h.{layer}.ln_1.weight": (width,),
            f"h.{layer}.ln_2.weight": (width,),
            f"{attention}.q_proj.weight": (queries, width),
            f"{attention}.k_proj.weight": (keys, width),
            f"{attention}.v_proj.weight": (keys, width),
            f"{attention}.out_proj.weight": (width, queries),
            f"{mlp}.c_fc_0.weight": (inner, width),
            f"{mlp}.c_fc_1.weight": (inner, width),
            f"{mlp}.c_proj.weight": (width, inner),
        }
    return {f"transformer.{name}": shape for name, shape in found.items()}


def write(folder: Path, seed: int = 1) -> Path:
    """Writes the model's files into a folder."""
    for path in DEMO.iterdir():
        if path.suffix in (".json", ".jinja"):
            shutil.copy(path, folder)
    config = json.loads((DEMO / "config.json").read_text()) | SIZES | {"torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))

    rng, header, data = random.Random(seed), {}, bytearray()
    for name, shape in shapes(config).items():
        is_norm = len(shape) == 1
        count = shape[0] if is_norm else shape[0] * shape[1]
        values = array.array("f", (1.0 if is_norm else rng.gauss(0, SPREAD) for _ in range(count)))
        if sys.byteorder == "big":
            values.byteswap()
        begin = len(data)
        data += values.tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder
