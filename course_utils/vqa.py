r"""Questions about a scene, and a network that reads, looks once or twice, and answers.

Introduced in chapter 10. On top of `scenes`, the regions of `captioning` and the attention
of `seq2seq` this module adds five types of questions whose answers cannot be guessed from
the words, and a small relative of stacked attention (Yang et al., 2016).

Letters: B batch, T words, K regions, D size of a region's vector, H state, N answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .captioning import Regions
from .detection import SHAPES
from .scenes import COLOURS, NEW, RELATIONS, Scenes, draw, name, relations, take
from .seq2seq import AdditiveAttention, Memory, pad

TYPES = ("colour", "shape", "count", "existence", "relation")
PLURAL = ("squares", "discs", "crosses")
WORDS = (
    "<pad>", *COLOURS, *SHAPES, *PLURAL,
    *"what colour shape is the how many are there a thing things left right above below of".split(),
)
INDEX = {word: k for k, word in enumerate(WORDS)}
ANSWERS = (*COLOURS, *SHAPES, "0", "1", "2", "yes", "no")


class Question(NamedTuple):
    """One question about one scene, with all that is known about it."""

    kind: str  # one of TYPES
    words: list[str]
    answer: str
    about: tuple[int, ...]  # the objects it is about: none where nothing is there


def ask(scenes: Scenes, b: int, kind: str, rng: np.random.Generator) -> Question | None:
    """A random question of one type about scene b, or None if it allows none.

    Answers are drawn before questions, so that every answer of a type is equally frequent:
    yes and no; 0, 1 and 2, in scenes that allow all three; colours and shapes as they come.
    """
    colour, shape = scenes.colour[b], scenes.shape[b]
    return {"colour": _colour, "shape": _shape, "count": _count, "existence": _existence,
            "relation": _relation}[kind](colour, shape, scenes.cell[b], rng)


def _one(values: np.ndarray, rng) -> int | None:
    """The number of an object that alone has its value."""
    alone = np.flatnonzero((values[:, None] == values).sum(1) == 1)
    return int(rng.choice(alone)) if len(alone) else None


def _colour(colour, shape, cell, rng):
    if (m := _one(shape, rng)) is None:
        return None
    words = f"what colour is the {SHAPES[shape[m]]}".split()
    return Question("colour", words, COLOURS[colour[m]], (m,))


def _shape(colour, shape, cell, rng):
    if (m := _one(colour, rng)) is None:
        return None
    words = f"what shape is the {COLOURS[colour[m]]} thing".split()
    return Question("shape", words, SHAPES[shape[m]], (m,))


def _count(colour, shape, cell, rng):
    n, by_shape = int(rng.integers(3)), rng.random() < 0.5
    values, names = (shape, PLURAL) if by_shape else (colour, COLOURS)
    numbers = np.bincount(values, minlength=len(names))
    if numbers.max() != 2:  # two of one kind, one of another: 0, 1 and 2 can be asked for
        return None
    value = int(rng.choice(np.flatnonzero(numbers == n)))
    words = f"how many {names[value]} {'' if by_shape else 'things '}are there".split()
    return Question("count", words, str(n), tuple(np.flatnonzero(values == value).tolist()))


def _existence(colour, shape, cell, rng):
    there, m = rng.random() < 0.5, int(rng.integers(len(colour)))
    pair = int(colour[m]), int(shape[m])
    inside = set(zip(colour.tolist(), shape.tolist()))
    while not there and (pair in inside or pair in NEW):
        pair = int(rng.integers(len(COLOURS))), int(rng.integers(len(SHAPES)))
    words = f"is there a {name(*pair)}".split()
    return Question("existence", words, "yes" if there else "no", (m,) if there else ())


def _relation(colour, shape, cell, rng):
    first, second = rng.permutation(len(colour))[:2]
    holds = relations(cell[[first, second]])  # (4,)
    axes = [k for k in (0, 1) if holds[2 * k : 2 * k + 2].any()]
    r = 2 * int(rng.choice(axes)) + int(rng.integers(2))
    one, other = (name(colour[m], shape[m]) for m in (first, second))
    words = f"is the {one} {RELATIONS[r]} the {other}".split()
    return Question("relation", words, "yes" if holds[r] else "no", (int(first), int(second)))


def batch(
    scenes: Scenes, rng: np.random.Generator, kinds: Sequence[str] = TYPES
) -> tuple[Scenes, list[Question]]:
    """One question each of random type; scenes that do not allow theirs are left out."""
    drawn = [ask(scenes, b, kinds[rng.integers(len(kinds))], rng)
             for b in range(len(scenes.images))]
    rows = [b for b, question in enumerate(drawn) if question is not None]
    if not rows:
        raise ValueError("scenes: none of them allows its question; draw more scenes.")
    return take(scenes, rows), [drawn[b] for b in rows]


def integers(questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
    """Words (B, T), padded with 0, and answers (B,)."""
    return (pad([[INDEX[word] for word in q.words] for q in questions]),
            torch.tensor([ANSWERS.index(q.answer) for q in questions]))


class Answerer(nn.Module):
    r"""LSTM over the question, one or two looks at the image, a layer, an answer.

    .. math::
        u_0 = q, \qquad \alpha^{(i)} = \mathrm{softmax}_k\, v_i^\top
        \tanh(W_i u_{i-1} + U_i a_k), \qquad z_i = \sum_k \alpha^{(i)}_k a_k, \qquad
        u_i = u_{i-1} + P_i z_i

    Yang et al. (2016), equations 15 to 20. They have no :math:`P`, since their regions have
    the size of the question, and answer from :math:`u_2` alone; here the answer is read from
    :math:`[q; z_1; z_2]` by one hidden layer, because a sum cannot tell what was seen first
    from what was seen second.

    Parameters
    ----------
    regions : Regions
        The encoder; pretrained and frozen, or to be trained with the rest.
    hops : int
        Looks. With 0 hops the mean of all regions is read instead: no attention.
    sees : {"both", "question", "image"}
        The baselines see zeros in place of the image, or of the question.
    """

    def __init__(
        self, regions: Regions, *, H: int = 48, hops: int = 2, sees: str = "both"
    ) -> None:
        super().__init__()
        if sees not in ("both", "question", "image"):
            raise ValueError(f"sees: expected both, question or image, got {sees!r}.")
        self.sees = sees
        D = regions.position.shape[1]
        self.regions = regions
        self.word = nn.Embedding(len(WORDS), H // 2, padding_idx=0)
        self.read = nn.LSTM(H // 2, H, batch_first=True)
        self.attend = nn.ModuleList(AdditiveAttention(H, H, D=D) for _ in range(hops))
        self.back = nn.ModuleList(nn.Linear(D, H) for _ in range(hops))
        self.hidden = nn.Linear(H + max(hops, 1) * D, 2 * H)
        self.out = nn.Linear(2 * H, len(ANSWERS))

    def question(self, x: Tensor) -> Tensor:
        """The LSTM's state after the last word of each question: (B, T) to (B, H)."""
        h, _ = self.read(self.word(x))  # (B, T, H)
        q = h[torch.arange(len(x)), (x != 0).sum(1) - 1]
        q = F.layer_norm(q, q.shape[-1:])
        return torch.zeros_like(q) if self.sees == "image" else q

    def look(self, q: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """What was seen, (B, hops D), and the weights of each look, (B, hops, K)."""
        real = torch.ones_like(a[..., 0], dtype=torch.bool)
        seen, weights, u = [], [], q
        for attend, back in zip(self.attend, self.back):
            z, alpha = attend(u, Memory(a, attend.U_a(a), real, a[:, 0]))
            u = u + back(z)
            seen.append(z)
            weights.append(alpha)
        if not seen:
            return a.mean(1), torch.full_like(a[:, None, :, 0], 1 / a.shape[1])
        return torch.cat(seen, -1), torch.stack(weights, 1)

    def answer(self, a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, N) and weights (B, hops, K) for regions (B, K, D) and words (B, T)."""
        if self.sees == "question":
            a = torch.zeros_like(a)
        q = self.question(x)
        seen, weights = self.look(q, a)
        return self.out(torch.relu(self.hidden(torch.cat([q, seen], -1)))), weights

    def forward(self, images: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same for images (B, 3, S, S)."""
        return self.answer(self.regions(images), x)


class Pool:
    """Scenes of the training part, and what a frozen encoder says of each, computed once.

    The encoder does not learn, so its answer to a scene never changes; questions do. Asking
    the same scenes again and again costs half of drawing and encoding new ones.
    """

    def __init__(self, regions: Regions, seed: int, n: int = 8000) -> None:
        if any(p.requires_grad for p in regions.parameters()):
            raise ValueError("regions: expected a frozen encoder; its vectors are kept.")
        self.scenes = draw(np.random.default_rng(seed), n, held_out=False)
        with torch.no_grad():
            self.a = torch.cat([regions(part) for part in self.scenes.images.split(500)])

    def batch(self, rng: np.random.Generator, B: int = 64) -> tuple[Tensor, list[Question]]:
        """Regions (B, K, D) of random scenes, with one new question each of random type.

        Scenes that do not allow theirs are left out, so there may be fewer than B.
        """
        rows = rng.integers(len(self.a), size=B)
        drawn = [ask(self.scenes, b, TYPES[rng.integers(len(TYPES))], rng) for b in rows]
        kept = [k for k, question in enumerate(drawn) if question is not None]
        return self.a[rows[kept]], [drawn[k] for k in kept]


def train(
    model: Answerer, pool: Pool, seed: int, updates: int, rate: float = 5e-3
) -> Answerer:
    """New questions about the pool's scenes at each update; evaluation mode after."""
    rng = np.random.default_rng(seed)
    adam = torch.optim.Adam(model.parameters(), rate, fused=True)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.05, updates)
    for _ in range(updates):
        a, questions = pool.batch(rng)
        x, y = integers(questions)
        loss = F.cross_entropy(model.answer(a, x)[0], y)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        falling.step()
    return model.eval()
