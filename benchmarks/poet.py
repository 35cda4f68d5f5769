"""Race of the practical session P2: window poet against stream poet, equal CPU time.

    python benchmarks/poet.py [--seconds 30] [--seeds 3] [--store]

The code is that of the session's own solution, taken from the master. Each model trains for
the same CPU seconds on one core, then costs the held-out fifth of *Les Fleurs du Mal* in
bits per character; the gain is paired by seed, with Student's interval. ``--store`` writes
``benchmarks/results/poet.json``. Where the book cannot be had, the session's own fall-back
text is used, and the figure says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from course_utils.metrics import mean_interval  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "poet.json"
SESSION = "p2_poet"
RACE = "bits, poets = {}, {}"  # the cell that runs the race; we run it ourselves


def solution() -> dict:
    """The names that the session's solution defines, up to the race."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["practical", "release", SESSION, "--solution", "--out", folder]
        call = "from course_utils.authoring.cli import main; import sys; sys.exit(main())"
        subprocess.run([sys.executable, "-c", call, *command], check=True)
        notebook = json.loads(next(Path(folder).rglob("*.ipynb")).read_text("utf-8"))
    names: dict = {"__name__": SESSION}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or "google.colab" in source:
            continue
        if RACE in source:
            return names
        exec(compile(source, SESSION, "exec"), names)
    raise SystemExit(f"expected a cell with {RACE!r} in {SESSION}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="CPU seconds a run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    names = solution()
    names["SECONDS"] = options.seconds
    bits = {"window": [], "stream": []}
    for seed in range(options.seeds):
        for model in bits:
            bits[model].append(round(names[f"train_{model}"](seed)[1], 4))
            print(f"seed {seed}, {model}: {bits[model][-1]} bits a character", flush=True)
    gains = [w - s for w, s in zip(bits["window"], bits["stream"])]
    mean, low, high = mean_interval(gains)
    print(f"gain of the stream: {mean:.3f} [{low:.3f}, {high:.3f}] bits")
    if options.store:
        RESULTS.parent.mkdir(exist_ok=True)
        results = {
            "cpu_seconds_each": options.seconds, "seeds": options.seeds,
            "characters": len(names["book"]), "begins": names["book"][:20],
            "bits_per_character": bits,
            "gain": {"mean": round(mean, 4), "interval": [round(low, 4), round(high, 4)]},
            "machine": {"machine": platform.machine(), "cores": os.cpu_count(),
                        "python": platform.python_version(),
                        "torch": names["torch"].__version__},
        }
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
