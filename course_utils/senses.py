"""Ambiguous words in sentences, and how well vectors tell their senses apart.

Introduced in chapter 5. `SENSES` is a table written for the course: eight words, two
senses each, eight sentences a sense. On top of NumPy the module adds the score: pairs of
occurrences with one sense against pairs with two, by their cosine.

The sentences of a sense share as few content words as the author could manage, so that a
pair is not recognised by a repeated neighbour. Each holds its word exactly once, in lower
case. Seven words have two nouns; "stick", the lecture's example, is a verb in one sense
and a noun in the other, so there grammar alone may do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .text import words

SENSES = {
    "stick": {
        "adhere": (
            "we decided to stick to the original plan",
            "wet leaves stick to the windows of the train",
            "the two pages stick together because of the glue",
            "you should stick with your old doctor",
            "snow did not stick on the warm road",
            "good habits stick when they are rewarded",
            "please stick a label on every box",
            "they always stick up for each other",
        ),
        "rod": (
            "the old man walked with a stick in his hand",
            "the dog ran after the stick and brought it back",
            "she drew a circle in the sand with a stick",
            "he broke a dry stick over his knee for the fire",
            "a long stick was used to reach the fruit",
            "the boy beat the carpet with a heavy stick",
            "a wooden stick lay across the path",
            "blind people carry a white stick",
        ),
    },
    "bank": {
        "money": (
            "she opened an account at the bank in town",
            "the bank refused to give them a loan",
            "he keeps all his savings in a swiss bank",
            "the central bank raised interest rates again",
            "two men robbed the bank yesterday",
            "my sister works as a manager at a small bank",
            "the cheque was sent to the wrong bank",
            "after the crisis the government rescued a bank",
        ),
        "river": (
            "they sat on the grassy bank and watched the boats",
            "the river burst its bank after heavy rain",
            "trees grow along the bank of the stream",
            "he pulled the canoe up on the muddy bank",
            "a heron stood motionless near the opposite bank",
            "we walked along the southern bank of the thames",
            "the swimmer reached the bank and climbed out of the water",
            "crocodiles were sleeping on the sandy bank",
        ),
    },
    "bat": {
        "animal": (
            "a bat hung upside down in the cave",
            "the bat finds insects in the dark by sound",
            "a small brown bat flew out of the attic at night",
            "the bat is the only mammal that can fly",
            "blood was taken from a bat to look for the virus",
            "an owl caught a bat above the trees",
            "the wings of a bat are made of skin",
            "a sleeping bat wakes up when winter ends",
        ),
        "club": (
            "he swung the bat and hit the ball hard",
            "the player bought a new wooden bat before the season",
            "she held the bat with both hands and waited for the pitch",
            "the batter dropped his bat and ran to first base",
            "a cricket bat is made of willow",
            "the thief threatened him with a baseball bat",
            "his bat cracked when he struck a home run",
            "the umpire inspected the bat before the game",
        ),
    },
    "match": {
        "game": (
            "our team won the match by two goals",
            "the referee stopped the match because of the fog",
            "he lost the chess match against the champion",
            "thousands of fans watched the match on television",
            "the tennis match lasted five hours",
            "they have not lost a single match this season",
            "the captain was injured during the match in london",
            "tickets for the football match were sold out",
        ),
        "flame": (
            "he struck a match and lit the candle",
            "the match burned his fingers",
            "a lit match was dropped on the dry grass",
            "she used her last match to start the stove",
            "never hold a burning match near gasoline",
            "the wind blew out the match before the pipe was lit",
            "the box held only one wooden match",
            "smoke rose from the match on the floor",
        ),
    },
    "spring": {
        "season": (
            "the garden is full of flowers in spring",
            "last spring we planted tomatoes and beans",
            "birds return from the south in early spring",
            "the days become warmer in spring and the snow melts",
            "the election will be held next spring",
            "students take their exams at the end of spring",
            "after a long winter everyone waits for spring",
            "sheep have their lambs in spring",
        ),
        "coil": (
            "the steel spring in the old sofa was broken",
            "a spring pushes the valve back when the pressure falls",
            "hang a weight on the spring and measure its length",
            "the watch stopped because its spring had snapped",
            "the force of a spring grows with its extension",
            "each wheel of the car has its own spring and damper",
            "the lid is closed by a tight metal spring",
            "pull the lever to compress the spring inside the gun",
        ),
    },
    "plant": {
        "factory": (
            "the company closed its car plant in detroit",
            "the power plant burns coal and gas",
            "workers at the chemical plant went on strike",
            "a new steel plant will create many jobs",
            "engineers shut down the nuclear plant for repairs",
            "the plant produces ten thousand engines a month",
            "an explosion at the plant injured three employees",
            "waste from the plant polluted the river",
        ),
        "vegetation": (
            "water the plant twice a week and keep it in the sun",
            "this plant has small blue flowers and narrow leaves",
            "the roots of the plant grow deep into the soil",
            "a tomato plant needs plenty of light",
            "the seeds of this plant are eaten by birds",
            "she gave her mother a green plant for the kitchen",
            "insects carry pollen from one plant to another",
            "the tropical plant died in the cold",
        ),
    },
    "rock": {
        "stone": (
            "a huge rock fell from the cliff onto the road",
            "the ship hit a rock and sank",
            "the tunnel was cut through solid rock",
            "lava cools and turns into rock",
            "he sat down on a flat rock by the sea",
            "geologists found fossils in the rock",
            "someone threw a rock through the window",
            "the climber held on to the edge of the rock",
        ),
        "music": (
            "he plays guitar in a rock band",
            "the radio station plays rock and jazz all night",
            "her first rock album sold a million copies",
            "the fans danced at the rock concert",
            "many rock songs have a simple beat",
            "he became a famous rock singer in the sixties",
            "the festival mixes rock with folk and blues",
            "teenagers listened to rock on their headphones",
        ),
    },
    "court": {
        "law": (
            "the judge ordered the witness to appear in court",
            "the supreme court rejected the appeal",
            "he was found guilty by a court in paris",
            "the lawyers argued their case before the court",
            "she took her former employer to court over unpaid wages",
            "the court sentenced him to four years in prison",
            "a federal court blocked the new law",
            "the divorce was settled out of court",
        ),
        "sport": (
            "the players walked onto the tennis court",
            "she hit the ball across the court for a point",
            "the basketball court has a new wooden floor",
            "he ran to the back of the court to return the serve",
            "the hotel has a pool and a squash court",
            "children practise on the court behind the school",
            "rain covered the grass court before the final",
            "the guard dribbled up the court and scored",
        ),
    },
}


class Occurrence(NamedTuple):
    """One use of an ambiguous word: ``tokens[place]`` is the word."""

    word: str
    sense: int  # 0 or 1, in the order of `SENSES`
    tokens: tuple[str, ...]
    place: int


def occurrences() -> Iterator[Occurrence]:
    """All uses in the table: word by word, sense by sense.

    >>> first = next(occurrences())
    >>> first.tokens[first.place], len(list(occurrences()))
    ('stick', 128)
    """
    for word, senses in SENSES.items():
        for sense, sentences in enumerate(senses.values()):
            for sentence in sentences:
                tokens = tuple(words(sentence))
                yield Occurrence(word, sense, tokens, tokens.index(word))


def shuffled(use: Occurrence, rng: np.random.Generator) -> Occurrence:
    """The same bag of words around the word, in random order; the word keeps its place."""
    rest = [i for i in range(len(use.tokens)) if i != use.place]
    tokens = list(use.tokens)
    for to, source in zip(rest, rng.permutation(rest)):
        tokens[to] = use.tokens[source]
    return use._replace(tokens=tuple(tokens))


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosine of every pair of rows: (n, D) to (n, n), in float64."""
    x = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(x, axis=1)
    if x.ndim != 2 or not np.isfinite(norms).all() or not norms.all():
        raise ValueError(f"vectors: expected finite rows (n, D), none zero, got {x.shape}.")
    x = x / norms[:, None]
    return x @ x.T


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    r"""Probability that a positive value exceeds a negative one; ties count one half.

    .. math:: \frac{1}{mn} \sum_{i,j} \big([p_i > n_j] + \tfrac12 [p_i = n_j]\big)

    (Mann and Whitney, 1947.) Values closer than 1e-9 are ties: cosines carry rounding.

    >>> auc(np.array([3.0, 1.0]), np.array([2.0, 1.0]))
    0.625
    """
    difference = np.subtract.outer(np.asarray(positive), np.asarray(negative))
    if difference.size == 0:
        raise ValueError("expected at least one positive and one negative value.")
    return float(((difference > 1e-9) + 0.5 * (np.abs(difference) <= 1e-9)).mean())


