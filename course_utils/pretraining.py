"""Pre-train a small BERT: masked tokens and next sentences.

    python -m course_utils.pretraining --sample wikipedia --out run
    python -m course_utils.pretraining my.txt more.txt --out run --steps 20000
    python -m course_utils.pretraining --sample wikipedia --out run --resume
    torchrun --nproc-per-node 2 -m course_utils.pretraining --sample wikipedia --out run2

Texts are UTF-8; blank lines part documents, and every tenth document is held out. With a
GPU it is used, in mixed precision; under torchrun each process takes its own GPU (nccl),
or all share the CPU (gloo; set OMP_NUM_THREADS to cores / processes). `--batch` is the
number of rows of *each* process: 2 processes with 16 rows make the steps of 1 with 32.

The folder OUT receives vocabulary.txt, corpus.pt (the text as integers), checkpoint.pt
(replaced in one step, so that a kill leaves a whole one) and curve.json. A call with
`--resume` goes on where the checkpoint is, with the same losses as an uninterrupted run.

Introduced in chapter 5. On top of `pretraining_run` this module adds the command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from . import data, spans
from .bert import BertConfig
from .data.errors import DataError
from .pretraining_run import UNREADABLE, Run, Settings, write
from .processes import Machine, PretrainingError, machine

SAMPLES = ("wikipedia", "newsgroups")
DEFAULTS = Settings()


def parser() -> argparse.ArgumentParser:
    """The options; the names of sizes are those of `BertConfig`."""
    p = argparse.ArgumentParser(
        prog="python -m course_utils.pretraining", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("text", nargs="*", type=Path, help="files, UTF-8, blank lines between documents")
    p.add_argument("--sample", choices=SAMPLES, action="append", default=[],
                   help="a text of the course; may be repeated")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoint and curve")
    p.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    p.add_argument("--every", type=int, default=100, metavar="STEPS",
                   help="evaluate and save so often (default %(default)s)")
    for name, kind, text in (
        ("steps", int, "updates"), ("batch", int, "rows of each process"),
        ("rate", float, "highest learning rate"), ("warm-up", int, "updates of linear rise"),
        ("chosen", float, "share of tokens to predict in training; evaluation has 0.15"),
        ("clip", float, "largest norm of the gradient"), ("seed", int, "of all random numbers"),
    ):
        p.add_argument(f"--{name}", type=kind, default=getattr(DEFAULTS, name.replace("-", "_")),
                       help=f"{text} (default %(default)s)")
    p.add_argument("--start", choices=("plain", "free", "neighbours"), default=DEFAULTS.start,
                   help="attention: BERT's; with a bias for each distance from zero; or with "
                   "that bias started at the neighbours (default)")
    for name, value, text in (
        ("n-vocab", 4096, "entries of the vocabulary"), ("layers", 2, "L"),
        ("dimension", 128, "D"), ("heads", 4, "a layer"),
        ("length", 63, "tokens of a row, odd: 2n + 3 for spans of n"),
    ):
        p.add_argument(f"--{name}", type=int, default=value, help=f"{text} (default %(default)s)")
    p.add_argument("--dropout", type=float, default=0.0, help="default %(default)s: too little "
                   "is learned here to be unlearned")
    p.add_argument("--device", help="cpu or cuda; default: a GPU if there is one")
    p.add_argument("--precision", help="float32, bfloat16 or float16; default: float32 on a CPU")
    return p


def documents(files: list[Path], samples: list[str]) -> list[str]:
    """All documents, in the order asked for."""
    if not files and not samples:
        raise PretrainingError("text: expected files, or --sample wikipedia; got neither.")
    found = []
    for name in samples:
        if name == "wikipedia":
            found += [page.text for page in data.wikipedia_sample()]
        else:
            found += data.newsgroups().train.texts
    for path in files:
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise PretrainingError(f"{path}: expected a text file, got {error}.") from None
        except UnicodeDecodeError as error:
            raise PretrainingError(f"{path}: expected UTF-8, got {error}.") from None
        blocks = [block.strip() for block in text.split("\n\n")]
        if not any(blocks):
            raise PretrainingError(f"{path}: expected text, got an empty file.")
        found += blocks
    return [text for text in found if text.strip()]


def corpus_of(options: argparse.Namespace, where: Machine) -> spans.Corpus:
    """The prepared text: from OUT if it is there and the same, else made by process 0."""
    path = options.out / "corpus.pt"
    if where.rank == 0:
        texts = documents(options.text, options.sample)
        wanted = spans.digest(texts, n_vocab=options.n_vocab)
        if not path.exists() or load(path).digest != wanted:
            say(where, f"preparing {len(texts):,} documents")
            try:
                made = spans.prepare(texts, n_vocab=options.n_vocab)
            except ValueError as error:
                raise PretrainingError(str(error)) from None
            options.out.mkdir(parents=True, exist_ok=True)
            vocabulary = "\n".join(made.types) + "\n"
            write(options.out / "vocabulary.txt", lambda p: p.write_text(vocabulary, "utf-8"))
            write(path, lambda p: torch.save(asdict(made), p))
    where.total(0)  # all wait for the first
    return load(path)


def load(path: Path) -> spans.Corpus:
    """A prepared text."""
    try:
        return spans.Corpus(**torch.load(path, weights_only=True))
    except UNREADABLE as error:
        raise PretrainingError(
            f"{path}: expected a prepared text, got a file that is none "
            f"({type(error).__name__}). Remove the file."
        ) from error


def begin(options: argparse.Namespace, where: Machine) -> Run:
    """The run that the options describe, at its start or at its checkpoint."""
    checkpoint = options.out / "checkpoint.pt"
    if options.every < 1:
        raise PretrainingError(f"every: expected at least 1 step, got {options.every}.")
    if checkpoint.exists() and not options.resume:
        raise PretrainingError(
            f"{checkpoint}: a checkpoint is there. Say --resume to go on, or choose another "
            "--out."
        )
    if options.resume and not checkpoint.exists():
        raise PretrainingError(f"{checkpoint}: nothing to resume. Leave out --resume.")
    if options.length < 5 or options.length % 2 == 0:
        raise PretrainingError(f"length: expected an odd number from 5, got {options.length}.")
    if options.dimension % options.heads:
        raise PretrainingError(
            f"dimension: expected a multiple of {options.heads} heads, got {options.dimension}."
        )
    settings = Settings(**{name: getattr(options, name) for name in asdict(DEFAULTS)})
    corpus = corpus_of(options, where)
    config = BertConfig(
        n_vocab=len(corpus.types), L=options.layers, D=options.dimension,
        n_heads=options.heads, D_ff=4 * options.dimension, max_length=options.length,
        dropout=options.dropout,
    )
    run = Run(corpus, config, settings, where)
    if options.resume:
        run.load(checkpoint)
        say(where, f"resumed after step {run.done}")
    return run


def work(options: argparse.Namespace, where: Machine) -> Run:
    """All steps; evaluate and save every so often, and at the end."""
    from tqdm import tqdm

    run = begin(options, where)
    settings, tokens = run.settings, run.rows * run.config.max_length
    bar = tqdm(
        total=settings.steps, initial=run.done, unit="step", leave=False,
        disable=where.rank > 0 or not sys.stderr.isatty(),
    )
    with bar:
        if run.done == 0:
            report(run, bar, tokens)
        while run.done < settings.steps:
            run.step()
            bar.update()
            if run.done % options.every == 0 or run.done == settings.steps:
                report(run, bar, tokens)
                run.save(options.out / "checkpoint.pt")
                if where.rank == 0:
                    text = json.dumps(run.record(), indent=1) + "\n"
                    write(options.out / "curve.json", lambda p: p.write_text(text, "utf-8"))
    return run


def report(run: Run, bar, tokens: int) -> None:
    """One line: where the run is, and how good."""
    found = run.evaluate(None if run.done == run.settings.steps else 512)
    if run.where.rank == 0:
        speed = f", {run.done * tokens / run.seconds:,.0f} tokens/s" if run.done else ""
        bar.write(
            f"step {found['step']}/{run.settings.steps}: held out {found['mlm']:.3f} nats a "
            f"token, NSP {found['hits'] / found['pairs']:.1%}{speed}", file=sys.stdout,
        )
        sys.stdout.flush()


def say(where: Machine, text: str) -> None:
    """A line, once, whatever the number of processes."""
    if where.rank == 0:
        print(text, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The program; 2 if it was asked for something impossible."""
    options = parser().parse_args(arguments)
    try:
        with machine(options.device, options.precision) as where:
            say(where, f"{where.world} process(es), {where.device}, {where.precision}")
            work(options, where)
    except (PretrainingError, DataError) as error:
        print(f"pretraining: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pretraining: stopped; go on with --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
