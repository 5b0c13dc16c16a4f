#!/usr/bin/env python3
"""A training step as a careful user of PyTorch writes it, beside `cargo bench --bench step`.

    python3 -m venv venv && venv/bin/pip install torch transformers peft
    venv/bin/python benches/peers/step.py FOLDER [--bf16] [--compile]

FOLDER is a model in Hugging Face's format, such as SmolLM2-135M-Instruct. LoRA of rank 32 on all
linear layers by PEFT, the exact forward KL to the teacher's states at the tokens of the answers,
its gradient, clipping, AdamW. Prints the median of ten steps, tokens per second and peak memory.
"""

import argparse
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder")
parser.add_argument("--sequences", type=int, default=8)
parser.add_argument("--tokens", type=int, default=110, help="of each sequence")
parser.add_argument("--answer", type=int, default=60, help="those of them that are answers")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--bf16", action="store_true", help="autocast to bf16")
parser.add_argument("--compile", action="store_true", help="torch.compile the loss")
arguments = parser.parse_args()

torch.manual_seed(1)
torch.set_num_threads(arguments.threads)
model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32)
head = model.get_output_embeddings().weight.detach().clone()
if arguments.bf16:
    head = head.bfloat16()
lora = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
student = get_peft_model(model, lora).train()
decoder = student.get_base_model().model
parameters = [p for p in student.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.0, fused=True)

count, length, answer = arguments.sequences, arguments.tokens, arguments.answer
ids = torch.randint(3, model.config.vocab_size, (count, length))
rows = torch.cat([torch.arange(length - answer, length) + i * length for i in range(count)])
with torch.inference_mode():
    teacher = decoder(input_ids=ids).last_hidden_state.flatten(0, 1)[rows].float().clone()
teacher = teacher + 0.1 * torch.randn_like(teacher)


def loss_of(ids, rows, teacher):
    hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)[rows]
    with torch.no_grad():
        p = F.log_softmax(F.linear(teacher.to(head.dtype), head).float(), -1)
    q = F.log_softmax(F.linear(hidden, head).float(), -1)
    return F.kl_div(q, p, reduction="sum", log_target=True) / len(rows)


if arguments.compile:
    loss_of = torch.compile(loss_of)


def step():
    begin = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
        loss = loss_of(ids, rows, teacher)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    loss.item()
    return time.perf_counter() - begin


first = step()
seconds = statistics.median(step() for _ in range(10))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
print(
    f"torch {torch.__version__}: {seconds:.2f} s a step (the first {first:.0f} s), "
    f"{count * length / seconds:.0f} tokens/s, {peak:.1f} GB"
)
