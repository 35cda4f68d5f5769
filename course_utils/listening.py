r"""Listen, attend and spell: a pyramid of layers over sound, and a decoder of letters.

Introduced in chapter 10. To the translator of `seq2seq` it adds an encoder for sequences of
vectors, in which each layer halves the time (Chan, Jaitly, Le and Vinyals, 2016, equation 5):

.. math:: h_i^{(j)} = \mathrm{BiLSTM}\big(h_{i-1}^{(j)}, [h_{2i}^{(j-1)}; h_{2i+1}^{(j-1)}]\big)

Attention and decoder are those of `seq2seq`. The paper's are larger and differ: its decoder
is two LSTM layers, the scores are products of two transformed states, and its lowest layer
does not halve; there the new state asks, after it has read the last letter and the last
context (equations 6 and 7), and here the old one. Letters B batch, T frames, S states that
are left, M features, H hidden.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bidirectional import TwoPasses, last_states, token_mask
from .seq2seq import Memory, Translator


class Sounds(NamedTuple):
    """Features of several utterances, padded with zeros on the right."""

    x: Tensor  # (B, T, M)
    lengths: Tensor  # (B,) frames


def batch(rows: Sequence[np.ndarray | Tensor]) -> Sounds:
    """Features (T_b, M) of several utterances as one tensor.

    >>> batch([np.ones((3, 2)), np.ones((1, 2))]).x[..., 0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if not len(rows) or not all(len(row) for row in rows):
        raise ValueError("rows: expected at least one utterance, and none without frames.")
    rows = [torch.as_tensor(row, dtype=torch.get_default_dtype()) for row in rows]
    x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return Sounds(x, torch.tensor([len(row) for row in rows]))


def halve(h: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Join neighbours: (B, T, D) -> (B, ceil(T / 2), 2D), and the lengths likewise.

    A last one without neighbour is joined with zeros, whatever the length of the batch.

    >>> h, lengths = halve(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([3]))
    >>> h.tolist(), lengths.tolist()
    ([[[1.0, 2.0], [3.0, 0.0]]], [2])
    """
    h = h * token_mask(lengths, h.shape[1])[..., None]
    h = F.pad(h, (0, 0, 0, h.shape[1] % 2))
    return h.reshape(len(h), h.shape[1] // 2, -1), (lengths + 1) // 2


def batches(lengths: Sequence[int], B: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of one batch after another, without end; rows of a batch are of similar length.

    Eight batches at a time are drawn without repetition and sorted: little is computed on
    padding, and every epoch still makes other batches.
    """
    lengths = np.asarray(lengths)
    while True:
        order = rng.permutation(len(lengths))
        for begin in range(0, len(order), 8 * B):
            pool = order[begin : begin + 8 * B]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            parts = [pool[k : k + B] for k in range(0, len(pool), B)]
            yield from (parts[k] for k in rng.permutation(len(parts)))


class Pyramid(nn.Module):
    """Bidirectional LSTM layers, each on joined pairs of the layer below.

    Parameters
    ----------
    M, H : int
        Features of a frame, and size of a state of one direction.
    layers : int
        Each halves the time: 3 leave an eighth of the frames.
    joins : bool
        False: the same layers without joining, for comparison.
    """

    def __init__(self, M: int, H: int, layers: int = 3, *, joins: bool = True) -> None:
        super().__init__()
        self.joins = joins
        sizes = [M] + [2 * H] * (layers - 1)
        self.layers = nn.ModuleList(
            TwoPasses(nn.LSTM(D * (1 + joins), H, batch_first=True, bidirectional=True))
            for D in sizes
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, S, 2H), zero on padding, and their number in each row (B,)."""
        h = x
        for layer in self.layers:
            if self.joins:
                h, lengths = halve(h, lengths)
            h = layer(h, lengths)
        return h, lengths


class Speller(Translator):
    """A translator whose source is sound.

    Parameters
    ----------
    M, n_target : int
        Features of a frame, and characters, specials included.
    D, H : int
        Size of embeddings, and of a state.
    layers, joins
        See `Pyramid`.
    looks_back : bool
        False: the decoder reads the last states only, one fixed vector.
    hears : bool
        False: the decoder gets zeros in place of sound. What is left is a language model.
    """

    def __init__(
        self, M: int, n_target: int, *, D: int = 24, H: int = 64, layers: int = 3,
        joins: bool = True, looks_back: bool = True, hears: bool = True,
    ) -> None:
        super().__init__(1, n_target, D=D, H=H, looks_back=looks_back)
        self.source = None  # sound needs no table of embeddings
        self.states = Pyramid(M, H, layers, joins=joins)
        self.hears = hears

    def encode(self, x: Sounds) -> tuple[Tensor, Memory]:
        """First state s_0 (B, H) and the memory of utterances."""
        if self.hears:
            h, lengths = self.states(*x)  # (B, S, 2H)
        else:
            h = x.x.new_zeros(len(x.x), 1, self.attend.U_a.in_features)
            lengths = torch.ones_like(x.lengths)
        whole = last_states(h, lengths)  # (B, 2H)
        memory = Memory(h, self.attend.U_a(h), token_mask(lengths, h.shape[1]), whole)
        return torch.tanh(self.start(whole)), memory


def step(model: Translator):
    """One step of a trained model for `decoding`: the state is (s, memory)."""

    def log_probs(tokens: Tensor, state):
        s, memory = state
        scores, s, _ = model.step(tokens, s, memory)
        return scores.log_softmax(-1), (s, memory)

    return log_probs


def word_places(
    text: str, words: np.ndarray, n_states: int, *, hop: int, size: int, joined: int
) -> np.ndarray:
    """Which states lie within the sound of the word that a character belongs to.

    State k covers the frames k * joined to (k + 1) * joined - 1, that is the samples from
    k * joined * hop to (k * joined + joined - 1) * hop + size. It counts for a word if the
    middle of that span lies within the word.

    Parameters
    ----------
    words : ndarray, shape (W, 2)
        First sample of each word and of what follows it.
    joined : int
        Frames in one state: 2 ** layers.

    Returns
    -------
    ndarray of bool, shape (len(text), n_states)
        Rows of spaces are empty.
    """
    if len(words) != len(text.split()):
        raise ValueError(f"words: expected {len(text.split())} pairs, got {len(words)}.")
    middle = np.arange(n_states) * joined * hop + ((joined - 1) * hop + size) / 2  # (S,)
    places = np.zeros((len(text), n_states), dtype=bool)
    k = 0
    for i, character in enumerate(text):
        if character == " ":
            k += 1
        else:
            begin, end = words[k]
            places[i] = (begin <= middle) & (middle < end)
    return places


def diagonal(n_characters: int, n_states: int, width: float = 1.0) -> np.ndarray:
    """Weights that walk through the sound at an even pace: a control that hears nothing.

    Row i is a bell of the given width (in states) around state (i + 1/2) S / T - 1/2.

    >>> diagonal(2, 4, 0.1).round(2).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    centre = (np.arange(n_characters) + 0.5) * n_states / n_characters - 0.5  # (T,)
    e = -((np.arange(n_states) - centre[:, None]) ** 2) / (2 * width**2)
    e = np.exp(e - e.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def silenced(x: np.ndarray, begin: int, end: int, *, hop: int, size: int, level) -> np.ndarray:
    """A copy of features (T, M) in which frames that touch samples begin to end are `level`."""
    first = max(0, math.floor((begin - size) / hop) + 1)
    last = math.ceil(end / hop)
    x = np.array(x)
    x[first:last] = level
    return x
