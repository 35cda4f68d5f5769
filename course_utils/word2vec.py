r"""word2vec in readable form: pairs, inputs, and three output layers.

Introduced in chapter 3, and the oracle of the fast trainer. A model is an *input*, which
makes the hidden vector h from one word (skip-gram) or from the mean of several (CBoW),
and an *output*, which says how badly h predicts the target word. Every loss comes with
its gradient derived by hand.

Every output has ``ask`` (target words to questions), ``loss`` (one number an example, in
nats, differentiable by autograd) and ``gradients`` (of the sum, by hand).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .huffman import Tree
from .noise import AliasTable
from .text import expect_tokens

# ---- from text to examples --------------------------------------------------------------


def contexts(tokens: Sequence, c: int) -> list[tuple[object, list]]:
    """Each centre with the tokens at most `c` places away, itself left out.

    >>> contexts(["a", "b", "c"], 1)
    [('a', ['b']), ('b', ['a', 'c']), ('c', ['b'])]
    """
    expect_tokens(tokens)
    if c < 0:
        raise ValueError(f"c: expected 0 or more places on each side, got {c}.")
    return [
        (centre, [*tokens[max(0, t - c) : t], *tokens[t + 1 : t + 1 + c]])
        for t, centre in enumerate(tokens)
    ]


def pairs(sentences: Iterable[Sequence], c: int) -> list[tuple]:
    """All (centre, context) pairs of the sentences; none reaches over a sentence end.

    >>> pairs([["a", "b"], ["c"]], 2)
    [('a', 'b'), ('b', 'a')]
    """
    expect_tokens(sentences)
    return [
        (centre, other)
        for tokens in sentences
        for centre, around in contexts(tokens, c)
        for other in around
    ]


# ---- inputs -----------------------------------------------------------------------------


class Bag(NamedTuple):
    """A weighted bag of input words: ``ids`` (B, C) and ``weight`` (B, C)."""

    ids: Tensor
    weight: Tensor


def one_word(centre: Tensor, dtype: torch.dtype | None = None) -> Bag:
    """Skip-gram's input: the centre word alone. centre (B,) to a bag with C = 1."""
    return Bag(centre[:, None], torch.ones(len(centre), 1, dtype=dtype))


def mean_of(around: Sequence[Sequence[int]], dtype: torch.dtype | None = None) -> Bag:
    """CBoW's input: each context word with weight 1 / number of context words."""
    if not len(around) or not all(len(words) for words in around):
        raise ValueError("around: expected at least one context word for each centre.")
    C = max(map(len, around))
    ids = torch.tensor([[*words] + [0] * (C - len(words)) for words in around])
    weight = torch.tensor(
        [[1 / len(words)] * len(words) + [0.0] * (C - len(words)) for words in around],
        dtype=dtype,
    )
    return Bag(ids, weight)  # (B, C)


def hidden(W: Tensor, bag: Bag) -> Tensor:
    """h = sum of weight times row of W: (B, D). A look-up if the bag has one word."""
    return (bag.weight[..., None] * W[bag.ids]).sum(1)


def input_gradient(W: Tensor, bag: Bag, dh: Tensor) -> Tensor:
    """dL/dW (N, D) from dL/dh (B, D): each word of a bag gets its weight's share of dh.

    A word may occur several times; its shares are added, never overwritten.
    """
    shares = bag.weight[..., None] * dh[:, None]  # (B, C, D)
    return scatter_add(torch.zeros_like(W), bag.ids, shares)