def separability(vectors: np.ndarray, sense: np.ndarray) -> float:
    """AUC of within-sense against between-sense cosines of one word's occurrences.

    Parameters
    ----------
    vectors : ndarray, (n, D)
    sense : ndarray, (n,)

    Returns
    -------
    float
        1 if any two uses with one sense are closer than any two with different senses;
        about 1/2 if the vectors do not know.

    >>> separability(np.array([[1, 0], [1, .1], [0, 1], [.1, 1]]), np.array([0, 0, 1, 1]))
    1.0
    """
    sense, cosine = np.asarray(sense), cosines(vectors)
    if sense.shape != (len(cosine),):
        raise ValueError(f"sense: expected {len(cosine)} labels, got shape {sense.shape}.")
    above = np.triu(np.ones_like(cosine, dtype=bool), 1)
    same = sense[:, None] == sense[None, :]
    return auc(cosine[above & same], cosine[above & ~same])


def by_word(vectors: np.ndarray, uses: list[Occurrence]) -> dict[str, float]:
    """`separability` of each word; `vectors` (n, D) holds one row a use."""
    if len(vectors) != len(uses):
        raise ValueError(f"vectors: expected {len(uses)} rows, got {len(vectors)}.")
    place, sense = np.array([u.word for u in uses]), np.array([u.sense for u in uses])
    return {
        word: separability(np.asarray(vectors)[place == word], sense[place == word])
        for word in dict.fromkeys(place.tolist())
    }


def relabelled(
    vectors: np.ndarray, sense: np.ndarray, *, rng: np.random.Generator, draws: int = 1000
) -> np.ndarray:
    """`separability` under random exchanges of the labels: what chance would give.

    The cosines stay, so that this is the exact null hypothesis *the senses do not
    matter*, with the dependence between pairs that share a sentence. (draws,)
    """
    sense, above = np.asarray(sense), np.triu_indices(len(sense), 1)
    values = cosines(vectors)[above]
    order = np.argsort(values)
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    _, back, n = np.unique(np.round(values, 9), return_inverse=True, return_counts=True)
    ranks = (np.bincount(back, ranks) / n)[back]  # ties share their mean rank
    found = np.empty(draws)
    for k in range(draws):
        drawn = rng.permutation(sense)
        same = drawn[above[0]] == drawn[above[1]]
        m = same.sum()
        found[k] = (ranks[same].sum() - m * (m + 1) / 2) / (m * (len(same) - m))
    return found
