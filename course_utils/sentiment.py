r"""A recurrent reader of sentences: many-to-one, from words to one opinion.

Introduced in chapter 10. Puts the pieces of earlier chapters together: an embedding (which
may start from GloVe vectors), an Elman, GRU or LSTM layer that reads one way or both, the
state after the last word (or the maximum over all words), and a softmax over two classes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import bidirectional, runtime
from .text import UNKNOWN, Vocabulary, words

PAD = "<pad>"
CELLS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
PRAISE = tuple("exciting funny clever charming touching brilliant moving delightful".split())
BLAME = tuple("sentimental dull boring predictable tedious bland silly pointless".split())


@dataclass(frozen=True)
class Plan:
    """A reader and its training."""

    cell: str = "LSTM"  # RNN, GRU, LSTM, or none: the embeddings themselves
    hidden: int = 64  # H, of each direction
    both_ways: bool = False
    pool: str = "last"  # the state after the last word, or "max" or "mean" over all
    dropout: float = 0.5  # on embeddings and on what is pooled
    rate: float = 3e-3  # of Adam
    epochs: int = 4  # at most; the best one on held-out sentences is kept
    batch: int = 64  # sentences

    def __post_init__(self) -> None:
        if self.cell not in (*CELLS, "none"):
            raise ValueError(f"cell: expected one of {[*CELLS, 'none']}, got {self.cell!r}.")
        if self.pool not in ("last", "max", "mean"):
            raise ValueError(f"pool: expected 'last', 'max' or 'mean', got {self.pool!r}.")


class Reader(nn.Module):
    """Scores (B, 2) of sentences x (B, T), padded on the right, with their lengths."""

    def __init__(self, n_words: int, D: int, plan: Plan, vectors: Tensor | None = None):
        super().__init__()
        self.plan = plan
        self.embedding = nn.Embedding(n_words, D, padding_idx=0)
        if vectors is None:
            nn.init.normal_(self.embedding.weight, std=0.3)
            with torch.no_grad():
                self.embedding.weight[0] = 0.0
        else:
            self.embedding.weight.data.copy_(vectors)
        self.layer, H = _layer(D, plan)
        self.dropout = nn.Dropout(plan.dropout)
        self.out = nn.Linear(H, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        h = self.dropout(self.embedding(x))  # (B, T, D)
        if self.plan.both_ways:
            h = self.layer(h, lengths)  # (B, T, 2H)
        elif self.layer is not None:
            h = self.layer(h)[0]  # (B, T, H)
        return self.out(self.dropout(self.pooled(h, lengths)))

    def pooled(self, h: Tensor, lengths: Tensor) -> Tensor:
        """One vector a sentence from states h (B, T, H) or (B, T, 2H)."""
        mask = bidirectional.token_mask(lengths, h.shape[1])[..., None]
        if self.plan.pool == "max":
            return h.masked_fill(~mask, -torch.inf).amax(1)
        if self.plan.pool == "mean":
            return (h * mask).sum(1) / lengths[:, None]
        if self.plan.both_ways:
            return bidirectional.last_states(h, lengths)
        return h[torch.arange(len(h), device=h.device), lengths - 1]


def _layer(D: int, plan: Plan) -> tuple[nn.Module | None, int]:
    """The recurrent layer, if there is one, and the size of what it returns."""
    if plan.cell == "none":
        return None, D
    layer = CELLS[plan.cell](
        D, plan.hidden, batch_first=True, bidirectional=plan.both_ways
    )
    if plan.both_ways:
        return bidirectional.TwoPasses(layer), 2 * plan.hidden
    return layer, plan.hidden


@dataclass(frozen=True)
class Sentences:
    """Integers of sentences, padded with 0, their lengths, and their labels if known."""

    x: Tensor  # (M, T)
    lengths: Tensor  # (M,)
    y: Tensor | None = None  # (M,)

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, pick: Tensor) -> Sentences:
        """Some of them, without columns that are only padding."""
        n = self.lengths[pick]
        return Sentences(
            self.x[pick, : int(n.max())], n, None if self.y is None else self.y[pick]
        )


def at_first(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Sentences of the form of the slide's, every word of one with every word of the other.

    >>> at_first(["funny"], ["dull", "silly"])
    ['At first funny but dull', 'At first funny but silly']
    """
    return [f"At first {a} but {b}" for a in one for b in other]


