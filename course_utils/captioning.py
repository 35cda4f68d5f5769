r"""Captions: a convolutional encoder, and a decoder that looks at regions of the image.

Introduced in chapter 10. On top of `scenes` and the attention of `seq2seq` this module adds
the captions of a scene, an encoder whose regions see little beyond themselves, and the soft
attention decoder of Xu et al. (2015). With ``looks=False`` the decoder reads the mean of the
regions at every step: the control without attention.

Letters: B batch, T words, K regions, D size of a region's vector, H state, N vocabulary.
Integers as in `seq2seq`: 0 pads, 1 begins, 2 ends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoding import Hypothesis, beam
from .detection import SHAPES, positions
from .scenes import COLOURS, PATCH, RELATIONS, SIDE, Scenes, draw, name, relations
from .seq2seq import BOS, EOS, SPECIALS, AdditiveAttention, Memory, cut, pad

WORDS = (*SPECIALS, "a", "of", *COLOURS, *SHAPES, "left", "right", "above", "below")
INDEX = {word: k for k, word in enumerate(WORDS)}


class Fact(NamedTuple):
    """What a caption says of a scene: the large object, a relation, a small object."""

    relation: int  # index of RELATIONS
    other: int  # 1 or 2: the number of the small object


def facts(scenes: Scenes, b: int) -> list[Fact]:
    """All that a caption of scene b may say: two to four facts."""
    found = []
    for other in (1, 2):
        holds = relations(scenes.cell[b, [0, other]])
        found += [Fact(int(r), other) for r in np.flatnonzero(holds)]
    return found


def say(scenes: Scenes, b: int, fact: Fact) -> list[str]:
    """A caption of scene b: ``a red disc left of a blue square``."""
    large, other = (name(scenes.colour[b, m], scenes.shape[b, m]) for m in (0, fact.other))
    return f"a {large} {RELATIONS[fact.relation]} a {other}".split()


def about(fact: Fact) -> list[tuple[int, ...]]:
    """The objects that each word of a caption talks about; nothing for ``a`` and ``of``.

    >>> about(Fact(RELATIONS.index("above"), 2))      # a, red, disc, above, a, blue, square
    [(), (0,), (0,), (0, 2), (), (2,), (2,)]
    """
    middle = [(0, fact.other)] + [()] * RELATIONS[fact.relation].count(" ")
    return [(), (0,), (0,), *middle, (), (fact.other,), (fact.other,)]


def captions(scenes: Scenes) -> list[list[list[str]]]:
    """Every true caption of every scene: the references."""
    return [[say(scenes, b, fact) for fact in facts(scenes, b)]
            for b in range(len(scenes.images))]


def batch(scenes: Scenes, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[Fact]]:
    """Images, one random true caption of each as integers (B, T), and its fact."""
    chosen = []
    for b in range(len(scenes.images)):
        possible = facts(scenes, b)
        chosen.append(possible[rng.integers(len(possible))])
    rows = [[INDEX[w] for w in say(scenes, b, fact)] for b, fact in enumerate(chosen)]
    return scenes.images, pad(rows, end=True), chosen


class Regions(nn.Module):
    """Three convolutions that turn an image into K vectors, with their positions added.

    A region's vector depends on its own 6 x 6 pixels and on 2 or 3 more on each side, no
    further: what it says is about its place. With ``wide=True`` a 5 x 5 convolution over the
    grid is added, so that a region also hears of those up to two steps away. Each vector is
    normalised, so that content and position weigh alike.
    """

    def __init__(self, D: int, *, c: int = 16, wide: bool = False) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(3, c, 3, 2, 1), nn.ReLU(),  # stride 2, field 3
            nn.Conv2d(c, 2 * c, 3, 1, 1), nn.ReLU(),  # stride 2, field 7
            nn.Conv2d(2 * c, D, 3, 3), nn.ReLU(),  # stride 6, field 11
        )
        self.hear = nn.Conv2d(D, D, 5, 1, 2) if wide else None
        self.register_buffer("position", positions(SIDE, D))

    def forward(self, images: Tensor) -> Tensor:
        """Vectors (B, K, D) of images (B, 3, S, S)."""
        maps = self.see(images)  # (B, D, SIDE, SIDE)
        maps = maps if self.hear is None else maps + self.hear(maps)
        a = maps.flatten(2).transpose(1, 2)  # (B, K, D)
        return F.layer_norm(a, a.shape[-1:]) + self.position


def contents(scenes: Scenes) -> np.ndarray:
    """Colour, shape and size of what each region shows, (B, K, 3) int; 0 for nothing.

    -1 where 1 to 7 pixels of an object are in the region: too little to tell.
    """
    B = len(scenes.images)
    cut = scenes.masks.reshape(B, -1, SIDE, PATCH, SIDE, PATCH)
    pixels = cut.sum((3, 5)).reshape(B, -1, SIDE * SIDE)  # (B, M, K)
    top, most, row = pixels.argmax(1), pixels.max(1)[..., None], np.arange(B)[:, None]
    found = np.stack([scenes.colour[row, top] + 1, scenes.shape[row, top] + 1,
                      (top == 0) + 1], -1)
    return np.where(most == 0, 0, np.where(most < 8, -1, found))


def pretrained(seed: int, *, D: int = 48, updates: int = 150) -> Regions:
    """An encoder that has learned to tell what each region shows; its weights are frozen.

    What ImageNet is to the encoders of the papers: scenes of the training part, and a linear
    layer over each region for colour, shape and size. No caption, no question, and no
    attention takes part.
    """
    torch.manual_seed(seed)
    rng, regions, sizes = np.random.default_rng(seed), Regions(D), (6, 4, 3)
    heads = nn.Linear(D, sum(sizes))
    adam = torch.optim.Adam([*regions.parameters(), *heads.parameters()], 8e-3)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.05, updates)
    for _ in range(updates):
        some = draw(rng, 32, held_out=False)
        wanted = torch.from_numpy(contents(some)).flatten(0, 1)  # (B * K, 3)
        scores = heads(regions(some.images)).flatten(0, 1).split(sizes, -1)
        value = sum(F.cross_entropy(e, w, ignore_index=-1) for e, w in zip(scores, wanted.T))
        adam.zero_grad()
        value.backward()
        adam.step()
        falling.step()
    return regions.requires_grad_(False)


def widened(regions: Regions) -> Regions:
    """The same encoder with a fresh 5 x 5 layer on top, which is to be trained."""
    D, c = regions.position.shape[1], regions.see[0].out_channels
    wide = Regions(D, c=c, wide=True)
    wide.see.load_state_dict(regions.see.state_dict())
    wide.see.requires_grad_(False)
    return wide


class Captioner(nn.Module):
    r"""Encoder, soft attention over regions, LSTM decoder.

    .. math::
        \alpha_{t} = \mathrm{softmax}_k\, v_a^\top \tanh(W_a h_{t-1} + U_a a_k), \qquad
        z_t = \sum_k \alpha_{tk} a_k

    .. math::
        h_t, c_t = \mathrm{LSTM}([E y_{t-1}; z_t], h_{t-1}, c_{t-1}), \qquad
        p(y_t) \propto \exp(W_o [h_t; z_t; E y_{t-1}])

    Xu et al. (2015), equations 1 to 7, and 13 for the mean, with a concatenation where their
    output layer adds three projections, and without their gate on z_t and their penalty on
    the weights.
    """

    def __init__(self, regions: Regions, *, H: int = 48, looks: bool = True) -> None:
        super().__init__()
        D = regions.position.shape[1]
        self.looks = looks
        self.regions = regions
        self.word = nn.Embedding(len(WORDS), H // 2)
        self.attend = AdditiveAttention(H, H, D=D)
        self.start = nn.Linear(D, 2 * H)
        self.cell = nn.LSTMCell(H // 2 + D, H)
        self.out = nn.Linear(H + D + H // 2, len(WORDS))

    def encode(self, images: Tensor) -> tuple[tuple[Tensor, Tensor], Memory]:
        """First states (h_0, c_0), both from the mean region, and what can be looked at."""
        a = self.regions(images)  # (B, K, D)
        whole, real = a.mean(1), torch.ones_like(a[..., 0], dtype=torch.bool)
        memory = Memory(a, self.attend.U_a(a), real, whole)
        return torch.tanh(self.start(whole)).chunk(2, -1), memory

    def step(self, y_prev: Tensor, state, memory: Memory):
        """One word: scores (B, N), the next state, weights (B, K)."""
        if self.looks:
            z, alpha = self.attend(state[0], memory)  # h_{t-1} asks
        else:
            z = memory.whole
            alpha = torch.full_like(memory.keys[..., 0], 1 / memory.keys.shape[1])
        embedded = self.word(y_prev)
        state = self.cell(torch.cat([embedded, z], -1), state)
        return self.out(torch.cat([state[0], z, embedded], -1)), state, alpha

    def forward(self, images: Tensor, y_in: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: scores (B, T, N) and weights (B, T, K)."""
        state, memory = self.encode(images)
        scores, weights = [], []
        for y_prev in y_in.unbind(1):
            e, state, alpha = self.step(y_prev, state, memory)
            scores.append(e)
            weights.append(alpha)
        return torch.stack(scores, 1), torch.stack(weights, 1)


