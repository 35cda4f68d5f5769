"""GloVe: Stanford's formula pair by pair, autograd, and the fast form against both."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from teaching import taught

from course_utils import glove, runtime
from course_utils.glove import NAMES, Settings
from course_utils.glove_training import Batch, batches, fast_step, train

N, D = 7, 3
SETTINGS = Settings(dimension=D, x_max=5.0, eta=0.3, epochs=3, batch=11)


def counts(seed=0, n_vocab=N):
    """Counts (N, N), not symmetric, about half of them zero, some above x_max."""
    rng = np.random.default_rng(seed)
    return csr_array(rng.poisson(0.8, (n_vocab, n_vocab)) * rng.uniform(0.3, 9, (n_vocab,) * 2))


def model(settings=SETTINGS, seed=1):
    return glove.initial(N, settings, generator=runtime.generator(seed), dtype=torch.float64)


def by_pairs(m, i, j, x, settings):
    """The C program's loop, one pair after another, in plain Python: the oracle.

    diff = w.c + b + b~ - log x; g = eta f diff; each element moves by g c / sqrt(h), with
    the h of before; then h grows by (g c)^2. Returns the sum of f diff^2 / 2.
    """
    total, D = 0.0, m.w.shape[1]
    for a, c, value in zip(i.tolist(), j.tolist(), x.tolist()):
        w, t = m.w[a].tolist(), m.w_tilde[c].tolist()
        diff = sum(p * q for p, q in zip(w, t)) + float(m.b[a] + m.b_tilde[c])
        diff -= math.log(value)
        f = (value / settings.x_max) ** settings.alpha if value < settings.x_max else 1.0
        total += f * diff * diff / 2
        g = settings.eta * f * diff
        for name, row, step in (("w", a, [g * q for q in t]), ("w_tilde", c, [g * p for p in w]),
                                ("b", a, g), ("b_tilde", c, g)):
            h = m.squares[name]
            step = torch.tensor(step, dtype=torch.float64)
            if settings.accumulator == "row":
                getattr(m, name)[row] -= step / math.sqrt(h[row])
                h[row] += (step**2).mean()
            else:
                getattr(m, name)[row] -= step / h[row].sqrt()
                h[row] += step**2
    return total


def gap(one, other):
    """Largest difference of two models, sums of squares included."""
    both = [(getattr(one, n), getattr(other, n)) for n in NAMES]
    both += [(one.squares[n], other.squares[n]) for n in NAMES]
    return max(float((p - q).abs().max()) for p, q in both)


def test_weight_by_hand():
    """(1/16)^0.75 = 1/8; at and beyond x_max the weight is 1; nothing for nothing."""
    x = np.array([0.0, 1.0, 16.0, 17.0])
    assert glove.weight(x, 16).tolist() == pytest.approx([0, 1 / 8, 1, 1], abs=1e-15)
    assert torch.equal(glove.weight(torch.tensor(x), 16), torch.tensor(glove.weight(x, 16)))


def test_rare_pairs_weigh_less():
    f = glove.weight(np.linspace(0, 150, 301))
    assert (np.diff(f) >= 0).all() and f.max() == 1


def test_loss_by_hand():
    """w.c = 2, b + b~ = 1, log e = 1: diff 2, f(e) = (e/5)^0.75, J = 4 (e/5)^0.75."""
    m = model(Settings(dimension=2))
    for name, value in (("w", [1.0, 1.0]), ("w_tilde", [0.5, 1.5]), ("b", 0.25),
                        ("b_tilde", 0.75)):
        getattr(m, name)[0] = torch.tensor(value)
    zero, e = torch.tensor([0]), torch.tensor([math.e], dtype=torch.float64)
    found = glove.loss(m, zero, zero, e, SETTINGS)
    assert float(found) == pytest.approx(4 * (math.e / 5) ** 0.75, abs=1e-14)


def test_the_loss_of_one_pair_is_a_square():
    """Twice the error, four times the loss: a missing square would give two."""
    m = model()
    for name in NAMES:
        getattr(m, name).zero_()
    i = torch.tensor([0])
    x = torch.tensor([2.0, 4.0], dtype=torch.float64)  # log 4 = 2 log 2
    flat = Settings(dimension=D, alpha=0.0)
    one, two = (float(glove.loss(m, i, i, x[k : k + 1], flat)) for k in (0, 1))
    assert two == pytest.approx(4 * one, abs=1e-12) and one > 0


def test_gradient_equals_autograd_and_gradcheck():
    i, j, x = glove.pairs(counts(), dtype=torch.float64)
    m = model()
    parameters = [getattr(m, name).requires_grad_() for name in NAMES]

    def half(w, w_tilde, b, b_tilde):
        return glove.loss(glove.Glove(w, w_tilde, b, b_tilde, {}), i, j, x, SETTINGS) / 2

    assert torch.autograd.gradcheck(half, parameters)
    expected = torch.autograd.grad(half(*parameters), parameters)
    for mine, auto in zip(glove.gradients(m, i, j, x, SETTINGS), expected):
        torch.testing.assert_close(mine, auto, rtol=0, atol=1e-12)


@pytest.mark.parametrize("accumulator", glove.ACCUMULATORS)
def test_one_pair_at_a_time_equals_stanfords_loop(accumulator):
    """Batches of one pair, three epochs: every number of the model to 1e-12."""
    settings = Settings(dimension=D, x_max=5.0, eta=0.3, batch=1, accumulator=accumulator)
    i, j, x = glove.pairs(counts(), dtype=torch.float64)
    slow, batch_form, fast = (model(settings) for _ in range(3))
    for _ in range(3):
        expected = by_pairs(slow, i, j, x, settings)
        found = [sum(glove.adagrad_step(batch_form, *p, settings)
                     for p in zip(i.split(1), j.split(1), x.split(1))),
                 sum(float(fast_step(fast, Batch.of(*p, settings, N), settings))
                     for p in zip(i.split(1), j.split(1), x.split(1)))]
        assert found == pytest.approx([expected] * 2, abs=1e-11)
    assert gap(slow, batch_form) < 1e-12 and gap(slow, fast) < 1e-12


@pytest.mark.parametrize("accumulator", glove.ACCUMULATORS)
def test_fast_step_equals_the_formula_on_a_batch_with_shared_words(accumulator):
    settings = Settings(dimension=D, x_max=5.0, eta=0.3, accumulator=accumulator)
    i, j, x = glove.pairs(counts(), dtype=torch.float64)
    assert len(i) > 2 * N  # so words are shared: scattering without adding up would show
    one, other = model(settings), model(settings)
    for _ in range(3):
        a = glove.adagrad_step(one, i, j, x, settings)
        b = float(fast_step(other, Batch.of(i, j, x, settings, N), settings))
        assert a == pytest.approx(b, abs=1e-11)
    assert gap(one, other) < 1e-12


def test_pairs_that_share_a_word_add_up():
    """Two equal pairs move b by twice the step of one: index assignment would lose one."""
    once, twice = model(), model()
    i, x = torch.tensor([2]), torch.tensor([3.0], dtype=torch.float64)
    before = float(once.b[2])
    glove.adagrad_step(once, i, i, x, SETTINGS)
    glove.adagrad_step(twice, i.repeat(2), i.repeat(2), x.repeat(2), SETTINGS)
    assert float(twice.b[2]) - before == pytest.approx(2 * (float(once.b[2]) - before))


def test_zero_counts_are_left_out():
    """log 0 is minus infinity: stored zeros must not reach the loss."""
    X = csr_array((np.array([0.0, 2.0]), ([0, 1], [1, 0])), shape=(2, 2))
    i, j, x = glove.pairs(X)
    assert (i.tolist(), j.tolist(), x.tolist()) == ([1], [0], [2.0])


def test_update_comes_before_accumulation():
    """First step: h is 1, so b moves by exactly eta f diff; Adagrad of torch would not."""
    m, flat = model(), Settings(dimension=D, eta=0.3, alpha=0.0)
    i, x = torch.tensor([0]), torch.tensor([5.0], dtype=torch.float64)
    diff, before = float(glove.difference(m, i, i, x.log())), float(m.b[0])
    glove.adagrad_step(m, i, i, x, flat)
    assert before - float(m.b[0]) == pytest.approx(0.3 * diff, abs=1e-14)
    assert float(m.squares["b"][0]) == pytest.approx(1 + (0.3 * diff) ** 2, abs=1e-14)


def test_every_pair_is_in_exactly_one_batch():
    X = counts(n_vocab=13)
    work = batches(X, SETTINGS, generator=runtime.generator(0), dtype=torch.float64)
    seen = sorted((int(a), int(c), float(v)) for b in work
                  for a, c, v in zip(b.i, b.j, b.log_x.values().exp()))
    i, j, x = glove.pairs(X, dtype=torch.float64)
    assert [s[:2] for s in seen] == sorted(zip(i.tolist(), j.tolist()))
    assert sum(s[2] for s in seen) == pytest.approx(float(x.sum()))
    assert max(len(b.i) for b in work) == SETTINGS.batch


def test_training_finds_a_model_that_fits_exactly():
    """Counts made from vectors of rank 2 and biases: the loss goes to nearly nothing."""
    rng = np.random.default_rng(0)
    a, c, b = rng.normal(size=(11, 2)), rng.normal(size=(11, 2)), rng.normal(size=(2, 11))
    X = np.exp(a @ c.T + b[0][:, None] + b[1])
    settings = Settings(dimension=2, x_max=1.0, eta=0.2, epochs=400, batch=40)
    fitted = train(X, settings, generator=runtime.generator(3))
    assert fitted.losses[-1] < 1e-3 < 0.5 < fitted.losses[0]


def test_same_seed_same_model_and_a_checkpoint_goes_on(tmp_path):
    path = tmp_path / "glove.pt"

    def run(epochs, model=None, after=None):
        return train(counts(), Settings(dimension=D, epochs=epochs, batch=11),
                     generator=runtime.generator(5), model=model, after_epoch=after)

    whole = run(5)
    run(3, after=lambda m: m.save(path))
    resumed = run(5, model=glove.Glove.load(path))
    assert gap(whole, resumed) == 0 and whole.losses == resumed.losses
    assert len(whole.losses) == 5 and whole.vectors().shape == (N, D)


@pytest.mark.parametrize(("X", "words"), [
    (np.ones((2, 3)), "square"),
    (np.zeros((2, 2)), "corpus empty"),
    (-np.ones((2, 2)), "not their logarithms"),
    (np.full((2, 2), np.nan), "non-finite"),
])
def test_counts_that_cannot_be_used_are_refused(X, words):
    with pytest.raises(ValueError, match=words):
        train(X, generator=runtime.generator(0))


def test_other_errors_say_what_to_do():
    with pytest.raises(ValueError, match="x_max"):
        Settings(x_max=0)
    with pytest.raises(ValueError, match="alpha"):
        Settings(alpha=float("nan"))
    with pytest.raises(ValueError, match="accumulator"):
        Settings(accumulator="column")
    with pytest.raises(ValueError, match="settings of the checkpoint"):
        train(counts(), Settings(dimension=2), generator=runtime.generator(0), model=model())
    with pytest.raises(ValueError, match="smaller eta"):
        train(counts(), Settings(dimension=D, eta=1e30), generator=runtime.generator(0))


def test_the_chapters_weight_is_the_librarys():
    taught_weight = taught("04_glove", "weight")
    x = np.random.default_rng(0).exponential(20, size=101)
    for x_max, alpha in ((100.0, 0.75), (10.0, 0.5)):
        expected = glove.weight(x, x_max, alpha)
        np.testing.assert_allclose(taught_weight(x, x_max, alpha), expected, rtol=0, atol=1e-15)


def test_the_chapters_step_is_the_librarys():
    """Biases at zero and not looked at: the two vectors and their squares agree."""
    step = taught("04_glove", "stanford_step")
    settings = Settings(dimension=D, x_max=5.0, eta=0.3, accumulator="element")
    m = model(settings)
    m.b.zero_(), m.b_tilde.zero_()
    i, j, x = torch.tensor([2]), torch.tensor([5]), torch.tensor([3.0], dtype=torch.float64)
    old = [t.numpy().copy() for t in (m.w[2], m.w_tilde[5])]
    f = float(glove.weight(x, 5.0))
    expected = step(*old, np.ones(D), np.ones(D), math.log(3), f, 0.3)
    glove.adagrad_step(m, i, j, x, settings)
    found = m.w[2], m.w_tilde[5], m.squares["w"][2], m.squares["w_tilde"][5]
    for mine, theirs in zip(found, expected):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=0, atol=1e-14)
