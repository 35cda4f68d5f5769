"""A word2vec trainer: sentences or a file in, word vectors out.

Introduced in chapter 3. Adds to `blocks`: the epochs, a falling learning rate, progress,
checkpoints, and several workers that share one set of weights (Hogwild).

All random numbers of a piece of text come from (seed, epoch, number of the piece). So a
run that was killed and resumed computes what an uninterrupted one does, bit by bit, with
one worker on a CPU. Several workers overwrite each other now and then, and their results
differ from run to run.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import blocks, parallel
from .corpora import Corpus, corpus_from_lines
from .noise import AliasTable, keep_probability, noise_distribution
from .runtime import in_colab
from .text import Vocabulary, expect_tokens
from .wordvectors import WordVectors

LARGEST = 100.0  # of a weight; trained vectors stay below ten
CHECK = 8  # pieces between two looks at the weights
FEWEST = 16  # updates in a piece of text, so that a short text is not learned in one step
STEPS = {"skip-gram": blocks.skip_gram_step, "cbow": blocks.cbow_step}


@dataclass(frozen=True)
class Settings:
    """What is learned; the defaults are word2vec's."""

    model: str = "skip-gram"  # or "cbow"
    dimension: int = 100
    window: int = 5  # places on each side; each centre draws its own, 1 to this
    negatives: int = 5  # for each positive
    epochs: int = 5
    rate: float = 0.025  # falls linearly to 0 over all epochs
    subsample: float = 1e-3  # threshold of noise.keep_probability; 0 keeps all
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in STEPS:
            raise ValueError(f"model: expected one of {[*STEPS]}, got {self.model!r}.")
        for name in ("dimension", "window", "negatives", "epochs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected a whole number from 1, got {value!r}.")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate: expected between 0 and 1, got {self.rate!r}.")


@dataclass(frozen=True)
class Shape:
    """How the work is cut; results depend on it a little, speed a lot."""

    block: int = 32  # centres of a block
    shared: int = 64  # negatives drawn for a block
    batch: int = 64  # most blocks of one update; fewer in a short text
    bound: float = blocks.BOUND  # of rate times the steps of a row in one update; see damping
    piece: int = 50_000  # tokens laid out at a time; progress and checkpoints between


@dataclass(frozen=True)
class Trained:
    """Word vectors, the output vectors that were learned with them, and the cost."""

    vectors: WordVectors
    W_out: np.ndarray  # (N, D)
    words: int  # tokens read in this call, over all epochs
    seconds: float  # of training, without counting words

    @property
    def words_per_second(self) -> float:
        return self.words / self.seconds if self.seconds else float("nan")


def as_corpus(text, *, min_count: int = 5) -> Corpus:
    """A corpus from sentences, from a file with one sentence a line, or from a corpus.

    Parameters
    ----------
    text : Corpus, pathlib.Path, or iterable of sequences of str
        A file's tokens are separated by white space, in UTF-8.
    """
    if isinstance(text, Corpus):
        return text
    if isinstance(text, str):
        raise TypeError(
            f"expected sentences (lists of tokens) or a pathlib.Path, got the string "
            f"{text[:30]!r}. For a file write Path({text[:30]!r}); split a text first."
        )
    if isinstance(text, Path):
        with text.open(encoding="utf-8") as lines:
            return corpus_from_lines((line.split() for line in lines), min_count=min_count)
    return corpus_from_lines(text, min_count=min_count)


def train(
    text,
    settings: Settings = Settings(),
    *,
    min_count: int = 5,
    workers: int = 1,
    threads: bool = False,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    resume: bool = False,
    every: float = 30.0,
    show: bool | None = None,
    shape: Shape = Shape(),
) -> Trained:
    """Learn word vectors by skip-gram or CBoW with negative sampling.

    Parameters
    ----------
    text : Corpus, pathlib.Path, or iterable of sequences of str
    min_count : int
        Types seen less often are left out (ignored if `text` is a corpus).
    workers : int
        1: one piece of text after another, with torch's threads inside an operation. More:
        that many pieces at a time on shared weights, without locks (Niu et al., 2011), in a
        process each, with an equal share of ``shape.bound``; CPU only.
    threads : bool
        Let the workers be threads of this process. They wait for each other at each
        operation, for Python's lock, so they are slower. Outside Linux it is always so.
    checkpoint : pathlib.Path, optional
        Written every `every` seconds and after each epoch (several workers: after each
        epoch only). An existing one is refused unless `resume` is set.
    show : bool, optional
        Progress bar with words per second; by default if somebody watches.

    Raises
    ------
    FloatingPointError
        If the weights stop being finite: the rate, or ``shape.bound``, is too high.
    """
    corpus = as_corpus(text, min_count=min_count)
    device = torch.device(device)
    if workers < 1 or (workers > 1 and device.type != "cpu"):
        raise ValueError(f"workers: expected 1, or more on a CPU; got {workers} on {device}.")
    run = Run(corpus, settings, shape, device)
    if checkpoint is not None:
        run.attach(Path(checkpoint), resume)
    start = time.perf_counter()
    with _bar(run, show) as bar:
        if workers == 1:
            words = _alone(run, bar, every)
        else:
            words = _together(run, workers, threads, bar)
    seconds = time.perf_counter() - start
    W, W_out = (table[:-1].cpu().numpy().copy() for table in (run.W, run.W_out))
    return Trained(WordVectors(corpus.vocabulary, W), W_out, words, seconds)


