r"""Does generated Python hold together, and which units keep track of it?

Introduced in chapter 10. Judges of source code (blocks and lines that parse) and probes
of a character model's state: for each character of real code, is it inside a string, how
many brackets are open, how far is the line indented, and can that be read off the state?
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CONTINUE = {"else": "if x: pass\n", "elif": "if x: pass\n", "except": "try: pass\n",
            "finally": "try: pass\n", "case": "match x:\n "}


def parses(code: str) -> bool:
    """Whether Python's own parser accepts it.

    >>> parses("x = (1,\\n  2)"), parses("x = (1,")
    (True, False)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # generated code has odd escapes
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return False
    return True


def line_parses(line: str) -> bool:
    """Whether one line is a statement, its body and what must stand before it supplied.

    >>> [line_parses(t) for t in ("    else:", "  x = 1", "for in x:", "foo(a,")]
    [True, True, False, False]
    """
    text = line.strip()
    word = text.split(":")[0].split(" ")[0] if text else ""
    before = CONTINUE.get(word, "")
    if text.startswith("@"):
        return parses(text + "\ndef f(): pass")
    return parses(before + text + (" pass" if text.endswith(":") else ""))


def code_lines(text: str) -> list[str]:
    """The whole lines of a text that hold code: not blank, not a comment."""
    lines = text.split("\n")[1:-1]
    return [line for line in lines if line.strip() and not line.strip().startswith("#")]


def blocks(text: str) -> list[str]:
    """What stands between two double blank lines, as modules separate definitions."""
    parts = [part.strip("\n") for part in text.split("\n\n\n")]
    return [part for part in parts if part.strip()]


def marks(source: str) -> dict[str, np.ndarray]:
    """What the tokenizer knows at each character of a module, float (T,) each.

    Returns
    -------
    dict
        ``quotes``: 1 inside a string literal, from its opening quote up to before its
        closing one. ``brackets``: how many are open. ``indentation``: leading spaces of
        the line. All refer to the text up to and including the character.
    """
    lines = source.split("\n")
    starts = np.cumsum([0] + [len(line) + 1 for line in lines])
    quotes, change = np.zeros(len(source)), np.zeros(len(source) + 1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        a = starts[token.start[0] - 1] + token.start[1]
        b = starts[token.end[0] - 1] + token.end[1]
        if token.type == tokenize.STRING:
            quotes[a : b - 1] = 1
        elif token.type == tokenize.OP and token.string in "([{":
            change[a] += 1
        elif token.type == tokenize.OP and token.string in ")]}":
            change[a] -= 1
    spaces = [len(line) - len(line.lstrip(" ")) if line.strip() else 0 for line in lines]
    indentation = np.repeat(spaces, [len(line) + 1 for line in lines])[: len(source)]
    return {"quotes": quotes, "brackets": change.cumsum()[: len(source)],
            "indentation": indentation.astype(float)}


@torch.no_grad()
def states_of(model, ids: Tensor) -> np.ndarray:
    """The hidden state after each character of a text ids (T,): float, (T, H)."""
    return model.lstm(model.embedding(ids[None]))[0][0].numpy()


@dataclass(frozen=True)
class Probe:
    """How well a quantity can be read off the states, on characters not fitted."""

    unit: int  # the one with the largest correlation on the first half
    correlation: float  # of that unit on the second half, without its sign
    all_units: float  # correlation of the best linear reading of all units


def probe(states: np.ndarray, target: np.ndarray, decay: float = 1e-2) -> Probe:
    """Fit on the first half of a text, measure on the second.

    Parameters
    ----------
    states : ndarray, shape (T, H)
    target : ndarray, shape (T,)
    decay : float
        Of ridge regression on standardised states, a share of T.
    """
    if len(states) != len(target) or len(target) < 4:
        raise ValueError(f"expected T states and targets, got {len(states)}, {len(target)}.")
    half = len(target) // 2
    X = (states - states[:half].mean(0)) / (states[:half].std(0) + 1e-8)
    if target[:half].std() == 0 or target[half:].std() == 0:
        raise ValueError("target: expected one that varies in both halves of the text.")
    y = target - target[:half].mean()
    A, b = X[:half], y[:half]
    unit = int(np.abs(A.T @ b).argmax())
    w = np.linalg.solve(A.T @ A + decay * half * np.eye(A.shape[1]), A.T @ b)
    return Probe(unit, abs(_correlation(X[half:, unit], y[half:])),
                 _correlation(X[half:] @ w, y[half:]))


def window(ids: Tensor, n_types: int, length: int) -> np.ndarray:
    """One-hot codes of the last `length` characters at each place: (T, length N).

    What a probe can know without memory: the control of `probe`.
    """
    codes = np.zeros((len(ids), length, n_types), dtype=np.float32)
    places = np.arange(len(ids))
    for back in range(length):
        codes[places[back:], back, ids[: len(ids) - back].numpy()] = 1
    return codes.reshape(len(ids), -1)


def strip(ax, text: str, values: np.ndarray):
    """Characters of a text, each on the colour of its value in [-1, 1]; returns ax."""
    ax.imshow(np.asarray(values)[None], aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1)
    for k, character in enumerate(text):
        ax.text(k, 0, character.replace("\n", "¶"), ha="center", va="center",
                fontsize=7, family="monospace")
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    return ax


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-12))
