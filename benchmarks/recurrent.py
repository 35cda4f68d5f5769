"""Time our LSTM layers against torch.nn.LSTM: forward plus backward, in turn.

    python benchmarks/recurrent.py [--threads 2] [--rounds 15] [--store [NOTE]]

Each contender has three processes of its own, in which it and torch.nn.LSTM take turns,
in an order drawn anew in each round: a slow moment of the machine hits both, and no
contender disturbs another (the indexed loop writes 655 MB of zeros a call and more). The
figure is the median over all rounds of (time / torch's time in that round), with its
quartiles. The compiled loop takes part where there is a C++ compiler; its first call,
which compiles, is timed by itself. Batch 32, 100 steps, input size equal to hidden size,
and the gradient of the input included. ``--store`` writes the figures to
``benchmarks/results/recurrent.json``, under the number of threads and the note, if there
is one, such as ``"busy machine"``. Nothing here fails on a slow machine: read the ratios
on a quiet one, where torch's own quartiles lie close together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

# One option, needed before torch starts its threads.
THREADS = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 2
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)
os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # compile anew

import numpy as np  # noqa: E402
import torch  # noqa: E402

from course_utils.recurrent import LSTM, lstm_forward_indexed  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "recurrent.json"
B, T = 32, 100
PROCESSES = 3
TARGETS = {  # hidden size -> largest ratio, forward plus backward
    "loop": {128: 2.0, 512: 1.7},
    "compiled": {128: 2.0, 512: 1.7},
    "by hand": {128: 1.5, 512: 1.4},
}


def contender(name: str, H: int) -> tuple[Callable, Callable]:
    """torch's layer and one of ours, functions of x (T, B, H), on the same weights."""
    torch.manual_seed(H)
    module = torch.nn.LSTM(H, H)
    layer = LSTM(H, H, by_hand=name == "by hand", compiled=name == "compiled")
    layer.copy_from(module)
    if name == "indexed":
        return lambda x: module(x)[0], lambda x: lstm_forward_indexed(x, *layer.parameters())
    return lambda x: module(x)[0], layer


def difference(theirs: Callable, ours: Callable, x: torch.Tensor) -> float:
    """Largest difference from torch, outputs and input gradients."""
    found = []
    for run in (theirs, ours):
        x.grad = None
        h = run(x)
        (h * h.detach().cos()).mean().backward()
        found.append(torch.stack([h.detach(), x.grad]))
    return (found[0] - found[1]).abs().max().item()


def once(run: Callable, x: torch.Tensor) -> float:
    x.grad = None
    start = time.perf_counter()
    run(x).sum().backward()
    return time.perf_counter() - start


def measure(name: str, H: int, rounds: int) -> tuple[np.ndarray, float, float]:
    """Seconds (rounds, 2) of torch and of one contender; its first call; its difference."""
    runs, x = contender(name, H), torch.randn(T, B, H, requires_grad=True)
    first_call = once(runs[1], x)
    gap = difference(*runs, x)
    assert gap < 1e-5, f"{name} differs by {gap:.1e}: a ratio would mean nothing"
    once(runs[0], x)
    seconds, rng = np.empty((rounds, 2)), np.random.default_rng(0)
    for row in seconds:
        for k in rng.permutation(2):
            row[k] = once(runs[k], x)
    return seconds, first_call, gap


def in_fresh_processes(name: str, H: int, rounds: int) -> dict:
    """Ratios to torch and milliseconds of torch, over the rounds of all processes."""
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        found = [pool.submit(measure, name, H, rounds) for _ in range(PROCESSES)]
        seconds, first_calls, gaps = zip(*(f.result() for f in found))
    base, ours = np.concatenate(seconds).T
    ratio = np.percentile(ours / base, [25, 50, 75]).round(3)
    return {
        **dict(zip(("q1", "median", "q3"), ratio.tolist())),
        "torch_ms": np.percentile(1e3 * base, [25, 50, 75]).round(1).tolist(),
        "first_call_s": round(float(np.median(first_calls)), 2),
        "largest_difference": max(gaps),
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
    print(f"{results['machine']}\nB={B}, T={T}, {PROCESSES} processes of "
          f"{results['rounds']} rounds, time / torch's time, median [quartiles]")
    for H, ratios in results["hidden"].items():
        for name, r in ratios.items():
            target = TARGETS.get(name, {}).get(int(H))
            verdict = "" if target is None else (
                f", target {target}: {'met' if r['median'] <= target else 'NOT met'}")
            low, middle, high = r["torch_ms"]
            print(f"hidden {H} {name:8} {r['median']:.2f} [{r['q1']:.2f}, {r['q3']:.2f}]"
                  f"{verdict} (torch {middle} [{low}, {high}] ms, "
                  f"first call {r['first_call_s']} s, "
                  f"difference {r['largest_difference']:.0e})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)  # read above
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--store", nargs="?", const="", metavar="NOTE")
    options = parser.parse_args()
    if options.store is not None and not shutil.which("c++"):
        parser.error("--store: expected a C++ compiler, found none; the figures that are "
                     "kept include the compiled loop.")
    names = ["loop", "by hand", "indexed"]
    names += ["compiled"] if shutil.which("c++") else []
    hidden = {
        str(H): {name: in_fresh_processes(name, H, options.rounds) for name in names}
        for H in (128, 512)
    }
    results = {"machine": machine(), "batch": B, "steps": T, "processes": PROCESSES,
               "rounds": options.rounds, "hidden": hidden}
    report(results)
    if options.store is not None:
        RESULTS.parent.mkdir(exist_ok=True)
        stored = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        threads = f"{THREADS} thread{'s' * (THREADS > 1)}"
        stored[", ".join(filter(None, (threads, options.store)))] = results
        RESULTS.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
