r"""Texts as the rows BERT is pre-trained on: vocabulary, spans, pairs, masks.

Introduced in chapter 5. On top of `wordpiece_training` and `masking` this module adds the
way from documents to batches. What BERT calls a sentence is "an arbitrary span of
contiguous text" (Devlin et al., 2019, section 3), so each document is cut into spans of n
tokens, and a row is [CLS] span [SEP] span [SEP] with :math:`T = 2n + 3` tokens and no
padding. The tail of a document that does not fill a span is left out.

A batch is a function of (seed, number of the step). So a run that was killed and resumed
sees the same rows under the same masks, and so do several processes that share a batch.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import wordpiece_training as training
from .masking import IGNORED, Masking, sentence_pairs
from .text import expect_tokens
from .wordpiece import WordPiece, longest_match, normalise, split_words

ROWS, MASKS, WEIGHTS, DROPOUT = range(4)  # what random numbers are for


@dataclass(frozen=True)
class Spans:
    """Documents, cut: tokens (M, n), and the document of each span (M), in order."""

    ids: Tensor
    document: Tensor

    def __len__(self) -> int:
        return len(self.ids)


class Batch(NamedTuple):
    """What the encoder reads, and what it is asked."""

    inputs: Tensor  # (B, T) tokens, corrupted
    segments: Tensor  # (B, T) 0 or 1
    labels: Tensor  # (B, T) the token where one was chosen, else IGNORED
    is_next: Tensor  # (B) 1 if the second span followed the first

    @property
    def chosen(self) -> int:
        """Tokens to predict."""
        return int((self.labels != IGNORED).sum())

    def part(self, k: int, n: int) -> Batch:
        """Rows k, k + n, k + 2n, ...: the share of process k of n."""
        return Batch(*(tensor[k::n] for tensor in self))

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


def cut_spans(documents: Sequence[Sequence[int]], n: int) -> Spans:
    """Whole spans of n tokens of each document; its tail is left out.

    >>> spans = cut_spans([[1, 2, 3, 4, 5], [6, 7]], 2)
    >>> spans.ids.tolist(), spans.document.tolist()
    ([[1, 2], [3, 4], [6, 7]], [0, 0, 1])
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1 token a span, got {n}.")
    rows = [d[i : i + n] for d in documents for i in range(0, len(d) - n + 1, n)]
    owner = [k for k, d in enumerate(documents) for _ in range(len(d) // n)]
    ids = torch.tensor(np.array(rows, dtype=np.int64).reshape(-1, n))
    return Spans(ids, torch.tensor(owner, dtype=torch.int64))


def generator(seed: int, *where: int) -> torch.Generator:
    """Random numbers of one place: (seed, purpose, step), always the same."""
    state = np.random.SeedSequence([seed, *where]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


class Reader:
    """Batches of pairs of spans, by number.

    Each epoch draws its pairs anew, half of them true neighbours, and shuffles them.

    Parameters
    ----------
    spans : Spans
        Of at least two documents.
    tokenizer : WordPiece
        For [CLS] and [SEP].
    masking : Masking
    batch : int or None
        Rows of a batch, over all processes; None for all pairs at once.
    """

    def __init__(
        self, spans: Spans, tokenizer: WordPiece, masking: Masking, *,
        batch: int | None, seed: int,
    ) -> None:
        self.spans, self.masking, self.seed = spans, masking, seed
        _pad, _unknown, self.cls, self.sep, _mask = tokenizer.special_ids
        self.documents = [
            (spans.document == k).nonzero()[:, 0].tolist() for k in spans.document.unique()
        ]
        pairs = sum(len(d) - 1 for d in self.documents)
        self.batch = batch = max(1, pairs) if batch is None else batch
        if len(self.documents) < 2 or pairs < batch:
            raise ValueError(
                f"expected at least 2 documents and {batch} pairs of spans, one batch, got "
                f"{len(self.documents)} and {pairs}. Take more text, or a smaller batch."
            )
        self.batches = pairs // batch  # of an epoch; what is left over waits for the next
        self.pairs = lru_cache(maxsize=1)(self._pairs)

    def _pairs(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Places of both spans (P, 2) and whether they are neighbours (P), shuffled."""
        g = generator(self.seed, ROWS, epoch)
        found = sentence_pairs(self.documents, generator=g)
        order = torch.randperm(len(found), generator=g)
        places = torch.tensor([(a, b) for a, b, _ in found])[order]
        return places, torch.tensor([int(yes) for *_, yes in found])[order]

    def rows(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """[CLS] first [SEP] second [SEP], and the segments: two times (B, 2n + 3)."""
        a, b = self.spans.ids[first], self.spans.ids[second]  # (B, n)
        cls = torch.full((len(a), 1), self.cls)
        sep = torch.full((len(a), 1), self.sep)
        ids = torch.cat([cls, a, sep, b, sep], 1)
        segments = torch.zeros_like(ids)
        segments[:, a.shape[1] + 2 :] = 1
        return ids, segments

    def __call__(self, step: int) -> Batch:
        """Batch number `step`, counted from 0."""
        epoch, i = divmod(step, self.batches)
        places, is_next = (x[i * self.batch : (i + 1) * self.batch] for x in self.pairs(epoch))
        ids, segments = self.rows(*places.T)
        inputs, labels = self.masking(ids, generator(self.seed, MASKS, step))
        return Batch(inputs, segments, labels, is_next)


@dataclass(frozen=True)
class Corpus:
    """A text prepared: the vocabulary, and documents as integers, in two parts."""

    types: list[str]  # the vocabulary, learned from the training part
    train: list[list[int]]
    held_out: list[list[int]]
    digest: str  # of texts and settings

    @property
    def tokenizer(self) -> WordPiece:
        return WordPiece(self.types)


def digest(
    documents: Sequence[str], *, n_vocab: int, share: int = 10, min_count: int = 3
) -> str:
    """What identifies a corpus: the texts, and the settings of `prepare`."""
    found = hashlib.sha256(f"{n_vocab} {share} {min_count}".encode())
    for text in documents:
        found.update(text.encode() + b"\0")
    return found.hexdigest()[:16]


def prepare(
    documents: Sequence[str], *, n_vocab: int, share: int = 10, min_count: int = 3
) -> Corpus:
    """Hold out every `share`-th document, learn a vocabulary from the others, encode all.

    Whole documents are held out: spans of one text on both sides of the split would make
    the held-out loss a training loss. Merges are chosen by ``gain``, from words that occur
    `min_count` times; a character that only rarer words have becomes [UNK].
    """
    expect_tokens(documents)
    held_out = range(share - 1, len(documents), share)
    if len(held_out) == 0:
        raise ValueError(
            f"documents: expected at least {share}, so that one can be held out, got "
            f"{len(documents)}. Blank lines part them."
        )
    words = [split_words(normalise(text)) for text in documents]
    train = [d for i, d in enumerate(words) if i not in held_out]
    counts = Counter(word for d in train for word in d)
    often = {word: n for word, n in counts.items() if n >= min_count}
    if not often:
        raise ValueError(
            f"documents: expected words that occur {min_count} times, got {counts.total()} "
            "words and none of them so often. Take more text."
        )
    types = training.train(often, n_vocab, score="gain")
    place = {piece: i for i, piece in enumerate(types)}
    cut = {w: [place[p] for p in longest_match(w, place)] for w in {*chain(*words)}}
    encoded = (
        [[i for word in d for i in cut[word]] for d in part]
        for part in (train, [words[i] for i in held_out])
    )
    made_from = digest(documents, n_vocab=n_vocab, share=share, min_count=min_count)
    return Corpus(types, *encoded, made_from)

