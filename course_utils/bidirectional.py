"""Recurrent layers that read a sentence from both ends, on ragged batches.

Introduced in chapter 9. To the recurrences of chapters 6 and 8 it adds the reversal
within each sentence's own length, so that neither padding nor the other sentences of a
batch can be seen, and `influence`, the test of which input positions an output reads.

Letters follow the lecture's slide on bi-directional RNNs, where they are not those of
the Elman RNN: here `W` (H, D) reads the input, `V` (H, H) the previous state, and
`U` (K, 2H) the two states of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Direction = tuple[Tensor, Tensor, Tensor]
"""The parameters ``(W, V, b)`` of one direction: (H, D), (H, H), (H,)."""


def token_mask(lengths: Tensor, n_steps: int) -> Tensor:
    """True where a token stands, False on padding: (B,) -> (B, T).

    >>> token_mask(torch.tensor([3, 1]), 3).int().tolist()
    [[1, 1, 1], [1, 0, 0]]
    """
    _expect_lengths(lengths, n_steps)
    return torch.arange(n_steps, device=lengths.device) < lengths[:, None]


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Turn each sentence round within its own length; padding stays where it is.

    Applied twice it gives back `x`. ``x.flip(1)`` would bring the padding to the front
    of every short sentence.

    Parameters
    ----------
    x : Tensor, shape (B, T, ...)
    lengths : Tensor of int64, shape (B,)
        Tokens of each sentence, between 1 and T.

    >>> reverse(torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])).tolist()
    [[3, 2, 1], [5, 4, 0]]
    """
    n_steps = x.shape[1]
    _expect_lengths(lengths, n_steps)
    t = torch.arange(n_steps, device=x.device).expand(len(x), -1)      # (B, T)
    last = lengths.to(x.device)[:, None] - 1                           # (B, 1)
    source = torch.where(t <= last, last - t, t)                       # (B, T)
    index = source.reshape(*source.shape, *[1] * (x.dim() - 2))
    return x.gather(1, index.expand_as(x))


def recur(x: Tensor, direction: Direction, f: Callable = torch.tanh) -> Tensor:
    r"""One direction of the slide, from left to right and from a zero state.

    .. math:: h_t = f(W x_t + V h_{t-1} + b)

    Parameters
    ----------
    x : Tensor, shape (B, T, D)
    direction : (W, V, b)
        Shapes (H, D), (H, H), (H,).

    Returns
    -------
    Tensor, shape (B, T, H)
    """
    W, V, b = direction
    h_t = x.new_zeros(len(x), len(b))                                  # (B, H)
    states = []
    for a_t in (x @ W.T + b).unbind(1):                                # (B, H)
        h_t = f(a_t + h_t @ V.T)
        states.append(h_t)
    return torch.stack(states, dim=1)                                  # (B, T, H)


def birnn(
    x: Tensor, lengths: Tensor, forward: Direction, backward: Direction,
    f: Callable = torch.tanh,
) -> Tensor:
    r"""Both directions of the slide, side by side: (B, T, D) -> (B, T, 2H).

    .. math::
        \vec h_t = f(\vec W x_t + \vec V \vec h_{t-1} + \vec b), \quad
        \overleftarrow h_t = f(\overleftarrow W x_t
            + \overleftarrow V \overleftarrow h_{t+1} + \overleftarrow b), \quad
        h_t = [\vec h_t; \overleftarrow h_t]

    (Schuster and Paliwal, 1997; slide "Bi-directional RNNs"). Rows on padding are zero.
    """
    h_fwd = recur(x, forward, f)                                       # (B, T, H)
    h_bwd = reverse(recur(reverse(x, lengths), backward, f), lengths)  # (B, T, H)
    h = torch.cat([h_fwd, h_bwd], dim=-1)                              # (B, T, 2H)
    return h * token_mask(lengths, x.shape[1])[..., None]


def deep_birnn(
    x: Tensor, lengths: Tensor, layers: Sequence[tuple[Direction, Direction]],
    f: Callable = torch.tanh,
) -> Tensor:
    r"""Stacked bi-RNN: layer i reads :math:`h_t^{(i-1)}`, with :math:`h_t^{(0)} = x_t`.

    `layers` holds one pair (forward, backward) a layer; from the second on, W is
    (H, 2H). The order of the halves is [forward; backward] in every layer, as in torch.
    """
    h = x
    for forward, backward in layers:
        h = birnn(h, lengths, forward, backward, f)                    # (B, T, 2H)
    return h


def directions(module: nn.RNN) -> list[tuple[Direction, Direction]]:
    """The slide's parameters of a bidirectional ``torch.nn.RNN``, layer by layer.

    torch adds two biases where the slide has one, so b = b_ih + b_hh.
    """
    if not (isinstance(module, nn.RNN) and module.bidirectional and module.bias):
        raise ValueError(
            "module: expected a torch.nn.RNN with bidirectional=True and bias=True, "
            f"got {module}. For an LSTM or a GRU use TwoPasses."
        )

    def one(name: str) -> Direction:
        b = getattr(module, f"bias_ih_{name}") + getattr(module, f"bias_hh_{name}")
        return getattr(module, f"weight_ih_{name}"), getattr(module, f"weight_hh_{name}"), b

    return [(one(f"l{i}"), one(f"l{i}_reverse")) for i in range(module.num_layers)]


