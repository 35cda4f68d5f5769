r"""Word vectors from character n-grams, as in FastText.

Introduced in chapter 4. Adds to `trainer`: the vector of a word is the mean of a vector of
its own and those of its n-grams, which hashing sends to a fixed number of rows. So a word
that training never saw has a vector too. Hashes are those of FastText and gensim.

Letters: N vocabulary, K buckets, D dimensions, R rows of Z that a word uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from . import blocks, runtime, trainer
from .corpora import Corpus
from .text import Vocabulary
from .wordvectors import WordVectors

OFFSET, PRIME, WORD = 2166136261, 16777619, 2**32  # FNV-1a, 32 bits


def ngrams(word: str, shortest: int = 3, longest: int = 6) -> list[str]:
    """The n-grams of ``<word>``, by start, then by length; < and > mark its ends.

    >>> ngrams("her", 3, 4)
    ['<he', '<her', 'her', 'her>', 'er>']
    """
    _expect_lengths(shortest, longest)
    if not isinstance(word, str) or not word:
        raise ValueError(f"word: expected a string of at least 1 character, got {word!r}.")
    marked = f"<{word}>"
    return [
        marked[start:stop]
        for start in range(len(marked))
        for stop in range(start + shortest, min(start + longest, len(marked)) + 1)
        if stop - start > 1 or 0 < start < len(marked) - 1  # no lone < or >
    ]


@lru_cache(maxsize=1 << 18)  # the n-grams of a vocabulary come again and again
def fnv1a(text: str) -> int:
    r"""Hash of a string: FNV-1a, 32 bits, over its UTF-8 bytes.

    .. math:: h_0 = 2166136261, \qquad h_{t+1} = (h_t \oplus b_t) \cdot 16777619
              \bmod 2^{32}

    FastText reads a byte as a signed number, so bytes from 128 on flip the upper 24 bits of
    h as well; gensim does the same, and so do we.

    >>> fnv1a("a") == (2166136261 ^ 97) * 16777619 % 2**32
    True
    """
    h = OFFSET
    for byte in text.encode("utf-8"):
        signed = byte | 0xFFFFFF00 if byte > 127 else byte
        h = (h ^ signed) * PRIME % WORD
    return h


def buckets(word: str, n_buckets: int, shortest: int = 3, longest: int = 6) -> list[int]:
    """The bucket of each n-gram of a word, in the order of `ngrams`.

    Two n-grams may fall into one bucket; then they share a vector.
    """
    if n_buckets < 1:
        raise ValueError(f"n_buckets: expected at least 1, got {n_buckets}.")
    return [fnv1a(gram) % n_buckets for gram in ngrams(word, shortest, longest)]


@dataclass(frozen=True)
class Scheme:
    """Which n-grams count, and how many rows they share."""

    n_buckets: int = 50_000
    shortest: int = 3
    longest: int = 6

    def rows(self, word: str, n_vocab: int) -> list[int]:
        """The rows of Z (after the N rows of the words) of a word's n-grams."""
        found = buckets(word, self.n_buckets, self.shortest, self.longest)
        return [n_vocab + bucket for bucket in found]


@dataclass(frozen=True)
class SubwordVectors:
    """Z (N + K, D): first one row a word of the vocabulary, then one a bucket."""

    vocabulary: Vocabulary
    Z: np.ndarray
    scheme: Scheme = Scheme()

    def __post_init__(self) -> None:
        rows = len(self.vocabulary) + self.scheme.n_buckets
        if self.Z.ndim != 2 or len(self.Z) != rows or not np.isfinite(self.Z).all():
            raise ValueError(f"Z: expected finite vectors in {rows} rows, got {self.Z.shape}.")

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector of any word (D,), known or not.

        Raises
        ------
        KeyError
            If the word is unknown and too short to have an n-gram.
        """
        rows = self.scheme.rows(word, len(self.vocabulary))
        if word in self.vocabulary:
            rows = [self.vocabulary[word], *rows]
        if not rows:
            raise KeyError(
                f"{word!r} is not in the vocabulary and has no n-gram of "
                f"{self.scheme.shortest} characters or more."
            )
        return self.Z[rows].mean(axis=0)

    def matrix(self, words: Sequence[str]) -> np.ndarray:
        """One row a word: (len(words), D)."""
        return np.stack([self[word] for word in words])

    def known(self) -> WordVectors:
        """The vectors of the vocabulary, as a table like any other."""
        return WordVectors(self.vocabulary, self.matrix(self.vocabulary.types))


class Composer:
    """The rows of every word of a vocabulary, laid out to be summed fast."""

    def __init__(self, vocabulary: Vocabulary, scheme: Scheme, device="cpu"):
        N = len(vocabulary)
        rows = [[i, *scheme.rows(w, N)] for i, w in enumerate(vocabulary.types)]
        length = torch.tensor([len(row) for row in rows])
        self.rows = torch.tensor([r for row in rows for r in row]).to(device)
        self.length = length.to(device)
        self.start = (length.cumsum(0) - length).to(device)

    def of(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of Z of the words (U,), end to end, and where each word's begin."""
        length = self.length[words]
        ends = length.cumsum(0)
        starts = ends - length
        shift = (self.start[words] - starts).repeat_interleave(length)
        at = torch.arange(int(ends[-1]), device=words.device) + shift
        return self.rows[at], starts


