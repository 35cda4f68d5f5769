r"""Dropout in recurrent networks: the same mask at every step, or a new one.

Introduced in chapter 7 (Gal and Ghahramani, 2016). A mask is a tensor of zeros and of
1 / (1 - rate), so that nothing has to be rescaled when it is left out (evaluation).
Its first axis is time: length 1 for one mask shared by all steps, T for one a step.

The networks are stacks of seeds, see `course_utils.seeds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import seeds


def mask(shape: tuple[int, ...], rate: float, *, generator: torch.Generator) -> Tensor:
    """Zeros with probability `rate`, else 1 / (1 - rate): the mean is 1.

    >>> mask((2, 3), 0.0, generator=torch.Generator())
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: expected 0 <= rate < 1, got {rate}.")
    draw = torch.rand(shape, generator=generator, device=generator.device)
    return (draw >= rate).float() / (1 - rate)


@dataclass(frozen=True)
class Masks:
    """What multiplies the input, the recurrent state and the output of each step.

    Each is None (no dropout there), or (1 or T, S, B, size).
    """

    x: Tensor | None = None
    h: Tensor | None = None
    y: Tensor | None = None


def draw(
    kind: str, rate: float, *, steps: int, shape: tuple[int, int, int, int],
    generator: torch.Generator,
) -> Masks:
    """The masks of one batch.

    Parameters
    ----------
    kind : str
        ``"none"``; ``"naive"``: new masks at each step, none on the recurrent
        connection (Zaremba et al., 2014; left half of the lecture's figure);
        ``"resampled"``: new masks at each step, the recurrent connection included;
        ``"variational"``: one mask for all steps, the recurrent connection included
        (Gal and Ghahramani, 2016; right half of the figure).
    steps : int
        T.
    shape : (S, B, D, H)
        Seeds, sequences, size of an input, size of a state.
    """
    if kind == "none":
        return Masks()
    times = {"naive": steps, "resampled": steps, "variational": 1}
    if kind not in times:
        raise ValueError(f"kind: expected one of {['none', *times]}, got {kind!r}.")
    S, B, D, H = shape
    x, h, y = (
        mask((times[kind], S, B, size), rate, generator=generator) for size in (D, H, H)
    )
    return Masks(x, None if kind == "naive" else h, y)


def same_over_time(kept: Tensor) -> bool:
    """Whether a mask (1 or T, ...) is the same at every step.

    >>> same_over_time(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    True
    >>> same_over_time(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    False
    """
    return bool((kept == kept[:1]).all())


def draw_model(N: int, D: int, H: int, *, seeds_: range) -> dict:
    """A stack of LSTM language models: `seeds.draw` and an embedding ``E`` (S, N, D)."""
    p = seeds.draw("lstm", D, H, N, seeds=seeds_)
    rows = [torch.randn(N, D, generator=torch.Generator().manual_seed(s)) for s in seeds_]
    return {"E": torch.stack(rows) / D**0.5, **p}


def scores(p: dict, ids: Tensor, masks: Masks | None = None) -> Tensor:
    """Scores (S, B, T, N) of the next symbol after each of ids (B, T) or (S, B, T).

    Without masks: evaluation, the same numbers at every call.
    """
    masks = masks or Masks()
    S = len(p["E"])
    ids = ids.expand(S, *ids.shape[-2:])  # (S, B, T)
    x = p["E"][torch.arange(S)[:, None, None], ids]  # (S, B, T, D)
    if masks.x is not None:
        x = x * masks.x.movedim(0, 2)
    h = torch.stack(seeds.states("lstm", p, x, keep=masks.h))  # (T, S, B, H)
    if masks.y is not None:
        h = h * masks.y
    y = torch.einsum("tsbh,snh->sbtn", h, p["V"])
    return y + p["b_y"][:, None, None]


def nats(p: dict, ids: Tensor, targets: Tensor, masks: Masks | None = None) -> Tensor:
    """Sum over B and T of -log p(target), for each seed: (S,)."""
    logs = torch.log_softmax(scores(p, ids, masks), -1)
    index = targets.expand(logs.shape[:-1])[..., None]
    return -logs.gather(-1, index).sum((1, 2, 3))
