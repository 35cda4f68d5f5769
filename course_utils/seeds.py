r"""Several seeds of one recurrent network in one tensor, trained together.

Introduced in chapter 7. A success rate needs many runs of small networks, and a small
network leaves the processor waiting for Python. So all parameters get a leading axis S,
one slice a seed, and ``baddbmm`` takes a step of all S networks at once. They share no
parameter, so the gradient of the summed loss is the S separate gradients side by side.

Cells: ``tanh`` and ``relu`` (the Elman network of `course_utils.elman`), ``lstm`` and
``gru`` (torch's formulas, gate order and both biases added up where only the sum counts).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}


def draw(cell: str, D: int, H: int, K: int, *, seeds: Sequence[int], dtype=None) -> dict:
    """Parameters of len(seeds) networks, each from its own generator.

    Uniform in [-1/sqrt(H), 1/sqrt(H)] as in torch, but for

    - ``tanh``: W is uniform with variance 1/H, so that its spectral radius is near 1;
    - ``relu``, the IRNN of Le et al. (2015): W is the identity, biases are zero, U and V
      are normal with deviations 0.3 and 1/sqrt(H) (the paper: 0.001, and far more steps);
    - ``lstm``: the bias of the forget gate is 1 higher.

    Returns
    -------
    dict of Tensor
        ``U`` (S, GH, D), ``W`` (S, GH, H), ``b_h`` (S, GH), ``V`` (S, K, H),
        ``b_y`` (S, K), with G gates; and ``b_n`` (S, H), the inner bias, for ``gru``.
    """
    if cell not in GATES:
        raise ValueError(f"cell: expected one of {sorted(GATES)}, got {cell!r}.")
    GH = GATES[cell] * H
    shapes = {"U": (GH, D), "W": (GH, H), "b_h": (GH,), "V": (K, H), "b_y": (K,)}
    if cell == "gru":
        shapes["b_n"] = (H,)
    columns = []
    for seed in seeds:
        g = torch.Generator().manual_seed(seed)
        one = {n: (2 * torch.rand(s, generator=g) - 1) / H**0.5 for n, s in shapes.items()}
        if cell == "tanh":
            one["W"] *= 3**0.5
        if cell == "relu":
            one = _identity(D, H, K, g)
        if cell == "lstm":
            one["b_h"][H : 2 * H] += 1.0
        columns.append(one)
    return {n: torch.stack([c[n] for c in columns]).to(dtype) for n in shapes}


def _identity(D: int, H: int, K: int, g: torch.Generator) -> dict:
    return {
        "U": 0.3 * torch.randn(H, D, generator=g), "W": torch.eye(H),
        "b_h": torch.zeros(H), "V": torch.randn(K, H, generator=g) / H**0.5,
        "b_y": torch.zeros(K),
    }


def states(cell: str, p: dict, x: Tensor, *, keep: Tensor | None = None) -> list[Tensor]:
    """The T states h_t (S, B, H) of x (S, B, T, D), from zero.

    Parameters
    ----------
    keep : Tensor, optional, shape (T, S, B, H) or (1, S, B, H)
        Multiplies h_{t-1} at step t before it enters the cell: recurrent dropout.
        A first axis of 1 is one mask for all steps.
    """
    S, B, T, _ = x.shape
    H = p["W"].shape[-1]
    inputs = torch.einsum("sbtd,sgd->tsbg", x, p["U"]) + p["b_h"][:, None]
    W_T = p["W"].mT  # (S, H, GH)
    masks = [None] * T if keep is None else keep.expand(T, -1, -1, -1).unbind(0)
    h_t = c_t = x.new_zeros(S, B, H)
    out = []
    for a_t, mask in zip(inputs.unbind(0), masks):  # (S, B, GH)
        h_in = h_t if mask is None else h_t * mask
        if cell == "gru":
            h_t = _gru(a_t, h_in, W_T, p["b_n"])
        elif cell == "lstm":
            h_t, c_t = _lstm(a_t, h_in, c_t, W_T)
        else:
            h_t = getattr(torch, cell)(torch.baddbmm(a_t, h_in, W_T))
        out.append(h_t)
    return out


def _lstm(a_t, h_prev, c_prev, W_T):
    a_t = torch.baddbmm(a_t, h_prev, W_T)  # (S, B, 4H), order i, f, g, o
    i, f, _, o = torch.sigmoid(a_t).chunk(4, -1)
    g = torch.tanh(a_t.chunk(4, -1)[2])
    c_t = torch.addcmul(f * c_prev, i, g)
    return o * torch.tanh(c_t), c_t


def _gru(a_t, h_prev, W_T, b_n):
    H = h_prev.shape[-1]
    m = h_prev @ W_T  # (S, B, 3H), order r, z, n
    r, z = torch.sigmoid(a_t[..., : 2 * H] + m[..., : 2 * H]).chunk(2, -1)
    inner = m[..., 2 * H :] + b_n[:, None]
    n = torch.tanh(torch.addcmul(a_t[..., 2 * H :], r, inner))
    return torch.lerp(n, h_prev, z)  # (1 - z) n + z h_prev


def readout(p: dict, h: Tensor) -> Tensor:
    """V h + b_y for h (S, B, H): (S, B, K)."""
    return torch.baddbmm(p["b_y"][:, None], h, p["V"].mT)


def gradient_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Global norm (S,) of each seed's gradients, over all its parameters."""
    return torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()


def clip(gradients: Sequence[Tensor], threshold: float) -> Tensor:
    """Rescale each seed's gradients in place where their global norm exceeds `threshold`.

    The slide's Algorithm 1, seed by seed. A seed whose norm is not finite gets zero.
    Returns the norms (S,) before clipping.
    """
    norms = gradient_norms(gradients)
    factor = torch.where(norms >= threshold, threshold / norms, torch.ones_like(norms))
    lost = ~norms.isfinite()
    for g in gradients:
        g.mul_(factor.view(-1, *[1] * (g.ndim - 1)))
        g[lost] = 0.0
    return norms


def flatten(p: dict) -> Tensor:
    """All parameters as rows (S, P), in the order of the dict."""
    return torch.cat([value.flatten(1) for value in p.values()], 1)


def unflatten(theta: Tensor, like: dict) -> dict:
    """The inverse of `flatten`: names and shapes of `like`, values of `theta` (S, P)."""
    parts = theta.split([v[0].numel() for v in like.values()], 1)
    return {n: t.view(v.shape) for (n, v), t in zip(like.items(), parts)}
