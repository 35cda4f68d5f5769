r"""Four ways to map a sequence to a sequence, in one small vocabulary.

Introduced in chapter 7. An Elman network turns every input into an output. A task says
which steps get an input from outside, and which outputs have a target: that is all a
`Mapping` holds. Steps count from 1, as on the slides.

=======================  ======================  ====================  =================
mapping                  input from outside      target                example
=======================  ======================  ====================  =================
many-to-one              1 ... T                 T                     next value
one-to-many              1                       1 ... T               caption
many-to-many, parallel   1 ... T                 1 ... T               next character
many-to-many, sub-part   1 ... n_in              first ... T           translation
=======================  ======================  ====================  =================

After step n_in the network reads its own previous output (the target, in training).
The total loss is the sum of the losses of the steps that have a target:

.. math:: \mathcal{L} = \sum_{t=1}^T \mathcal{L}_t(y_t, y_t^*)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mapping:
    """Which steps read from outside and which have a target.

    >>> sub_part(4, n_in=3, first=3).steps     # outputs 3 and 4 have a target
    [3, 4]
    """

    name: str
    n_in: int  # steps 1 ... n_in read an input from outside
    first: int  # steps first ... T have a target
    T: int  # steps in all

    def __post_init__(self):
        if not (1 <= self.n_in <= self.T and 1 <= self.first <= self.T):
            raise ValueError(
                "expected 1 <= n_in <= T and 1 <= first <= T, got "
                f"n_in={self.n_in}, first={self.first}, T={self.T}."
            )
        if self.n_in < self.T and self.first > self.n_in:
            raise ValueError(
                f"first: expected at most n_in={self.n_in}, got {self.first}: step "
                f"{self.n_in + 1} is to read an output for which there is no target."
            )

    @property
    def steps(self) -> list[int]:
        """The steps that have a target."""
        return list(range(self.first, self.T + 1))


def many_to_one(T: int) -> Mapping:
    """Read T inputs; only y_T has a target."""
    return Mapping("many-to-one", T, T, T)


def one_to_many(T: int) -> Mapping:
    """Read one input; each of T outputs has a target."""
    return Mapping("one-to-many", 1, 1, T)


def parallel(T: int) -> Mapping:
    """Read T inputs; each output has a target, at once."""
    return Mapping("many-to-many, parallel", T, 1, T)


def sub_part(T: int, *, n_in: int, first: int) -> Mapping:
    """Read inputs 1 ... n_in; the outputs first ... T have a target."""
    return Mapping("many-to-many, sub-part", n_in, first, T)


def inputs(
    mapping: Mapping, x: Tensor, y_star: Tensor, feed: Callable | None = None
) -> Tensor:
    """What the network reads in training: x, then its targets one step late.

    Parameters
    ----------
    x : Tensor, shape (B, n_in, D)
        The inputs from outside.
    y_star : Tensor, shape (B, len(mapping.steps), ...)
        The targets of steps first ... T.
    feed : callable
        Turns targets (B, n, ...) into inputs (B, n, D). Needed when n_in < T.

    Returns
    -------
    Tensor, shape (B, T, D)
        Step t > n_in reads feed(y*_{t-1}): never its own target.
    """
    _expect_steps("x", x, mapping.n_in)
    _expect_steps("y_star", y_star, len(mapping.steps))
    if mapping.n_in == mapping.T:
        return x
    if feed is None:
        raise ValueError(
            f"feed: expected a function, got None: steps {mapping.n_in + 1} ... "
            f"{mapping.T} read the previous target."
        )
    late = y_star[:, mapping.n_in - mapping.first : -1]  # y*_{n_in} ... y*_{T-1}
    return torch.cat([x, feed(late)], 1)  # (B, T, D)


def losses(mapping: Mapping, y: Tensor, y_star: Tensor, loss: Callable) -> Tensor:
    """L_t of each step that has a target, mean over the batch: (len(mapping.steps),).

    Parameters
    ----------
    y : Tensor, shape (B, T, K)
        Every output of the network.
    y_star : Tensor, shape (B, len(mapping.steps), ...)
    loss : callable
        ``loss(y_t, y_star_t)`` with y_t (B, K) gives the mean over B.

    >>> y, target = torch.tensor([[[1.0], [4.0]]]), torch.tensor([[[1.0]]])
    >>> losses(many_to_one(2), y, target, torch.nn.functional.mse_loss)   # (4 - 1)^2
    tensor([9.])
    """
    _expect_steps("y", y, mapping.T)
    _expect_steps("y_star", y_star, len(mapping.steps))
    judged = y[:, mapping.first - 1 :]  # (B, len(steps), K)
    pairs = zip(judged.unbind(1), y_star.unbind(1))
    return torch.stack([loss(y_t, target) for y_t, target in pairs])


def generate(net: Callable, mapping: Mapping, x: Tensor, feed: Callable) -> Tensor:
    """The outputs first ... T of a network that reads x, then its own outputs.

    Parameters
    ----------
    net : callable
        ``net(x, h_0)`` gives outputs (B, n, K) and states (B, n, H); h_0 may be None.
    x : Tensor, shape (B, n_in, D)
    feed : callable
        Turns outputs (B, 1, K) into inputs (B, 1, D): an arg max and its one-hot code,
        or the identity for a forecast.

    Returns
    -------
    Tensor, shape (B, len(mapping.steps), K)
    """
    _expect_steps("x", x, mapping.n_in)
    y, h = net(x, None)  # (B, n_in, K), (B, n_in, H)
    outputs = [y[:, mapping.first - 1 :]]
    for _ in range(mapping.T - mapping.n_in):
        y, h = net(feed(y[:, -1:]), h[:, -1])  # (B, 1, K)
        outputs.append(y)
    return torch.cat(outputs, 1)


def windows(series: Tensor, length: int, ahead: int = 1) -> tuple[Tensor, Tensor]:
    """Every window of `length` values, and the `ahead` values after each.

    Split a series in time first and cut each part by itself: windows that overlap the
    border put test values into training.

    Parameters
    ----------
    series : Tensor, shape (n,)

    Returns
    -------
    past : Tensor, shape (n - length - ahead + 1, length)
    future : Tensor, shape (n - length - ahead + 1, ahead)

    >>> past, future = windows(torch.arange(5), 2)
    >>> past.tolist(), future.tolist()
    ([[0, 1], [1, 2], [2, 3]], [[2], [3], [4]])
    """
    if series.ndim != 1 or min(length, ahead) < 1 or len(series) < length + ahead:
        raise ValueError(
            f"expected a series (n,) with n >= length + ahead >= 2, got "
            f"{tuple(series.shape)}, length={length}, ahead={ahead}."
        )
    cut = series.unfold(0, length + ahead, 1)
    return cut[:, :length], cut[:, length:]


def _expect_steps(name: str, tensor: Tensor, steps: int) -> None:
    if tensor.ndim < 2 or tensor.shape[1] != steps:
        raise ValueError(
            f"{name}: expected shape (B, {steps}, ...), got {tuple(tensor.shape)}."
        )
