"""Judges of code by hand, and probes that find what was put there."""

import ast
import warnings

import numpy as np
import pytest
import torch

from course_utils import charmodel, structure


def test_plain_functions_by_hand():
    """Two classes deep, comments and docstrings gone, the inner function in its own."""
    source = """
x = 1
class A:
    class B:
        @wrap  # here
        def f(self, a,
              b=2):
            'Doc.'
            def g():
                "Doc."

            return [a,
                    'b']
async def h(): pass
"""
    got = structure.plain_functions(source)
    assert got == ["async def h():\n\tpass\n", "@wrap\ndef f(self, a, b=2):\n"
                   "\tdef g():\n\t\tpass\n\treturn [a, 'b']\n"]
    assert all(structure.parses(code) for code in got)
    assert structure.plain_functions(source, longest=30) == got[:1]


def test_the_compiler_judges_too():
    """The grammar accepts these four; Python does not run them. Warnings are no verdict."""
    for code in ("return 1", "break", "def f(a, a):\n\tpass", "def f():\n\tnonlocal x"):
        assert ast.parse(code) and not structure.parses(code), code
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert structure.parses("def f(x):\n\treturn x is 'a' or '\\d'\n")
        assert structure.line_parses("\treturn x is 'a'")


def test_lines():
    for line in ("elif x > 1:", "except OSError:", "finally:", "@wraps(f)", "return x",
                 "def f(a, b=1):", "for i in x:", "raise ValueError(f'{x}')"):
        assert structure.line_parses("   " + line), line
    for line in ("def f(a, b=1:", "for i x:", "x = = 1", "return)", "'open"):
        assert not structure.line_parses(line), line


def test_marks_by_hand():
    """f(['a']): the quote opens at 3 and is closed by 5; two brackets open at 2."""
    source = "f(['a'])\nif x:\n    y = 1\n"
    got = structure.marks(source)
    assert got["quotes"][:8].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert got["brackets"][:9].tolist() == [0, 1, 2, 2, 2, 2, 1, 0, 0]
    assert got["indentation"].tolist() == [0] * 15 + [4] * 10
    assert all(len(v) == len(source) for v in got.values())


def test_a_probe_finds_a_planted_unit_and_nothing_in_noise():
    g = np.random.default_rng(0)
    target = (np.sin(np.arange(4000) / 30) > 0).astype(float)
    noise = g.normal(size=(4000, 11))
    planted = noise.copy()
    planted[:, 7] -= 3 * target
    found, nothing = (structure.probe(x, target) for x in (planted, noise))
    assert found.unit == 7 and found.correlation > 0.7 and found.all_units > 0.8
    assert nothing.correlation < 0.1 and abs(nothing.all_units) < 0.1


def test_a_sum_over_two_units_needs_both():
    g = np.random.default_rng(1)
    states = g.normal(size=(4000, 5))
    target = states[:, 1] - states[:, 3]
    found = structure.probe(states, target)
    assert found.all_units > 0.99 > 0.8 > found.correlation > 0.6


def test_window_and_states():
    codes = structure.window(torch.tensor([2, 0, 1]), 3, 2)
    assert codes.tolist() == [[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0]]
    model = charmodel.CharRNN(3, hidden=5, embedding=2).eval()
    assert structure.states_of(model, torch.tensor([2, 0, 1])).shape == (3, 5)


def test_names_bound_before_use_by_hand():
    """Right sides come before left sides, parameters before bodies; len is built in."""
    code = """
@wrap
def f(a, *b, c=late, **d) -> kind:
    x = x + len(a)
    late = [u for u in b if u]
    n += 1
    import os.path as p, sys
    with open(c) as h, g() as (i, j):
        i(j, h, p, sys, d, f)
    try:
        k
    except (E, p) as k:
        k
    for m in m:
        m
    if (w := w):
        lambda q, r=q: (q, r)
    class C(D):
        C
    match n:
        case [s, *t] if s: t
        case {"a": u, **v}: v
        case None as y: y
    global z
    z = v.z
"""
    got = [name + "+-"[name not in bound] for name, bound in structure.uses(code)]
    assert got == (
        "wrap- late- kind- x- a+ b+ u+ u+ n- c+ g- i+ j+ h+ p+ sys+ d+ f+ k- E- p+ k+ m- m+"
        " w- q- q+ r+ D- C- n+ s+ t+ v+ y+ v+".split()
    )


def test_an_f_string_is_a_string():
    """From Python 3.12 on the tokenizer gives it in parts; its field opens a bracket."""
    got = structure.marks("x = f'a{y}b' + z\n")["quotes"]
    assert got[4:11].tolist() == [1] * 7 and got[11:].sum() == 0 and got[:4].sum() == 0


def test_errors():
    with pytest.raises(ValueError, match="T states and targets"):
        structure.probe(np.zeros((5, 2)), np.zeros(4))
    with pytest.raises(ValueError, match="one that varies"):
        structure.probe(np.random.rand(8, 2), np.zeros(8))
