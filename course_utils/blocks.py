r"""Negative sampling in blocks: many pairs in one small matrix product.

Introduced in chapter 3, section "A trainer". The words of a text are laid on one line;
a block is b neighbouring positions, with w more on each side. All pairs of a block are
entries of one product of b centres with b + 2w contexts, and all its centres share N
negatives, each with weight K c_i / N for a centre with c_i contexts. So the expected
gradient is that of K negatives for each pair. `word2vec.NegativeSampling` is the oracle.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Blocks(NamedTuple):
    """n blocks of b positions; pad positions hold the id N, one past the vocabulary.

    ``line`` (n, b + 2w): ids of the positions and their halo; ``radius`` (n, b): the
    window of each centre, 0 on pads; ``negatives`` (n, M).
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


def add_rows(table: Tensor, ids: Tensor, rows: Tensor) -> None:
    """Add rows (n, m, D) to the rows `ids` (n m) of the table, repeated ids included."""
    D = table.shape[1]
    table.scatter_add_(0, ids[:, None].expand(-1, D), rows.view(-1, D))


def skip_gram_step(W: Tensor, W_out: Tensor, batch: Blocks, band: Tensor, weight: Tensor,
                   rate: float) -> None:
    r"""One step of SGD on a batch of blocks, in place.

    .. math::
        G = -\eta \, [\, M \odot (\sigma(S_c) - 1), \; \tfrac{K c_i}{N} \sigma(S_n) \,],
        \quad S = V U^\top, \quad \Delta V = G U, \quad \Delta U = G^\top V

    Parameters
    ----------
    W, W_out : Tensor, shape (N + 1, D)
        The last row is the pad's, zero, and stays zero.
    band : Tensor, shape (n, b, b + 2w)
        M, see `bands`.
    weight : Tensor, shape (n, b, 1)
        K / N times the number c_i of contexts of each centre; N negatives in a block.
    """
    n, length = batch.line.shape
    b, D = batch.radius.shape[1], W.shape[1]
    w = (length - b) // 2
    centre = batch.line[:, w : w + b].reshape(-1)  # (n b)
    asked = torch.cat([batch.line, batch.negatives], dim=1).view(-1)  # (n (b + 2w + N))
    V = W.index_select(0, centre).view(n, b, D)
    U = W_out.index_select(0, asked).view(n, -1, D)  # (n, b + 2w + N, D)
    G = torch.bmm(V, U.transpose(1, 2)).sigmoid_()  # (n, b, b + 2w + N)
    G[:, :, :length].sub_(1).mul_(band)
    G[:, :, length:].mul_(weight)
    G.mul_(-rate)
    add_rows(W, centre, torch.bmm(G, U))
    add_rows(W_out, asked, torch.bmm(G.transpose(1, 2), V))


def cbow_step(W: Tensor, W_out: Tensor, batch: Blocks, band: Tensor, weight: Tensor,
              rate: float) -> None:
    r"""The same for CBoW: h is the mean of the contexts, A the band with rows of sum 1.

    .. math::
        H = A V, \quad \delta H_i = (\sigma(H_i U_i) - 1) U_i
            + \tfrac{K}{N} \sigma(H_i U_n^\top) U_n, \quad \delta V = A^\top \delta H

    A centre without context asks nothing: its weight is zero. Parameters as in
    `skip_gram_step`, with A for `band`, and K / N or 0 for `weight`.
    """
    n, length = batch.line.shape
    b, D = batch.radius.shape[1], W.shape[1]
    w = (length - b) // 2
    inputs = batch.line.reshape(-1)  # (n (b + 2w))
    asked = torch.cat([batch.line[:, w : w + b], batch.negatives], dim=1).view(-1)
    V = W.index_select(0, inputs).view(n, length, D)
    U = W_out.index_select(0, asked).view(n, -1, D)  # (n, b + N, D)
    own, noise = U[:, :b], U[:, b:]
    H = torch.bmm(band, V)  # (n, b, D)
    g = (H * own).sum(2, keepdim=True).sigmoid_().sub_(1)  # (n, b, 1)
    g.mul_(weight > 0).mul_(-rate)
    G = torch.bmm(H, noise.transpose(1, 2)).sigmoid_().mul_(weight).mul_(-rate)
    dH = torch.baddbmm(g * own, G, noise)  # (n, b, D)
    dU = torch.cat([g * H, torch.bmm(G.transpose(1, 2), H)], dim=1)  # (n, b + N, D)
    add_rows(W, inputs, torch.bmm(band.transpose(1, 2), dH))
    add_rows(W_out, asked, dU)