class Run:
    """Weights, text and position of one training: what a checkpoint holds and more."""

    def __init__(self, corpus: Corpus, settings: Settings, shape: Shape, device):
        self.settings, self.shape, self.device = settings, shape, device
        N, D = len(corpus.vocabulary), settings.dimension
        rng = torch.Generator().manual_seed(settings.seed)
        W = (torch.rand(N + 1, D, generator=rng) - 0.5) / D
        W[N] = 0.0  # the pad
        self.W, self.W_out = W.to(device), torch.zeros(N + 1, D, device=device)
        self.keep = torch.as_tensor(
            keep_probability(corpus.counts, settings.subsample), dtype=torch.float32
        ).to(device)
        self.table = AliasTable(noise_distribution(corpus.counts), device)
        self.bound = shape.bound  # of one update
        self.bands = blocks.band_table(shape.block, settings.window, device)
        self.ids = torch.as_tensor(corpus.ids.astype(np.int64))
        self.offsets = corpus.offsets
        self.pieces = cut(corpus.offsets, shape.piece)
        self.done = (0, 0)  # epochs finished, pieces finished in the next
        self.checkpoint: Path | None = None
        self._identity = _identity(corpus, settings, shape)

    def position(self, epoch: int, piece: int) -> int:
        """Tokens before a piece, over all epochs."""
        at = self.pieces[piece][0] if piece < len(self.pieces) else len(self.offsets) - 1
        return epoch * len(self.ids) + int(self.offsets[at])

    def attach(self, path: Path, resume: bool) -> None:
        """Say where checkpoints go, and continue from the one that is there."""
        self.checkpoint = path
        if resume and not path.exists():
            raise FileNotFoundError(f"{path}: no checkpoint to resume. Leave out resume=True.")
        if path.exists() and not resume:
            raise FileExistsError(
                f"{path}: a checkpoint is there. Pass resume=True to go on, or remove it."
            )
        if resume:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            wrong = [k for k, v in self._identity.items() if saved["run"].get(k) != v]
            if wrong:
                raise ValueError(
                    f"{path}: expected a checkpoint of this run, but these differ: "
                    + ", ".join(
                        f"{k} (saved {saved['run'].get(k)}, asked {self._identity[k]})"
                        for k in wrong
                    )
                )
            self.W, self.W_out = saved["W"], saved["W_out"]
            self.done = tuple(saved["done"])

    def save(self) -> None:
        """Write the checkpoint; a kill in between leaves the old one."""
        if self.checkpoint is None:
            return
        part = self.checkpoint.with_name(self.checkpoint.name + ".part")
        torch.save(
            {"W": self.W, "W_out": self.W_out, "done": list(self.done),
             "run": self._identity}, part,
        )
        os.replace(part, self.checkpoint)

    def expect_finite(self) -> None:
        """Refuse to go on from NaN, or from weights that no training reaches."""
        ends = [x for T in (self.W, self.W_out) for x in torch.aminmax(T)]  # NaN if any is
        if not all(bool(x.abs() < LARGEST) for x in ends):
            raise FloatingPointError(
                f"training diverged after {self.done[0]} epochs and {self.done[1]} pieces: "
                f"rate {self.settings.rate} is too high for {self.shape.batch} blocks of "
                f"{self.shape.block} words an update. Lower the rate or Shape.bound."
            )


