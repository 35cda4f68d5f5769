r"""A recurrent layer written to be read, and the same with hand-written back-propagation.

Introduced in chapter 8, beside `course_utils.gated`, whose LSTM it computes. Four ideas
make it fast: the input product of all steps is one matrix product before the loop, the
four gates are one ``addmm_`` a step, since tanh(a) = 2 sigmoid(2a) - 1, one sigmoid
serves all four once the rows of g are doubled, and the gradients of all weights wait for
the end of the backward loop, see `InputProducts`. Everything overwrites what it no longer
needs: the products of a step are added to the input products, and the gates replace both.
The gradient of a sigmoid needs only its output, so nothing is lost; ``unsafe_split`` and
``unsafe_chunk`` promise autograd that nobody reads the old values. What is left is
eight operations a step forward and sixteen backward; `compiled_steps` has a compiler
merge them.
`benchmarks/recurrent.py` times all of them.

Here the gates are in torch's order i, f, g, o, so that weights can be shared with
``torch.nn.LSTM``; time comes first, as in its default.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# Gradients of both functions from their outputs, in one pass: out = d y (1 - y).
sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


class InputProducts(torch.autograd.Function):
    r"""All input products of a recurrent layer, with gradients for all of its weights.

    The input products are the pre-activations' first summand, so what reaches them in
    the backward pass is the gradient of the pre-activations, :math:`\delta a_t`. With
    :math:`a_t = x_t V + h_{t-1} W + b` it gives

    .. math::
        \delta V = \sum_t x_t^\top \delta a_t, \quad
        \delta W = \sum_{t > 1} h_{t-1}^\top \delta a_t, \quad
        \delta b = \sum_t \delta a_t,

    each in one product. The loop itself uses W detached from the graph: otherwise
    autograd makes a matrix as large as W at every step, to add it up.

    Parameters
    ----------
    x : Tensor, shape (T * B, D)
    V : Tensor, shape (D, G)
    W : Tensor, shape (H, G)
        Not read; it receives its gradient here.
    b : Tensor, shape (G,)
    states : list
        Empty. Put the states h in it, (T, B, H) and detached, before the backward pass.

    Returns
    -------
    Tensor, shape (T * B, G)
    """

    @staticmethod
    def forward(ctx, x, V, W, b, states):
        ctx.save_for_backward(x, V)
        ctx.states = states
        return torch.addmm(b, x, V)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, da):
        x, V = ctx.saved_tensors
        (h,) = ctx.states
        dx = da @ V.T if ctx.needs_input_grad[0] else None
        before = h[:-1].flatten(0, 1)  # the state before the first step is zero
        return dx, x.T @ da, before.T @ da[h.shape[1] :], da.sum(0), None


def lstm_steps(
    a: Tensor, h_t: Tensor, c_t: Tensor, W: Tensor
) -> tuple[Tensor, Tensor]:
    """Some steps of an LSTM in a row, from its input products, which are overwritten.

    Parameters
    ----------
    a : Tensor, shape (n * B, 4H)
        Input products of n steps; the columns of g are doubled, as those of W are.
    h_t, c_t : Tensor, shape (B, H)
        The state before the first of them.
    W : Tensor, shape (H, 4H)

    Returns
    -------
    h : Tensor, shape (n, B, H)
        The hidden state after each step.
    c_t : Tensor, shape (B, H)
        The cell state after the last.
    """
    h = []
    for a_t in a.unsafe_split(len(h_t)):  # (B, 4H); not a[t]: see lstm_forward_indexed
        gates = a_t.addmm_(h_t, W).sigmoid_()
        i, f, s, o = gates.unsafe_chunk(4, dim=1)
        c_t = (f * c_t).sub_(i).addcmul_(i, s, value=2)  # g = 2 s - 1
        h_t = o * torch.tanh(c_t)
        h.append(h_t)
    return torch.stack(h), c_t


@functools.cache
def compiled_steps(together: int = 20, backend: str | Callable = "inductor") -> Callable:
    """`lstm_steps` for `lstm_forward`, compiled: a fixed number of steps is one program.

    The compiler merges the elementwise operations of a step, forward and backward, and
    calls them without Python. More steps in one program save more, and take longer to
    compile: with the default about half a minute at the first call, and again for every
    new shape. The rest of T steps divided by `together` is one such shape.

    With torch's default `backend` this needs a C++ compiler (on a GPU, triton); without
    one, torch says so at that call.
    """
    if together < 1:
        raise ValueError(f"together: expected 1 step or more, got {together}.")
    block_of_steps = torch.compile(lstm_steps, dynamic=False, backend=backend)

    def steps(a, h_t, c_t, W):
        # Like all later states, the first asks for a gradient: so one program does.
        h_t, c_t = (s.clone().requires_grad_(a.requires_grad) for s in (h_t, c_t))
        h = []
        for block in a.unsafe_split(together * len(h_t)):
            h_block, c_t = block_of_steps(block, h_t, c_t, W)
            h_t = h_block[-1]
            h.append(h_block)
        return torch.cat(h), c_t

    return steps


def lstm_forward(
    x: Tensor, W_x: Tensor, W_h: Tensor, b: Tensor, steps: Callable = lstm_steps
) -> Tensor:
    """All hidden states of an LSTM that starts from zero.

    Parameters
    ----------
    x : Tensor, shape (T, B, D)
    W_x : Tensor, shape (4H, D)
    W_h : Tensor, shape (4H, H)
    b : Tensor, shape (4H,)
    steps : callable
        `lstm_steps`, or what `compiled_steps` returns.

    Returns
    -------
    Tensor, shape (T, B, H)
    """
    B, H = x.shape[1], W_h.shape[1]
    zero = x.new_zeros(B, H)
    scale = b.new_tensor([1, 1, 2, 1]).repeat_interleave(H)  # of the rows i, f, g, o
    W, states = W_h.T * scale, []
    a = InputProducts.apply(x.flatten(0, 1), W_x.T * scale, W, b * scale, states)
    h, _ = steps(a, zero, zero, W.detach())
    states.append(h.detach())
    return h


def lstm_forward_indexed(x: Tensor, W_x: Tensor, W_h: Tensor, b: Tensor) -> Tensor:
    """The plain loop, with ``a[t]`` in place of one split: the same up to rounding, slower.

    The backward pass of an index is a tensor of zeros of the whole (T, B, 4H), with one
    slice filled in, for each of the T steps: work and memory traffic in T squared.
    """
    T, B, _ = x.shape
    h_t = c_t = x.new_zeros(B, W_h.shape[1])
    a = torch.addmm(b, x.flatten(0, 1), W_x.T).view(T, B, -1)  # (T, B, 4H)
    W, h = W_h.T, []
    for t in range(T):
        i, f, g, o = torch.addmm(a[t], h_t, W).chunk(4, dim=1)
        c_t = torch.sigmoid(f) * c_t + torch.sigmoid(i) * torch.tanh(g)
        h_t = torch.sigmoid(o) * torch.tanh(c_t)
        h.append(h_t)
    return torch.stack(h)


class LSTMByHand(torch.autograd.Function):
    r"""`lstm_forward` with the backward pass written out.

    With :math:`\delta h_t`, :math:`\delta c_t` the gradients that reach the states and
    :math:`a` the pre-activations, going backwards in time:

    .. math::
        \delta c_t &\mathrel{+}= \delta h_t \odot o \odot (1 - \tanh^2 c_t) \\
        \delta a_i &= \delta c_t \odot g \odot i (1 - i), \quad
        \delta a_f = \delta c_t \odot c_{t-1} \odot f (1 - f) \\
        \delta a_g &= \delta c_t \odot i \odot (1 - g^2), \quad
        \delta a_o = \delta h_t \odot \tanh c_t \odot o (1 - o) \\
        \delta c_{t-1} &= \delta c_t \odot f, \quad
        \delta h_{t-1} = W_h^\top \delta a

    Everything that is not a recurrence is computed for all steps at once: the factors
    before the loop, the gradients of the weights after it.
    """

    @staticmethod
    def forward(ctx, x, W_x, W_h, b):
        T, B, _ = x.shape
        H = W_h.shape[1]
        scale = b.new_tensor([1, 1, 2, 1]).repeat_interleave(H)
        gates = torch.addmm(b * scale, x.flatten(0, 1), W_x.T * scale).view(T, B, 4 * H)
        W = (W_h.T * scale).contiguous()
        c, tanh_c, h = x.new_empty(3, T, B, H).unbind(0)
        h_t = c_t = x.new_zeros(B, H)
        views = (gates, *gates.chunk(4, dim=2), c, tanh_c, h)
        for a_t, i, f, s, o, c_new, tanh_c_t, h_new in zip(*(v.unbind(0) for v in views)):
            a_t.addmm_(h_t, W).sigmoid_()
            c_t = torch.mul(f, c_t, out=c_new).sub_(i).addcmul_(i, s, value=2)  # g = 2 s - 1
            h_t = torch.mul(o, torch.tanh(c_t, out=tanh_c_t), out=h_new)
        gates[:, :, 2 * H : 3 * H].mul_(2).sub_(1)  # from s to g
        ctx.save_for_backward(x, W_x, W_h, gates, c, tanh_c, h)
        return h

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dh):
        x, W_x, W_h, gates, c, tanh_c, h = ctx.saved_tensors
        T, B, H = h.shape
        da, through_h = _factors(gates, c, tanh_c)
        dh = dh.clone(memory_format=torch.contiguous_format)  # overwritten below
        dh_t, dc_t = dh[-1], h.new_zeros(B, H)
        dc_wide = dc_t.unsqueeze(1)  # for i, f and g at once
        cell_part = da[:, :, : 3 * H].unflatten(2, (3, H))  # i, f, g: they wait for dc
        f = gates[:, :, H : 2 * H]
        views = (da, cell_part, da[:, :, 3 * H :], through_h, f)
        steps = zip([dh[0], *dh[:-1].unbind(0)], *(v.unbind(0) for v in views))
        for dh_before, da_t, cell_t, out_t, through_t, f_t in reversed(list(steps)):
            dc_t.addcmul_(dh_t, through_t)
            cell_t *= dc_wide
            out_t *= dh_t
            dc_t *= f_t
            dh_t = dh_before.addmm_(da_t, W_h)  # (B, H)
        da = da.flatten(0, 1)  # (T * B, 4H)
        dx = (da @ W_x).view_as(x) if ctx.needs_input_grad[0] else None
        dW_x = x.flatten(0, 1).T @ da  # (D, 4H): faster this way round
        dW_h = h[:-1].flatten(0, 1).T @ da[B:]  # h before the first step is zero
        return dx, dW_x.T, dW_h.T, da.sum(0)


def _factors(gates: Tensor, c: Tensor, tanh_c: Tensor) -> tuple[Tensor, Tensor]:
    """What multiplies dc_t and dh_t in each gate (T, B, 4H), and dh_t on its way to c."""
    i, f, g, o = gates.chunk(4, dim=2)
    factors = torch.empty_like(gates)
    to_i, to_f, to_g, to_o = factors.chunk(4, dim=2)
    sigmoid_backward(g, i, grad_input=to_i)  # g i (1 - i)
    to_f[0] = 0.0  # the cell before the first step
    sigmoid_backward(c[:-1], f[1:], grad_input=to_f[1:])
    tanh_backward(i, g, grad_input=to_g)  # i (1 - g^2)
    sigmoid_backward(tanh_c, o, grad_input=to_o)
    return factors, torch.ops.aten.tanh_backward(o, tanh_c)


class LSTM(nn.Module):
    """One LSTM layer on (T, B, D), from a zero state; returns all h (T, B, H).

    Parameters
    ----------
    by_hand : bool
        Use the hand-written backward pass instead of autograd.
    compiled : bool
        Compile the loop at the first call, see `compiled_steps`.
    forget_bias : float
        Initial bias of the forget gate (one bias, so it is counted once).
    """

    def __init__(
        self, D: int, H: int, *, by_hand: bool = False, compiled: bool = False,
        forget_bias: float = 0.0, generator: torch.Generator | None = None,
    ):
        super().__init__()
        if by_hand and compiled:
            raise ValueError("by_hand, compiled: expected one of them, got both.")
        bound = 1 / math.sqrt(H)

        def draw(*shape):
            return nn.Parameter((torch.rand(shape, generator=generator) * 2 - 1) * bound)

        self.W_x, self.W_h, self.b = draw(4 * H, D), draw(4 * H, H), draw(4 * H)
        with torch.no_grad():
            self.b[H : 2 * H] += forget_bias
        self.by_hand, self.compiled = by_hand, compiled

    def copy_from(self, module: nn.LSTM) -> LSTM:
        """Take the weights of a one-layer ``torch.nn.LSTM`` (its biases added up)."""
        with torch.no_grad():
            self.W_x.copy_(module.weight_ih_l0)
            self.W_h.copy_(module.weight_hh_l0)
            self.b.copy_(module.bias_ih_l0 + module.bias_hh_l0)
        return self

    def forward(self, x: Tensor) -> Tensor:
        weights = self.W_x, self.W_h, self.b
        if self.by_hand:
            return LSTMByHand.apply(x, *weights)
        steps = compiled_steps() if self.compiled else lstm_steps
        return lstm_forward(x, *weights, steps)
