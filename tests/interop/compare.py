"""Compares exports, as other programs read them, with what bake computes.

    python compare.py BASE FOLDER [ORIGINAL]

FOLDER is what `tests/interop/check` makes of a bake into BASE, a folder or a GGUF file; ORIGINAL is
the folder of the model that the GGUF file was quantised from. Prints versions, the largest
differences of logits as shares of the largest logit, and at how many positions the likeliest token
is the same; fails where a difference is larger than rounding explains.
"""

import ctypes
import importlib.metadata
import json
import pathlib
import sys
import unicodedata

import gguf
import numpy as np
import peft
import tokenizers
import torch
import transformers
from safetensors.torch import load_file

TEXTS = [
    "Where is my key?", "don't  CAN'T\n\n\n we've 12 345.67", "caf\u00e9 cafe\u0301 Stra\u00dfe",
    "日本語 Привет 😀", "tab\there and  spaces   ", "<|im_start|>user <s> [INST]", "a" * 40,
]
# The architectures of GGUF files that have not the name of their kind.
ARCHITECTURES = {"mistral": "llama", "gemma3_text": "gemma3"}
# What Llama 3 divides its rotary frequencies by, which transformers has in the configuration.
DIVISORS = "rope_freqs.weight"

base, work = map(pathlib.Path, sys.argv[1:3])
original = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
worst_of_all = 0


def share(got, want):
    """The largest difference, as a share of the largest number."""
    return float(np.abs(got - want).max() / np.abs(want).max())


def report(what, all_got, all_want, allowed):
    """Prints the difference of logits of all sequences, and remembers whether it is too large."""
    global worst_of_all
    numbers = lambda all_logits: [np.asarray(logits, np.float32) for logits in all_logits]
    pairs = list(zip(numbers(all_got), numbers(all_want)))
    assert all(got.shape == want.shape for got, want in pairs), what
    difference = max(share(got, want) for got, want in pairs)
    same = sum(int((got.argmax(-1) == want.argmax(-1)).sum()) for got, want in pairs)
    count = sum(len(want) for _, want in pairs)
    note = "" if difference <= allowed else f", above {allowed:.0e}"
    print(f"{what}: {difference:.1e}, likeliest tokens the same: {same} of {count}{note}")
    worst_of_all = max(worst_of_all, difference / allowed)


def ours(name):
    tensors = load_file(work / f"{name}.safetensors")
    return [tensors[f"logits.{number}"].numpy() for number in range(len(ids))]


def by_torch(model):
    with torch.no_grad():
        return [model(torch.tensor([line])).logits[0].numpy() for line in ids]


def with_adapter(model):
    return by_torch(peft.PeftModel.from_pretrained(model, work / "peft"))


def heads_of(name):
    """The heads whose rows a file has in another order, as those of some kinds do."""
    if config["model_type"] not in ["llama", "mistral", "smollm3"]:
        return None
    key = {".attn_q.": "num_attention_heads", ".attn_k.": "num_key_value_heads"}
    return next((config[key[part]] for part in key if part in name), None)


def turned(name, rows, axes):
    heads = heads_of(name)
    if heads is None:
        return rows
    half = rows.shape[0] // heads // 2
    shape = (heads, half, 2, -1) if axes == "from file" else (heads, 2, half, -1)
    return rows.reshape(shape).swapaxes(1, 2).reshape(rows.shape)


def added(name):
    """What files add to a tensor."""
    return 1 if config["model_type"] == "gemma3_text" and name.endswith("norm.weight") else 0


def names_in_files():
    """The names in transformers, by those that the package gguf has for them."""
    name = ARCHITECTURES.get(config["model_type"], config["model_type"])
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[name], config["num_hidden_layers"])
    in_file = lambda stored: names.get_name(stored, try_suffixes=(".weight", ".bias"))
    return name, {in_file(stored): stored for stored in merged_weights}


def gguf_tensors(path):
    """The tensors of a GGUF file in f32, in the order of transformers, by their names in it."""
    reader = gguf.GGUFReader(path)
    tensors = {}
    for tensor in reader.tensors:
        if tensor.name == DIVISORS:
            continue
        rows = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        rows = rows if tensor.name.endswith("lora_a") else turned(tensor.name, rows, "from file")
        tensors[tensor.name] = rows - added(tensor.name)
    return reader, tensors


def check_gguf_weights(path, dtype, allowed):
    _, tensors = gguf_tensors(path)
    assert len(tensors) == len(merged_weights), (len(tensors), len(merged_weights))
    worst = max(share(rows, merged_weights[stored_names[name]]) for name, rows in tensors.items())
    assert worst <= allowed, worst
    print(f"gguf in {dtype}, by the package gguf: {len(tensors)} tensors, {worst:.1e}")