def cut(offsets: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Runs of whole sentences of about `size` tokens: (first, past the last) each.

    >>> cut(np.array([0, 4, 6, 9, 20]), 6)
    [(0, 2), (2, 4)]
    """
    marks = np.arange(size, int(offsets[-1]), size)
    ends = np.unique(np.append(np.searchsorted(offsets, marks), len(offsets) - 1))
    ends = ends[ends > 0]
    return list(zip([0, *ends[:-1].tolist()], ends.tolist()))


def batches(run: Run, epoch: int, piece: int):
    """Batches of blocks of one piece of text, in random order: (Blocks, band, weight)."""
    s, shape, pad = run.settings, run.shape, len(run.keep)
    rng = _generator(run, epoch, piece)
    first, last = run.pieces[piece]
    start, stop = int(run.offsets[first]), int(run.offsets[last])
    ids = run.ids[start:stop].to(run.device)
    lengths = torch.as_tensor(np.diff(run.offsets[first : last + 1])).to(run.device)
    sentence = torch.repeat_interleave(torch.arange(last - first, device=run.device), lengths)
    kept = torch.rand(len(ids), generator=rng, device=run.device) < run.keep[ids]
    ids = ids[kept]
    line = blocks.lay_out(ids, sentence[kept], s.window, pad, shape.block)
    n = len(line)
    batch = max(1, min(shape.batch, n // FEWEST))
    line = line[torch.randperm(n, generator=rng, device=run.device)]  # (n, b + 2w)
    radius = torch.randint(
        1, s.window + 1, (n, shape.block), generator=rng, device=run.device
    )
    radius *= line[:, s.window : s.window + shape.block] != pad
    negatives = run.table.draw((n, shape.shared), rng)
    chunk = max(batch, 256 // batch * batch)  # bands of many at a time
    for at in range(0, n, chunk):
        whole = blocks.Blocks(*(t[at : at + chunk] for t in (line, radius, negatives)))
        band = blocks.bands(whole.line, whole.radius, pad, run.bands)
        count = band.sum(2, keepdim=True)  # (chunk, b, 1)
        if s.model == "cbow":
            band, count = band / count.clamp(min=1), (count > 0).to(band.dtype)
        count.mul_(s.negatives / shape.shared)
        for i in range(0, len(whole.line), batch):
            cut_out = slice(i, i + batch)
            part = blocks.Blocks(*(t[cut_out] for t in whole))
            yield part, band[cut_out], count[cut_out], (at + i) / n


def read(run: Run, epoch: int, piece: int) -> int:
    """Train on one piece; the number of tokens read."""
    step, s = STEPS[run.settings.model], run.settings
    before, total = run.position(epoch, piece), s.epochs * len(run.ids)
    first, last = run.pieces[piece]
    words = int(run.offsets[last] - run.offsets[first])
    for part, band, weight, share in batches(run, epoch, piece):
        rate = s.rate * (1 - (before + share * words) / total)
        step(run.W, run.W_out, part, band, weight, rate, run.bound)
    return words


def _alone(run: Run, bar, every: float) -> int:
    """All epochs in this process."""
    words, saved = 0, time.monotonic()
    for epoch in range(run.done[0], run.settings.epochs):
        for piece in range(run.done[1] if epoch == run.done[0] else 0, len(run.pieces)):
            fresh = read(run, epoch, piece)
            words += fresh
            bar.update(fresh)
            run.done = (epoch, piece + 1)
            due = time.monotonic() - saved > every
            if due or piece % CHECK == 0:
                run.expect_finite()
            if due:
                run.save()
                saved = time.monotonic()
        run.done = (epoch + 1, 0)
        run.expect_finite()
        run.save()
    return words


def _together(run: Run, workers: int, threads: bool, bar) -> int:
    """All epochs by several workers; after an exception the pieces in hand are finished."""
    words, before = 0, torch.get_num_threads()
    run.W, run.W_out = parallel.shared(run.W), parallel.shared(run.W_out)
    run.bound = run.shape.bound / workers  # their updates add up
    pool, part = parallel.team(partial(read, run), workers, threads=threads)
    try:
        for epoch in range(run.done[0], run.settings.epochs):
            first = run.done[1] if epoch == run.done[0] else 0
            pieces = range(first, len(run.pieces))
            for job in as_completed([pool.submit(part, epoch, p) for p in pieces]):
                words += job.result()
                bar.update(job.result())
            run.done = (epoch + 1, 0)
            run.expect_finite()
            run.save()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
    return words


def _generator(run: Run, epoch: int, piece: int) -> torch.Generator:
    seed = np.random.SeedSequence([run.settings.seed, epoch, piece])
    return torch.Generator(run.device).manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))


def _identity(corpus: Corpus, settings: Settings, shape: Shape) -> dict:
    """What two runs must share for one to continue the other."""
    digest = hashlib.sha256(np.ascontiguousarray(corpus.ids))
    digest.update(np.ascontiguousarray(corpus.offsets))
    digest.update("\n".join(corpus.vocabulary.types).encode())
    return {**asdict(settings), **asdict(shape), "corpus": digest.hexdigest()[:16]}


def _bar(run: Run, show: bool | None):
    from tqdm import tqdm

    watched = in_colab() or sys.stderr.isatty() if show is None else show
    return tqdm(
        desc=run.settings.model, total=run.settings.epochs * len(run.ids),
        initial=run.position(*run.done), unit="word", unit_scale=True, leave=False,
        disable=not watched,
    )