class TwoPasses(nn.Module):
    """A stack of bidirectional layers built from unidirectional ones and `reverse`.

    The readable twin of ``bidirectional=True`` for torch's ``RNN``, ``LSTM`` and ``GRU``.
    On a CPU it trains faster than `packed`: chapter 9 times both.

    Parameters
    ----------
    module : nn.RNN, nn.LSTM or nn.GRU
        A bidirectional, batch-first module without dropout; its weights are copied.
    """

    def __init__(self, module: nn.RNNBase) -> None:
        super().__init__()
        if not (module.bidirectional and module.batch_first and module.dropout == 0):
            raise ValueError(
                "module: expected bidirectional=True, batch_first=True, dropout=0, got "
                f"{module.bidirectional}, {module.batch_first}, {module.dropout}."
            )
        self.forwards = nn.ModuleList()
        self.backwards = nn.ModuleList()
        for i in range(module.num_layers):
            self.forwards.append(_one_way(module, f"l{i}"))
            self.backwards.append(_one_way(module, f"l{i}_reverse"))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Top layer's states (B, T, 2H), zero on padding."""
        mask = token_mask(lengths, x.shape[1])[..., None]              # (B, T, 1)
        h = x
        for there, back in zip(self.forwards, self.backwards):
            h_fwd, _ = there(h)                                        # (B, T, H)
            h_bwd, _ = back(reverse(h, lengths))
            h = torch.cat([h_fwd, reverse(h_bwd, lengths)], dim=-1) * mask
        return h                                                       # (B, T, 2H)


def packed(module: nn.RNNBase, x: Tensor, lengths: Tensor) -> Tensor:
    """Run a batch-first torch module so that it never sees padding.

    Packing tells the module each sentence's length: the forward direction stops at the
    last token, the backward direction starts there.

    Returns
    -------
    Tensor, shape (B, T, H) or (B, T, 2H), zero on padding, T as in `x`
    """
    _expect_lengths(lengths, x.shape[1])
    pack = pack_padded_sequence(
        x, lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    h, _ = module(pack)
    return pad_packed_sequence(h, batch_first=True, total_length=x.shape[1])[0]


def last_states(h: Tensor, lengths: Tensor) -> Tensor:
    r"""What each direction has after its whole sentence: (B, T, 2H) -> (B, 2H).

    :math:`[\vec h_{T_b}; \overleftarrow h_1]`: the forward half at the sentence's own
    last token, the backward half at its first. Not ``h[:, -1]``, which is padding for
    every sentence but the longest, and holds a backward state that read one token.
    """
    _expect_lengths(lengths, h.shape[1])
    H = h.shape[-1] // 2
    rows = torch.arange(len(h), device=h.device)
    return torch.cat([h[rows, lengths.to(h.device) - 1, :H], h[:, 0, H:]], dim=-1)


def influence(outputs: Callable[[Tensor], Tensor], x: Tensor, n_types: int) -> Tensor:
    """How much each output moves when one input token is changed.

    Token s of the sentence is replaced by the next type, for each s in turn. Both runs
    have the same batch shape, so an output that does not read token s is equal bit by
    bit and its entry is exactly 0.

    Parameters
    ----------
    outputs : callable
        Maps token integers (T, T) (batch, time) to outputs (T, T, K); in evaluation mode.
    x : Tensor of int64, shape (T,)
        One sentence.
    n_types : int
        Size of the vocabulary, at least 2.

    Returns
    -------
    Tensor, shape (T, T)
        Entry (t, s): largest change of output t when token s changes.
    """
    if x.dim() != 1 or n_types < 2:
        raise ValueError(
            f"expected one sentence (T,) and n_types >= 2, got {tuple(x.shape)}, {n_types}."
        )
    same = x.expand(len(x), -1)                                        # (T, T)
    changed = same.clone()
    changed.diagonal().copy_((x + 1) % n_types)
    with torch.no_grad():
        moved = (outputs(changed) - outputs(same.clone())).abs()       # (T, T, K)
    return moved.amax(-1).T                                            # (t, s)


def _one_way(module: nn.RNNBase, name: str) -> nn.RNNBase:
    """A unidirectional layer with a copy of one layer and direction's weights."""
    n_inputs = getattr(module, f"weight_ih_{name}").shape[1]
    more = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    layer = type(module)(
        n_inputs, module.hidden_size, batch_first=True, bias=module.bias, **more
    )
    weights = {f"{k.rsplit('_', 1)[0]}_{name}": k for k in layer.state_dict()}
    source = module.state_dict()
    layer.load_state_dict({here: source[there] for there, here in weights.items()})
    return layer.to(module.weight_ih_l0)


def _expect_lengths(lengths: Tensor, n_steps: int) -> None:
    wrong = lengths.dim() != 1 or lengths.is_floating_point() or len(lengths) == 0
    if wrong or int(lengths.min()) < 1 or int(lengths.max()) > n_steps:
        raise ValueError(
            f"lengths: expected integers between 1 and {n_steps}, one a sentence, got "
            f"{lengths.tolist()}. Leave empty sentences out of the batch."
        )
