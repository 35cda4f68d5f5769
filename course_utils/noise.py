r"""Which words are drawn as negatives, and which occurrences are skipped.

Introduced in chapter 3. Two distributions over the vocabulary, both made from its
counts, and an exact sampler that costs the same for every vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def noise_distribution(counts, power: float = 0.75) -> np.ndarray:
    r"""Probability of each type as a negative, shape (N,).

    .. math:: q_j = \frac{n_j^{\alpha}}{\sum_i n_i^{\alpha}}, \qquad \alpha = 3/4

    (Mikolov et al., 2013, section 2.2). Power 1 is the unigram, 0 the uniform law.

    >>> noise_distribution([16, 1]).round(3).tolist()
    [0.889, 0.111]
    """
    n = np.asarray(counts, dtype=np.float64)
    if n.ndim != 1 or n.size == 0 or not (np.isfinite(n).all() and (n > 0).all()):
        raise ValueError(
            "counts: expected one positive number for each type, got "
            f"{n.size} of which {int((~(n > 0)).sum())} are not. Leave out special types."
        )
    smoothed = n**power
    return smoothed / smoothed.sum()


def keep_probability(counts, threshold: float = 1e-3, *, formula: str = "program"):
    r"""Probability that an occurrence of each type is kept, shape (N,).

    With :math:`f_j` the share of type j among all tokens and t the threshold,

    .. math::
        \text{paper:} \quad \sqrt{t / f_j}, \qquad
        \text{program:} \quad \sqrt{t / f_j} + t / f_j

    each cut at 1. The first is Mikolov et al. (2013), equation 5; the second is what
    word2vec.c and gensim compute, and the default here, so that runs compare. A threshold
    of 0 keeps everything.

    >>> keep_probability([4, 12], 0.25, formula="paper").round(3).tolist()
    [1.0, 0.577]
    >>> keep_probability([4, 12], 0.25).round(3).tolist()
    [1.0, 0.911]
    """
    if not threshold >= 0 or formula not in ("paper", "program"):
        raise ValueError(
            "expected threshold >= 0 and formula 'paper' or 'program', got "
            f"{threshold} and {formula!r}."
        )
    n = np.asarray(counts, dtype=np.float64)
    if threshold == 0:
        return np.ones_like(n)
    ratio = threshold * n.sum() / n
    kept = np.sqrt(ratio) + (ratio if formula == "program" else 0.0)
    return np.minimum(kept, 1.0)


class AliasTable:
    """Draw from a discrete distribution in constant time, without approximation.

    Walker (1977): N equal columns, each shared by at most two types. A draw is a column
    and a coin. Building costs O(N).

    Parameters
    ----------
    probabilities : array_like, shape (N,)
        Positive, with sum 1.
    """

    def __init__(self, probabilities, device: torch.device | str = "cpu"):
        p = np.asarray(probabilities, dtype=np.float64)
        if p.ndim != 1 or not (p >= 0).all() or not abs(p.sum() - 1) <= 1e-9:
            raise ValueError(f"expected probabilities with sum 1, got sum {p.sum()}.")
        share, other = p * p.size, np.arange(p.size)
        small = [i for i in range(p.size) if share[i] < 1]
        large = [i for i in range(p.size) if share[i] >= 1]
        while small and large:
            i, j = small.pop(), large[-1]
            other[i] = j
            share[j] -= 1 - share[i]
            if share[j] < 1:
                small.append(large.pop())
        share[small + large] = 1.0  # what rounding has left over
        self.share = torch.as_tensor(share, dtype=torch.float32, device=device)
        self.other = torch.as_tensor(other, device=device)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Independent draws, int64, of the given shape, on the table's device."""
        where = self.share.device
        column = torch.randint(len(self.share), shape, generator=generator, device=where)
        coin = torch.rand(shape, generator=generator, device=where)
        return torch.where(coin < self.share[column], column, self.other[column])
