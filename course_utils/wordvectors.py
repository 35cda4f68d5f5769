"""Word vectors as files: the text and binary formats of word2vec, and gensim's object.

Introduced in chapter 3. Both formats start with a line "N D"; then comes each word with
its D numbers, as text or as little-endian float32. Written files load in gensim, and ours
loads gensim's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .text import Vocabulary


@dataclass(frozen=True)
class WordVectors:
    """One row of `matrix` (N, D) for each type of `vocabulary`."""

    vocabulary: Vocabulary
    matrix: np.ndarray

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or len(self.matrix) != len(self.vocabulary):
            raise ValueError(
                f"matrix: expected {len(self.vocabulary)} rows, got shape "
                f"{self.matrix.shape}."
            )
        if not np.isfinite(self.matrix).all():
            rows = (~np.isfinite(self.matrix).all(axis=1)).sum()
            raise ValueError(
                f"matrix: expected finite numbers, got NaN or infinity in {rows} rows. "
                "Did training diverge? Lower the learning rate."
            )

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector of a word; KeyError with advice if it is unknown."""
        return self.matrix[self.vocabulary[word]]

    def __contains__(self, word: object) -> bool:
        return word in self.vocabulary

    def __len__(self) -> int:
        return len(self.matrix)

    def save(self, path: str | os.PathLike, *, binary: bool = False) -> None:
        """Write word2vec's text or binary format; the file appears when it is whole."""
        bad = [t for t in self.vocabulary.types if not t or t.split() != [t]]
        if bad:
            raise ValueError(f"words: expected none with a space in it, got {bad[:3]}.")
        path = Path(path)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            file.write(b"%d %d\n" % self.matrix.shape)
            for word, row in zip(self.vocabulary.types, self.matrix.astype("<f4")):
                numbers = row.tobytes() if binary else " ".join(map(str, row)).encode()
                file.write(word.encode() + b" " + numbers + b"\n")
        part.replace(path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, binary: bool = False) -> WordVectors:
        """Read word2vec's text or binary format. The counts are unknown, so 0."""
        content = Path(path).read_bytes()
        head, _, body = content.partition(b"\n")
        try:
            n, d = map(int, head.split())
        except ValueError:
            raise ValueError(
                f"{path}: expected a first line 'words dimensions', got {head[:40]!r}."
            ) from None
        words, matrix = (_from_bytes if binary else _from_text)(body, n, d, path)
        return cls(Vocabulary(tuple(words), (0,) * n), matrix)

    def to_gensim(self):
        """The same vectors as ``gensim.models.KeyedVectors``, with the counts.

        Raises
        ------
        ImportError
            If gensim is not installed.
        """
        try:
            from gensim.models import KeyedVectors
        except ImportError as error:
            raise ImportError(
                "to_gensim needs gensim: pip install gensim. Without it, save(...) "
                "writes a file that any other program reads."
            ) from error
        vectors = KeyedVectors(self.matrix.shape[1], dtype=np.float32)
        vectors.add_vectors(list(self.vocabulary.types), self.matrix.astype(np.float32))
        for word, count in zip(self.vocabulary.types, self.vocabulary.counts):
            vectors.set_vecattr(word, "count", int(count))
        return vectors


def _from_text(body: bytes, n: int, d: int, path) -> tuple[list[str], np.ndarray]:
    lines = [line.rsplit(b" ", d) for line in body.rstrip().split(b"\n")]
    wrong = [i for i, line in enumerate(lines) if len(line) != d + 1]
    if len(lines) != n or wrong:
        raise ValueError(
            f"{path}: expected {n} lines of a word and {d} numbers, got {len(lines)} lines"
            + (f", line {wrong[0] + 2} is another" if wrong else "")
            + ". Is it the binary format?"
        )
    matrix = np.array([line[1:] for line in lines], dtype=np.float32)
    return [line[0].decode() for line in lines], matrix


def _from_bytes(body: bytes, n: int, d: int, path) -> tuple[list[str], np.ndarray]:
    words, matrix, at = [], np.empty((n, d), dtype=np.float32), 0
    for row in range(n):
        space = body.find(b" ", at)
        end = space + 1 + 4 * d
        if space < 0 or end > len(body):
            raise ValueError(
                f"{path}: expected {n} words of {d} float32, the file ends after {row}. "
                "Is it the text format, or cut off?"
            )
        words.append(body[at:space].lstrip(b"\n").decode())
        matrix[row] = np.frombuffer(body, "<f4", d, space + 1)
        at = end
    return words, matrix
