r"""Negative sampling in blocks: many pairs in one small matrix product.

Introduced in chapter 3, section "A trainer". The words of a text are laid on one line;
a block is b neighbouring positions, with w more on each side. All pairs of a block are
entries of one product of b centres with b + 2w contexts. The centres of a block share J
negatives, each with weight K c_i / J for a centre with c_i contexts. So the expected
gradient is that of K negatives for each pair. The oracle is `word2vec.NegativeSampling`.

All gradients of an update are taken at the same weights. A row that would make too many
such steps at once makes fewer, see `damping`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


BOUND = 4.0  # of rate times the steps that a row makes in one update


class Blocks(NamedTuple):
    """n blocks of b positions; pad positions hold the id N, one past the vocabulary.

    ``line`` (n, b + 2w): ids of the positions and their halo; ``radius`` (n, b): the
    window of each centre, 0 on pads; ``negatives`` (n, J).
    """

    line: Tensor
    radius: Tensor
    negatives: Tensor


def lay_out(ids: Tensor, sentence: Tensor, w: int, pad: int, b: int) -> Tensor:
    """Lay sentences on one line with `w` pads between, and cut it: (n, b + 2w).

    Parameters
    ----------
    ids : Tensor, shape (T,)
    sentence : Tensor, shape (T,)
        Number of the sentence of each token, not decreasing.
    w : int
        Half-width of the window; so no window reaches over a sentence end.
    """
    T = len(ids)
    new = torch.zeros_like(sentence)
    new[1:] = sentence[1:] != sentence[:-1]
    place = torch.arange(T, device=ids.device) + w * new.cumsum(0) + w  # (T,)
    n = -(-(int(place[-1]) + 1 - w) // b) if T else 0
    line = ids.new_full((n * b + 2 * w,), pad)
    line[place] = ids
    return line.unfold(0, b + 2 * w, b) if n else line.new_empty(0, b + 2 * w)


def band_table(b: int, w: int, device: torch.device | str = "cpu") -> Tensor:
    """1 where place j of the halo is within r of centre i, else 0: (w + 1, b, b + 2w)."""
    halo = torch.arange(b + 2 * w, device=device)
    distance = (halo - halo[:b, None] - w).abs()  # (b, b + 2w)
    reach = torch.arange(w + 1, device=device)[:, None, None]
    return ((distance <= reach) & (distance > 0)).to(torch.get_default_dtype())


def bands(line: Tensor, radius: Tensor, pad: int, table: Tensor) -> Tensor:
    """1 where a position is a context of a centre, else 0: (n, b, b + 2w)."""
    reach, b, length = table.shape
    row = radius * b + torch.arange(b, device=line.device)  # (n, b)
    band = table.view(reach * b, length).index_select(0, row.view(-1))
    return band.view(-1, b, length).mul_((line != pad)[:, None])


def damping(n_rows: int, ids: Tensor, steps: Tensor, rate: float, bound: float) -> Tensor:
    r"""Factors that keep rate times the steps of a row within a bound, for each of `ids`.

    .. math:: d_j = \min\left(1, \frac{B}{\eta s_j}\right), \qquad
              s_j = \sum_{m : \, \mathrm{id}_m = j} \mathrm{steps}_m

    A row makes :math:`s_j` logistic steps from one place. The curvature of their sum is at
    most :math:`s_j \|x\|^2 / 4`, x the longest vector on the other side, so a step of
    length :math:`\eta` cannot overshoot while :math:`\eta s_j \le 8 / \|x\|^2`. All of
    a row's gradients shrink alike: where it comes to rest does not change.

    Parameters
    ----------
    ids, steps : Tensor, shape (m,)
        Ids repeat; steps are weights of pairs, not negative.

    >>> ids, steps = torch.tensor([0, 1, 0]), torch.tensor([3.0, 1.0, 5.0])
    >>> damping(2, ids, steps, rate=0.5, bound=1.0).tolist()
    [0.25, 1.0, 0.25]
    """
    total = steps.new_zeros(n_rows).index_add_(0, ids, steps)  # (n_rows)
    return (bound / (rate * total.index_select(0, ids))).clamp_(max=1)


def add(table: Tensor, ids: Tensor, rows: Tensor) -> None:
    """Add rows (n, m, D) to the rows `ids` (n m) of a table; ids repeat."""
    rows = rows.view(len(ids), -1)
    table.scatter_add_(0, ids[:, None].expand_as(rows), rows)


def skip_gram_step(W: Tensor, W_out: Tensor, batch: Blocks, band: Tensor, weight: Tensor,
                   rate: float, bound: float = BOUND) -> None:
    r"""One step of SGD on a batch of blocks, in place, busy rows damped.

    .. math::
        G = -\eta \left[ M \odot (\sigma(V U^\top) - 1), \;
            \tfrac{K c_i}{J} \, \sigma(V Z^\top) \right], \quad
        \Delta V = d_V \odot G \begin{bmatrix} U \\ Z \end{bmatrix}, \quad
        \begin{bmatrix} \Delta U \\ \Delta Z \end{bmatrix} = (d_{UZ} \odot G)^\top V,

    U the rows of the places, Z those of the drawn words, d the factors of `damping`.

    Parameters
    ----------
    W, W_out : Tensor, shape (N + 1, D)
        The last row is the pad's, zero, and stays zero.
    band : Tensor, shape (n, b, b + 2w)
        M, see `bands`.
    weight : Tensor, shape (n, b, 1)
        K / J times the number c_i of contexts of each centre; J negatives in a block.
    bound : float
        Of `damping`; infinity for plain SGD.
    """
    n, length = batch.line.shape
    b, J, D = batch.radius.shape[1], batch.negatives.shape[1], W.shape[1]
    w = (length - b) // 2
    centre = batch.line[:, w : w + b].reshape(-1)  # (n b)
    asked = torch.cat([batch.line, batch.negatives], dim=1).view(-1)  # (n (b + 2w + J))
    made = band.sum(2).add_(weight[..., 0], alpha=J)  # (n, b), steps of the rows of V
    taken = torch.cat([band.sum(1), weight.sum(1).expand(-1, J)], dim=1)  # those of U and Z
    V = W.index_select(0, centre).view(n, b, D)
    UZ = W_out.index_select(0, asked).view(n, -1, D)
    G = torch.bmm(V, UZ.transpose(1, 2)).sigmoid_()  # (n, b, b + 2w + J)
    G[..., :length].sub_(1).mul_(band)
    G[..., length:].mul_(weight)
    dV = torch.bmm(G, UZ)  # (n, b, D)
    dV.mul_(damping(len(W), centre, made.view(-1), rate, bound).mul_(-rate).view(n, b, 1))
    d = damping(len(W_out), asked, taken.view(-1), rate, bound).mul_(-rate)
    dUZ = torch.bmm(G.mul_(d.view(n, 1, -1)).transpose(1, 2), V)  # G has fewer numbers
    add(W, centre, dV)
    add(W_out, asked, dUZ)


def cbow_step(W: Tensor, W_out: Tensor, batch: Blocks, band: Tensor, weight: Tensor,
              rate: float, bound: float = BOUND) -> None:
    r"""The same for CBoW: h is the mean of the contexts, A the band with rows of sum 1.

    .. math::
        H = A V, \quad g_i = -\eta (\sigma(H_i U_i) - 1), \quad
        F = -\eta \tfrac{K}{J} \sigma(H Z^\top), \quad
        \Delta V = A^\top (g \odot U + F Z), \quad
        \Delta U = g \odot H, \quad \Delta Z = F^\top H,

    each row damped. A centre without context asks nothing: its weight is zero. Parameters
    as in `skip_gram_step`, with A for `band`, and K / J or 0 for `weight`.
    """
    n, length = batch.line.shape
    b, J, D = batch.radius.shape[1], batch.negatives.shape[1], W.shape[1]
    w = (length - b) // 2
    inputs = batch.line.reshape(-1)  # (n (b + 2w))
    asked = torch.cat([batch.line[:, w : w + b], batch.negatives], dim=1).view(-1)
    active = (weight > 0).to(weight.dtype)  # (n, b, 1)
    made = torch.bmm(band.transpose(1, 2), active + J * weight)  # steps of the rows of V
    taken = torch.cat([active[..., 0], weight.sum(1).expand(-1, J)], dim=1)  # of U and Z
    V = W.index_select(0, inputs).view(n, length, D)
    U, Z = W_out.index_select(0, asked).view(n, -1, D).split([b, J], dim=1)
    H = torch.bmm(band, V)  # (n, b, D)
    g = (H * U).sum(2, keepdim=True).sigmoid_().sub_(1).mul_(active).mul_(-rate)  # (n, b, 1)
    F = torch.bmm(H, Z.transpose(1, 2)).sigmoid_().mul_(weight).mul_(-rate)  # (n, b, J)
    dV = torch.bmm(band.transpose(1, 2), (g * U).baddbmm_(F, Z))  # (n, b + 2w, D)
    dUZ = torch.cat([g * H, torch.bmm(F.transpose(1, 2), H)], dim=1)  # (n, b + J, D)
    dV.mul_(damping(len(W), inputs, made.view(-1), rate, bound).view(n, -1, 1))
    dUZ.mul_(damping(len(W_out), asked, taken.view(-1), rate, bound).view(n, -1, 1))
    add(W, inputs, dV)
    add(W_out, asked, dUZ)
