r"""Several independent trainings of one recurrent model, in one tensor.

Introduced in chapter 8, to compare cells fairly: a claim needs several seeds and a
learning rate for each contender, and a small recurrent layer leaves a processor idle.
So S copies with their own weights, batches and learning rates are trained side by side;
every product is a batched one (``baddbmm``). Copies never touch each other: the sum of
their losses has, for each, exactly its own gradient.

Cells and gate order are torch's (RNN; GRU: r, z, n; LSTM: i, f, g, o). Recurrent blocks
start orthogonal, the rest uniform on (-1/sqrt(H), 1/sqrt(H)), for every cell alike.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def parameters_of(cell: str, D: int, H: int, K: int = 0) -> int:
    """Learned numbers of one layer: a block of (H, H + D) and a bias for each gate.

    The GRU has one bias more, beside its recurrent product (torch's `b_hn`). With K, an
    affine read-out of K (H + 1) numbers is counted too.

    >>> parameters_of("rnn", 2, 3), parameters_of("gru", 2, 3), parameters_of("lstm", 2, 3)
    (18, 57, 72)
    """
    layer = GATES[cell] * H * (H + D + 1) + (H if cell == "gru" else 0)
    return layer + K * (H + 1)


def hidden_for(cell: str, D: int, n_parameters: int, K: int = 0) -> int:
    """The largest H with `parameters_of` at most `n_parameters`."""
    H = 0
    while parameters_of(cell, D, H + 1, K) <= n_parameters:
        H += 1
    if H == 0:
        raise ValueError(f"n_parameters: {n_parameters} is too few for a {cell} unit.")
    return H


def rnn_loop(a: Tensor, W_h_T: Tensor, state: Tensor, _: Tensor) -> Tensor:
    """Elman cell, tanh. a: (T, S, B, H) input products; state: (S, B, H)."""
    h = []
    for a_t in a.unbind(0):
        state = torch.baddbmm(a_t, state, W_h_T).tanh_()
        h.append(state)
    return torch.stack(h)


def gru_loop(a: Tensor, W_h_T: Tensor, state: Tensor, b_hn: Tensor) -> Tensor:
    """GRU in torch's convention: z keeps the past, r acts after the product."""
    h, H = [], state.shape[-1]
    gates, candidate = a.split([2 * H, H], dim=-1)
    W_gates, W_candidate = W_h_T.split([2 * H, H], dim=-1)
    for gates_t, x_t in zip(gates.unbind(0), candidate.unbind(0)):
        r_z = torch.baddbmm(gates_t, state, W_gates).sigmoid_()
        r, z = r_z.chunk(2, dim=-1)
        n = torch.addcmul(x_t, r, torch.baddbmm(b_hn, state, W_candidate)).tanh_()
        state = torch.lerp(n, state, z)  # n + z (h - n)
        h.append(state)
    return torch.stack(h)


def lstm_loop(a: Tensor, W_h_T: Tensor, state: Tensor, _: Tensor) -> Tensor:
    """LSTM. a: (T, S, B, 4H). Gates in place, as in `course_utils.recurrent`."""
    h, c_t = [], state
    for a_t in a.unbind(0):
        i, f, g, o = torch.baddbmm(a_t, state, W_h_T).unsafe_chunk(4, dim=-1)
        c_t = f.sigmoid_() * c_t + i.sigmoid_() * g.tanh_()
        state = o.sigmoid_() * torch.tanh(c_t)
        h.append(state)
    return torch.stack(h)


LOOPS = {"rnn": rnn_loop, "gru": gru_loop, "lstm": lstm_loop}


class ReplicaLayer(nn.Module):
    """S recurrent layers with their own weights: (S, B, T, D) to (S, B, T, H).

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    S, D, H : int
        Copies, input size, hidden size.
    forget_bias : float or Tensor, shape (S,)
        Initial bias of the gate that keeps the past: the LSTM's f, the GRU's z.
    """

    def __init__(
        self, cell: str, S: int, D: int, H: int, *, generator: torch.Generator,
        forget_bias: float | Tensor = 1.0,
    ):
        super().__init__()
        if cell not in GATES:
            raise ValueError(f"cell: expected one of {tuple(GATES)}, got {cell!r}.")
        G, self.cell, self.H = GATES[cell], cell, H
        self.W_x = nn.Parameter(uniform((S, G * H, D), H, generator))
        self.W_h = nn.Parameter(
            torch.stack([
                torch.cat([orthogonal(H, generator) for _ in range(G)]) for _ in range(S)
            ])
        )
        self.b = nn.Parameter(uniform((S, 1, G * H), H, generator))
        self.b_hn = nn.Parameter(torch.zeros(S, 1, H), requires_grad=cell == "gru")
        if cell != "rnn":
            with torch.no_grad():
                self.b[..., H : 2 * H] += torch.as_tensor(forget_bias).view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        S, B, T, D = x.shape
        a = torch.baddbmm(self.b, x.transpose(1, 2).reshape(S, T * B, D), self.W_x.mT)
        a = a.view(S, T, B, -1).transpose(0, 1)  # (T, S, B, G * H)
        start = x.new_zeros(S, B, self.H)
        h = LOOPS[self.cell](a, self.W_h.mT, start, self.b_hn)  # (T, S, B, H)
        return h.permute(1, 2, 0, 3)  # (S, B, T, H)


class ReplicaLinear(nn.Module):
    """S affine maps with their own weights: (S, ..., H) to (S, ..., K)."""

    def __init__(self, S: int, H: int, K: int, *, generator: torch.Generator):
        super().__init__()
        self.V = nn.Parameter(uniform((S, K, H), H, generator))
        self.b_y = nn.Parameter(torch.zeros(S, 1, K))

    def forward(self, h: Tensor) -> Tensor:
        flat = h.flatten(1, -2)  # (S, n, H)
        return torch.baddbmm(self.b_y, flat, self.V.mT).unflatten(1, h.shape[1:-1])


class ReplicaEmbedding(nn.Module):
    """S look-up tables (N, D): integers (S, B, T) to vectors (S, B, T, D)."""

    def __init__(self, S: int, N: int, D: int, *, generator: torch.Generator):
        super().__init__()
        self.E = nn.Parameter(torch.randn(S, N, D, generator=generator) * 0.3)

    def forward(self, ids: Tensor) -> Tensor:
        S, N, D = self.E.shape
        rows = ids + N * torch.arange(S, device=ids.device).view(S, 1, 1)
        return nn.functional.embedding(rows, self.E.view(S * N, D))


class ReplicaModel(nn.Module):
    """S models of one make: (embedding,) recurrent layers, affine read-out.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    S : int
    sizes : (int, int, int)
        D, H, K: input (or embedding), hidden, output.
    layers : int
        Stacked recurrent layers; the k-th reads the hidden states of the one below.
    n_vocab : int, optional
        With it, inputs are integers and go through a look-up table first.
    """

    def __init__(
        self, cell: str, S: int, sizes: tuple[int, int, int], *,
        generator: torch.Generator, layers: int = 1, n_vocab: int | None = None,
        forget_bias: float | Tensor = 1.0,
    ):
        super().__init__()
        D, H, K = sizes
        self.embedding = None
        if n_vocab is not None:
            self.embedding = ReplicaEmbedding(S, n_vocab, D, generator=generator)
        self.layers = nn.ModuleList(
            ReplicaLayer(
                cell, S, D if k == 0 else H, H, generator=generator,
                forget_bias=forget_bias,
            )
            for k in range(layers)
        )
        self.head = ReplicaLinear(S, H, K, generator=generator)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Outputs of all steps (S, B, T, K), or of step `lengths` - 1: (S, B, K)."""
        h = x if self.embedding is None else self.embedding(x)
        for layer in self.layers:
            h = layer(h)  # (S, B, T, H)
        if lengths is not None:
            index = (lengths - 1)[..., None, None].expand(-1, -1, 1, h.shape[-1])
            h = h.gather(2, index).squeeze(2)  # (S, B, H)
        return self.head(h)


class ReplicaAdam:
    """Adam (Kingma and Ba, 2015) with a learning rate and a gradient clip per copy.

    Parameters
    ----------
    parameters : iterable of Parameter
        Each with S as its first axis.
    lr : Tensor, shape (S,)
    clip : float
        Largest norm of a copy's whole gradient (chapter 7's rule, copy by copy).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: Tensor, clip: float = 1.0):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.lr, self.clip, self.steps = lr, clip, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> None:
        """One update with ``scale * lr``; gradients are then dropped."""
        self.steps += 1
        gradients = [p.grad for p in self.parameters]
        square = sum(g.flatten(1).square().sum(1) for g in gradients)  # (S,)
        factor = (self.clip / square.sqrt().clamp_min(1e-12)).clamp_max(1.0)
        correction = (1 - 0.999**self.steps) ** 0.5
        size = scale * self.lr / (1 - 0.9**self.steps)
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v):
            per_copy = (-1,) + (1,) * (g.ndim - 1)
            g = g * factor.view(per_copy)
            m.lerp_(g, 0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            p -= size.view(per_copy) * m / (v.sqrt() / correction + 1e-8)
            p.grad = None


def uniform(shape, H: int, generator: torch.Generator) -> Tensor:
    """Uniform on (-1/sqrt(H), 1/sqrt(H))."""
    return (torch.rand(shape, generator=generator) * 2 - 1) / H**0.5


def orthogonal(H: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix (H, H): QR of a Gaussian one, signs made unbiased."""
    Q, R = torch.linalg.qr(torch.randn(H, H, generator=generator))
    return Q * R.diagonal().sign()
