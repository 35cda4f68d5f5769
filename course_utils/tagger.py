"""Taggers made of two parts: features of each letter, and a way to choose the tags.

Introduced in chapter 9. The features (a linear window, the windows of chapter 6, a
BiLSTM) give a score to each tag at each letter; the tags are then chosen one by one
(softmax) or together (the CRF of chapter 6). BiLSTM features with a CRF are the
BiLSTM-CRF of Huang, Xu and Yu (2015). On top of `bidirectional`, `crf` and `tagging`
this module adds the combination, decoding under constraints, and F1 with an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import tagging
from .bidirectional import TwoPasses
from .crf import CRF, Chain, nll, viterbi
from .metrics import bootstrap_interval
from .tagging import N_LETTERS

N_TAGS = len(tagging.TAGS)


class LinearWindow(nn.Module):
    r"""Scores linear in the L one-hot letters around t: the features of a classical CRF.

    .. math:: E_t = b + \sum_{j=-r}^{r} V_j\, x_{t+j}, \qquad L = 2r + 1
    """

    def __init__(self, L: int, *, n_symbols: int = N_LETTERS, n_tags: int = N_TAGS):
        super().__init__()
        self.L, self.n_symbols = _odd(L), n_symbols
        self.V = nn.Linear(L * n_symbols, n_tags)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        X = one_hot(windows(x, self.L), self.V.weight, self.n_symbols)
        return self.V(X.flatten(2))                                    # (B, T, K)


class FCN(nn.Module):
    """The fully connected window of chapter 6: L one-hot letters, H ReLU units."""

    def __init__(
        self, L: int, H: int, *, n_symbols: int = N_LETTERS, n_tags: int = N_TAGS
    ) -> None:
        super().__init__()
        self.L, self.n_symbols = _odd(L), n_symbols
        self.U = nn.Linear(L * n_symbols, H)
        self.V = nn.Linear(H, n_tags)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        X = one_hot(windows(x, self.L), self.U.weight, self.n_symbols)
        return self.V(torch.relu(self.U(X.flatten(2))))                # (B, T, K)


class ConvNet(nn.Module):
    """The convolutions of chapter 6: m layers of width 3, H channels, padding kept zero."""

    def __init__(
        self, m: int, H: int, *, n_symbols: int = N_LETTERS, n_tags: int = N_TAGS
    ) -> None:
        super().__init__()
        sizes = [n_symbols] + [H] * m
        self.n_symbols = n_symbols
        self.C = nn.ModuleList(
            nn.Conv1d(a, b, 3, padding=1) for a, b in zip(sizes, sizes[1:])
        )
        self.V = nn.Linear(H, n_tags)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = one_hot(x, self.V.weight, self.n_symbols).transpose(1, 2)  # (B, D, T)
        for C in self.C:
            h = torch.relu(C(h)) * mask[:, None]                       # (B, H, T)
        return self.V(h.transpose(1, 2))                               # (B, T, K)


class BiLSTM(nn.Module):
    r"""Embedding, bidirectional LSTM, scores :math:`U[\vec h_t; \overleftarrow h_t] + c`."""

    def __init__(
        self, D: int, H: int, *, layers: int = 1,
        n_symbols: int = N_LETTERS, n_tags: int = N_TAGS,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(n_symbols, D)
        lstm = nn.LSTM(D, H, layers, batch_first=True, bidirectional=True)
        self.states = TwoPasses(lstm)
        self.U = nn.Linear(2 * H, n_tags)                              # weight U, bias c

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.states(self.table(x), mask.sum(1))                    # (B, T, 2H)
        return self.U(h)                                               # (B, T, K)


class Tagger(nn.Module):
    """Features, and softmax or CRF on top of them.

    Parameters
    ----------
    features : nn.Module
        Called with letters (B, T) and mask (B, T), returns scores E (B, T, K).
    crf : bool
        Score neighbouring tags too and train on whole tag sequences.
    """

    def __init__(self, features: nn.Module, *, crf: bool, n_tags: int = N_TAGS) -> None:
        super().__init__()
        self.features = features
        self.crf = CRF(n_tags) if crf else None
        self.n_tags = n_tags

    def scores(self, batch: tagging.Batch) -> Tensor:
        """E of the batch: (B, T, K)."""
        return self.features(batch.x, batch.mask)

    def loss(self, batch: tagging.Batch) -> Tensor:
        """Negative log-likelihood of the tags in nats a letter.

        Softmax: the mean over letters of -log p(y_t | x). CRF: the sum over lines of
        -log p(y_1 ... y_T | x), divided by the number of letters.
        """
        E = self.scores(batch)                                         # (B, T, K)
        if self.crf is None:
            return F.cross_entropy(E[batch.mask], batch.y[batch.mask])
        return nll(E, batch.y, self.crf.chain, batch.mask).sum() / batch.mask.sum()

    def decode(self, batch: tagging.Batch, *, rules: Rules | None = None) -> Tensor:
        """Best tags (B, T), 0 on padding; with `rules`, the best among the legal ones."""
        E = self.scores(batch)
        if self.crf is None and rules is None:
            return E.argmax(-1) * batch.mask
        if self.crf is None:
            E, chain = E.log_softmax(-1), free(self.n_tags, E)
        else:
            chain = self.crf.chain
        return viterbi(E, chain if rules is None else constrain(chain, rules), batch.mask)[0]


@dataclass(frozen=True)
class Rules:
    """Which tags may begin, follow each other and end; True means allowed."""

    start: np.ndarray  # (K,)
    transition: np.ndarray  # (K, K), from row to column
    end: np.ndarray  # (K,)


WORDS = Rules(tagging.ALLOWED_START, tagging.ALLOWED, tagging.ALLOWED_END)


def free(n_tags: int, like: Tensor) -> Chain:
    """A chain without preferences: Viterbi with it picks each tag on its own."""
    return Chain(*(like.new_zeros(s) for s in ((n_tags,), (n_tags, n_tags), (n_tags,))))


def constrain(chain: Chain, rules: Rules) -> Chain:
    """The same chain with minus infinity wherever the rules forbid.

    For decoding only: the gradient of log Z is not defined where every path is forbidden.

    >>> no = Rules(np.array([True, False]), np.eye(2, dtype=bool), np.array([True, True]))
    >>> constrain(free(2, torch.zeros(1)), no).start.tolist()
    [0.0, -inf]
    """
    return Chain(*(
        scores.masked_fill(~torch.as_tensor(allowed, device=scores.device), -torch.inf)
        for scores, allowed in zip(chain, (rules.start, rules.transition, rules.end))
    ))


def windows(x: Tensor, L: int) -> Tensor:
    """The L letters centred on t for each t: (B, T, L); 0 outside the line.

    >>> windows(torch.tensor([[5, 6, 7]]), 3).tolist()
    [[[0, 5, 6], [5, 6, 7], [6, 7, 0]]]
    """
    padded = F.pad(x, (L // 2, L // 2), value=tagging.PAD)             # (B, T + L - 1)
    return padded.unfold(1, L, 1)


def one_hot(x: Tensor, like: Tensor, n_symbols: int = N_LETTERS) -> Tensor:
    """One-hot vectors (..., n_symbols) of the type of `like`; padding is all zero."""
    rows = torch.eye(n_symbols, dtype=like.dtype, device=like.device)
    rows[tagging.PAD] = 0
    return F.embedding(x, rows)  # a look-up, without F.one_hot's integers of 8 bytes


@torch.no_grad()
def predict(
    model: Tagger, lines: Sequence[tagging.Line], *,
    rules: Rules | None = None, size: int = 256,
) -> list[list[int]]:
    """Tags of each line, in evaluation mode, on the model's device."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    found = []
    for batch in tagging.batches(lines, size):
        found += tagging.untag(model.decode(batch.to(device), rules=rules), batch.mask)
    model.train(was_training)
    return found


