"""Several networks of page 10c: how far do trainings differ in what they write?

    python benchmarks/programs.py [--seeds 5] [--only code]

The page trains one network on code and one on tunes; its intervals are over what they write.
Here the same is done for several seeds, with the page's own cells, and
``benchmarks/results/programs.json`` keeps the shares for each seed and temperature. What the
file has is not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import torch  # noqa: E402

from course_utils import abctunes, charmodel, parallel, processes, structure  # noqa: E402

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "notebooks" / "10c_programs_and_tunes.md"
RESULTS = Path(__file__).parent / "results" / "programs.json"
CELLS = ("import math\n", "TRAIN = set(", "library = data", "def functions_of", "code, unseen =",
         "vocabulary = charmodel", "books = {}", "known = set(tunes)", "songs, hymnal =",
         "settings = charmodel", "def first_function", "def functions(model", "def judged",
         "def share(", "def uses(", "def defined(", "def tunes_by", "def read_by", "def music(")
TAU = (0.3, 0.6, 1.0)


def page() -> dict:
    """The names that the cells of the page define, training and figures left out."""
    cells = re.findall(r"```\{code-cell\}[^\n]*\n(.*?)\n```", PAGE.read_text("utf-8"), re.S)
    names: dict = {"__name__": "page"}
    for start in CELLS:
        (cell,) = [c for c in cells if c.startswith(start)]
        exec(compile(cell, start, "exec"), names)
    return names


def code_of(names: dict, model) -> dict:
    """Functions that parse, lines that do, names bound before use: hits and how many."""
    found: dict = {"functions": {}, "lines": {}, "names": [0, 0]}
    for tau in TAU:
        texts = names["functions"](model, temperature=tau)
        ok = names["judged"](texts)
        rows = [structure.line_parses(x) for f in texts if f for x in f.splitlines()]
        found["functions"][tau] = [int(ok.sum()), len(ok)]
        found["lines"][tau] = [sum(rows), len(rows)]
        for hits, of in names["defined"]([names["uses"](f) for f in texts]):
            found["names"] = [found["names"][0] + hits, found["names"][1] + of]
    return found


def tunes_of(names: dict, model) -> dict:
    """Tunes whose bars add up, by our reader and by music21, of all that were written."""
    found: dict = {"add up": {}, "add up, music21": {}}
    for tau in TAU:
        tunes = names["tunes_by"](model, temperature=tau)
        for what, reader in (("add up", abctunes.bars), ("add up, music21", abctunes.by_music21)):
            share = names["music"](tunes, reader)[1][0]
            found[what][tau] = [round(share * len(tunes)), len(tunes)]
    return found


NAMES: dict = {}  # of the page; the forks find them here
JUDGES = {"code": code_of, "tunes": tunes_of}


def trained(run: tuple[str, int]) -> dict:
    what, seed = run
    model, training = charmodel.train(*NAMES["lessons"][what], NAMES["settings"], seed=seed,
                                      threads=1)
    return {**JUDGES[what](NAMES, model), "seconds": round(training.seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=JUDGES, help="code or tunes")
    options = parser.parse_args()
    content = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"runs": {}}
    NAMES.update(page())
    wanted = [(what, seed) for what in JUDGES for seed in range(options.seeds)
              if options.only in (None, what) and f"{what}, {seed}" not in content["runs"]]
    for (what, seed), found in zip(wanted, parallel.side_by_side(trained, wanted)):
        content["runs"][f"{what}, {seed}"] = found
        print(what, seed, found, flush=True)
    settings = NAMES["settings"]
    machine = processes.Machine(torch.device("cpu"), settings.precision)
    content |= {"command": "python benchmarks/programs.py", "updates": settings.updates,
                "machine": machine.described()}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
