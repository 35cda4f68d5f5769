"""Taggers made of two parts: features of each letter, and a way to choose the tags.

Introduced in chapter 9. The features (a linear window, a fully connected window, a
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


class LinearWindow(nn.Module):
    r"""Scores linear in the one-hot letters around t: the features of a classical CRF.

    .. math:: E_t = b + \sum_{j=-r}^{r} W_j\, x_{t+j}, \qquad L = 2r + 1

    with :math:`x_{t+j}` one-hot, and zero outside the line.
    """

    def __init__(self, n_symbols: int, n_tags: int, *, L: int) -> None:
        super().__init__()
        self.radius, self.n_symbols = _radius(L), n_symbols
        self.weight = nn.Parameter(torch.zeros(L, n_symbols, n_tags))
        self.bias = nn.Parameter(torch.zeros(n_tags))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        seen = windows(x, self.radius)                                 # (B, T, L)
        offsets = torch.arange(self.weight.shape[0], device=x.device)
        scores = self.weight[offsets, seen]                            # (B, T, L, K)
        real = (seen != tagging.PAD)[..., None]
        return (scores * real).sum(2) + self.bias                      # (B, T, K)


class HiddenWindow(nn.Module):
    """The fully connected window: L letters embedded, joined, one hidden layer (tanh)."""

    def __init__(self, n_symbols: int, n_tags: int, *, L: int, D: int, H: int) -> None:
        super().__init__()
        self.radius = _radius(L)
        self.table = nn.Embedding(n_symbols, D)
        self.hidden = nn.Linear(L * D, H)
        self.out = nn.Linear(H, n_tags)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        joined = self.table(windows(x, self.radius)).flatten(2)        # (B, T, L D)
        return self.out(torch.tanh(self.hidden(joined)))               # (B, T, K)


class BiLSTM(nn.Module):
    r"""Embedding, bidirectional LSTM, linear scores.

    .. math:: E_t = U[\vec h_t; \overleftarrow h_t] + c
    """

    def __init__(
        self, n_symbols: int, n_tags: int, *, D: int, H: int, layers: int = 1
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(n_symbols, D)
        self.states = TwoPasses(
            nn.LSTM(D, H, layers, batch_first=True, bidirectional=True)
        )
        self.out = nn.Linear(2 * H, n_tags)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.out(self.states(self.table(x), lengths))           # (B, T, K)


class Tagger(nn.Module):
    """Features, and softmax or CRF on top of them.

    Parameters
    ----------
    features : nn.Module
        Called with letters (B, T) and lengths (B,), returns scores E (B, T, K).
    n_tags : int
    crf : bool
        Score neighbouring tags too and train on whole tag sequences.
    """

    def __init__(self, features: nn.Module, n_tags: int, *, crf: bool) -> None:
        super().__init__()
        self.features = features
        self.crf = CRF(n_tags) if crf else None
        self.n_tags = n_tags

    def scores(self, batch: tagging.Batch) -> Tensor:
        """E of the batch: (B, T, K)."""
        return self.features(batch.x, batch.mask.sum(1))

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


def windows(x: Tensor, radius: int) -> Tensor:
    """The letters from t - radius to t + radius for each t; 0 outside the line.

    >>> windows(torch.tensor([[5, 6, 7]]), 1).tolist()
    [[[0, 5, 6], [5, 6, 7], [6, 7, 0]]]
    """
    padded = F.pad(x, (radius, radius), value=tagging.PAD)             # (B, T + 2r)
    return padded.unfold(1, 2 * radius + 1, 1)                         # (B, T, L)


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


def _radius(L: int) -> int:
    if L < 1 or L % 2 == 0:
        raise ValueError(f"L: expected an odd window of 1 or more letters, got {L}.")
    return L // 2