def scatter_add(table: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
    """Add rows (..., D) to the rows `ids` (...) of the table, repeated ids included."""
    return table.index_add_(0, ids.flatten(), rows.flatten(0, -2))


# ---- outputs ----------------------------------------------------------------------------


def softmax_loss(h: Tensor, W_out: Tensor, target: Tensor) -> Tensor:
    r"""Cross-entropy of the full softmax: (B,), in nats.

    .. math:: L = -s_w + \log \sum_i e^{s_i}, \qquad s = W' h
    """
    s = h @ W_out.T  # (B, N)
    return torch.logsumexp(s, dim=1) - s.gather(1, target[:, None])[:, 0]


def softmax_gradients(h: Tensor, W_out: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    r"""dL/dh (B, D) and dL/dW_out (N, D) of the summed `softmax_loss`.

    .. math::
        \partial L / \partial h = W'^\top (p - r(w)), \qquad
        \partial L / \partial W' = (p - r(w)) h^\top

    with p the softmax of s and r(w) the one-hot target.
    """
    error = torch.softmax(h @ W_out.T, dim=1)  # (B, N)
    error[torch.arange(len(h)), target] -= 1
    return error @ W_out, error.T @ h


class Decisions(NamedTuple):
    """Yes-or-no questions of each example: all three (B, M).

    ``rows`` of W_out that are asked, ``labels`` (1.0 yes, 0.0 no), and the ``weight`` of
    each question in the loss, 0.0 where there is none.
    """

    rows: Tensor
    labels: Tensor
    weight: Tensor


def logistic_loss(h: Tensor, W_out: Tensor, asked: Decisions) -> Tensor:
    r"""Weighted sum of logistic losses on rows of W_out: (B,), in nats.

    .. math::
        L = -\sum_m a_m \log \sigma\big((2 y_m - 1) s_m\big), \qquad s_m = v'_m \cdot h
    """
    s = (W_out[asked.rows] @ h[:, :, None])[:, :, 0]  # (B, M)
    return -(asked.weight * F.logsigmoid((2 * asked.labels - 1) * s)).sum(1)


def logistic_gradients(h: Tensor, W_out: Tensor, asked: Decisions) -> tuple[Tensor, Tensor]:
    r"""dL/dh (B, D), and the gradient of each row that was asked: (B, M, D).

    .. math:: \partial L / \partial s_m = a_m (\sigma(s_m) - y_m)

    A row of W_out that was asked several times gets the sum: see `scatter_add`.
    """
    U = W_out[asked.rows]  # (B, M, D)
    s = (U @ h[:, :, None])[:, :, 0]  # (B, M)
    g = asked.weight * (torch.sigmoid(s) - asked.labels)  # (B, M)
    return (g[:, None] @ U)[:, 0], g[:, :, None] * h[:, None]


class Softmax:
    """Full softmax over the vocabulary; W_out is (N, D). Cost O(N D) an example."""

    loss, gradients = staticmethod(softmax_loss), staticmethod(softmax_gradients)

    def rows(self, n_vocab: int) -> int:
        return n_vocab

    def ask(self, target: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return target

    def log_probabilities(self, h: Tensor, W_out: Tensor) -> Tensor:
        """Of all words: (B, N)."""
        return F.log_softmax(h @ W_out.T, dim=1)

    def descend(self, h: Tensor, W_out: Tensor, target: Tensor, rate: float) -> Tensor:
        """One step of SGD on W_out, in place; returns dL/dh."""
        dh, dW_out = softmax_gradients(h, W_out, target)
        W_out.sub_(dW_out, alpha=rate)
        return dh


class Logistic:
    """A sum of yes-or-no questions on rows of W_out: the base of the next two."""

    loss = staticmethod(logistic_loss)

    def gradients(
        self, h: Tensor, W_out: Tensor, asked: Decisions
    ) -> tuple[Tensor, Tensor]:
        dh, dU = logistic_gradients(h, W_out, asked)
        return dh, scatter_add(torch.zeros_like(W_out), asked.rows, dU)

    def descend(self, h: Tensor, W_out: Tensor, asked: Decisions, rate: float) -> Tensor:
        """One step of SGD on the rows that were asked, in place; returns dL/dh."""
        dh, dU = logistic_gradients(h, W_out, asked)
        scatter_add(W_out, asked.rows, dU.mul_(-rate))
        return dh


class HierarchicalSoftmax(Logistic):
    r"""A word's probability is that of its path: W_out is (N - 1, D), a row a node.

    .. math:: p(w \mid h) = \prod_{n \in \text{path}(w)} \sigma\big(\pm v'_n \cdot h\big)

    (Morin and Bengio, 2005; Mikolov et al., 2013, equation 3), plus on a step to the
    left. The probabilities sum to 1 because :math:`\sigma(s) + \sigma(-s) = 1` at every
    node. Cost O(L D) an example, L the depth of its word.
    """

    def __init__(self, tree: Tree):
        self.tree = tree

    def rows(self, n_vocab: int) -> int:
        return n_vocab - 1

    def ask(self, target: Tensor, generator: torch.Generator | None = None) -> Decisions:
        return Decisions(*(part[target] for part in self.tree))

    def log_probabilities(self, h: Tensor, W_out: Tensor) -> Tensor:
        """Of all words: (B, N). Only for checks and drawings: it asks every node."""
        s = h @ W_out.T  # (B, N - 1)
        rows, labels, weight = (part.to(h.device) for part in self.tree)
        signs = (2 * labels - 1).to(h.dtype)
        return (weight.to(h.dtype) * F.logsigmoid(signs * s[:, rows])).sum(2)


class NegativeSampling(Logistic):
    r"""One word that was there against K that were drawn: W_out is (N, D).

    .. math:: L = -\log \sigma(v'_w \cdot h) - \sum_{k=1}^{K} \log \sigma(-v'_{w_k} \cdot h),
        \qquad w_k \sim q

    (Mikolov et al., 2013, equation 4). A draw that equals w stays, as in the formula;
    word2vec.c and gensim skip it. Cost O(K D) an example.

    Parameters
    ----------
    noise : array_like, shape (N,)
        Distribution q of the draws, see `noise.noise_distribution`.
    K : int
        Negatives for each positive.
    """

    def __init__(self, noise, K: int = 5):
        if K < 1:
            raise ValueError(f"K: expected at least one negative, got {K}.")
        self.table, self.K = AliasTable(noise), K

    def rows(self, n_vocab: int) -> int:
        return n_vocab

    def ask(self, target: Tensor, generator: torch.Generator) -> Decisions:
        return self.against(target, self.table.draw((len(target), self.K), generator))

    @staticmethod
    def against(
        target: Tensor, negatives: Tensor, weight: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> Decisions:
        """The question with given negatives (B, K), each counted `weight` times."""
        rows = torch.cat([target[:, None], negatives], dim=1)  # (B, 1 + K)
        labels = torch.zeros(rows.shape, dtype=dtype)
        labels[:, 0] = 1.0
        share = torch.full(rows.shape, float(weight), dtype=dtype)
        share[:, 0] = 1.0
        return Decisions(rows, labels, share)


def loss_and_gradients(W: Tensor, W_out: Tensor, bag: Bag, output, asked):
    """The whole model: losses (B,), dL/dW and dL/dW_out of their sum, by hand."""
    h = hidden(W, bag)  # (B, D)
    dh, dW_out = output.gradients(h, W_out, asked)
    return output.loss(h, W_out, asked), input_gradient(W, bag, dh), dW_out
