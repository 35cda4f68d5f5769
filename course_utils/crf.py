r"""Linear-chain conditional random field in log space.

Introduced in chapter 6, used by the BiLSTM-CRF tagger of chapter 9. A tag sequence
:math:`y` of a line of T letters has the score

.. math:: s(x, y) = a_{y_1} + \sum_t E_{t, y_t} + \sum_{t>1} A_{y_{t-1}, y_t} + b_{y_T}

and the probability :math:`e^{s(x, y)} / Z(x)` (Lafferty et al., 2001). `E` comes from any
model: a linear one in chapter 6, a BiLSTM in chapter 9. Everything here is batched,
masked on the right, and works on the device of its input. The functions that end in
``_one`` are the unbatched, readable form: one line, loops, no mask.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import nn


class Chain(NamedTuple):
    """``start`` (K,), ``transition`` (K, K) from row to column, ``end`` (K,)."""

    start: torch.Tensor
    transition: torch.Tensor
    end: torch.Tensor


class CRF(nn.Module):
    """The chain's K (K + 2) numbers as parameters, all zero at first.

    ``forward`` is the mean negative log-likelihood of a line; ``decode`` is Viterbi.
    """

    def __init__(self, n_tags: int):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.transition = nn.Parameter(torch.zeros(n_tags, n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))

    @property
    def chain(self) -> Chain:
        return Chain(self.start, self.transition, self.end)

    def forward(self, E, y, mask=None) -> torch.Tensor:
        return nll(E, y, self.chain, mask).mean()

    def decode(self, E, mask=None) -> torch.Tensor:
        return viterbi(E, self.chain, mask)[0]


def log_partition(E, chain: Chain, mask=None) -> torch.Tensor:
    r"""log Z of each line by the forward recursion.

    .. math:: \log\alpha_t(j) = E_{t,j} + \log\sum_i e^{\log\alpha_{t-1}(i) + A_{ij}}

    Parameters
    ----------
    E : tensor (B, T, K)
        Scores of the tags at each position.
    chain : Chain
    mask : bool tensor (B, T), optional
        True on real positions: a run of True, then False.

    Returns
    -------
    tensor (B,)

    Notes
    -----
    Time B T K^2; the sum over the K^T sequences is never written out.
    """
    return torch.logsumexp(_alphas(E, chain, _checked(E, mask))[-1] + chain.end, dim=1)


def score(E, y, chain: Chain, mask=None) -> torch.Tensor:
    """s(x, y) of each line: tensor (B,). `y` (B, T) holds a valid tag even in padding."""
    mask = _checked(E, mask)
    unary = E.gather(2, y[:, :, None])[:, :, 0].where(mask, 0)  # (B, T)
    pair = chain.transition[y[:, :-1], y[:, 1:]].where(mask[:, 1:], 0)  # (B, T-1)
    last = y.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]  # (B,)
    return chain.start[y[:, 0]] + unary.sum(1) + pair.sum(1) + chain.end[last]


def nll(E, y, chain: Chain, mask=None) -> torch.Tensor:
    """Negative log-likelihood of each line in nats, log Z - s(x, y): tensor (B,)."""
    return log_partition(E, chain, mask) - score(E, y, chain, mask)


def marginals(E, chain: Chain, mask=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of single tags and of neighbouring pairs, by forward-backward.

    Returns
    -------
    unary : tensor (B, T, K)
        P(y_t = k | x); zero in padding.
    pair : tensor (B, T-1, K, K)
        P(y_t = i, y_{t+1} = j | x); zero where position t + 1 is padding.
    """
    mask = _checked(E, mask)
    alphas, betas = _alphas(E, chain, mask), _betas(E, chain, mask)
    log_z = torch.logsumexp(alphas[-1] + chain.end, dim=1)[:, None]  # (B, 1)
    alpha, beta = torch.stack(alphas, 1), torch.stack(betas, 1)  # (B, T, K)
    log_unary = alpha + beta - log_z[:, None]
    unary = log_unary.where(mask[:, :, None], -torch.inf).exp()
    right = (E + beta)[:, 1:, None, :]  # (B, T-1, 1, K)
    joint = alpha[:, :-1, :, None] + chain.transition + right  # (B, T-1, K, K)
    log_pair = joint - log_z[:, None, None]
    pair = log_pair.where(mask[:, 1:, None, None], -torch.inf).exp()
    return unary, pair


