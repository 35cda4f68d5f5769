r"""Attention: a weighted mean of values, the weights from queries and keys.

Introduced in chapter 5 and used again in chapter 10. On top of torch's matrix products
this module adds the steps of attention one by one, masks, and the multi-head layer.

Conventions
-----------
A mask is boolean and **True means: this query may look at this key**. Rows are queries,
columns are keys, so it broadcasts to (B, T, S) with T queries and S keys. That is the
convention of ``torch.nn.functional.scaled_dot_product_attention`` and the opposite of
``torch.nn.MultiheadAttention``, whose masks say what to ignore. A query that may look at
no key at all gets NaN, as in torch: a loud answer instead of a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def real_positions(lengths: Sequence[int] | Tensor, T: int | None = None) -> Tensor:
    """Which positions of right-padded rows hold a token: (B, T), True on tokens.

    >>> real_positions([2, 3]).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    lengths = torch.as_tensor(lengths)
    if lengths.ndim != 1 or len(lengths) == 0 or int(lengths.min()) < 1:
        raise ValueError(f"lengths: expected whole numbers from 1 on, got {lengths}.")
    T = int(lengths.max()) if T is None else T
    if T < int(lengths.max()):
        raise ValueError(f"T: expected at least {int(lengths.max())}, got {T}.")
    return torch.arange(T, device=lengths.device) < lengths[:, None]  # (B, T)


def over_keys(real: Tensor) -> Tensor:
    """The mask that hides padded *keys* from every query: (B, S) to (B, 1, S)."""
    if real.dtype != torch.bool or real.ndim != 2:
        raise TypeError(
            f"real: expected booleans (B, S), True on tokens, got {real.dtype} of shape "
            f"{tuple(real.shape)}."
        )
    return real[:, None, :]


def causal(T: int, device: torch.device | str = "cpu") -> Tensor:
    """The mask of a left-to-right model: query t sees keys 0 to t, a (T, T) triangle."""
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()


def scores(Q: Tensor, K: Tensor) -> Tensor:
    r"""How well each query fits each key: :math:`QK^\top/\sqrt d`, (..., T, S).

    Vaswani et al. (2017), equation 1. Q is (..., T, d), K is (..., S, d).
    """
    if Q.shape[-1] != K.shape[-1]:
        raise ValueError(
            f"expected queries and keys of one size, got {Q.shape[-1]} and {K.shape[-1]}."
        )
    return Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1])


