r"""Sentence vectors from running text: write the next sentence, or recognise it.

Introduced in chapter 3. Both models read a sentence with a GRU on word vectors that stay as
they are; they differ in what its last state is asked to do.

- Skip-Thought (Kiros et al., 2015): a second GRU writes the next sentence word by word.
- Quick thoughts (Logeswaran and Lee, 2018): the vector is to have a larger inner product
  with the vector of the next sentence than with those of other sentences.

Both papers also predict the previous sentence; here, the next one only. Letters: B batch,
T time, D word vector, H state, N vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .text import UNKNOWN, Vocabulary

PAD, START, STOP = "<pad>", "<s>", "</s>"
SPECIALS = (PAD, UNKNOWN, START, STOP)


@dataclass(frozen=True)
class RunningText:
    """Sentences in their order, as padded integers; a document is never left."""

    ids: Tensor  # (n, T) int64, zeros on the right
    lengths: Tensor  # (n,) int64, at least 1
    firsts: Tensor  # (m,) sentences whose next sentence is in the same document

    def batch(self, B: int, generator: torch.Generator):
        """B random neighbours: ids (B, T), lengths (B,), and the same of the next ones."""
        at = torch.randint(len(self.firsts), (B,), generator=generator)
        return self.pair(self.firsts[at])

    def pair(self, i: Tensor):
        """The sentences i (B,) and the sentences that follow them."""
        return (*self.take(i), *self.take(i + 1))

    def take(self, i: Tensor):
        """Integers (B, T) cut to the longest of these sentences, and lengths (B,)."""
        lengths = self.lengths[i]
        return self.ids[i, : int(lengths.max())], lengths


def running_text(
    documents: Sequence[Sequence[Sequence[str]]], vocabulary: Vocabulary, T: int
) -> RunningText:
    """Encode documents, each a list of tokenised sentences, cut to T tokens.

    >>> v = Vocabulary(SPECIALS + ("a", "b"), (0,) * 6)
    >>> text = running_text([[["a"], ["b", "a"]], [["b"]]], v, T=5)
    >>> text.ids.tolist(), text.firsts.tolist()
    ([[4, 0], [5, 4], [5, 0]], [0])
    """
    sentences = [s for document in documents for s in document]
    if not sentences or any(len(s) == 0 for s in sentences):
        raise ValueError("documents: expected sentences of at least one token each.")
    rows = [vocabulary.encode(s[:T], unknown=UNKNOWN) for s in sentences]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    ends = np.cumsum([len(document) for document in documents]) - 1
    firsts = np.setdiff1d(np.arange(len(rows)), ends)
    return RunningText(ids, lengths, torch.from_numpy(firsts))


class Encoder(nn.Module):
    """A GRU over fixed word vectors; a sentence is its state after the last real word.

    Parameters
    ----------
    table : Tensor, shape (N, D)
        Word vectors; they are not trained.
    H : int
    """

    def __init__(self, table: Tensor, H: int):
        super().__init__()
        self.register_buffer("table", table)
        self.gru = nn.GRU(table.shape[1], H, batch_first=True)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Sentence vectors (B, H); what stands behind a sentence's end has no effect."""
        h, _ = self.gru(self.table[ids])  # (B, T, H)
        return h[torch.arange(len(ids)), lengths - 1]  # (B, H)


