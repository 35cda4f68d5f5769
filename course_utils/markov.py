r"""Hidden Markov model: counts, forward-backward, Viterbi.

Introduced in chapter 6. The generative chain

.. math:: P(x, y) = \pi_{y_1} B_{y_1 x_1} \prod_{t>1} A_{y_{t-1} y_t} B_{y_t x_t} \; e_{y_T}

has a stop probability :math:`e`, so each row of A and its entry of e sum to 1 and the
probabilities of all lines of all lengths sum to 1. This is the readable form, one line at
a time in NumPy; its logarithms, given to `course_utils.crf`, run on batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class HMM(NamedTuple):
    """``pi`` (K,), ``A`` (K, K) from row to column, ``e`` (K,), ``B`` (K, N)."""

    pi: np.ndarray
    A: np.ndarray
    e: np.ndarray
    B: np.ndarray


def fit(x: Sequence, y: Sequence, *, K: int, N: int, add: float = 1.0) -> HMM:
    """Relative counts from lines whose states are known: maximum likelihood, but for `add`.

    Parameters
    ----------
    x, y : sequences of sequences of int
        Symbols in 0 ... N-1 and states in 0 ... K-1, line by line.
    add : float
        Added to each count of B (Laplace); the chain's own counts are not smoothed, so
        a transition that never occurs keeps probability 0.

    >>> hmm = fit([[0, 1, 1]], [[0, 0, 1]], K=2, N=2, add=0)
    >>> hmm.A.tolist(), hmm.e.tolist()   # state 0: once to 0, once to 1; state 1 stops
    ([[0.5, 0.5], [0.0, 0.0]], [0.0, 1.0])
    """
    pi, A, e, B = np.zeros(K), np.zeros((K, K)), np.zeros(K), np.full((K, N), float(add))
    for symbols, states in zip(x, y, strict=True):
        if len(symbols) != len(states) or len(symbols) == 0:
            raise ValueError(
                f"expected lines with one state for each symbol, got {len(symbols)} "
                f"symbols and {len(states)} states."
            )
        states = np.asarray(states)
        pi[states[0]] += 1
        e[states[-1]] += 1
        np.add.at(A, (states[:-1], states[1:]), 1)
        np.add.at(B, (states, np.asarray(symbols)), 1)
    leaving = A.sum(1) + e  # (K,)
    if (leaving == 0).any():
        raise ValueError(f"states never seen: {np.flatnonzero(leaving == 0).tolist()}.")
    return HMM(
        pi / pi.sum(), A / leaving[:, None], e / leaving, B / B.sum(1, keepdims=True)
    )


def forward(x: Sequence[int], hmm: HMM) -> tuple[np.ndarray, np.ndarray]:
    r"""Scaled forward probabilities.

    .. math:: \hat\alpha_t(j) = \frac{1}{c_t}
       B_{j x_t} \sum_i \hat\alpha_{t-1}(i) A_{ij}

    Returns
    -------
    alpha : array (T, K)
        P(y_t = j | x_1 ... x_t): each row sums to 1, so nothing underflows.
    c : array (T,)
        P(x_t | x_1 ... x_{t-1}).
    """
    alpha, c = np.zeros((len(x), len(hmm.pi))), np.zeros(len(x))
    joint = hmm.pi * hmm.B[:, x[0]]
    for t in range(len(x)):
        if t > 0:
            joint = (alpha[t - 1] @ hmm.A) * hmm.B[:, x[t]]
        c[t] = joint.sum()
        alpha[t] = joint / c[t]
    return alpha, c


def log_likelihood(x: Sequence[int], hmm: HMM) -> float:
    """log P(x) in nats, the stop included."""
    alpha, c = forward(x, hmm)
    return float(np.log(c).sum() + np.log(alpha[-1] @ hmm.e))


def backward(x: Sequence[int], c: np.ndarray, hmm: HMM) -> np.ndarray:
    """Scaled backward probabilities (T, K), with the scales `c` of `forward`."""
    beta = np.zeros((len(x), len(hmm.pi)))
    beta[-1] = hmm.e
    for t in range(len(x) - 2, -1, -1):
        beta[t] = hmm.A @ (hmm.B[:, x[t + 1]] * beta[t + 1]) / c[t + 1]
    return beta


def posterior(x: Sequence[int], hmm: HMM) -> np.ndarray:
    """P(y_t = k | the whole line): array (T, K), rows sum to 1."""
    alpha, c = forward(x, hmm)
    gamma = alpha * backward(x, c, hmm)
    return gamma / gamma.sum(1, keepdims=True)


def viterbi(x: Sequence[int], hmm: HMM) -> tuple[list[int], float]:
    """The most probable states and log P(x, y) of them."""
    pi, A, e, B = _logs(hmm)
    best, pointers = pi + B[:, x[0]], []
    for symbol in x[1:]:
        value = best[:, None] + A  # (K, K) from row to column
        pointers.append(value.argmax(0))
        best = value.max(0) + B[:, symbol]
    path = [int((best + e).argmax())]
    for where in reversed(pointers):
        path.append(int(where[path[-1]]))
    return path[::-1], float((best + e).max())


def log_joint(x: Sequence[int], y: Sequence[int], hmm: HMM) -> float:
    """log P(x, y), term by term: what brute force sums over all y."""
    pi, A, e, B = _logs(hmm)
    total = pi[y[0]] + B[y[0], x[0]] + e[y[-1]]
    for t in range(1, len(x)):
        total += A[y[t - 1], y[t]] + B[y[t], x[t]]
    return float(total)


def sample(hmm: HMM, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """One line (symbols, states) drawn from the model, until it stops."""
    K, N = hmm.B.shape
    x, y = [], [int(rng.choice(K, p=hmm.pi))]
    while True:
        x.append(int(rng.choice(N, p=hmm.B[y[-1]])))
        state = int(rng.choice(K + 1, p=np.append(hmm.A[y[-1]], hmm.e[y[-1]])))
        if state == K:
            return x, y
        y.append(state)


def _logs(hmm: HMM) -> HMM:
    with np.errstate(divide="ignore"):  # log 0 = -inf is meant
        return HMM(*(np.log(p) for p in hmm))
