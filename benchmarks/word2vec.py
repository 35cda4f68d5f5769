"""Time and score our word2vec trainer beside gensim's, on the shared corpus.

    python benchmarks/word2vec.py [--rounds 5] [--store]           speed
    python benchmarks/word2vec.py --quality [--limit 150] [--store]

Speed: in each round every contender trains one epoch in a fresh process, in turn; times
are taken inside, around the training call, so imports and counting words are out. The
figure is the median over rounds of (words per second / gensim's in that round), with its
quartiles, and the same for processor seconds, which suffer less from other load.

Quality: five epochs, sixteen seeds each (with ten, the interval of WordSim-353 was nearly
as wide as the margin). The learning rate is chosen for each program from
the same grid, by the mean of the three scores, on a seed that is not used again. Scores:
rank correlation on WordSim-353 and SimLex-999, and the share of the 10 nearest neighbours
of the words ranked 200 to 1,199 that agree with those of GloVe 6B, a reference that none of
the contenders made. What happens with a contender as reference is measured too: a gensim
model and one of ours, 10 epochs each; no rate is chosen by them. Finished trainings are
kept in the folder ``--work``; ``--limit`` starts no new one after that many seconds, and
the next call goes on from there.

``--store`` writes ``benchmarks/results/word2vec.json`` or ``word2vec_quality.json``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
REFERENCE = "gensim, 2 workers"
CONTENDERS = {  # name -> (program, model, workers, threads of OpenMP)
    REFERENCE: ("gensim", "skip-gram", 2, 1),
    "one worker, 2 threads": ("ours", "skip-gram", 1, 2),
    "two workers": ("ours", "skip-gram", 2, 1),
    "two workers, threads": ("ours in threads", "skip-gram", 2, 1),
    "one worker, 1 thread": ("ours", "skip-gram", 1, 1),
    "gensim, 1 worker": ("gensim", "skip-gram", 1, 1),
    "gensim CBoW, 2 workers": ("gensim", "cbow", 2, 1),
    "CBoW, two workers": ("ours", "cbow", 2, 1),
}
BASES = {  # whom a contender is compared with, if not the reference
    "one worker, 1 thread": "gensim, 1 worker",
    "gensim CBoW, 2 workers": "gensim CBoW, 2 workers",
    "CBoW, two workers": "gensim CBoW, 2 workers",
}
TARGETS = {"two workers, threads": 2.0, "two workers": 2.7}  # one process; two
ALONE = "one worker, 2 threads"
RIVALS = (REFERENCE, ALONE, "two workers, threads", "two workers")
TUNED_AS = {"two workers, threads": ALONE, "two workers": ALONE}
DIMENSION, WINDOW, NEGATIVES, EPOCHS = 100, 5, 5, 5
RATES = (0.025, 0.0375, 0.05, 0.075, 0.1)
SEEDS, TUNING_SEED = (*range(1, 11), *range(12, 18)), 11
SCORES = ("WordSim-353", "SimLex-999", "neighbours")
TEACHERS = {"neighbours of gensim": REFERENCE, "neighbours of ours": ALONE}  # who made them
TEACHER_EPOCHS, TEACHER_RATE, TEACHER_SEED = 10, 0.025, 21
ASKED = range(200, 1200)  # ranks of the words whose neighbours are compared
MARGIN = 0.02  # "not lower": the whole interval of the difference lies above minus this


# ---- one training, in a process of its own ----------------------------------------------


def corpus(work: Path):
    """The shared corpus; the arrays are kept, so that a fresh process starts soon."""
    import numpy as np

    from course_utils import corpora
    from course_utils.text import Vocabulary

    path = work / "corpus.npz"
    if not path.exists():
        made = corpora.training_corpus()
        part = path.with_suffix(".part.npz")
        np.savez(part, ids=made.ids, offsets=made.offsets, counts=made.counts,
                 types=np.array(made.vocabulary.types))
        part.replace(path)
    with np.load(path) as saved:
        vocabulary = Vocabulary(tuple(saved["types"].tolist()),
                                tuple(saved["counts"].tolist()))
        return corpora.Corpus(vocabulary, saved["ids"], saved["offsets"])


def train(task: dict, work: Path) -> tuple[dict, object]:
    """Times of one training, and its vectors in the corpus's order."""
    text = corpus(work)
    prepare = prepare_gensim if task["program"] == "gensim" else prepare_ours
    run, vectors = prepare(task, text)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])  # of this process and its children
    run()
    return {
        "words": len(text) * task["epochs"], "seconds": time.perf_counter() - wall,
        "cpu": sum(os.times()[:4]) - cpu,
    }, vectors()