def tokens_of(sentence: str) -> list[str]:
    """Lower-cased words and punctuation marks."""
    return words(sentence.lower())


def vocabulary_of(sentences: Sequence[str], *, min_count: int = 2) -> Vocabulary:
    """Types of the training sentences, behind a pad and an unknown word."""
    tokens = (token for sentence in sentences for token in tokens_of(sentence))
    return Vocabulary.from_tokens(tokens, min_count=min_count, specials=(PAD, UNKNOWN))


def encode(sentences: Sequence[str], vocabulary: Vocabulary, labels=None) -> Sentences:
    """Sentences as integers; an empty one becomes a single unknown word."""
    if isinstance(sentences, str):
        raise TypeError(f"sentences: expected a list of them, got {sentences[:30]!r}.")
    ids = [vocabulary.encode(tokens_of(s), unknown=UNKNOWN) or [vocabulary[UNKNOWN]]
           for s in sentences]
    lengths = torch.tensor([len(row) for row in ids])
    x = torch.zeros(len(ids), int(lengths.max()), dtype=torch.int64)
    for row, found in zip(x, ids):
        row[: len(found)] = torch.tensor(found)
    return Sentences(x, lengths, None if labels is None else torch.as_tensor(labels))


def starting_vectors(
    vocabulary: Vocabulary, vectors: dict[str, np.ndarray], generator: torch.Generator
) -> Tensor:
    """A table (N, D): given vectors where there are some, else draws of the same size."""
    D = len(next(iter(vectors.values())))
    table = torch.randn(len(vocabulary), D, generator=generator)
    rows = [i for i, word in enumerate(vocabulary.types) if word in vectors]
    known = torch.from_numpy(np.stack([vectors[vocabulary.types[i]] for i in rows]))
    table *= known.square().mean().sqrt()
    table[rows] = known.to(table)
    table[0] = 0.0
    return table


def batches(
    sentences: Sentences, size: int, generator: torch.Generator
) -> Iterator[Sentences]:
    """Random batches of sentences of similar length, each sentence once."""
    noisy = sentences.lengths + 4 * torch.rand(len(sentences), generator=generator)
    parts = noisy.argsort().split(size)
    for k in torch.randperm(len(parts), generator=generator).tolist():
        yield sentences.rows(parts[k])


def epoch(model, optimiser, sentences: Sentences, generator, size: int = 64) -> float:
    """One pass over the training sentences; mean nats a sentence."""
    model.train()
    total = 0.0
    for batch in batches(sentences, size, generator):
        loss = F.cross_entropy(model(batch.x, batch.lengths), batch.y)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        total += loss.item() * len(batch)
    return total / len(sentences)


@torch.no_grad()
def probabilities(model: Reader, sentences: Sentences, size: int = 256) -> Tensor:
    """p(fresh) of each sentence, (M,)."""
    model.eval()
    order = sentences.lengths.argsort()
    p = torch.empty(len(sentences))
    for pick in order.split(size):
        batch = sentences.rows(pick)
        p[pick] = torch.softmax(model(batch.x, batch.lengths), -1)[:, 1]
    return p


@dataclass(frozen=True)
class Trained:
    """A reader, how it did on held-out training sentences, and what it cost."""

    model: Reader
    held: tuple[float, ...]  # accuracy after each epoch
    seconds: float

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())


def train(
    sentences: Sentences, n_words: int, plan: Plan = Plan(), *, seed: int = 0,
    vectors: Tensor | None = None, D: int = 50, held: int = 1000,
) -> Trained:
    """Train a reader; the epoch is chosen on the last `held` of the sentences."""
    runtime.seed_everything(seed)
    g = runtime.generator(seed)
    start, rows = time.perf_counter(), torch.arange(len(sentences))
    part, trial = sentences.rows(rows[:-held]), sentences.rows(rows[-held:])
    D = D if vectors is None else vectors.shape[1]
    model = Reader(n_words, D, plan, vectors)
    optimiser = torch.optim.Adam(model.parameters(), plan.rate, fused=True)
    scores, best = [], None
    for _ in range(plan.epochs):
        epoch(model, optimiser, part, g, plan.batch)
        right = (probabilities(model, trial) > 0.5) == trial.y.bool()
        scores.append(right.float().mean().item())
        if scores[-1] == max(scores):
            best = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best)
    return Trained(model.eval(), tuple(scores), time.perf_counter() - start)
