"""Time our GloVe trainer against two compiled programs, on the same counts, in turn.

    python benchmarks/glove.py [--glove FOLDER] [--sources TEXT] [--wheel FOLDER]
                               [--threads 2] [--rounds 5] [--epochs 5] [--store]

``--glove``: FOLDER holds Stanford's compiled `glove`. To build it, in the folder of the
sources of Stanford's GloVe (add common.c where there is one):

    gcc glove.c -o glove -lm -pthread -O3 -march=native -funroll-loops

TEXT says which sources these were; it is stored with the figures. ``--wheel``: FOLDER
holds bicleaner-ai-glove, from ``pip install --target FOLDER bicleaner-ai-glove``. Without
the two only our own figures are printed. Counts: the Wikipedia sample, window 10, weight
1 / distance, both sides; dimension 100, x_max 10, alpha 0.75, eta 0.05. Ours takes 16,384
pairs a step (8,192 is the default), and its loss is that of such steps.

Stanford's program reads the pairs from a shuffled file, once an epoch, as it always does;
its time is that of (epochs + 1) epochs minus that of 1, so its start does not count. Ours
is the time of the epochs; sorting the pairs before them is printed beside it (the C side
needs Stanford's `shuffle` for that, which is not timed). The wheel's time is that of its
epochs and of the shuffles between them.

The loss is the mean over pairs of f diff^2 / 2, summed up while an epoch runs, for us and
for Stanford's. Its newer sources leave eta out of the step of the biases; ours follows the
formula of the older ones (up to 2019) and of the paper. The wheel keeps one vector and one
bias for a word, half the numbers, so its loss (of the trained vectors) is another model's:
only its speed is compared.

Contenders run in turn within each round; the figure is the median over rounds of the
ratio of speeds, with its quartiles. ``--store`` writes ``benchmarks/results/glove.json``.
Nothing here fails on a slow machine: read the ratios on a quiet one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 2
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from course_utils import corpora, glove, runtime  # noqa: E402
from course_utils.cooccurrence import cooccurrence  # noqa: E402
from course_utils.glove_training import batches, fast_step  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "glove.json"
RECORD = np.dtype([("i", np.int32), ("j", np.int32), ("x", np.float64)])
WINDOW = 10
COMMON = dict(dimension=100, x_max=10.0, alpha=0.75, eta=0.05)
BATCH = 16_384  # pairs a step of ours; the loss is measured with it
TARGETS = {"speed": 2.0, "loss": 0.05}  # at least; relative, at most


def ours(X, settings: glove.Settings, seed: int) -> dict:
    """Train; seconds of the epochs, seconds to sort the pairs, loss of the last epoch."""
    rng = runtime.generator(seed)
    start = time.perf_counter()
    work = batches(X, settings, generator=rng)
    prepared = time.perf_counter() - start
    model = glove.initial(X.shape[0], settings, generator=rng)
    start = time.perf_counter()
    for _ in range(settings.epochs):
        total = sum(fast_step(model, batch, settings).double() for batch in work)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "prepared": prepared, "loss": float(total) / X.nnz}


def write_pairs(X, folder: Path) -> None:
    """The shuffled records and the vocabulary that the C program reads."""
    X = X.tocoo()
    order = np.random.default_rng(0).permutation(X.nnz)
    records = np.empty(X.nnz, dtype=RECORD)
    records["i"], records["j"], records["x"] = X.row[order] + 1, X.col[order] + 1, X.data[order]
    records.tofile(folder / "pairs.bin")
    (folder / "vocab.txt").write_text("".join(f"w{i} 1\n" for i in range(X.shape[0])))


def stanford(program: Path, folder: Path, epochs: int) -> tuple[float, float]:
    """Seconds of the whole run, and the loss of the last epoch."""
    options = {
        "-input-file": folder / "pairs.bin", "-vocab-file": folder / "vocab.txt",
        "-save-file": folder / "vectors", "-binary": 1, "-verbose": 0, "-iter": epochs,
        "-threads": THREADS, "-vector-size": COMMON["dimension"],
        "-x-max": COMMON["x_max"], "-alpha": COMMON["alpha"], "-eta": COMMON["eta"],
    }
    command = [str(program.resolve()), *(str(word) for pair in options.items() for word in pair)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    costs = re.findall(r"cost: ([\d.]+)", done.stderr)
    if len(costs) != epochs:
        raise RuntimeError(f"expected {epochs} costs from {program}, got {done.stderr!r:.300}")
    return seconds, float(costs[-1])


def wheel(folder: Path, X, epochs: int, seed: int) -> dict:
    """Seconds of the epochs of bicleaner-ai-glove, and the loss of what it learned."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    from glove.glove_cython import fit_vectors  # the wheel's, not this file

    X, rng, D = X.tocoo(), np.random.default_rng(seed), COMMON["dimension"]
    i, j = X.row.astype(np.int32), X.col.astype(np.int32)
    w, b = (rng.random((X.shape[0], D)) - 0.5) / D, np.zeros(X.shape[0])
    squares, order = (np.ones_like(w), np.ones_like(b)), np.arange(X.nnz, dtype=np.int32)
    start = time.perf_counter()
    for _ in range(epochs):
        rng.shuffle(order)
        fit_vectors(w, squares[0], b, squares[1], i, j, X.data, order, COMMON["eta"],
                    COMMON["x_max"], COMMON["alpha"], 10.0, THREADS)
    seconds = time.perf_counter() - start
    model = glove.Glove(*map(torch.from_numpy, (w, w, b, b)), {})
    i, j, x = glove.pairs(X, dtype=torch.float64)
    settings = glove.Settings(x_max=COMMON["x_max"], alpha=COMMON["alpha"])
    return {"seconds": seconds, "loss": float(glove.loss(model, i, j, x, settings)) / 2 / X.nnz}