@torch.no_grad()
def subword_step(
    Z: torch.Tensor, H: torch.Tensor, composer: Composer, step: Callable[[], None],
    words: torch.Tensor, most: float = float("inf"), steps: torch.Tensor | None = None,
) -> None:
    r"""Compose the vectors of `words` (U,), let `step` change them, and pass the change on.

    A step of skip-gram moves row h of H by d; every row of Z that h is the mean of moves by
    the same d (not by its share), as in FastText. An n-gram of many words so moves by the
    changes of all of them at once, each of which it feels by its share in the mean. Where
    those shares make more than `most` steps, its move shrinks, as that of a busy row does
    in `blocks.damping`:

    .. math:: z_g \leftarrow z_g + \min\Bigl(1, \frac{\text{most}}{\sum_{w \ni g} s_w}\Bigr)
              \sum_{w \ni g} d_w, \qquad
              s_w = \frac{\min(\text{steps of } w, \text{most})}{1 + \lvert G_w \rvert}

    Parameters
    ----------
    most : float
        Steps of a row in one update: the bound over the rate.
    steps : Tensor, shape (U,), optional
        Steps that `step` makes for each of the words; none are counted without it.
    """
    rows, starts = composer.of(words)
    before = embedding_bag(rows, Z, starts, mode="mean")  # (U, D)
    H[words] = before
    step()
    change = H.index_select(0, words) - before
    length = composer.length[words]
    change = change.repeat_interleave(length, dim=0)  # (R, D)
    if steps is not None:
        each = (steps.clamp(max=most) / length).repeat_interleave(length)
        change.mul_(blocks.damping(len(Z), rows, each, 1.0, most)[:, None])
    Z.scatter_add_(0, rows[:, None].expand_as(change), change)


def steps_of(part: blocks.Blocks, band: torch.Tensor, weight: torch.Tensor, n_words: int):
    """Steps that skip-gram makes for each id as a centre: positives and negatives, (n_words,)."""
    b = part.radius.shape[1]
    w = (part.line.shape[1] - b) // 2
    made = band.sum(2) + part.negatives.shape[1] * weight[..., 0]  # (n, b)
    centres = part.line[:, w : w + b].reshape(-1)
    return made.new_zeros(n_words).index_add_(0, centres, made.view(-1))


def train(
    corpus: Corpus,
    settings: trainer.Settings = trainer.Settings(rate=0.05),
    *,
    scheme: Scheme = Scheme(),
    device="cpu",
    shape: trainer.Shape = trainer.Shape(),
) -> SubwordVectors:
    """Skip-gram with negative sampling on subwords (Bojanowski et al., 2017, section 3.2).

    Parameters
    ----------
    corpus : Corpus
    settings : trainer.Settings
        ``model`` must be "skip-gram"; the seed draws the initial vectors too.
    scheme : Scheme

    Raises
    ------
    FloatingPointError
        If the vectors stop being finite: the rate, or ``shape.bound``, is too high.
    """
    if not isinstance(corpus, Corpus):
        raise TypeError(
            f"corpus: expected a Corpus, got {type(corpus).__name__}. Use "
            "corpora.corpus_from_lines(sentences)."
        )
    if settings.model != "skip-gram":
        raise ValueError(f"settings.model: expected 'skip-gram', got {settings.model!r}.")
    run = trainer.Run(corpus, settings, shape, torch.device(device))
    Z = initial(len(corpus.vocabulary), settings, scheme).to(device)
    composer = Composer(corpus.vocabulary, scheme, device)
    pad = len(corpus.vocabulary)
    for part, band, weight, rate in _work(run):
        steps = steps_of(part, band, weight, pad + 1)
        words = steps[:pad].nonzero()[:, 0]  # the pad makes none

        def step():
            blocks.skip_gram_step(
                run.W, run.W_out, part, band, weight, rate, run.shape.bound)

        if len(words):
            subword_step(
                Z, run.W, composer, step, words, run.shape.bound / rate, steps[words])
    if not bool(torch.isfinite(Z).all()):
        raise FloatingPointError(
            f"training diverged: rate {settings.rate} is too high for {shape.batch} blocks an "
            "update. Lower the rate or Shape.bound."
        )
    return SubwordVectors(corpus.vocabulary, Z.cpu().numpy(), scheme)


def initial(n_vocab: int, settings: trainer.Settings, scheme: Scheme) -> torch.Tensor:
    """Z before training, uniform in (-1, 1) / D, as in FastText: (N + K, D)."""
    rng = runtime.generator(settings.seed)
    D = settings.dimension
    return (2 * torch.rand(n_vocab + scheme.n_buckets, D, generator=rng) - 1) / D


def untrained(
    vocabulary: Vocabulary, settings: trainer.Settings, scheme: Scheme = Scheme()
) -> SubwordVectors:
    """The control: the same n-grams with the vectors that training starts from."""
    Z = initial(len(vocabulary), settings, scheme)
    return SubwordVectors(vocabulary, Z.numpy(), replace(scheme))


def _work(run: trainer.Run) -> Iterator[tuple]:
    """All batches of all epochs, with the learning rate of each."""
    s = run.settings
    total = s.epochs * len(run.ids)
    pieces = [(e, p) for e in range(s.epochs) for p in range(len(run.pieces))]
    for epoch, piece in runtime.progress(pieces, "subwords", total=len(pieces)):
        before, after = run.position(epoch, piece), run.position(epoch, piece + 1)
        for part, band, weight, share in trainer.batches(run, epoch, piece):
            at = before + share * (after - before)
            yield part, band, weight, s.rate * (1 - at / total)


def _expect_lengths(shortest: int, longest: int) -> None:
    if not 1 <= shortest <= longest:
        raise ValueError(
            f"expected 1 <= shortest <= longest, got shortest={shortest}, longest={longest}."
        )
