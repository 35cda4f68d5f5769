"""Four tasks on which recurrent cells are compared, behind one small interface.

Introduced in chapter 8. Adds to `course_utils.problems` and `course_utils.data` what a
contest needs: batches for S copies (`course_utils.replicas`), a loss and an error for each
copy, and validation and test examples that are the same for every contender. Every error
is "lower is better".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import problems
from .text import UNKNOWN, Vocabulary, characters, words

SPLIT_SEEDS = {"validation": 1001, "test": 1002}
PAD = "<pad>"


@dataclass(frozen=True)
class Task:
    """One task. x is (n, T, D), or integers (n, T) if `n_vocab` is given."""

    name: str
    unit: str  # of the error
    sizes: tuple[int, int]  # D, K
    draw: Callable  # (split, n, generator) -> x, y, lengths or None
    loss: Callable  # (outputs, y) -> (S,) nats or squared error
    error: Callable  # (outputs, y) -> (S,) in `unit`
    n_vocab: int | None = None
    nothing_learned: float = math.nan  # error of the best constant answer

    def batch(self, S: int, B: int, generator: torch.Generator):
        """A training batch for each copy: x (S, B, ...), y (S, B, ...), lengths."""
        drawn = self.draw("train", S * B, generator)
        return tuple(None if v is None else v.unflatten(0, (S, B)) for v in drawn)

    @torch.no_grad()
    def evaluate(self, model, S: int, split: str, n: int) -> Tensor:
        """Error of each copy (S,) on the same n examples of a split, whatever the model.

        They are drawn from the split's own seed, so every contender sees the same ones.
        """
        x, y, lengths = self.draw(split, n, _seeded(SPLIT_SEEDS[split]))
        parts = []
        for pick in torch.arange(n).split(256):
            shared = (None if v is None else _share(v[pick], S) for v in (x, lengths))
            outputs = model(*shared)
            parts.append(self.error(outputs, _share(y[pick], S)) * len(pick))
        return sum(parts) / n


def adding_task(T: int) -> Task:
    """The adding problem: squared error of the sum."""

    def draw(split, n, generator):
        return *problems.adding(n, T, generator=generator), torch.full((n,), T)

    return Task("adding", "squared error", (2, 1), draw, square, square,
                nothing_learned=problems.ADDING_VARIANCE)


def order_task(T: int) -> Task:
    """The temporal order problem: share of wrong classes."""

    def draw(split, n, generator):
        return *problems.temporal_order(n, T, generator=generator), torch.full((n,), T)

    return Task("temporal order", "share wrong", (6, 4), draw, cross_entropy,
                share_wrong, nothing_learned=1 - problems.TEMPORAL_ORDER_CHANCE)


def characters_task(T: int, *, D: int = 24, min_count: int = 1000, burn_in: int = 8):
    """Next character of Shakespeare's plays, lower case: bits per character.

    Windows of T + 1 characters. Validation and test are three plays each that are not in
    the training part; the first `burn_in` steps, where the model has seen almost
    nothing, are left out of the error. Rare characters count as one type.
    """
    from . import data

    plays = data.shakespeare()
    held = list(plays.held_out.values())
    texts = {"train": list(plays.train.values()), "validation": held[::2],
             "test": held[1::2]}
    tokens = {s: characters("\n".join(t).lower()) for s, t in texts.items()}
    vocabulary = Vocabulary.from_tokens(
        tokens["train"], min_count=min_count, specials=(UNKNOWN,))
    ids = {s: torch.tensor(vocabulary.encode(t, unknown=UNKNOWN))
           for s, t in tokens.items()}
    counts = ids["test"].bincount(minlength=len(vocabulary)).double()
    share = ids["train"].bincount(minlength=len(vocabulary)).double() + 1
    unigram = -(counts * (share / share.sum()).log2()).sum() / counts.sum()

    def draw(split, n, generator):
        text = ids[split]
        start = torch.randint(len(text) - T, (n, 1), generator=generator)
        window = text[start + torch.arange(T + 1)]  # (n, T + 1)
        return window[:, :-1], window[:, 1:], None

    def bits(outputs, y):
        return cross_entropy(outputs[:, :, burn_in:], y[:, :, burn_in:]) / math.log(2)

    return Task("characters", "bits per character", (D, len(vocabulary)), draw,
                cross_entropy, bits, len(vocabulary), unigram.item())


def sentiment_task(T: int, *, D: int = 16, n_vocab: int = 2000, held: int = 1000):
    """Critics' sentences, fresh or rotten: share wrong on the split of `data.critics`.

    Lower-cased words, the first T of each sentence, types of the training part only; its
    last `held` sentences are the validation part. "test" gives the first n test
    sentences; ask for n = 2551 to have them all.
    """
    from . import data

    critics = data.critics()
    train = [words(t.lower())[:T] for t in critics.train.texts]
    vocabulary = Vocabulary.from_tokens(
        (w for s in train[:-held] for w in s), max_size=n_vocab, specials=(PAD, UNKNOWN))
    test = [words(t.lower())[:T] for t in critics.test.texts]
    labels = torch.as_tensor(critics.train.labels)
    parts = {
        "train": (*_padded(train[:-held], vocabulary, T), labels[:-held]),
        "validation": (*_padded(train[-held:], vocabulary, T), labels[-held:]),
        "test": (*_padded(test, vocabulary, T), torch.as_tensor(critics.test.labels)),
    }

    def draw(split, n, generator):
        ids, lengths, y = parts[split]
        pick = torch.arange(n) if split != "train" else torch.randint(
            len(y), (n,), generator=generator)
        return ids[pick], y[pick], lengths[pick]

    fresh = parts["test"][2].float().mean().item()
    return Task("sentiment", "share wrong", (D, 2), draw, cross_entropy, share_wrong,
                len(vocabulary), min(fresh, 1 - fresh))


def square(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each copy: outputs (S, B, 1), y (S, B)."""
    return (outputs[..., 0] - y).square().mean(1)


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean nats of each copy: outputs (S, ..., K), y (S, ...)."""
    nats = F.cross_entropy(outputs.flatten(0, -2), y.flatten(), reduction="none")
    return nats.view(len(y), -1).mean(1)


def share_wrong(outputs: Tensor, y: Tensor) -> Tensor:
    """Share of wrong classes of each copy: outputs (S, B, K), y (S, B)."""
    return (outputs.argmax(-1) != y).float().mean(1)


def _padded(sentences, vocabulary, T):
    """Integers (n, T), zeros on the right, and lengths (n,) of at least 1."""
    ids = torch.zeros(len(sentences), T, dtype=torch.int64)
    for k, sentence in enumerate(sentences):
        ids[k, : len(sentence)] = torch.tensor(
            vocabulary.encode(sentence, unknown=UNKNOWN), dtype=torch.int64)
    lengths = torch.tensor([max(1, len(s)) for s in sentences])
    return ids, lengths


def _share(v: Tensor, S: int) -> Tensor:
    return v.expand(S, *v.shape)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
