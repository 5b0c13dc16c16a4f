"""Compares exports, as other programs read them, with what bake computes.

    python compare.py BASE_MODEL FOLDER

FOLDER is what `tests/interop/check` makes. Prints versions and the largest differences, as shares of
the largest number, and fails where one is larger than rounding explains.
"""

import importlib.metadata
import json
import pathlib
import sys

import gguf
import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file

base, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
worst_of_all = 0


def report(what, got, want, allowed):
    """Prints a difference, and remembers whether it is too large."""
    global worst_of_all
    got, want = np.asarray(got, np.float32), np.asarray(want, np.float32)
    assert got.shape == want.shape, (what, got.shape, want.shape)
    difference = float(np.abs(got - want).max() / np.abs(want).max())
    print(f"{what}: {difference:.2e}" + ("" if difference <= allowed else f", above {allowed:.0e}"))
    worst_of_all = max(worst_of_all, difference / allowed)


def all_logits(model):
    with torch.no_grad():
        return [model(torch.tensor([line])).logits[0].numpy() for line in ids]


def turned_back(rows, heads):
    """Rows of a Llama model in the order of transformers."""
    head = rows.shape[0] // heads
    return rows.reshape(heads, head // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def stored_name(name):
    """The name in transformers of a tensor of a Llama model's GGUF file."""
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    parts = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    module = name.removesuffix(".weight")
    if module in whole:
        return whole[module] + ".weight"
    _, layer, part = module.split(".")
    return f"model.layers.{layer}.{parts[part]}.weight"


def gguf_tensors(path):
    """The tensors of a GGUF file in f32, by their names in it."""
    reader = gguf.GGUFReader(path)
    dequantize = lambda tensor: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return reader, {tensor.name: dequantize(tensor) for tensor in reader.tensors}


def in_order(name, rows):
    if ".attn_q." in name:
        return turned_back(rows, config["num_attention_heads"])
    if ".attn_k." in name:
        return turned_back(rows, config["num_key_value_heads"])
    return rows


packages = ["torch", "transformers", "peft", "safetensors", "gguf"]
print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
ids = json.loads((work / "ids.json").read_text())
config = json.loads((base / "config.json").read_text())
ours = load_file(work / "ours.safetensors")
ours = [ours[f"logits.{number}"].numpy() for number in range(len(ids))]

load = transformers.AutoModelForCausalLM.from_pretrained
merged = all_logits(load(work / "merged", dtype=torch.float32))
viewed = all_logits(peft.PeftModel.from_pretrained(load(base, dtype=torch.float32), work / "peft"))
for number, want in enumerate(ours):
    report(f"merged, by transformers, sequence {number}", merged[number], want, 1e-4)
    report(f"peft, by PEFT, sequence {number}", viewed[number], want, 1e-4)

weights = {name: tensor.numpy() for name, tensor in load_file(work / "merged/model.safetensors").items()}
for dtype, allowed in [("f32", 1e-7), ("f16", 1e-3), ("bf16", 8e-3), ("q8_0", 8e-3)]:
    _, tensors = gguf_tensors(work / f"gguf-{dtype}" / "Office.gguf")
    assert len(tensors) == len(weights), (len(tensors), len(weights))
    for name, rows in tensors.items():
        want = weights[stored_name(name)]
        got = in_order(name, rows)
        difference = np.abs(got - want).max() / np.abs(want).max()
        assert difference <= allowed, (name, difference)
    print(f"gguf in {dtype}, by the package gguf: {len(tensors)} tensors within {allowed:.0e}")

reader, tensors = gguf_tensors(work / "lora/Office-adapter.gguf")
alpha = float(reader.fields["adapter.lora.alpha"].contents())
original = {name: tensor.float().numpy() for name, tensor in load_file(base / "model.safetensors").items()}
for name in [name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")]:
    a, b = tensors[f"{name}.lora_a"], in_order(name, tensors[f"{name}.lora_b"])
    stored = stored_name(name)
    got = original[stored] + alpha / a.shape[0] * b @ a
    difference = np.abs(got - weights[stored]).max() / np.abs(weights[stored]).max()
    assert difference <= 1e-6, (name, difference)
print(f"gguf-adapter, by the package gguf: {len(tensors)} tensors, alpha {alpha}")

try:
    import llama_cpp
except ImportError:
    print("llama.cpp: skipped, as llama_cpp is not installed")
else:
    print(f"llama-cpp-python {llama_cpp.__version__}")
    for dtype, allowed in [("f32", 1e-3), ("f16", 1e-2), ("bf16", 5e-2), ("q8_0", 5e-2)]:
        path = str(work / f"gguf-{dtype}" / "Office.gguf")
        model = llama_cpp.Llama(path, logits_all=True, n_ctx=128, verbose=False)
        for number, (line, want) in enumerate(zip(ids, ours)):
            model.reset()
            model.eval(line)
            got = np.array(model.scores[: len(line)])
            report(f"gguf in {dtype}, by llama.cpp, sequence {number}", got, want, allowed)

sys.exit(worst_of_all > 1)
