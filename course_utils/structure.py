r"""Does generated Python hold together, and which units keep track of it?

Introduced in chapter 10. Judges of source code (blocks and lines that parse) and probes
of a character model's state: for each character of real code, is it inside a string, how
many brackets are open, how far is the line indented, and can that be read off the state?
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CONTINUE = {"else": "if x: pass\n", "elif": "if x: pass\n", "except": "try: pass\n",
            "finally": "try: pass\n", "case": "match x:\n "}


def parses(code: str) -> bool:
    """Whether Python accepts it as a module: its grammar, and what its compiler refuses.

    The grammar alone lets a ``return`` stand outside of functions. Nothing is executed.

    >>> parses("x = (1,\\n  2)"), parses("x = (1,"), parses("return 1")
    (True, False, False)
    """
    return _accepted(code, by=_compiled)


def line_parses(line: str) -> bool:
    """Whether one line is a statement, its body and what must stand before it supplied.

    By the grammar alone: whether a ``return`` stands in a function, no line can say.

    >>> [line_parses(t) for t in ("    else:", "  x = 1", "for in x:", "foo(a,")]
    [True, True, False, False]
    """
    text = line.strip()
    word = text.split(":")[0].split(" ")[0] if text else ""
    before = CONTINUE.get(word, "")
    if text.startswith("@"):
        return _accepted(text + "\ndef f(): pass", by=ast.parse)
    return _accepted(before + text + (" pass" if text.endswith(":") else ""), by=ast.parse)


def _compiled(code: str) -> None:
    compile(ast.parse(code), "<text>", "exec", dont_inherit=True)


def _accepted(code: str, *, by) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # generated code has odd escapes
        try:
            by(code)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return False
    return True


def plain_functions(source: str, longest: int = 400) -> list[str]:
    """The functions and methods of a module in one plain form, as Python writes its trees.

    Docstrings and comments are gone, a statement is one line, each level of indentation one
    tab, and no line is blank. Functions of more than `longest` characters are left out;
    inner functions stay in theirs.

    >>> plain_functions("class A:\\n  def f(s): # hi\\n    'Doc.'\\n    return (s,\\n    1)")
    ['def f(s):\\n\\treturn (s, 1)\\n']
    """
    found, bodies = [], [ast.parse(source).body]
    for body in bodies:  # grows as classes are met
        for node in body:
            if isinstance(node, ast.ClassDef):
                bodies.append(node.body)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append(_plain(node))
    return [code for code in found if len(code) <= longest]


def _plain(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and _is_text(body[0]):
            inner.body = body[1:] or [ast.Pass()]
    code = re.sub(r"\n\n+", "\n", ast.unparse(node))
    return re.sub(r"(?m)^( {4})+", lambda m: "\t" * (len(m[0]) // 4), code) + "\n"


def _is_text(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)


def uses(code: str) -> list[tuple[str, frozenset[str]]]:
    """Each name that a code reads, with the names that the code has bound before it.

    A name is bound by a parameter, an assignment, a loop, ``with``, ``except``, ``import``,
    ``def``, ``class``, a pattern, ``global`` or ``nonlocal``. Order is that of execution
    in one statement (the right side of ``=`` first) and that of the text otherwise; what
    an inner scope binds stays bound. Python's built-in names are left out.

    >>> [(name, name in bound) for name, bound in uses("def f(x):\\n  y = x\\n  return z")]
    [('x', True), ('z', False)]
    """
    reader = _Names()
    reader.visit(ast.parse(code))
    return reader.uses


class _Names(ast.NodeVisitor):
    """Walks a tree in the order of execution and keeps what is bound so far."""

    FIRST = {  # fields that are executed before the others, in this order
        ast.Assign: ("value", "targets"), ast.AnnAssign: ("annotation", "value", "target"),
        ast.NamedExpr: ("value", "target"), ast.For: ("iter", "target"),
        ast.AsyncFor: ("iter", "target"), ast.comprehension: ("iter", "target"),
        ast.ListComp: ("generators",), ast.SetComp: ("generators",),
        ast.GeneratorExp: ("generators",), ast.DictComp: ("generators",),
        ast.arguments: ("defaults", "kw_defaults"),
    }

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.uses: list[tuple[str, frozenset[str]]] = []

    def use(self, name: str) -> None:
        if not hasattr(builtins, name):
            self.uses.append((name, frozenset(self.bound)))

    def generic_visit(self, node: ast.AST) -> None:
        first = self.FIRST.get(type(node), ())
        for field in (*first, *(f for f in node._fields if f not in first)):
            value = getattr(node, field, None)
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    self.visit(part)
        for field in ("name", "rest") if isinstance(node, BINDERS) else ():
            if getattr(node, field, None):
                self.bound.add(getattr(node, field))

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.use(node.id)
        else:
            self.bound.add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.use(node.target.id)
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        self.generic_visit(node)
        self.bound.add(node.arg)

    def visit_alias(self, node: ast.alias) -> None:
        self.bound.add((node.asname or node.name).split(".")[0])

    def visit_Global(self, node: ast.Global) -> None:
        self.bound.update(node.names)

    visit_Nonlocal = visit_Global

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in node.decorator_list:
            self.visit(part)
        self.bound.add(node.name)
        for part in (node.args, node.returns, *node.body):
            if part is not None:
                self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        self.bound.update([node.name] if node.name else [])
        for part in node.body:
            self.visit(part)


BINDERS = (ast.ClassDef, ast.MatchAs, ast.MatchStar, ast.MatchMapping)


def marks(source: str) -> dict[str, np.ndarray]:
    """What the tokenizer knows at each character of a module, float (T,) each.

    Returns
    -------
    dict
        ``quotes``: 1 inside a string literal, from its opening quote up to before its
        closing one. ``brackets``: how many are open. ``indentation``: leading spaces or
        tabs of the line. All refer to the text up to and including the character.
    """
    lines = source.split("\n")
    starts = np.cumsum([0] + [len(line) + 1 for line in lines])
    quotes, change = np.zeros(len(source)), np.zeros(len(source) + 1)
    opened = []  # where f-strings began; from Python 3.12 on they come in parts
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        a = starts[token.start[0] - 1] + token.start[1]
        b = starts[token.end[0] - 1] + token.end[1]
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            opened.append(a)
        if name == "STRING" or name.endswith("STRING_END"):
            quotes[opened.pop() if opened and name != "STRING" else a : b - 1] = 1
        elif token.type == tokenize.OP and token.string in "([{":
            change[a] += 1
        elif token.type == tokenize.OP and token.string in ")]}":
            change[a] -= 1
    spaces = [len(line) - len(line.lstrip(" \t")) if line.strip() else 0 for line in lines]
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
    for k, (character, value) in enumerate(zip(text, values)):
        ax.text(k, 0, character.replace("\n", "¶").replace("\t", "→"), ha="center", va="center",
                fontsize=7, family="monospace", color="white" if abs(value) > 0.6 else "black")
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    return ax


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-12))