def counts(
    predicted: Sequence[Sequence[int]], lines: Sequence[tagging.Line]
) -> np.ndarray:
    """(words found, predicted, true, illegal transitions) of each line: (n, 4)."""
    truth = [[tagging.TAGS.index(k) for k in line.tags] for line in lines]
    return np.array([
        (*tagging.span_counts(p, t), tagging.illegal(p))
        for p, t in zip(predicted, truth, strict=True)
    ])


def f1(table: np.ndarray) -> float:
    """F1 over words from the rows of `counts`: sums first, then one division.

    >>> f1(np.array([[1, 2, 2, 0], [2, 2, 2, 0]]))     # 2 * 3 / (4 + 4)
    0.75
    """
    hits, guessed, true = table[:, :3].sum(0)
    return float(2 * hits / (guessed + true))


def f1_interval(table: np.ndarray, *, rng: np.random.Generator) -> tuple[float, float]:
    """Bootstrap interval of F1, drawing whole lines: the words of a line go together."""
    return bootstrap_interval(table, f1, rng=rng)


def gain_interval(
    after: np.ndarray, before: np.ndarray, *, rng: np.random.Generator
) -> tuple[float, float, float]:
    """F1 of `after` minus F1 of `before` on the same lines: (gain, low, high)."""
    both = np.concatenate([after, before], axis=1)

    def gain(rows: np.ndarray) -> float:
        return f1(rows[:, :4]) - f1(rows[:, 4:])

    return gain(both), *bootstrap_interval(both, gain, rng=rng)


def _odd(L: int) -> int:
    if L < 1 or L % 2 == 0:
        raise ValueError(f"L: expected an odd window of 1 or more letters, got {L}.")
    return L
