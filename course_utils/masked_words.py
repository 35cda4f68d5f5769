r"""Guessing hidden words: a head on a frozen encoder, and what counts of pairs can do.

Introduced in chapter 5. Adds to `bert` an output layer as BERT's masked language model has,

.. math:: P(w \mid h) = \mathrm{softmax}_w\bigl(E_w^\top N(f(W h + b)) + c_w\bigr)

with E the table of the input (tied), f GELU and N a layer normalisation; and the baseline
that it has to beat, the exact posterior of a bigram model,

.. math:: P(w \mid a, b) \propto P(w \mid a)\, P(b \mid w)

for a hidden token between a and b.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional as F

from . import runtime
from .bert import Bert


class MaskedHead(nn.Module):
    """An output layer for hidden tokens, over some rows of the input's table.

    Parameters
    ----------
    table : Tensor, shape (C, D)
        Rows of the token table, one a candidate; fixed, a copy is kept.
    counts : array_like, shape (C,)
        How often each candidate occurs: c starts at the logarithm of its share.
    D_in : int
        Size of what it reads: D for one state, 3 D for three side by side.
    generator : torch.Generator
    """

    def __init__(
        self, table: Tensor, counts, D_in: int, generator: torch.Generator, *,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        D = table.shape[1]
        self.register_buffer("E", table.detach().clone())
        self.register_buffer("centre", torch.zeros(D_in))
        self.register_buffer("scale", torch.ones(D_in))
        self.drop, self.W = nn.Dropout(dropout), nn.Linear(D_in, D)
        self.norm = nn.LayerNorm(D, eps=1e-12)
        nn.init.normal_(self.W.weight, 0.0, D_in**-0.5, generator=generator)
        nn.init.zeros_(self.W.bias)
        share = torch.as_tensor(counts, dtype=torch.float32) + 0.5
        self.c = nn.Parameter((share / share.sum()).log())

    def expected(self, h: Tensor) -> Tensor:
        """The vector that the hidden token should have: (n, D_in) to (n, D)."""
        h = self.drop((h - self.centre) / self.scale)
        return self.norm(F.gelu(self.W(h)))

    def forward(self, h: Tensor) -> Tensor:
        """Scores of the candidates: (n, D_in) to (n, C)."""
        return self.expected(h) @ self.E.T + self.c


def blocks_of(ids: Sequence[int], length: int) -> list[list[int]]:
    """Cut running text into pieces of `length` tokens; a shorter rest is dropped.

    >>> blocks_of([1, 2, 3, 4, 5], 2)
    [[1, 2], [3, 4]]
    """
    return [list(ids[i : i + length]) for i in range(0, len(ids) - length + 1, length)]


@torch.no_grad()
def states_around(
    bert: Bert, inputs: Tensor, at: Tensor, layers: Sequence[int], *, size: int = 64
) -> dict[int, Tensor]:
    """States before, at and behind chosen tokens, after some blocks, in evaluation mode.

    Parameters
    ----------
    inputs : Tensor of int, (M, T)
        Texts of one length.
    at : Tensor of bool, (M, T)
        The tokens wanted, n in all, in reading order; never the first or the last.
    layers : sequence of int
        0 is the input, L the last block.

    Returns
    -------
    dict
        For each layer a tensor (n, 3, D).
    """
    if at[:, 0].any() or at[:, -1].any():
        raise ValueError("at: expected no token at an end of a text: it has one neighbour.")
    bert.eval()
    found = {layer: [] for layer in layers}
    for m in runtime.progress(torch.arange(len(inputs)).split(size), "reading"):
        places = [at[m].roll(k, dims=1) for k in (-1, 0, 1)]
        for layer, h in enumerate(bert.encoder.states(bert.embed(inputs[m]))):
            if layer in found:
                found[layer].append(torch.stack([h[place] for place in places], 1))
            if layer == max(found):
                break
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def train_head(
    head: MaskedHead, h: Tensor, y: Tensor, *, epochs: int, rate: float = 2e-3,
    size: int = 128, n_samples: int = 1000, seed: int = 0,
) -> MaskedHead:
    r"""Sampled softmax with Adam, the rate falling linearly to 0; h (n, D_in), y (n).

    Each step compares the truth with `n_samples` candidates drawn from their shares q.
    A drawn candidate counts with its score less :math:`\ln(n q)`, so that the sum over
    the drawn estimates the sum over all (Jean et al., 2015, section 3.2).
    """
    runtime.seed_everything(seed)  # dropout
    g, done = runtime.generator(seed), 0
    head.centre.copy_(h.mean(0))
    head.scale.copy_(h.std(0) + 1e-6)
    q = head.c.detach().softmax(0)
    adam = torch.optim.Adam(head.parameters(), lr=rate)
    total = epochs * -(-len(y) // size)
    head.train()
    for _ in runtime.progress(range(epochs), "head"):
        for m in torch.randperm(len(y), generator=g).split(size):
            adam.param_groups[0]["lr"] = rate * (1 - done / total)
            drawn = torch.multinomial(q, n_samples, replacement=True, generator=g)
            loss = sampled_loss(head, h[m], y[m], drawn, q)
            adam.zero_grad()
            loss.backward()
            adam.step()
            done += 1
    return head.eval()


def sampled_loss(head: MaskedHead, h: Tensor, y: Tensor, drawn: Tensor, q: Tensor) -> Tensor:
    """Cross-entropy of the truth against drawn candidates, corrected for the drawing."""
    x = head.expected(h)  # (B, D)
    own = (x * head.E[y]).sum(1, keepdim=True) + head.c[y, None]  # (B, 1)
    others = x @ head.E[drawn].T + head.c[drawn] - (len(drawn) * q[drawn]).log()
    others = others.masked_fill(drawn == y[:, None], float("-inf"))  # (B, n)
    scores = torch.cat([own, others], dim=1)
    return F.cross_entropy(scores, torch.zeros(len(y), dtype=torch.long, device=y.device))


def rank_of_truth(scores: Tensor, y: Tensor) -> Tensor:
    """How many candidates score higher than the true one: 0 is right; ties count.

    Where y is negative (the truth is no candidate) the rank is C.

    >>> rank_of_truth(torch.tensor([[1., 3., 2.]]), torch.tensor([2])).tolist()
    [1]
    """
    own = scores.gather(1, y.clamp(min=0)[:, None])
    rank = (scores >= own).sum(1) - 1
    return rank.masked_fill(y < 0, scores.shape[1])


class Bigrams:
    r"""A bigram model of integers, with Dirichlet smoothing towards the unigrams.

    .. math:: P(w \mid a) = \frac{n(a, w) + \mu P(w)}{n(a) + \mu}, \qquad
              P(w) = \frac{n(w) + 1/2}{n + N/2}

    Parameters
    ----------
    texts : sequences of int
    n_vocab : int
        N.
    mu : float
        Imaginary occurrences of each context.
    """

    def __init__(self, texts: Sequence[Sequence[int]], n_vocab: int, mu: float) -> None:
        self.mu, self.n_vocab = mu, n_vocab
        every = np.concatenate([np.asarray(t) for t in texts])
        self.count = np.bincount(every, minlength=n_vocab).astype(float)
        self.p = (self.count + 0.5) / (self.count.sum() + 0.5 * n_vocab)
        left = np.concatenate([np.asarray(t)[:-1] for t in texts])
        right = np.concatenate([np.asarray(t)[1:] for t in texts])
        ones, shape = np.ones(len(left)), (n_vocab, n_vocab)
        self.after = csr_array((ones, (left, right)), shape=shape)  # n(a, w)
        self.after.sum_duplicates()
        self.before = self.after.T.tocsr()  # row b, column w: n(w, b)
        self.as_context = np.asarray(self.after.sum(axis=1))  # n(a)

    def given_left(self, a) -> np.ndarray:
        """P(w | a) for each a (n): (n, N); P(w) where a is negative (unknown)."""
        a = np.asarray(a)
        known = (a >= 0)[:, None]
        counts = self.after[np.maximum(a, 0)].toarray() * known
        total = (self.as_context[np.maximum(a, 0)])[:, None] * known
        return (counts + self.mu * self.p) / (total + self.mu)

    def of_right(self, b) -> np.ndarray:
        """P(b | w) for each b (n) and every w: (n, N); 1 where b is negative (unknown)."""
        b = np.asarray(b)
        counts = self.before[np.maximum(b, 0)].toarray()
        share = self.p[np.maximum(b, 0)][:, None]
        found = (counts + self.mu * share) / (self.as_context + self.mu)
        return np.where((b >= 0)[:, None], found, 1.0)

    def posterior(self, a, b) -> np.ndarray:
        """P(w | a, b) for every w, at each of n places: (n, N)."""
        joint = self.given_left(a) * self.of_right(b)
        return joint / joint.sum(axis=1, keepdims=True)
