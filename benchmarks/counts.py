"""Time our co-occurrence counts and our truncated SVD against the programs of others.

    python benchmarks/counts.py [--glove FOLDER] [--rounds 5] [--store]

1. Counting the shared corpus (window 10, weight 1 / distance, both sides), in one thread
   and in `--threads` threads, against Stanford's `cooccur`, if FOLDER holds it. To build it from the sources of Stanford's
   GloVe (its `src` folder):

       gcc cooccur.c common.c -o cooccur -lm -pthread -O3 -march=native -funroll-loops

   The C program reads text and writes a file, as it always does; we start from ids. What
   building the ids would cost is printed beside it.
2. PPMI and 100 components on the 10,000 most frequent types: randomised projection, in
   single precision (as `truncated_svd` does) and in double, against ARPACK in double, as
   `scipy.sparse.linalg.svds` runs on such a matrix; ARPACK in single precision is shown.

Contenders run in turn within each round; the figure is the median over rounds of the
ratio of times, with its quartiles. ``--store`` writes ``benchmarks/results/counts.json``.
Nothing here fails on a slow machine: read the ratios on a quiet one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 2
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)

import numpy as np  # noqa: E402
import scipy  # noqa: E402
import sklearn  # noqa: E402
from scipy.sparse import csr_array  # noqa: E402
from scipy.sparse.linalg import svds  # noqa: E402

from course_utils import cooccurrence as co  # noqa: E402
from course_utils import corpora  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "counts.json"
WINDOW, TYPES, K = 10, 10_000, 100
RECORD = np.dtype([("i", np.int32), ("j", np.int32), ("x", np.float64)])
TARGETS = {"counting": 1.5, "svd": 0.35, "error": 0.002}


def timed(run):
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def summary(ratios) -> dict:
    quartiles = np.percentile(ratios, [25, 50, 75])
    return dict(zip(("q1", "median", "q3"), quartiles.round(3).tolist()))


def stanford(program: Path, folder: Path) -> Path:
    """The file of counts that the C program makes of the text in `folder`."""
    out = folder / "counts.bin"
    with (folder / "corpus.txt").open("rb") as text, out.open("wb") as counts:
        subprocess.run(
            [program.resolve(), "-verbose", "0", "-window-size", str(WINDOW), "-memory", "4",
             "-vocab-file", folder / "vocab.txt", "-overflow-file", folder / "overflow"],
            stdin=text, stdout=counts, stderr=subprocess.DEVNULL, check=True,
        )
    return out


def as_matrix(path: Path, n_vocab: int) -> csr_array:
    """The C program's records as a sparse matrix."""
    records = np.fromfile(path, dtype=RECORD)
    at = (records["i"] - 1, records["j"] - 1)
    return csr_array((records["x"], at), shape=(n_vocab, n_vocab))


def counting(corpus, program: Path | None, rounds: int) -> dict:
    """Seconds of our counting, and how many times as long `cooccur` takes."""
    n_vocab = len(corpus.vocabulary)

    def ours(workers: int) -> csr_array:
        return co.cooccurrence(corpus.ids, n_vocab, offsets=corpus.offsets, window=WINDOW,
                               weighting="distance", workers=workers)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sentences = list(corpus.sentences())
        (folder / "corpus.txt").write_text("\n".join(map(" ".join, sentences)) + "\n")
        pairs = zip(corpus.vocabulary.types, corpus.counts)
        (folder / "vocab.txt").write_text("".join(f"{w} {n}\n" for w, n in pairs))
        number = {word: i for i, word in enumerate(corpus.vocabulary.types)}
        lookup, _ = timed(lambda: [[number[w] for w in line.split()]
                                   for line in (folder / "corpus.txt").open()])
        times = {n: [] for n in sorted({1, THREADS})} | {"Stanford": []}
        for _ in range(rounds):
            for workers in sorted({1, THREADS}):
                seconds, X = timed(lambda: ours(workers))
                times[workers].append(seconds)
            if program is not None:
                seconds, path = timed(lambda: stanford(program, folder))
                times["Stanford"].append(seconds)
        medians = {f"{n} threads": round(float(np.median(times[n])), 3)
                   for n in times if n != "Stanford"}
        result = {"nonzeros": X.nnz, "seconds": medians,
                  "seconds_to_read_and_look_up": round(lookup, 3)}
        if program is not None:
            difference = abs(X - as_matrix(path, n_vocab)).max() / X.max()
            assert difference < 1e-9, f"counts differ by {difference:.1e}"
            result["largest_relative_difference"] = float(difference)
            base = np.array(times.pop("Stanford"))
            result["speed_against_stanford"] = {
                f"{n} threads": summary(base / np.array(t)) for n, t in times.items()}
    return result


