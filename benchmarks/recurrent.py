"""Time our LSTM layers against torch.nn.LSTM: forward plus backward, in turn.

    python benchmarks/recurrent.py [--threads 2] [--rounds 15] [--store]

Contenders run one after another within each round, in an order drawn anew, so that a slow
moment of the machine and what the one before left in the caches hit them alike; the figure
is the median over rounds of (time / torch's time in that round), with its quartiles. Batch
32, 100 steps, input size equal to hidden size, and the gradient of the input included.
``--store`` writes them to
``benchmarks/results/recurrent.json``, under the number of threads. Nothing here fails on
a slow machine: read the ratios on a quiet one, where torch's own quartiles lie close
together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

# One option, needed before torch starts its threads.
THREADS = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 2
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from course_utils.recurrent import LSTM, lstm_forward_indexed  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "recurrent.json"
B, T = 32, 100
REFERENCE = "torch.nn.LSTM"
TARGETS = {  # hidden size -> largest ratio, forward plus backward
    "loop": {128: 2.0, 512: 1.7},
    "by hand": {128: 1.5, 512: 1.4},
}


def contenders(H: int) -> dict:
    """Name to a function of x (T, B, H); all share one set of weights."""
    torch.manual_seed(H)
    module = torch.nn.LSTM(H, H)
    loop = LSTM(H, H).copy_from(module)
    by_hand = LSTM(H, H, by_hand=True).copy_from(module)
    return {
        REFERENCE: lambda x: module(x)[0],
        "loop": loop,
        "by hand": by_hand,
        "indexed": lambda x: lstm_forward_indexed(x, loop.W_x, loop.W_h, loop.b),
    }


def agree(runs: dict, x: torch.Tensor) -> float:
    """Largest difference from torch, outputs and input gradients."""
    found = {}
    for name, run in runs.items():
        x.grad = None
        h = run(x)
        (h * h.detach().cos()).mean().backward()
        found[name] = torch.stack([h.detach(), x.grad])
    return max((found[REFERENCE] - f).abs().max().item() for f in found.values())


def once(run, x: torch.Tensor) -> float:
    x.grad = None
    start = time.perf_counter()
    run(x).sum().backward()
    return time.perf_counter() - start


def measure(H: int, rounds: int) -> dict:
    """Milliseconds of torch, and the ratio of each contender to it."""
    runs, x = contenders(H), torch.randn(T, B, H, requires_grad=True)
    gap = agree(runs, x)
    assert gap < 1e-5, f"contenders differ by {gap:.1e}: a ratio would mean nothing"
    for run in runs.values():
        once(run, x)
    seconds = {name: [] for name in runs}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(list(runs)):
            seconds[name].append(once(runs[name], x))
    base = np.array(seconds[REFERENCE])
    ratios = {}
    for name in runs:
        quartiles = np.percentile(np.array(seconds[name]) / base, [25, 50, 75])
        ratios[name] = dict(zip(("q1", "median", "q3"), quartiles.round(3).tolist()))
    return {
        "hidden": H, "largest_difference": gap, "ratios": ratios,
        "torch_ms": round(1e3 * float(np.median(base)), 1),
        "torch_ms_quartiles": np.percentile(1e3 * base, [25, 75]).round(1).tolist(),
    }


def machine() -> dict:
    """What matters for the ratios, and nothing that names the machine."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [r.split(":")[1] for r in text.splitlines() if r.startswith("model name")]
    return {
        "processor": (model[0] if model else platform.machine()).strip(),
        "widest_vectors": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "python": platform.python_version(), "torch": torch.__version__,
    }


def report(results: dict) -> None:
    print(f"{results['machine']}\nB={B}, T={T}, {results['rounds']} rounds, "
          "time / torch's time, median [quartiles]")
    for size in results["sizes"]:
        print(f"hidden {size['hidden']}: torch {size['torch_ms']} ms "
              f"{size['torch_ms_quartiles']}, "
              f"outputs and gradients equal to {size['largest_difference']:.0e}")
        for name, r in size["ratios"].items():
            target = TARGETS.get(name, {}).get(size["hidden"])
            verdict = "" if target is None else (
                f"  target {target}: {'met' if r['median'] <= target else 'NOT met'}")
            print(f"  {name:14} {r['median']:.2f} [{r['q1']:.2f}, {r['q3']:.2f}]{verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    sizes = [measure(H, options.rounds) for H in (128, 512)]
    results = {"machine": machine(), "batch": B, "steps": T,
               "rounds": options.rounds, "sizes": sizes}
    report(results)
    if options.store:
        RESULTS.parent.mkdir(exist_ok=True)
        stored = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        stored[f"{options.threads} threads"] = results
        RESULTS.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
