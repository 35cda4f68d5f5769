"""Accuracy against labels used: MiniLM frozen, fine-tuned, and without its training.

    python benchmarks/finetuning.py [--seconds 240] [--only critics]

Computes what ``benchmarks/results/finetuning.json`` lacks, run by run, and writes the file
after each; started again it goes on, so it can be stopped at any time. ``--seconds`` starts
no further run after that long. Page 05f of the book draws the figures. Everything takes
about an hour on one core with 16-bit matrix units, and longer without.

The recipe was chosen on a held-out fifth of the training sentences (`choose`), never on the
test part. On 20 Newsgroups the encoder reads the first 128 tokens of a text, and all
models are judged on the same 1,000 test messages, drawn once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from course_utils import data, few_labels, finetuning, processes  # noqa: E402
from course_utils import runtime, text_classifier, transfer  # noqa: E402
from course_utils.bert import Bert, average  # noqa: E402
from course_utils.precision import fast_precision  # noqa: E402
from course_utils.wordpiece import WordPiece  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "finetuning.json"
DECAYS = (0.1, 0.03, 0.01, 0.001)
SIZES = {"critics": (128, 512, 2048, 10_201), "newsgroups": (128, 512, 2048)}
LONGEST = {"critics": 48, "newsgroups": 128}  # tokens
SEEDS = range(3)
JUDGED = {"critics": None, "newsgroups": 1000}  # test texts; None: all
SUMMARIES = {"mean": average, "largest": finetuning.largest}
TRIED = (("mean", 5e-5), ("mean", 1e-4), ("mean", 2e-4), ("largest", 1e-4))  # by `choose`
PLAN, SUMMARY, CUT = finetuning.Plan(updates=64), "largest", 0


class Task:
    """One data set, read by one encoder, and the models that are tried on it."""

    def __init__(self, name: str, start: str, seed: int) -> None:
        self.name, texts = name, getattr(data, name)()
        self.encoder = encoder(start, seed)
        self.train, self.test = texts.train, texts.test
        picked = few_labels.labelled_order(self.test.labels, seed=0)[:JUDGED[name]]
        self.judged = np.sort(picked)
        orders = [few_labels.labelled_order(self.train.labels, s) for s in SEEDS]
        used = np.unique([order[: SIZES[name][-1]] for order in orders])
        self.texts = [self.train.texts[m] for m in used]  # what is read at all
        self.texts += [self.test.texts[m] for m in self.judged]
        self.plan = replace(PLAN, precision=fast_precision("cpu"))

    @cache
    def read(self, summary=None) -> finetuning.Stored:
        """All texts; without a summary only what enters the blocks, which is quick."""
        return finetuning.store(
            self.encoder, WordPiece.minilm(), self.texts, cut=CUT, summary=summary,
            longest=LONGEST[self.name], precision=self.plan.precision,
        )

    def model(self, kind: str, size: int):
        """A classifier of `few_labels`; "frozen mean 3" reads the means after block 3."""
        if kind == "fine-tuned":
            return self.tuned(self.plan if size > 5000 else replace(self.plan, batch=16))
        if not kind.startswith("frozen"):
            return counting(kind, self.texts)
        _frozen, summary, *layer = kind.split()
        layer, kept = int(*layer or (-1,)), self.read(SUMMARIES[summary])
        fit = few_labels.on_features(lambda some: kept.features(some, layer))
        return few_labels.tuned(fit, DECAYS)

    def tuned(self, plan: finetuning.Plan, summary: str = SUMMARY):
        return finetuning.classifier(
            self.encoder, self.read(), plan, cut=CUT, summary=SUMMARIES[summary])

    def run(self, kind: str, size: int, seed: int) -> dict:
        """Train on the first `size` texts of the seed's order, judge on the test part."""
        pick = few_labels.labelled_order(self.train.labels, seed)[:size]
        texts = [self.train.texts[m] for m in pick]
        test, truth = [self.test.texts[m] for m in self.judged], self.test.labels[self.judged]
        classify, start = self.model(kind, size), time.perf_counter()
        guess = classify(texts, self.train.labels[pick], test, seed)
        return {"right": int((guess == truth).sum()), "of": len(truth),
                "seconds": round(time.perf_counter() - start, 1)}

    def choose(self, summary: str, rate: float) -> dict:
        """Accuracy of another recipe on a held-out fifth of the training texts."""
        order = few_labels.labelled_order(self.train.labels, seed=12345)
        fit, held = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
        guess = self.tuned(replace(self.plan, rate=rate), summary)(
            [self.train.texts[m] for m in fit], self.train.labels[fit],
            [self.train.texts[m] for m in held], 0)
        right = int((guess == self.train.labels[held]).sum())
        return {"right": right, "of": len(held)}