class SkipThought(nn.Module):
    r"""Encode a sentence, then write the next one, word by word.

    The decoder reads :math:`[x_{t-1}, u]`, the previous word of the next sentence and the
    sentence vector, at every step: the vector enters all gates, as in equations 5 to 8 of
    the paper. The word vectors of the decoder are those of the encoder.
    """

    def __init__(self, table: Tensor, H: int, start: int, stop: int):
        super().__init__()
        self.encoder = Encoder(table, H)
        self.decoder = nn.GRU(table.shape[1] + H, H, batch_first=True)
        self.top = nn.Linear(H, len(table))
        self.start, self.stop = start, stop

    def loss(self, ids, lengths, next_ids, next_lengths) -> Tensor:
        """Mean nats for a word of the next sentence, its end included."""
        u = self.encoder(ids, lengths)  # (B, H)
        return self.nats(u, next_ids, next_lengths).sum() / (next_lengths + 1).sum()

    def nats(self, u: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Nats of each sentence (B,) given vectors u (B, H)."""
        inputs, targets, real = self.shifted(ids, lengths)  # (B, T + 1) each
        x = self.encoder.table[inputs]  # (B, T + 1, D)
        u = u.unsqueeze(1).expand(-1, x.shape[1], -1)
        h, _ = self.decoder(torch.cat([x, u], dim=2))  # (B, T + 1, H)
        words = F.cross_entropy(self.top(h[real]), targets[real], reduction="none")
        nats = words.new_zeros(real.shape).masked_scatter(real, words)
        return nats.sum(1)

    def shifted(self, ids, lengths):
        """Inputs start with <s>, targets end with </s>; real marks what is no padding."""
        B, T = ids.shape
        steps = torch.arange(T + 1)
        inputs = torch.cat([ids.new_full((B, 1), self.start), ids], dim=1)
        targets = torch.cat([ids, ids.new_zeros(B, 1)], dim=1)
        targets[torch.arange(B), lengths] = self.stop
        return inputs, targets, steps <= lengths.unsqueeze(1)

    def vectors(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Sentence vectors (B, H)."""
        return self.encoder(ids, lengths)


class QuickThoughts(nn.Module):
    """Two encoders, f for a sentence and g for its neighbour, of H/2 units each."""

    def __init__(self, table: Tensor, H: int):
        super().__init__()
        if H % 2:
            raise ValueError(f"H: expected an even number, got {H}.")
        self.f, self.g = Encoder(table, H // 2), Encoder(table, H // 2)

    def loss(self, ids, lengths, next_ids, next_lengths) -> Tensor:
        """Mean nats for finding the next sentence among those of the batch."""
        return contrastive_loss(self.f(ids, lengths), self.g(next_ids, next_lengths))

    def vectors(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Sentence vectors (B, H): both encoders side by side."""
        return torch.cat([self.f(ids, lengths), self.g(ids, lengths)], dim=1)


def contrastive_loss(u: Tensor, v: Tensor) -> Tensor:
    r"""Cross-entropy of picking row i of v for row i of u.

    .. math:: -\frac1B \sum_i \ln \frac{\exp(u_i^\top v_i)}{\sum_j \exp(u_i^\top v_j)}

    (Logeswaran and Lee, 2018, equation 2, with their inner product as the classifier).
    """
    return F.cross_entropy(u @ v.T, torch.arange(len(u)))  # (B, B)


@torch.no_grad()
def encode_all(model, text: RunningText, at: Tensor, batch: int = 500) -> np.ndarray:
    """Vectors of the sentences `at` (n,), in the order given: (n, H).

    Sentences of about one length are encoded together; that is only faster.
    """
    order = text.lengths[at].argsort()
    parts = [model.vectors(*text.take(at[i])) for i in order.split(batch)]
    out = torch.empty(len(at), parts[0].shape[1])
    out[order] = torch.cat(parts)
    return out.numpy()


def reading(model: nn.Module, table: Tensor) -> nn.Module:
    """A copy of a trained model whose encoders look words up in another table.

    The word vectors are fixed and only their coordinates reach the GRU, so an encoder can
    read words that its training text did not have, as long as their vectors come from the
    same space. (Kiros et al., section 2.3, reach the same by a linear map.)
    """
    model = copy.deepcopy(model)
    for part in model.modules():
        if isinstance(part, Encoder):
            part.table = table
    return model


class BagOfVectors:
    """The control that needs no training: the mean of a sentence's word vectors."""

    def __init__(self, table: Tensor):
        self.table = table

    def vectors(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Sentence vectors (B, D)."""
        real = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)  # (B, T)
        x = self.table[ids] * real.unsqueeze(2)  # (B, T, D)
        return x.sum(1) / lengths.unsqueeze(1)


def ridge(X: np.ndarray, Y: np.ndarray, decay: float) -> np.ndarray:
    """The map A (P, Q) that minimises |X A - Y|^2 / n + decay |A|^2."""
    X = X.astype(np.float64)
    gram = X.T @ X / len(X) + decay * np.eye(X.shape[1])
    return np.linalg.solve(gram, X.T @ Y / len(X))


def next_sentence_hits(first, second, judge_first, judge_second, *, pool, decay=0.01):
    """Is the true next sentence the nearest in its pool to what a linear map expects?

    A ridge map is fitted from the vectors `first` (n, H) to the vectors `second` of the
    sentences behind them; then, for each judged sentence, the expected vector is compared by
    cosine with the `pool` candidates of its group: itself and its fellows in
    `judge_second`. The same test for every encoder, so none is favoured by its own score.

    Returns
    -------
    ndarray (m,) bool
        m is the largest multiple of `pool` in len(judge_first); chance is 1 / pool.
    """
    centre, scale = first.mean(0), first.std() + 1e-12
    goal = second.mean(0)
    A = ridge((first - centre) / scale, (second - goal) / scale, decay)
    m = len(judge_first) // pool * pool
    if m == 0:
        raise ValueError(f"pool: expected at most {len(judge_first)}, got {pool}.")
    expected = _unit((judge_first[:m] - centre) / scale @ A).reshape(-1, pool, len(A.T))
    found = _unit((judge_second[:m] - goal) / scale).reshape(-1, pool, len(A.T))
    scores = expected @ found.transpose(0, 2, 1)  # (groups, pool, pool)
    return (scores.argmax(2) == np.arange(pool)).ravel()


def _unit(X: np.ndarray) -> np.ndarray:
    return X / (np.linalg.norm(X, axis=1, keepdims=True) + 1e-12)