def prepare_gensim(task: dict, text):
    """Everything but the training: (train, vectors), two functions without arguments."""
    from gensim.models import Word2Vec

    sentences = list(text.sentences())
    model = Word2Vec(
        vector_size=DIMENSION, window=WINDOW, negative=NEGATIVES, min_count=1,
        sg=int(task["model"] == "skip-gram"), sample=1e-3, alpha=task["rate"],
        min_alpha=task["rate"] * 1e-4, epochs=task["epochs"], workers=task["workers"],
        seed=task["seed"],
    )
    model.build_vocab(sentences)
    return (
        lambda: model.train(sentences, total_words=len(text), epochs=task["epochs"]),
        lambda: model.wv[list(text.vocabulary.types)],
    )


def prepare_ours(task: dict, text):
    """The same for our trainer."""
    from course_utils import trainer

    settings = trainer.Settings(
        model=task["model"], dimension=DIMENSION, window=WINDOW, negatives=NEGATIVES,
        epochs=task["epochs"], rate=task["rate"], seed=task["seed"],
    )
    threads = task["program"] == "ours in threads"
    made = []
    return (
        lambda: made.append(trainer.train(text, settings, workers=task["workers"],
                                          threads=threads)),
        lambda: made[0].vectors.matrix,
    )


def in_fresh_process(task: dict, work: Path) -> dict:
    """Run one training; its facts, and its vectors under ``task["keep"]`` if given."""
    threads = str(task["threads"])
    ended = subprocess.run(
        [sys.executable, __file__, "--task", json.dumps(task), "--work", str(work)],
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        capture_output=True, text=True,
    )
    if ended.returncode:
        raise RuntimeError(f"{task}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def perform(task: dict, work: Path) -> None:
    """What the fresh process does: train, score if asked, print the facts."""
    import numpy as np

    facts, vectors = train(task, work)
    if "keep" in task:
        np.save(work / task["keep"], vectors)
    if task.get("score"):
        facts |= scores(vectors, work)
    print(json.dumps(facts))


def scores(vectors, work: Path) -> dict:
    """All scores of one training, and how many pairs the two lists cover."""
    import numpy as np

    from course_utils import data, similarity

    vocabulary = corpus(work).vocabulary
    rated = [similarity.word_similarity(vectors, vocabulary, pairs, draws=2)
             for pairs in (data.wordsim353(), data.simlex999())]
    rows, matrix = neutral(work)
    asked = np.flatnonzero((rows >= ASKED.start) & (rows < ASKED.stop))
    shared = [similarity.neighbour_overlap(vectors[rows], matrix, asked)]
    shared += [similarity.neighbour_overlap(vectors, np.load(teacher_file(work, who)), ASKED)
               for who in TEACHERS]
    found = [*(r.score for r in rated), *(float(s.mean()) for s in shared)]
    return {**dict(zip((*SCORES, *TEACHERS), found)), "pairs": [r.covered for r in rated]}


def neutral(work: Path):
    """Rows of our vocabulary that GloVe 6B has, and its vectors for them; kept."""
    import numpy as np

    from course_utils import data

    path = work / "glove.npz"
    if not path.exists():
        glove = data.glove()
        place = {word: i for i, word in enumerate(glove.words)}
        types = corpus(work).vocabulary.types
        rows = [i for i, word in enumerate(types) if word in place]
        part = path.with_suffix(".part.npz")
        np.savez(part, rows=rows, matrix=glove.matrix[[place[types[i]] for i in rows]])
        part.replace(path)
    with np.load(path) as saved:
        return saved["rows"], saved["matrix"]


def teacher_file(work: Path, name: str) -> Path:
    return work / f"{name}.npy"


def task_of(name: str, *, epochs: int, rate: float, seed: int, **more) -> dict:
    program, model, workers, threads = CONTENDERS[name]
    return {"program": program, "model": model, "workers": workers, "threads": threads,
            "epochs": epochs, "rate": rate, "seed": seed, **more}


# ---- speed ------------------------------------------------------------------------------


def speed(rounds: int, work: Path) -> dict:
    import numpy as np

    corpus(work)
    runs = {name: [] for name in CONTENDERS}
    for seed in range(rounds):
        for name in CONTENDERS:
            task = task_of(name, epochs=1, rate=0.025, seed=seed)
            runs[name].append(in_fresh_process(task, work))
            print(f"round {seed}: {name}: {runs[name][-1]['seconds']:.1f} s", flush=True)
    found = {}
    for name, mine in runs.items():
        against = BASES.get(name, REFERENCE)
        base = runs[against]
        found[name] = {
            "against": against,
            "words_per_second": round(float(np.median([r["words"] / r["seconds"]
                                                       for r in mine]))),
            "ratio": quartiles([b["seconds"] / r["seconds"] for b, r in zip(base, mine)]),
            "cpu_ratio": quartiles([b["cpu"] / r["cpu"] for b, r in zip(base, mine)]),
        }
    return {"machine": machine(), "rounds": rounds, "settings": settings(1),
            "reference": REFERENCE, "contenders": found, "targets": TARGETS}


def quartiles(values) -> dict:
    import numpy as np

    q1, median, q3 = np.percentile(values, [25, 50, 75]).round(3).tolist()
    return {"q1": q1, "median": median, "q3": q3}


def report_speed(results: dict) -> None:
    print(f"{results['machine']}\n{results['settings']}\nwords per second / those of gensim, median "
          f"[quartiles] of {results['rounds']} rounds (processor time in brackets)")
    for name, r in results["contenders"].items():
        target = results["targets"].get(name)
        verdict = "" if target is None else (
            f"  target {target}: {'met' if r['ratio']['median'] >= target else 'NOT met'}")
        ratio, cpu = r["ratio"], r["cpu_ratio"]
        print(f"  {name:30} {r['words_per_second'] / 1e3:6.0f} k  {ratio['median']:.2f} "
              f"[{ratio['q1']:.2f}, {ratio['q3']:.2f}]  ({cpu['median']:.2f}) of "
              f"{r['against']}{verdict}")


# ---- quality ----------------------------------------------------------------------------


def quality(limit: float, work: Path) -> dict | None:
    """All trainings that are still missing, then the table; None if time ran out."""
    started, path = time.monotonic(), work / "quality.json"
    done = json.loads(path.read_text()) if path.exists() else {}

    def once(key: str, task: dict) -> dict | None:
        if key not in done and time.monotonic() - started < limit:
            done[key] = in_fresh_process(task, work)
            path.write_text(json.dumps(done, indent=1))
            print(key, {k: round(v, 3) for k, v in done[key].items() if k != "pairs"},
                  flush=True)
        return done.get(key)

    for name, maker in TEACHERS.items():
        if not once(f"teacher: {name}", task_of(
                maker, epochs=TEACHER_EPOCHS, rate=TEACHER_RATE, seed=TEACHER_SEED,
                keep=teacher_file(work, name).name)):
            return None
    table = {}
    for name in RIVALS:
        tuned_as = TUNED_AS.get(name, name)
        trials = {rate: once(f"{tuned_as} rate {rate}", task_of(
            tuned_as, epochs=EPOCHS, rate=rate, seed=TUNING_SEED, score=True))
            for rate in RATES}
        if not all(trials.values()):
            return None
        best = max(RATES, key=lambda r: sum(trials[r][s] for s in SCORES))
        runs = [once(f"{name} seed {seed} rate {best}", task_of(
            name, epochs=EPOCHS, rate=best, seed=seed, score=True)) for seed in SEEDS]
        if not all(runs):
            return None
        table[name] = {
            "rate": best, "trials": {
                str(r): {s: t[s] for s in (*SCORES, *TEACHERS)} for r, t in trials.items()},
            "runs": {s: [r[s] for r in runs] for s in (*SCORES, *TEACHERS)},
            "pairs": runs[0]["pairs"],
        }
    return {"machine": machine(), "settings": settings(EPOCHS), "reference": REFERENCE,
            "seeds": list(SEEDS), "margin": MARGIN, "scores": SCORES,
            "teachers": {**TEACHERS, "epochs": TEACHER_EPOCHS, "rate": TEACHER_RATE},
            "contenders": table, "differences": differences(table)}


def differences(table: dict) -> dict:
    """Ours minus gensim's, with Welch's t interval at 95 %, score by score."""
    import numpy as np
    from scipy.stats import ttest_ind

    found = {}
    for name in RIVALS[1:]:
        for score in (*SCORES, *TEACHERS):
            a, b = (np.array(table[n]["runs"][score]) for n in (name, REFERENCE))
            interval = ttest_ind(a, b, equal_var=False).confidence_interval()
            found.setdefault(name, {})[score] = {
                "mean": float(a.mean() - b.mean()), "low": float(interval.low),
                "high": float(interval.high), "not_lower": bool(interval.low > -MARGIN),
            }
    return found


def report_quality(results: dict) -> None:
    from course_utils.metrics import mean_interval

    print(f"{results['machine']}\n{results['settings']}, {len(SEEDS)} seeds, mean [95 %]")
    for name, row in results["contenders"].items():
        print(f"{name}, rate {row['rate']}")
        for score in (*SCORES, *TEACHERS):
            mean, low, high = mean_interval(row["runs"][score])
            line = f"  {score:20} {mean:.3f} [{low:.3f}, {high:.3f}]"
            if name != REFERENCE:
                d = results["differences"][name][score]
                line += (f"  difference {d['mean']:+.3f} [{d['low']:+.3f}, "
                         f"{d['high']:+.3f}] {'not lower' if d['not_lower'] else 'not shown'}")
            print(line)


# ---- both -------------------------------------------------------------------------------


def settings(epochs: int) -> dict:
    return {"corpus": "Wikipedia sample + 20 Newsgroups", "dimension": DIMENSION,
            "window": WINDOW, "negatives": NEGATIVES, "epochs": epochs}


def machine() -> dict:
    """What matters for the figures, and nothing that names the machine."""
    import torch

    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [r.split(":")[1] for r in text.splitlines() if r.startswith("model name")]
    return {
        "processor": (model[0] if model else platform.machine()).strip(),
        "widest_vectors": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(), "python": platform.python_version(),
        "torch": torch.__version__, "gensim": importlib.metadata.version("gensim"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--limit", type=float, default=float("inf"))
    parser.add_argument("--work", type=Path, default=Path("build/benchmark_word2vec"))
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.task:
        return perform(options.task, options.work)
    if options.quality:
        results, name = quality(options.limit, options.work), "word2vec_quality.json"
        if results is None:
            return print("time is up; call again to go on")
        report_quality(results)
    else:
        results, name = speed(options.rounds, options.work), "word2vec.json"
        report_speed(results)
    if options.store:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / name).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