def weigh(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the keys (last axis); a key that is masked out gets exactly zero."""
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask: expected booleans, True = may look, got {mask.dtype}.")
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1)


def attention(
    Q: Tensor, K: Tensor, V: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Scaled dot-product attention: the means, and the weights that made them.

    .. math:: \mathrm{Attention}(Q, K, V) = \mathrm{softmax}(QK^\top / \sqrt d)\, V

    Vaswani et al. (2017), equation 1. Time and memory grow as T S.

    Parameters
    ----------
    Q, K, V : Tensor, shapes (..., T, d), (..., S, d), (..., S, D)
    mask : Tensor of bool, broadcastable to (..., T, S), True where a query may look

    Returns
    -------
    Tensor (..., T, D) and Tensor (..., T, S), whose rows sum to one.

    >>> e = torch.eye(2)
    >>> out, A = attention(torch.zeros(1, 2), e, 4 * e)     # no preference: the mean
    >>> out.tolist(), A.tolist()
    ([[2.0, 2.0]], [[0.5, 0.5]])
    """
    A = weigh(scores(Q, K), mask)  # (..., T, S)
    return A @ V, A


def entropy(A: Tensor) -> Tensor:
    """Entropy of each row of weights in nats: 0 for one key, ln S for all alike."""
    return torch.special.entr(A).sum(-1)


class MultiHead(nn.Module):
    r"""A heads side by side, each in d = D / A dimensions, mixed by W_O.

    .. math:: \mathrm{head}_a = \mathrm{Attention}(xW_Q^a, mW_K^a, mW_V^a), \qquad
              [\mathrm{head}_1; \dots; \mathrm{head}_A]\, W_O

    Vaswani et al. (2017), section 3.2.2. The A small matrices of each kind are stacked in
    one (D, D) matrix, so all heads cost one product. Dropout acts on the weights and draws
    from torch's global generator, as torch's own module does.

    Parameters
    ----------
    D, n_heads : int
        Size of the vectors, and the number of heads; D must be a multiple of it.
    D_memory : int, optional
        Size of the vectors that are looked at, if it is not D.
    """

    def __init__(
        self, D: int, n_heads: int, *, dropout: float = 0.0, D_memory: int | None = None
    ) -> None:
        super().__init__()
        if D < 1 or n_heads < 1 or D % n_heads:
            raise ValueError(f"D: expected a multiple of {n_heads} heads, got {D}.")
        self.n_heads, self.dropout = n_heads, dropout
        D_memory = D if D_memory is None else D_memory
        self.W_Q, self.W_O = nn.Linear(D, D), nn.Linear(D, D)
        self.W_K, self.W_V = nn.Linear(D_memory, D), nn.Linear(D_memory, D)

    def heads(self, x: Tensor) -> Tensor:
        """Cut the last axis into heads: (B, T, D) to (B, A, T, d)."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(-3, -2)

    def project(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, A, T, d), keys and values (B, A, S, d) of every head."""
        return (
            self.heads(self.W_Q(x)), self.heads(self.W_K(memory)),
            self.heads(self.W_V(memory)),
        )

    def forward(
        self, x: Tensor, memory: Tensor | None = None, *,
        mask: Tensor | None = None, bias: Tensor | None = None,
    ) -> Tensor:
        """New vectors (B, T, D) of x (B, T, D), which look at `memory` (B, S, D) or at x.

        `mask` broadcasts to (B, T, S), True = may look. `bias`, broadcastable to
        (B, A, T, S), is added to the scores, for instance to prefer a distance.
        """
        Q, K, V = self.project(x, x if memory is None else memory)
        out = F.scaled_dot_product_attention(
            Q, K, V, attn_mask=_combined(mask, bias, Q),
            dropout_p=self.dropout if self.training else 0.0,
        )  # (B, A, T, d): the same as `attention`, without keeping the weights
        return self.W_O(out.transpose(-3, -2).flatten(-2))  # (B, T, D)

    def weights(
        self, x: Tensor, memory: Tensor | None = None, *,
        mask: Tensor | None = None, bias: Tensor | None = None,
    ) -> Tensor:
        """The weights (B, A, T, S) that `forward` uses, without dropout."""
        Q, K, _ = self.project(x, x if memory is None else memory)
        s = scores(Q, K) if bias is None else scores(Q, K) + bias  # (B, A, T, S)
        return weigh(s, None if mask is None else _with_heads(mask))


def _with_heads(mask: Tensor) -> Tensor:
    """(T, S) stays; (B, T, S) becomes (B, 1, T, S), the same for each head."""
    if mask.dtype != torch.bool or mask.ndim not in (2, 3):
        raise TypeError(
            f"mask: expected booleans (T, S) or (B, T, S), True = may look, got "
            f"{mask.dtype} of shape {tuple(mask.shape)}."
        )
    return mask if mask.ndim == 2 else mask[:, None]


def _combined(mask: Tensor | None, bias: Tensor | None, like: Tensor) -> Tensor | None:
    if mask is not None:
        mask = _with_heads(mask)
    if bias is None:
        return mask
    bias = bias.to(like.dtype)
    return bias if mask is None else bias.masked_fill(~mask, -math.inf)


def multi_head_from_torch(module: nn.MultiheadAttention) -> MultiHead:
    """Our layer with the weights of torch's (its three input matrices lie in one)."""
    ours = MultiHead(module.embed_dim, module.num_heads, dropout=module.dropout)
    ours = ours.to(module.in_proj_weight)  # before copying, or float64 would be rounded
    weights, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    with torch.no_grad():
        for layer, W, b in zip((ours.W_Q, ours.W_K, ours.W_V), weights, biases):
            layer.weight.copy_(W)
            layer.bias.copy_(b)
        ours.W_O.load_state_dict(module.out_proj.state_dict())
    return ours


def draw_weights(
    ax, A, queries: Sequence[str], keys: Sequence[str], *, numbers: str | None = None
):
    """One head's weights (T, S) as a heat map: who looks (rows) at whom (columns)."""
    from .plotting import heatmap

    A = torch.as_tensor(A).detach().cpu().numpy()
    if A.shape != (len(queries), len(keys)):
        raise ValueError(
            f"A: expected weights of shape {len(queries), len(keys)}, got {A.shape}."
        )
    heatmap(ax, A, rows=queries, columns=keys, label="weight", numbers=numbers)
    ax.set(xlabel="looks at", ylabel="token")
    return ax