def counting(kind: str, texts):
    """The contenders without an encoder; "bag 100" reads the first 100 words only."""
    if kind == "GloVe":
        glove, used = data.glove(), {w for t in texts for w in transfer.lower_words(t)}
        vectors = {w: v for w, v in zip(glove.words, glove.matrix) if w in used}
        return few_labels.tuned(transfer.frozen_average(vectors), DECAYS)
    if kind == "FastText":  # twenty topics need more updates than two opinions
        return few_labels.tuned(text_classifier.fit_texts, (30, 120))
    n_words = int(kind.partition(" ")[2] or 10**6)

    def fit(texts, labels, test_texts, seed, alphas):
        cut = [[" ".join(t.split()[:n_words]) for t in part] for part in (texts, test_texts)]
        return transfer.bag_naive_bayes(cut[0], labels, cut[1], seed, alphas)

    return few_labels.tuned(fit, (3.0, 1.0, 0.3, 0.1))


def encoder(start: str, seed: int) -> Bert:
    """MiniLM with its weights, or the same network before any training."""
    published = Bert.minilm()
    if start == "published":
        return published
    return Bert(published.config).initialise(runtime.generator(seed)).eval()


@cache
def task(name: str, start: str, seed: int) -> Task:
    return Task(name, start, seed)


def wanted():
    """What is to be known: (task, start, kind, size, seed), the most important first."""
    full, few = SIZES["critics"][-1], SIZES["critics"][:-1]
    yield "critics", "published", "fine-tuned", full, 0
    for seed in SEEDS:
        for size in SIZES["critics"]:
            yield "critics", "published", "frozen mean", size, seed
    for layer in range(6):
        yield "critics", "published", f"frozen mean {layer}", full, 0
    for seed in SEEDS:
        for size in reversed(few):
            yield "critics", "published", "fine-tuned", size, seed
        yield "critics", "untrained", "fine-tuned", few[-1], seed
    yield "critics", "untrained", "fine-tuned", full, 0
    for kind in ("bag", "bag 100", "FastText", "GloVe", "frozen mean"):
        for seed in SEEDS:
            for size in SIZES["newsgroups"]:
                yield "newsgroups", "published", kind, size, seed
    for seed in SEEDS[1:]:
        yield "critics", "published", "fine-tuned", full, seed
    for seed in SEEDS:
        for size in SIZES["newsgroups"]:
            yield "newsgroups", "published", "fine-tuned", size, seed
    for seed in SEEDS:
        for size in SIZES["critics"]:
            yield "critics", "published", "frozen largest", size, seed
    yield from (("critics", "published", f"try {summary} {rate:g}", full, 0)
                for summary, rate in TRIED)
    for seed in SEEDS[1:]:
        yield "critics", "untrained", "fine-tuned", full, seed


def key(name, start, kind, size, seed) -> str:
    return f"{name}, {start}, {kind}, {size}, {seed}"


def compute(name, start, kind, size, seed) -> dict:
    """One run, with what made it."""
    here = task(name, start, seed if start == "untrained" else 0)
    where = processes.Machine(torch.device("cpu"), here.plan.precision)
    if kind.startswith("try"):
        _try, summary, rate = kind.split()
        found = here.choose(summary, float(rate))
    else:
        found = here.run(kind, size, seed)
    return {**found, **where.described()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--only", default="", help="runs whose name contains this")
    options = parser.parse_args()
    content = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"runs": {}}
    start, runs = time.perf_counter(), content["runs"]
    left = [run for run in wanted() if key(*run) not in runs and options.only in key(*run)]
    for i, run in enumerate(left):
        if time.perf_counter() - start > options.seconds:
            print(f"{len(left) - i} runs left: start again")
            break
        runs[key(*run)] = found = compute(*run)
        print(f"{i + 1}/{len(left)} {key(*run)}: {found['right'] / found['of']:.4f} "
              f"({time.perf_counter() - start:.0f} s)", flush=True)
        content = {"command": "python benchmarks/finetuning.py", "plan": asdict(PLAN),
                   "summary": SUMMARY, "cut": CUT, "longest": LONGEST, "runs": runs}
        part = RESULTS.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(part, RESULTS)


if __name__ == "__main__":
    main()