def search(model: Captioner, images: Tensor, *, width: int = 1) -> list[list[Hypothesis]]:
    """Captions by beam search, the best first; width 1 is greedy. In evaluation mode."""

    def step(tokens, state):
        scores, decoder, _ = model.step(tokens, *state)
        return scores.log_softmax(-1), (decoder, state[1])

    was_training = model.training
    model.eval()
    with torch.no_grad():
        first = torch.full((len(images),), BOS)
        found = beam(step, first, model.encode(images), width=width, length=10, end=EOS)
    model.train(was_training)
    return found


def words(hypothesis: Hypothesis) -> list[str]:
    """A found caption in words, without its end mark."""
    return [WORDS[k] for k in cut(list(hypothesis.tokens))]


PARTS = ("large object", "small object", "relation", "whole caption")


def judge(scenes: Scenes, rows: list[list[str]]) -> np.ndarray:
    """Which parts of each caption are true of its scene, (B, 4) bool.

    The large object has both its words right; the last two words name one of the small
    objects; the relation holds between these two; the whole is one of the references.
    """
    true = np.zeros((len(rows), len(PARTS)), dtype=bool)
    for b, row in enumerate(rows):
        every = [(fact, say(scenes, b, fact)) for fact in facts(scenes, b)]
        named = [fact for fact, words in every if words[-2:] == row[-2:]]
        true[b] = (
            row[1:3] == every[0][1][1:3],
            bool(named),
            any(RELATIONS[fact.relation].split() == row[3:-3] for fact in named),
            any(words == row for _, words in every),
        )
    return true