def check_gguf_adapter():
    reader, tensors = gguf_tensors(work / "lora/Office-adapter.gguf")
    alpha = float(reader.fields["adapter.lora.alpha"].contents())
    worst = 0
    for name in [name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")]:
        a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
        stored = stored_names[name]
        changed = base_weights[stored] + alpha / len(a) * b @ a
        worst = max(worst, share(changed, merged_weights[stored]))
    assert worst <= 1e-5, worst
    print(f"gguf-adapter, by the package gguf: {len(tensors)} tensors, alpha {alpha}, {worst:.1e}")


def write_base(path):
    """The base model as a GGUF file: an exported one with the weights of before the bake."""
    reader = gguf.GGUFReader(work / "gguf-f32/Office.gguf")
    writer = gguf.GGUFWriter(path, architecture)
    for field in reader.fields.values():
        if field.name != "general.architecture" and not field.name.startswith("GGUF."):
            kind = field.types[0]
            of = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, sub_type=of)
    for tensor in reader.tensors:
        if tensor.name == DIVISORS:
            writer.add_tensor(tensor.name, tensor.data)
            continue
        rows = turned(tensor.name, base_weights[stored_names[tensor.name]], "to file")
        writer.add_tensor(tensor.name, np.ascontiguousarray(rows + np.float32(added(tensor.name))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def in_llama(path, lora=None):
    """A model of llama.cpp, with keys and values in f32."""
    return llama_cpp.Llama(
        str(path), lora_path=lora and str(lora), logits_all=True, n_ctx=256, type_k=0, type_v=0,
        verbose=False,
    )


def by_llama(model):
    all_logits = []
    for line in ids:
        model.reset()
        model.eval(line)
        all_logits.append(np.array(model.scores[: len(line)]))
    return all_logits


def check_tokens(what, encode, texts):
    reference = tokenizers.Tokenizer.from_file(str(work / "merged/tokenizer.json"))
    reference.encode_special_tokens = True
    want = lambda text: reference.encode(text, add_special_tokens=False).ids
    wrong = [text for text in texts if encode(text) != want(text)]
    assert not wrong, (what, wrong)
    print(f"{what}: the tokens of {len(texts)} texts are the same")


packages = ["torch", "transformers", "peft", "safetensors", "tokenizers", "gguf"]
print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))
ids = json.loads((work / "ids.json").read_text())
config = json.loads((work / "merged/config.json").read_text())
merged_weights = {
    name: tensor.numpy() for name, tensor in load_file(work / "merged/model.safetensors").items()
}
architecture, stored_names = names_in_files()
if base.is_dir():
    stored = load_file(base / "model.safetensors")
    base_weights = {name: tensor.float().numpy() for name, tensor in stored.items()}
else:
    base_weights = {stored_names[name]: rows for name, rows in gguf_tensors(base)[1].items()}

baked, before = ours("baked"), ours("before")
effect = max(share(a, b) for a, b in zip(baked, before))
print(f"what the bake changes: {effect:.1e}")

load = transformers.AutoModelForCausalLM.from_pretrained
merged = load(work / "merged", dtype=torch.float32)
report("merged, by transformers", by_torch(merged), baked, 1e-4)
tokenizer = transformers.AutoTokenizer.from_pretrained(work / "merged")
check_tokens(
    "merged, by AutoTokenizer",
    lambda text: tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True),
    TEXTS,
)
weights = {name: torch.tensor(rows) for name, rows in base_weights.items()}
merged.load_state_dict(weights, strict=False)
report("peft, by PEFT", with_adapter(merged), baked, 1e-4)
if original:
    unquantised = load(original, dtype=torch.float32)
    report("peft, by PEFT on the original", with_adapter(unquantised), baked, 0.1)

for dtype, allowed in [("f32", 1e-7), ("f16", 1e-3), ("bf16", 8e-3), ("q8_0", 8e-3)]:
    check_gguf_weights(work / f"gguf-{dtype}" / "Office.gguf", dtype, allowed)
check_gguf_adapter()

try:
    import llama_cpp
except ImportError:
    print("llama.cpp: skipped, as llama_cpp is not installed")
else:
    print(f"llama-cpp-python {llama_cpp.__version__}")
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    for dtype, allowed in [("f32", 1e-3), ("f16", 1e-2), ("bf16", 5e-2), ("q8_0", 0.1)]:
        model = in_llama(work / f"gguf-{dtype}" / "Office.gguf")
        report(f"gguf in {dtype}, by llama.cpp", by_llama(model), baked, allowed)
    check_tokens(
        "gguf, by llama.cpp",
        lambda text: model.tokenize(text.encode(), add_bos=False, special=False),
        # It does not bring texts into a normal form.
        [text for text in TEXTS if unicodedata.is_normalized("NFC", text)],
    )
    adapter, wide = work / "lora/Office-adapter.gguf", work / "base.gguf"
    write_base(wide)
    report("the base in f32, by llama.cpp", by_llama(in_llama(wide)), before, 1e-3)
    report("gguf-adapter on it, by llama.cpp", by_llama(in_llama(wide, adapter)), baked, 1e-3)
    if not base.is_dir():
        # llama.cpp rounds what it multiplies quantised weights with to 8 bits.
        report("the base, by llama.cpp", by_llama(in_llama(base)), before, 0.1)
        report("gguf-adapter on it, by llama.cpp", by_llama(in_llama(base, adapter)), baked, 0.1)

sys.exit(worst_of_all > 1)
