"""Word similarity of GloVe, skip-gram and PPMI with SVD, trained on one corpus.

    python benchmarks/glove_quality.py [--seeds 3] [--epochs 40] [--store]

The corpus of chapter 4 (Wikipedia sample and 20 Newsgroups, words that occur at least 50
times), window 5, 50 dimensions, each neighbour weighted by one over its distance. GloVe has
Stanford's defaults (x_max 100, alpha 0.75, eta 0.05), and x_max 10 as in Stanford's example;
skip-gram has word2vec's defaults and five epochs. Nobody is tuned on the ratings.

For each run the cosines of all rated pairs of words are kept, so that the chapter computes
its table and its paired intervals from them; for GloVe also loss, similarity and the share
of the weighted variance of ln X that is explained, along the epochs. ``--store`` writes
``benchmarks/results/glove_quality.json`` after each run; runs that are there already are
not repeated, so an interrupted comparison goes on where it was. It takes about twelve
minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from course_utils import cooccurrence, corpora, data, glove, glove_training, runtime
from course_utils import similarity, trainer

RESULTS = Path(__file__).parent / "results" / "glove_quality.json"
MIN_COUNT, WINDOW, DIMENSION = 50, 5, 50
X_MAX = {"GloVe, x_max 10": 10.0, "GloVe, x_max 100": 100.0}
METHODS = (*X_MAX, "PPMI + SVD", "skip-gram")


def explained(model: glove.Glove, i, j, x, x_max: float) -> tuple[float, float]:
    """Shares of the weighted variance of ln X: by the whole model, by its biases alone."""
    f, log_x = glove.weight(x, x_max), x.log()
    mean = (f * log_x).sum() / f.sum()
    biases = glove.Glove(torch.zeros_like(model.w), model.w_tilde, model.b, model.b_tilde, {})
    rest = [glove.difference(m, i, j, log_x) for m in (model, biases)]
    whole = (f * (log_x - mean) ** 2).sum()
    return tuple(round(1 - float((f * r**2).sum() / whole), 4) for r in rest)


def fit_glove(X, corpus, rated: dict, x_max: float, seed: int, epochs: int):
    """Vectors (N, D) and the curve along the epochs."""
    i, j, x = glove.pairs(X)
    total = np.log(np.asarray(X.sum(axis=1)).ravel())  # ln X_i (N)
    curve = []

    def note(model) -> None:
        epoch = len(model.losses)
        if epoch > 5 and epoch % 5 and epoch != epochs:
            return
        score = similarity.word_similarity(
            model.vectors(), corpus.vocabulary, rated["WordSim-353"], draws=2).score
        whole, biases = explained(model, i, j, x, x_max)
        bias = (model.b + model.b_tilde).numpy()
        curve.append({
            "epoch": epoch, "loss": round(model.losses[-1], 6), "WordSim-353": round(score, 4),
            "explained": whole, "explained_by_biases": biases,
            "bias_with_log_count": round(float(np.corrcoef(bias, total)[0, 1]), 4),
        })

    settings = glove.Settings(dimension=DIMENSION, x_max=x_max, epochs=epochs)
    model = glove_training.train(
        X, settings, generator=runtime.generator(seed), after_epoch=note)
    return model.vectors(), curve


def run(method: str, seed: int, X, corpus, rated: dict, epochs: int) -> dict:
    """One training: seconds, cosines of the rated pairs, and GloVe's curve."""
    start, curve = time.perf_counter(), []
    if method in X_MAX:
        E, curve = fit_glove(X, corpus, rated, X_MAX[method], seed, epochs)
    elif method == "skip-gram":
        settings = trainer.Settings(dimension=DIMENSION, window=WINDOW, epochs=5, seed=seed)
        E = trainer.train(corpus, settings).vectors.matrix
    else:
        E = cooccurrence.svd_vectors(cooccurrence.ppmi(X), DIMENSION, seed=seed)
    seconds = time.perf_counter() - start
    cosines = {
        test: similarity.rated_cosines(E, corpus.vocabulary, pairs)[0].round(4).tolist()
        for test, pairs in rated.items()
    }
    return {"method": method, "seed": seed, "seconds": round(seconds, 1),
            "cosines": cosines, "curve": curve}


def machine() -> dict:
    """What the seconds depend on, and nothing that names the machine."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [r.split(":")[1] for r in text.splitlines() if r.startswith("model name")]
    return {
        "processor": (model[0] if model else platform.machine()).strip(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "python": platform.python_version(), "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    corpus = corpora.training_corpus(min_count=MIN_COUNT)
    X = cooccurrence.cooccurrence(
        corpus.ids, len(corpus.vocabulary), offsets=corpus.offsets, window=WINDOW,
        weighting="distance")
    rated = {"WordSim-353": data.wordsim353(), "SimLex-999": data.simlex999()}
    settings = {
        "tokens": len(corpus), "types": len(corpus.vocabulary), "nonzeros": X.nnz,
        "min_count": MIN_COUNT, "window": WINDOW, "dimension": DIMENSION,
        "epochs": options.epochs,
    }
    stored = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    runs = stored.get("runs", []) if stored.get("settings") == settings else []
    human = {
        test: similarity.rated_cosines(np.eye(1, 2).repeat(len(corpus.vocabulary), 0),
                                       corpus.vocabulary, pairs)[1].tolist()
        for test, pairs in rated.items()
    }
    done = {(r["method"], r["seed"]) for r in runs}
    for seed in range(options.seeds):
        for method in METHODS:
            if (method, seed) in done:
                continue
            runs.append(run(method, seed, X, corpus, rated, options.epochs))
            print(f"{method}, seed {seed}: {runs[-1]['seconds']} s", flush=True)
            if options.store:
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(
                    {"machine": machine(), "settings": settings, "human": human, "runs": runs}
                ) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
