"""Times what others offer for the exact distillation loss over the whole vocabulary.

The teacher's states [N, D], the student's states [N, D] and one frozen head [V, D] that both share
give a divergence of the two softmax distributions at temperature 1, averaged over the tokens, and
its gradient with respect to the student's states alone: forward KL, which is sum_v p_t (log p_t -
log p_s), and JSD(0.5). Each row is the median time of one loss with its gradient, and on a GPU the
peak memory that it needed besides its inputs. The last peer of each shape is the floor: the three
matrix products that nobody can do without.

    pip install torch liger-kernel packaging numpy
    python benches/loss_peers.py --json peers.json   # on a machine with an NVIDIA GPU, in bf16
    python benches/loss_peers.py --check             # each peer against a reference in f64

Without a GPU one tiny shape is run, in f32, with Liger's Triton kernels interpreted: that tests
this script, and its times mean nothing.
"""

import argparse
import gc
import importlib
import json
import math
import os
import sys
import timeit
from collections import namedtuple
from importlib.metadata import distributions
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
HEADS = [(151936, 2048), (128256, 4096), (49152, 576)]
SHAPES = (
    [(tokens, *head) for head in HEADS for tokens in (1024, 4096, 8192)]
    if CUDA
    else [(64, 1000, 32)]
)
# More than one of Liger's chunks of 1024 tokens, and nothing that is a power of two.
CHECKED_SHAPE = (2050, 301, 32)
# Relative, of the loss and of the gradient's norm. In bf16 the logits themselves are rounded, so
# there it only shows a gross mistake.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.1}
DIVERGENCES = {0.0: "forward KL", 0.5: "JSD(0.5)"}
Inputs = namedtuple("Inputs", "teacher student head labels")


def inputs(tokens, vocabulary, width, dtype):
    """Logits with a spread of 2 at every width, and a student some way from its teacher."""
    generator = torch.Generator(DEVICE).manual_seed(0)
    normal = lambda rows: torch.randn(rows, width, device=DEVICE, dtype=dtype, generator=generator)
    teacher, noise, head = normal(tokens), normal(tokens), normal(vocabulary)
    labels = torch.zeros(tokens, dtype=torch.long, device=DEVICE)
    return Inputs(
        teacher, (teacher + 0.3 * noise).requires_grad_(), head.mul_(2 / width**0.5), labels
    )


def plain(x, beta):
    log_p = F.log_softmax((x.teacher @ x.head.t()).float(), -1)
    log_q = F.log_softmax((x.student @ x.head.t()).float(), -1)
    if beta == 0:
        return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (
        sum(F.kl_div(log_m, log, reduction="batchmean", log_target=True) for log in (log_p, log_q))
        / 2
    )


def products(x):
    with torch.no_grad():
        d = x.teacher @ x.head.t()
        return x.student @ x.head.t(), d @ x.head


def with_gradient(loss, beta):
    def step(x):
        value = loss(x, beta)
        return value.detach(), torch.autograd.grad(value, x.student)[0]

    return step


def row(*cells):
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def imported(module, name):
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        print(f"left out: {module}.{name} cannot be imported: {error}", file=sys.stderr)


def peers():
    """The name of each, the beta of its divergence, and what gives the loss and the gradient."""
    fused_jsd = imported("liger_kernel.transformers.fused_linear_jsd", "LigerFusedLinearJSD")
    fused_kl = imported(
        "liger_kernel.transformers.fused_linear_kl_div", "LigerFusedLinearKLDivLoss"
    )
    chunked = imported("liger_kernel.chunked_loss", "LigerFusedLinearJSDLoss")
    for beta in DIVERGENCES:
        yield "PyTorch eager", beta, with_gradient(plain, beta)
        yield "torch.compile", beta, with_gradient(torch.compile(plain, dynamic=False), beta)
        if fused_jsd:
            loss = lambda x, beta: fused_jsd(jsd_beta=beta)(
                x.student, x.head, x.teacher, x.head, None
            )
            yield f"LigerFusedLinearJSD, beta {beta:g}", beta, with_gradient(loss, beta)
        if fused_kl and beta == 0:
            # It fuses the student's half only, and takes the teacher's probabilities as given: they
            # are made here, in the timed part.
            loss = lambda x, _: fused_kl()(
                x.student, x.head, torch.softmax(x.teacher @ x.head.t(), -1, dtype=torch.float32)
            )
            yield "LigerFusedLinearKLDivLoss, teacher in full", beta, with_gradient(loss, beta)
        if chunked:
            # The labels only say which tokens count. It cannot be told that the head is frozen, so
            # it does a fourth product.
            loss = lambda x, b: chunked(weight_hard_loss=0.0, weight_soft_loss=1.0, beta=b)(
                x.student, x.head, x.teacher, x.head, x.labels
            )
            yield (
                f"LigerFusedLinearJSDLoss, beta {beta:g}, with the head's gradient",
                beta,
                with_gradient(loss, beta),
            )
    yield "three bare products", None, products