def summary(ratios) -> dict:
    quartiles = np.percentile(ratios, [25, 50, 75])
    return dict(zip(("q1", "median", "q3"), quartiles.round(3).tolist()))


def measure(X, program: Path | None, folder_of_wheel: Path | None, rounds: int,
            epochs: int) -> dict:
    """Speeds in millions of non-zeros a second, and their ratios to the C program's."""
    settings = {
        name: glove.Settings(**COMMON, epochs=epochs, accumulator=name, batch=BATCH)
        for name in glove.ACCUMULATORS
    }
    runs = {name: [] for name in settings}
    theirs, losses, others = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(X, folder)
        for seed in range(rounds):
            for name, setting in settings.items():
                runs[name].append(ours(X, setting, seed))
            if program is not None:
                first, _ = stanford(program, folder, 1)
                whole, loss = stanford(program, folder, epochs + 1)
                theirs.append(whole - first)
                losses.append(stanford(program, folder, epochs)[1] if not losses else losses[0])
            if folder_of_wheel is not None:
                others.append(wheel(folder_of_wheel, X, epochs, seed))
    work = X.nnz * epochs / 1e6
    result = {"nonzeros": X.nnz, "types": X.shape[0], "epochs": epochs, "contenders": {}}
    for name, found in runs.items():
        seconds = np.array([f["seconds"] for f in found])
        line = {
            "million_nonzeros_per_second": summary(work / seconds),
            "seconds_to_sort": round(float(np.median([f["prepared"] for f in found])), 2),
            "loss": round(float(np.mean([f["loss"] for f in found])), 5),
        }
        if theirs:
            line["speed_against_stanford"] = summary(np.array(theirs) / seconds)
            line["loss_against_stanford"] = round(line["loss"] / losses[0] - 1, 4)
        if others:
            line["speed_against_wheel"] = summary([f["seconds"] for f in others] / seconds)
        result["contenders"][name] = line
    if theirs:
        result["stanford"] = {
            "million_nonzeros_per_second": summary(work / np.array(theirs)), "loss": losses[0],
        }
    if others:
        result["wheel"] = {
            "million_nonzeros_per_second": summary(work / np.array([f["seconds"] for f in others])),
            "loss_of_its_own_model": round(float(np.mean([f["loss"] for f in others])), 5),
        }
    return result


def machine() -> dict:
    """What matters for the ratios, and nothing that names the machine."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [r.split(":")[1] for r in text.splitlines() if r.startswith("model name")]
    return {
        "processor": (model[0] if model else platform.machine()).strip(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "python": platform.python_version(), "torch": torch.__version__,
    }


def report(results: dict) -> None:
    found = results["glove"]
    print(f"{results['machine']}\n{found['types']:,} types, {found['nonzeros']:,} non-zeros, "
          f"{found['epochs']} epochs, {results['rounds']} rounds, medians [quartiles]")
    for name, line in found["contenders"].items():
        speed = line["million_nonzeros_per_second"]
        print(f"ours, one square a {name}: {speed['median']:.2f} M non-zeros/s "
              f"[{speed['q1']:.2f}, {speed['q3']:.2f}], loss {line['loss']:.4f}, "
              f"{line['seconds_to_sort']} s to sort the pairs before")
        if "speed_against_stanford" in line:
            r, loss = line["speed_against_stanford"], line["loss_against_stanford"]
            met = r["median"] >= TARGETS["speed"] and loss <= TARGETS["loss"]
            verdict = f"; target {TARGETS['speed']} at a loss at most {TARGETS['loss']:.0%} " \
                      f"higher: {'met' if met else 'NOT met'}" if name == "row" else ""
            print(f"  speed / Stanford's {r['median']:.2f} [{r['q1']:.2f}, {r['q3']:.2f}], "
                  f"loss {loss:+.1%}{verdict}")
        if "speed_against_wheel" in line:
            r = line["speed_against_wheel"]
            print(f"  speed / the wheel's {r['median']:.2f} [{r['q1']:.2f}, {r['q3']:.2f}]")
    if "stanford" in found:
        speed = found["stanford"]["million_nonzeros_per_second"]
        print(f"Stanford's glove, {THREADS} threads: {speed['median']:.2f} M non-zeros/s "
              f"[{speed['q1']:.2f}, {speed['q3']:.2f}], loss {found['stanford']['loss']:.4f}")
    if "wheel" in found:
        speed, loss = found["wheel"].values()
        print(f"bicleaner-ai-glove, {THREADS} threads: {speed['median']:.2f} M non-zeros/s "
              f"[{speed['q1']:.2f}, {speed['q3']:.2f}], one vector a word, loss {loss:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glove", type=Path, help="folder of Stanford's compiled programs")
    parser.add_argument("--sources", default="not said", help="which sources these were")
    parser.add_argument("--wheel", type=Path, help="folder with bicleaner-ai-glove")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    program = options.glove / "glove" if options.glove else None
    if program is None or not program.exists():
        print("Stanford's glove is not there: only our own figures follow. "
              "See --glove, and how to build it at the top of this file.")
        program = None
    corpus = corpora.training_corpus(("wikipedia",))
    X = cooccurrence(corpus.ids, len(corpus.vocabulary), offsets=corpus.offsets,
                     window=WINDOW, weighting="distance")
    results = {
        "machine": machine(), "rounds": options.rounds, "window": WINDOW, **COMMON,
        "batch": BATCH,
        "glove": measure(X, program, options.wheel, options.rounds, options.epochs),
    }
    if program is not None:
        results["glove"]["stanford"]["sources"] = options.sources
    report(results)
    if options.store:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