def relative_error(M: csr_array, U, S, V) -> float:
    """||M - U S V'|| / ||M|| in the Frobenius norm, without forming the difference."""
    total = (M.data**2).sum()
    cross = ((M @ V) * (U * S)).sum()
    square = (((U * S).T @ (U * S)) * (V.T @ V)).sum()
    return float(np.sqrt((total - 2 * cross + square) / total))


def decomposition(corpus, rounds: int) -> dict:
    """Time of the randomised SVD as a share of ARPACK's, and both errors."""
    ids = corpus.ids[corpus.ids < TYPES]
    before = np.concatenate([[0], np.cumsum(corpus.ids < TYPES)])
    X = co.cooccurrence(ids, TYPES, offsets=before[corpus.offsets], window=WINDOW,
                        weighting="distance")
    seconds_ppmi, M = timed(lambda: co.ppmi(X))
    start = np.random.default_rng(0).normal(size=TYPES)
    single = np.float32
    runs = {
        "ARPACK": lambda: svds(M, K, v0=start),
        "ARPACK, single": lambda: svds(M.astype(single), K, v0=start.astype(single)),
    }
    for n, dtype, name in ((2, single, "single"), (4, single, "single"),
                           (7, single, "single"), (4, np.float64, "double")):
        runs[f"randomised, {n} iterations, {name}"] = (
            lambda n=n, dtype=dtype: co.truncated_svd(M, K, n_iter=n, dtype=dtype))
    times, errors = {name: [] for name in runs}, {}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds, (U, S, V) = timed(run)
            times[name].append(seconds)
            V = V.T if name.startswith("ARPACK") else V
            errors[name] = relative_error(M, *(a.astype(float) for a in (U, S, V)))
    base = np.array(times["ARPACK"])
    return {
        "nonzeros": M.nnz, "seconds_ppmi": round(seconds_ppmi, 3),
        "seconds_arpack": round(float(np.median(base)), 3),
        "optimal_error": round(errors["ARPACK"], 6),
        "time_against_arpack": {n: summary(np.array(t) / base) for n, t in times.items()},
        "excess_error": {n: round(e / errors["ARPACK"] - 1, 6) for n, e in errors.items()},
    }


def machine() -> dict:
    """What matters for the ratios, and nothing that names the machine."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [r.split(":")[1] for r in text.splitlines() if r.startswith("model name")]
    return {
        "processor": (model[0] if model else platform.machine()).strip(),
        "cores": os.cpu_count(), "threads": THREADS, "python": platform.python_version(),
        "numpy": np.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__,
    }


def report(results: dict) -> None:
    print(f"{results['machine']}\n{results['tokens']:,} tokens, {results['types']:,} types, "
          f"{results['rounds']} rounds, median [quartiles]")
    c = results["counting"]
    print(f"counting: {c['seconds']} s for {c['nonzeros']:,} non-zeros, after "
          f"{c['seconds_to_read_and_look_up']} s to read the text and look up its ids")
    if "speed_against_stanford" not in c:
        print("  Stanford's cooccur: skipped, no program given (--glove FOLDER; the head of "
              "this file says how to build it)")
    for name, r in c.get("speed_against_stanford", {}).items():
        met = "met" if r["median"] >= TARGETS["counting"] else "NOT met"
        print(f"  {name}: {r['median']:.2f} [{r['q1']:.2f}, {r['q3']:.2f}] times the speed of "
              f"Stanford's cooccur, counts equal to {c['largest_relative_difference']:.0e}; "
              f"target {TARGETS['counting']}: {met}")
    d = results["decomposition"]
    print(f"SVD of the PPMI matrix, {TYPES:,} types, {d['nonzeros']:,} non-zeros, rank {K}: "
          f"ARPACK {d['seconds_arpack']} s, error {d['optimal_error']}; PPMI itself "
          f"{d['seconds_ppmi']} s")
    for name, r in d["time_against_arpack"].items():
        excess, verdict = d["excess_error"][name], ""
        if "4" in name and "single" in name:
            good = r["median"] <= TARGETS["svd"] and excess <= TARGETS["error"]
            verdict = (f"; target {TARGETS['svd']} of the time within "
                       f"{TARGETS['error']:.1%}: {'met' if good else 'NOT met'}")
        print(f"  {name:33} {r['median']:.2f} [{r['q1']:.2f}, {r['q3']:.2f}] of ARPACK's "
              f"time, error {excess:+.2%}{verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glove", type=Path, help="folder of Stanford's compiled programs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    program = options.glove / "cooccur" if options.glove else None
    if program is not None and not program.is_file():
        parser.error(f"--glove: expected a folder that holds cooccur, got {options.glove}.")
    corpus = corpora.training_corpus()
    results = {
        "machine": machine(), "rounds": options.rounds, "tokens": len(corpus),
        "types": len(corpus.vocabulary),
        "counting": counting(corpus, program, options.rounds),
        "decomposition": decomposition(corpus, options.rounds),
    }
    report(results)
    if options.store:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
