"""Two minutes of BERT on two cores: as published, and with a start at the neighbours.

    python benchmarks/pretraining.py [--steps 900] [--store]
    python benchmarks/pretraining.py --live [--store]

Two runs of the pre-training program that differ by one option, ``--start``, on the
Wikipedia sample, with one thread each. ``--store`` writes
``benchmarks/results/pretraining.json``: both curves, the CPU seconds, and the machine. Page
05d of the book draws them. ``--live`` repeats the page's own shorter run with three seeds,
to see how far its end depends on chance; with ``--store``, seeds that are stored for these
settings are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from course_utils import data, pretraining, processes, spans  # noqa: E402
from course_utils.bert import BertConfig  # noqa: E402
from course_utils.pretraining_run import Run, Settings  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "pretraining.json"
STARTS = ("plain", "neighbours")
LIVE, SEEDS = Settings(steps=560, batch=24, chosen=0.3), (0, 1, 2)  # as on the page
OPTIONS = ["--sample", "wikipedia", "--device", "cpu", "--every", "50"]


def record(start: str, steps: int, folder: Path) -> dict:
    """The curve of one run of the program, with its CPU seconds."""
    options = [*OPTIONS, "--start", start, "--steps", str(steps), "--out", str(folder / start)]
    if start != STARTS[0]:  # the text is prepared once
        (folder / start).mkdir()
        (folder / STARTS[0] / "corpus.pt").rename(folder / start / "corpus.pt")
    before = time.process_time()
    if pretraining.main(options):
        raise SystemExit(f"expected the run {start!r} to end well.")
    found = json.loads((folder / start / "curve.json").read_text("utf-8"))
    every = found.pop("train")
    found["train"] = [  # means of ten steps: a curve, not a log
        [round(sum(pair[k] for pair in every[i : i + 10]) / 10, 4) for k in (0, 1)]
        for i in range(0, len(every) - 9, 10)
    ]
    return {**found, "cpu_seconds": round(time.process_time() - before, 1)}


def live(seed: int) -> dict:
    """The end of the page's run with another seed."""
    corpus = spans.prepare([page.text for page in data.wikipedia_sample()], n_vocab=4096)
    config = BertConfig(n_vocab=len(corpus.types), L=2, D=128, n_heads=4, D_ff=512,
                        max_length=63, dropout=0.0)
    before = time.process_time()
    with processes.machine("cpu") as where:
        run = Run(corpus, config, replace(LIVE, seed=seed), where)
        while run.done < run.settings.steps:
            run.step()
        return {**run.evaluate(), "cpu_seconds": round(time.process_time() - before, 1),
                "settings": asdict(run.settings), "machine": where.described()}


def repeat(store: bool) -> None:
    """`live` for every seed; one line and, if wanted, one entry each."""
    content = json.loads(RESULTS.read_text("utf-8"))
    found = {s: end for s, end in content.get("live", {}).items()
             if end["settings"] == asdict(replace(LIVE, seed=int(s)))}
    for seed in SEEDS:
        if str(seed) not in found:
            end = found[str(seed)] = live(seed)
            print(f"seed {seed}: held out {end['mlm']:.3f} nats a token, "
                  f"{end['cpu_seconds']:.0f} CPU seconds", flush=True)
        if store:
            RESULTS.write_text(json.dumps({**content, "live": found}, indent=1) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", action="store_true", help="the page's run, three seeds")
    parser.add_argument("--steps", type=int, default=900, help="updates of each run")
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    if options.live:
        return repeat(options.store)
    with tempfile.TemporaryDirectory() as folder:
        runs = {start: record(start, options.steps, Path(folder)) for start in STARTS}
    for start, run in runs.items():
        end = run["held_out"][-1]
        print(f"{start:<11} held out {end['mlm']:.3f} nats a token, NSP {end['hits']} of "
              f"{end['pairs']}, {run['cpu_seconds']:.0f} CPU seconds")
    if options.store:
        RESULTS.parent.mkdir(exist_ok=True)
        command = f"python benchmarks/pretraining.py --steps {options.steps} --store"
        kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        content = json.dumps({**kept, "command": command, "runs": runs}, indent=1)
        RESULTS.write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