def viterbi(E, chain: Chain, mask=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Best tag sequence of each line (B, T), 0 in padding, and its score (B,)."""
    mask = _checked(E, mask)
    best = chain.start + E[:, 0]  # (B, K)
    keep = torch.arange(E.shape[2], device=E.device).expand_as(best)
    pointers = []
    for E_t, m_t in zip(E.unbind(1)[1:], mask.unbind(1)[1:]):
        value, where = (best[:, :, None] + chain.transition).max(1)  # (B, K)
        best = torch.where(m_t[:, None], value + E_t, best)
        pointers.append(torch.where(m_t[:, None], where, keep))
    total, tag = (best + chain.end).max(1)  # (B,)
    path = [tag]
    for where in reversed(pointers):
        tag = where.gather(1, tag[:, None])[:, 0]
        path.append(tag)
    return torch.stack(path[::-1], 1) * mask, total


def _alphas(E, chain: Chain, mask) -> list[torch.Tensor]:
    """log alpha_t (B, K) for each t; in padding the last real one is carried on.

    Sums run over the last axis, whose numbers are neighbours in memory: twice as fast.
    """
    alpha = chain.start + E[:, 0]
    alphas = [alpha]
    for E_t, m_t in zip(E.unbind(1)[1:], mask.unbind(1)[1:]):
        step = torch.logsumexp(alpha[:, None, :] + chain.transition.T, dim=2) + E_t
        alpha = torch.where(m_t[:, None], step, alpha)
        alphas.append(alpha)
    return alphas


def _betas(E, chain: Chain, mask) -> list[torch.Tensor]:
    """log beta_t (B, K) for each t; beta of the last real position is `end`."""
    beta = chain.end.expand(E.shape[0], -1)
    betas = [beta]
    for E_t, m_t in zip(reversed(E.unbind(1)[1:]), reversed(mask.unbind(1)[1:])):
        step = torch.logsumexp(chain.transition + (E_t + beta)[:, None, :], dim=2)
        beta = torch.where(m_t[:, None], step, beta)
        betas.append(beta)
    return betas[::-1]


def _checked(E: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if E.ndim != 3 or E.shape[1] == 0:
        raise ValueError(f"E: expected (B, T, K) with T > 0, got {tuple(E.shape)}.")
    if mask is None:
        return torch.ones(E.shape[:2], dtype=torch.bool, device=E.device)
    if mask.shape != E.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"mask: expected bool {tuple(E.shape[:2])}, got {mask.dtype} "
            f"{tuple(mask.shape)}."
        )
    if not mask[:, 0].all() or (mask[:, 1:] & ~mask[:, :-1]).any():
        raise ValueError(
            "mask: expected at least one True in each row, then only False; "
            "pad lines on the right."
        )
    return mask


# The readable form: one line, scores E (T, K), no mask.


def score_one(E, y, chain: Chain) -> torch.Tensor:
    """s(x, y) of one line, term by term."""
    total = chain.start[y[0]] + E[0, y[0]]
    for t in range(1, len(y)):
        total = total + chain.transition[y[t - 1], y[t]] + E[t, y[t]]
    return total + chain.end[y[-1]]


def log_partition_one(E, chain: Chain) -> torch.Tensor:
    """log Z of one line."""
    alpha = chain.start + E[0]  # (K,)
    for E_t in E[1:]:
        alpha = torch.logsumexp(alpha[:, None] + chain.transition, dim=0) + E_t
    return torch.logsumexp(alpha + chain.end, dim=0)


def viterbi_one(E, chain: Chain) -> list[int]:
    """Best tag sequence of one line."""
    best, pointers = chain.start + E[0], []
    for E_t in E[1:]:
        value, where = (best[:, None] + chain.transition).max(0)
        best = value + E_t
        pointers.append(where)
    path = [int((best + chain.end).argmax())]
    for where in reversed(pointers):
        path.append(int(where[path[-1]]))
    return path[::-1]


def enumerate_one(E, chain: Chain) -> dict[tuple[int, ...], torch.Tensor]:
    """Every tag sequence of one line with its score: K^T entries, the oracle of tests."""
    T, K = E.shape
    if K**T > 100_000:
        raise ValueError(f"expected at most 100,000 sequences, got {K}^{T} = {K**T}.")
    return {y: score_one(E, y, chain) for y in product(range(K), repeat=T)}