def measure(step, x, runs):
    """The median in milliseconds, and the peak of what was allocated besides what was there
    before."""
    for _ in range(5):
        step(x)
    if not CUDA:
        return median(timeit.repeat(lambda: step(x), number=1, repeat=runs)) * 1e3, None
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(runs)]
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    for start, end in events:
        start.record()
        step(x)
        end.record()
    torch.cuda.synchronize()
    return (
        median(start.elapsed_time(end) for start, end in events),
        torch.cuda.max_memory_allocated() - before,
    )


def attempt(name, call):
    """What the call gives, and why if it gives nothing: one peer that breaks does not cost the
    numbers of the others."""
    # Compiled anew each time: otherwise the second shape gets a kernel for any shape, and the ninth
    # none at all.
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()
    try:
        return call(), None
    except Exception as error:
        if "out of memory" in str(error):
            return None, "out of memory"
        print(f"failed: {name}: {error}", file=sys.stderr)
        return None, "failed"


def bench(shapes, runs):
    """Prints the table as it grows, and gives its rows and whether all went well."""
    print(
        "| tokens | vocabulary | width | peer | divergence | ms | extra memory"
        " |\n|---|---|---|---|---|---|---|"
    )
    rows, good, all_peers = [], True, list(peers())
    for shape in shapes:
        x = inputs(*shape, torch.bfloat16 if CUDA else torch.float32)
        for name, beta, step in all_peers:
            measured, trouble = attempt(name, lambda: measure(step, x, runs))
            ms, extra = measured or (None, None)
            good &= trouble != "failed"
            divergence = DIVERGENCES.get(beta, "none")
            row(
                *shape,
                name,
                divergence,
                trouble or f"{ms:.2f}",
                "-" if extra is None else f"{extra / 2**20:.0f} MiB",
            )
            rows.append(
                dict(
                    zip(
                        "peer divergence N V D ms extra_bytes".split(),
                        (name, divergence, *shape, ms, extra),
                    )
                )
            )
    return rows, good


def reference(x, beta):
    """The loss and its gradient in f64, with the derivatives written out by hand."""
    head = x.head.double()
    p, q = (
        torch.softmax(states.detach().double() @ head.t(), -1) for states in (x.teacher, x.student)
    )
    if beta == 0:
        return (p * (p / q).log()).sum(-1).mean(), (q - p) @ head / len(p)
    m = (p + q) / 2
    towards = (q / m).log()
    kl = (q * towards).sum(-1, keepdim=True)
    return ((p * (p / m).log()).sum(-1, keepdim=True) + kl).mean() / 2, q * (
        towards - kl
    ) / 2 @ head / len(p)


def check():
    print(
        "| precision | peer | divergence | error of the loss | error of the gradient | within"
        " |\n|---|---|---|---|---|---|"
    )
    good, losses = True, list(peers())[:-1]
    for dtype, tolerance in TOLERANCES.items():
        x = inputs(*CHECKED_SHAPE, dtype)
        for name, beta, step in losses:
            found, trouble = attempt(name, lambda: step(x))
            errors = [
                ((a - b).norm() / b.norm()).item() for a, b in zip(found or (), reference(x, beta))
            ]
            within = not trouble and all(error <= tolerance for error in errors)
            good &= within
            cells = [f"{error:.1e}" for error in errors] or [trouble] * 2
            row(
                str(dtype).removeprefix("torch."),
                name,
                DIVERGENCES[beta],
                *cells,
                tolerance if within else f"NOT {tolerance}",
            )
    return good


def shape(text):
    tokens, vocabulary, width = map(int, text.split(","))
    return tokens, vocabulary, width


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shapes",
        type=shape,
        nargs="+",
        default=SHAPES,
        metavar="N,V,D",
        help="tokens, vocabulary and width",
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=50,
        help="timed runs of each peer, after five that are not (%(default)s)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the rows here too, with null for the time of what did not run",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare each peer with the reference, and fail on a mismatch",
    )
    arguments = parser.parse_args()
    if not CUDA:
        os.environ["TRITON_INTERPRET"] = "1"
    liger = next((found.version for found in distributions(name="liger-kernel")), "none")
    print(
        f"{torch.cuda.get_device_name() if CUDA else 'no GPU'}, PyTorch {torch.__version__},"
        f" liger-kernel {liger}\n"
    )
    if arguments.check:
        sys.exit(not check())
    rows, good = bench(arguments.shapes, arguments.runs)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(not good)


if __name__ == "__main__":
    main()
