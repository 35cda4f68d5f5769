r"""Back-propagation through time by hand, in NumPy.

Introduced in chapter 7; adds the derivatives to the Elman network of chapter 6. One
sequence at a time, so that each array is the symbol of the slides:

.. math:: a_t = U x_t + W h_{t-1} + b_h, \quad h_t = \tanh(a_t), \quad y_t = V h_t + b_y

with a loss :math:`\mathcal{L} = \sum_t \mathcal{L}_t(y_t)`. The immediate derivative
:math:`\partial^+ h_k / \partial W` holds :math:`h_{k-1}` fixed; the total one,
:math:`\partial`, does not. The slide's sum is

.. math:: \frac{\partial \mathcal{L}_t}{\partial W} = \sum_{k=1}^t
    \frac{\partial \mathcal{L}_t}{\partial y_t} \frac{\partial y_t}{\partial h_t}
    \frac{\partial h_t}{\partial h_k} \frac{\partial^+ h_k}{\partial W}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Parameters(NamedTuple):
    """``U`` (H, D), ``W`` (H, H), ``b_h`` (H,), ``V`` (K, H), ``b_y`` (K,), or gradients."""

    U: np.ndarray
    W: np.ndarray
    b_h: np.ndarray
    V: np.ndarray
    b_y: np.ndarray


def slope_tanh(h: np.ndarray) -> np.ndarray:
    """f'(a) = 1 - h^2 from h = tanh(a)."""
    return 1 - h**2


def forward(x, h_0, p, *, f: Callable = np.tanh) -> tuple[np.ndarray, np.ndarray]:
    """States h_0 ... h_T (T + 1, H) and outputs y_1 ... y_T (T, K) of x (T, D).

    >>> one = np.ones((1, 1))
    >>> p = Parameters(one, one, one[0], one, one[0])
    >>> h, y = forward(np.zeros((2, 1)), np.zeros(1), p)
    >>> y[:, 0].round(4).tolist()     # 1 + tanh(1), 1 + tanh(tanh(1) + 1)
    [1.7616, 1.9427]
    """
    h, y = [h_0], []
    for x_t in x:
        h.append(f(p.U @ x_t + p.W @ h[-1] + p.b_h))  # (H,)
        y.append(p.V @ h[-1] + p.b_y)  # (K,)
    return np.array(h), np.array(y)


def backward(x, h, dy, p, *, slope: Callable = slope_tanh) -> Parameters:
    r"""Gradients of L = sum of L_t: one sweep from T down to 1, O(T H^2).

    .. math:: \bar h_t = V^T \bar y_t + W^T \bar a_{t+1}, \qquad
        \bar a_t = f'(a_t) \odot \bar h_t

    where the bar is dL/d(.), and each shared parameter collects its immediate
    derivative at every step.

    Parameters
    ----------
    x : array, shape (T, D)
    h : array, shape (T + 1, H)
        From `forward`; h[0] is h_0, so ``h[t - 1]`` is the state before step t.
    dy : array, shape (T, K)
        dL_t/dy_t; zero rows for steps without a target.
    p : Parameters
    slope : callable
        f'(a) as a function of h = f(a).

    Returns
    -------
    Parameters
        dL/dU, dL/dW, dL/db_h, dL/dV, dL/db_y.
    """
    _expect(x, h, dy, p)
    g = Parameters(*(np.zeros_like(value) for value in p))
    da_next = np.zeros_like(h[0])  # (H,)
    for t in range(len(x), 0, -1):
        dh = p.V.T @ dy[t - 1] + p.W.T @ da_next  # (H,) total: now and later
        da = slope(h[t]) * dh  # (H,)
        g.U[:] += np.outer(da, x[t - 1])
        g.W[:] += np.outer(da, h[t - 1])
        g.b_h[:] += da
        g.V[:] += np.outer(dy[t - 1], h[t])
        g.b_y[:] += dy[t - 1]
        da_next = da
    return g


def responsibilities(h, dy, p, *, slope: Callable = slope_tanh) -> np.ndarray:
    r"""dL_t/da_k for every pair of steps: array (T, T, H), zero where k > t.

    Row t - 1 follows the loss of step t backwards,
    :math:`\delta_{t,k-1} = \mathrm{diag}(f'(a_{k-1})) W^T \delta_{t,k}`. It costs
    O(T^2 H^2): `backward` sums over t on the way and costs O(T H^2).
    """
    T, H = len(dy), h.shape[1]
    delta = np.zeros((T, T, H))
    for t in range(1, T + 1):
        dh = p.V.T @ dy[t - 1]
        for k in range(t, 0, -1):
            delta[t - 1, k - 1] = slope(h[k]) * dh
            dh = p.W.T @ delta[t - 1, k - 1]
    return delta


def terms(h, dy, p, *, slope: Callable = slope_tanh) -> np.ndarray:
    """The slide's sum, term by term: dL_t/dW through step k, array (T, T, H, H).

    ``terms(...)[t - 1, k - 1]`` is (dL_t/dh_t)(dh_t/dh_k)(immediate dh_k/dW). The sum
    over k is dL_t/dW, the sum over both is dL/dW. Memory T^2 H^2: for short sequences.
    """
    delta = responsibilities(h, dy, p, slope=slope)  # (T, T, H)
    return np.einsum("tki,kj->tkij", delta, h[:-1])  # (T, T, H, H)


def lags(T: int) -> np.ndarray:
    """t - k for each pair of steps (T, T): 0 on the diagonal, negative above it."""
    steps = np.arange(T)
    return steps[:, None] - steps[None, :]


def sliding_window(T: int, K: int) -> np.ndarray:
    """Pairs (t, k) that a sliding window keeps: 0 <= t - k < K, booleans (T, T).

    >>> sliding_window(4, 2).astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    _expect_window(K)
    return (lags(T) >= 0) & (lags(T) < K)


def chunks(T: int, K: int) -> np.ndarray:
    """Pairs (t, k) that chunks with a detached state keep, booleans (T, T).

    Steps t and k <= t must lie in the same chunk of K steps.

    >>> chunks(4, 2).astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    """
    _expect_window(K)
    chunk = np.arange(T) // K
    return (lags(T) >= 0) & (chunk[:, None] == chunk[None, :])


def _expect_window(K: int) -> None:
    if K < 1:
        raise ValueError(f"K: expected a window of at least 1 step, got {K}.")


def _expect(x, h, dy, p) -> None:
    T, (K, H) = len(x), p.V.shape
    if h.shape != (T + 1, H) or dy.shape != (T, K):
        raise ValueError(
            f"expected h {(T + 1, H)} with h_0 first and dy {(T, K)}, got {h.shape} "
            f"and {dy.shape}."
        )
