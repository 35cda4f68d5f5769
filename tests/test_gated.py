"""LSTM and GRU cells against hand numbers, torch, finite differences, and known mistakes."""

import math
import weakref

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager
from torch.utils._python_dispatch import TorchDispatchMode

from course_utils import gated
from course_utils.recurrent import (
    LSTM,
    LSTMByHand,
    compiled_steps,
    lstm_forward,
    lstm_forward_indexed,
)
from teaching import taught

B, T, D, H = 2, 3, 5, 7
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=gen(seed), dtype=dtype)


def float64(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def torch_module(kind, dtype):
    torch.manual_seed(3)
    module = kind(D, H, batch_first=True).to(dtype)
    assert module.bias_ih_l0.abs().min() > 0  # both biases count
    return module


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE[a.dtype])


# ---------------------------------------------------------------- LSTM


def test_lstm_step_by_hand():
    """One unit, one input. a = W [h, x] + b with h = 1, x = 2, c = 3:
    i: 0*1 + 0*2 + ln 3 -> sigma = 3/4;  f: -> ln 4 -> 4/5;  o: 0 -> 1/2;
    g: 0.5 * 1 - 0.25 * 2 = 0 -> tanh 0 = 0.  c = 4/5 * 3 = 2.4, h = tanh(2.4)/2."""
    W = float64([0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.5, -0.25])
    b = float64(math.log(3), math.log(4), 0.0, 0.0)
    x, h, c = (torch.full((1, 1), v).double() for v in (2.0, 1.0, 3.0))
    h_t, c_t = gated.lstm_step(x, h, c, W, b)
    assert c_t.item() == pytest.approx(2.4, abs=1e-12)
    assert h_t.item() == pytest.approx(math.tanh(2.4) / 2, abs=1e-12)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_lstm_equals_torch_forward_and_all_gradients(dtype):
    module = torch_module(torch.nn.LSTM, dtype)
    W, b = (w.requires_grad_() for w in gated.lstm_from_torch(module))
    ours = [normal(*s, seed=k, dtype=dtype).requires_grad_()
            for k, s in enumerate([(B, T, D), (B, H), (B, H)])]
    theirs = [v.detach().clone().requires_grad_() for v in ours]
    h, c = gated.lstm(*ours, W, b)
    out, (h_n, c_n) = module(theirs[0], (theirs[1][None], theirs[2][None]))
    close(h, out)
    close(c[:, -1], c_n[0])
    weight = normal(B, T, H, seed=9, dtype=dtype)
    ((h * weight).sum() + c[:, -1].sum()).backward()
    ((out * weight).sum() + c_n.sum()).backward()
    for mine, torchs in zip(ours, theirs):
        close(mine.grad, torchs.grad)
    mapped = gated.lstm_to_torch(W.grad, b.grad)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
        close(mapped[name], getattr(module, name).grad)
    close(mapped["bias_ih_l0"], module.bias_hh_l0.grad)  # each gets the sum's gradient


def test_lstm_map_is_its_own_inverse():
    module = torch_module(torch.nn.LSTM, torch.float64)
    W, b = gated.lstm_from_torch(module)
    other = torch.nn.LSTM(D, H, batch_first=True).double()
    other.load_state_dict(gated.lstm_to_torch(W, b))
    x = normal(B, T, D)
    close(module(x)[0], other(x)[0])


@pytest.mark.parametrize("mistake", ["i and f", "o and g", "one bias", "bias twice"])
def test_lstm_parity_catches_planted_mistakes(mistake):
    module = torch_module(torch.nn.LSTM, torch.float64)
    W, b = gated.lstm_from_torch(module)
    if mistake == "i and f":
        order = [1, 0, 2, 3]
    else:
        order = [0, 1, 3, 2] if mistake == "o and g" else [0, 1, 2, 3]
    rows = torch.cat([torch.arange(k * H, (k + 1) * H) for k in order])
    W, b = W[rows], b[rows]
    if mistake == "one bias":
        b = b - gated.lstm_from_torch(module)[1] + gated._swap_last_gates(
            module.bias_ih_l0.detach())
    if mistake == "bias twice":
        b = 2 * b
    x, zero = normal(B, T, D), torch.zeros(B, H).double()
    wrong = gated.lstm(x, zero, zero, W, b)[0]
    assert (wrong - module(x)[0]).abs().max() > 1e-3


def test_lstm_gradcheck():
    x, h, c = normal(B, D), normal(B, 3, seed=1), normal(B, 3, seed=2)
    W, b = normal(12, 3 + D, seed=3), normal(12, seed=4)
    inputs = [v.requires_grad_() for v in (x, h, c, W, b)]
    assert torch.autograd.gradcheck(gated.lstm_step, inputs)


def test_wrong_shape_says_what_to_do():
    with pytest.raises(ValueError, match=r"expected shape \(28, 12\).*columns"):
        gated.lstm_step(normal(B, D), normal(B, H), normal(B, H),
                        normal(4 * H, D + H + 1), normal(4 * H))


# ---------------------------------------------------------------- GRU


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gru_equals_torch_forward_and_all_gradients(dtype):
    module = torch_module(torch.nn.GRU, dtype)
    p = gated.gru_from_torch(module)
    for tensor in p.tensors():
        tensor.requires_grad_()
    ours = [normal(B, T, D, dtype=dtype).requires_grad_(),
            normal(B, H, seed=1, dtype=dtype).requires_grad_()]
    theirs = [v.detach().clone().requires_grad_() for v in ours]
    h = gated.gru(*ours, p, z_keeps=True, reset_after=True)
    out, _ = module(theirs[0], theirs[1][None])
    close(h, out)
    weight = normal(B, T, H, seed=9, dtype=dtype)
    (h * weight).sum().backward()
    (out * weight).sum().backward()
    for mine, torchs in zip(ours, theirs):
        close(mine.grad, torchs.grad)
    rows = torch.cat([p.W_r.grad, p.W_z.grad, p.W.grad])  # torch: r, z, n
    close(rows[:, :H], module.weight_hh_l0.grad)
    close(rows[:, H:], module.weight_ih_l0.grad)
    close(torch.cat([p.b_r.grad, p.b_z.grad, p.b.grad]), module.bias_ih_l0.grad)
    close(torch.cat([p.b_r.grad, p.b_z.grad, p.b_hn.grad]), module.bias_hh_l0.grad)


def test_slide_gru_by_hand():
    """H = D = 1, h = 2, x = 1. z = sigma(ln 3) = 3/4, r = sigma(0) = 1/2,
    candidate = tanh(0.5 * (1/2 * 2) - 0.5 * 1) = tanh 0 = 0; h = 1/4 * 2 + 3/4 * 0."""
    W_z, W_r, W = float64([0.0, math.log(3)]), float64([0.0, 0.0]), float64([0.5, -0.5])
    p = gated.GRUWeights(W_z, W_r, W, *[float64(0.0)] * 4)
    x, h = float64([1.0]), float64([2.0])
    assert gated.gru_step(x, h, p).item() == pytest.approx(0.5, abs=1e-12)
    # z swapped: 3/4 * 2 + 1/4 * 0
    assert gated.gru_step(x, h, p, z_keeps=True).item() == pytest.approx(1.5, abs=1e-12)


@pytest.mark.parametrize("reset_after", [False, True])
def test_flipping_the_update_gate_is_exact(reset_after):
    p = gated.GRUWeights.draw(D, H, gen(), torch.float64)
    x, h_0 = normal(B, T, D), normal(B, H, seed=1)
    slide = gated.gru(x, h_0, p, reset_after=reset_after)
    cho = gated.gru(x, h_0, gated.flip_update(p), z_keeps=True, reset_after=reset_after)
    close(slide, cho)
    unflipped = gated.gru(x, h_0, p, z_keeps=True, reset_after=reset_after)
    assert (slide - unflipped).abs().max() > 1e-2


def test_reset_placements_agree_where_r_is_scalar_or_W_diagonal_only():
    from dataclasses import replace

    p = gated.GRUWeights.draw(D, H, gen(), torch.float64)
    x, h = normal(B, D), normal(B, H, seed=1)

    def gap(q):
        before, after = (gated.gru_step(x, h, q, reset_after=a) for a in (False, True))
        return (before - after).abs().max().item()

    equal_r = replace(p, W_r=p.W_r[:1].expand(H, -1), b_r=p.b_r[:1].expand(H))
    diagonal = replace(p, W=torch.cat([torch.eye(H).double(), p.W[:, H:]], 1))
    assert gap(equal_r) < 1e-12
    assert gap(diagonal) < 1e-12
    assert gap(p) > 1e-3


@pytest.mark.parametrize("mistake", ["z swapped", "reset before", "r and z", "one bias"])
def test_gru_parity_catches_planted_mistakes(mistake):
    from dataclasses import replace

    module = torch_module(torch.nn.GRU, torch.float64)
    p = gated.gru_from_torch(module)
    convention = dict(z_keeps=True, reset_after=True)
    if mistake == "z swapped":
        convention["z_keeps"] = False
    elif mistake == "reset before":
        convention["reset_after"] = False
    elif mistake == "r and z":
        p = replace(p, W_z=p.W_r, W_r=p.W_z, b_z=p.b_r, b_r=p.b_z)
    else:  # both biases of n outside the reset gate
        p = replace(p, b=p.b + p.b_hn, b_hn=torch.zeros(H).double())
    x, h_0 = normal(B, T, D), torch.zeros(B, H).double()
    assert (gated.gru(x, h_0, p, **convention) - module(x)[0]).abs().max() > 1e-3


# ---------------------------------------------------------------- flow


def test_direct_path_is_the_product_of_forget_gates():
    """With no recurrent weights the only path from c_t to c_T is the cell line:
    dc_T/dc_t = diag(prod f)."""
    W, b = normal(4 * H, H + D), normal(4 * H, seed=1)
    W[:, :H] = 0
    x = normal(6, D, seed=2)
    h_t = c_t = torch.zeros(H).double()
    c, forget = [], []
    for x_t in x:
        both = torch.cat([h_t, x_t])
        forget.append(torch.sigmoid(both @ W.T + b).chunk(4)[1])
        h_t, c_t = gated.lstm_step(x_t[None], h_t[None], c_t[None], W, b)
        h_t, c_t = h_t[0], c_t[0].requires_grad_()
        c.append(c_t)
    J = gated.jacobians(c[-1], c)
    for k in range(6):
        product = torch.stack([torch.ones(H).double(), *forget[k + 1 :]]).prod(0)
        close(J[k], torch.diag(product))


def test_jacobians_of_a_linear_map():
    """h_2 = A h_1, h_1 = A h_0: dh_2/dh_0 = A A."""
    A = normal(H, H)
    h_0 = normal(H, seed=1).requires_grad_()
    h_1 = A @ h_0
    close(gated.jacobians(A @ h_1, [h_0, h_1]), torch.stack([A @ A, A]))


# ---------------------------------------------------------------- fast layers


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("which", ["loop", "indexed", "by hand"])
def test_fast_lstm_equals_torch(which, dtype):
    torch.manual_seed(5)
    module = torch.nn.LSTM(D, H).to(dtype)
    layer = LSTM(D, H, by_hand=which == "by hand").to(dtype).copy_from(module)
    x = normal(11, B, D, dtype=dtype).requires_grad_()
    x2 = x.detach().clone().requires_grad_()
    if which == "indexed":
        h = lstm_forward_indexed(x, layer.W_x, layer.W_h, layer.b)
    else:
        h = layer(x)
    out = module(x2)[0]
    close(h, out)
    weight = normal(11, B, H, seed=6, dtype=dtype) / 11
    (h * weight).sum().backward()
    (out * weight).sum().backward()
    close(x.grad, x2.grad)
    close(layer.W_x.grad, module.weight_ih_l0.grad)
    close(layer.W_h.grad, module.weight_hh_l0.grad)
    close(layer.b.grad, module.bias_ih_l0.grad)


@pytest.mark.parametrize("run", [lstm_forward, LSTMByHand.apply], ids=["loop", "by hand"])
def test_fast_lstm_gradcheck(run):
    shapes = [(T, B, D), (4 * H, D), (4 * H, H), (4 * H,)]
    inputs = [normal(*s, seed=k).requires_grad_() for k, s in enumerate(shapes)]
    assert torch.autograd.gradcheck(run, inputs)


def test_compiled_steps_are_the_loop():
    """Outputs and all gradients; five steps are two programs, the second of one step.

    The traced program runs without C++, which takes half a minute to compile; the
    benchmark compiles it, and compares.
    """
    programs = []

    def traced(program, examples):
        programs.append(program)
        return aot_eager(program, examples)

    inputs = [normal(*s, seed=k, dtype=torch.float32) for k, s in
              enumerate([(5, B, D), (4 * H, D), (4 * H, H), (4 * H,)])]
    weight = normal(5, B, H, seed=6, dtype=torch.float32)
    found = []
    for more in [], [compiled_steps(2, backend=traced)]:
        these = [x.clone().requires_grad_() for x in inputs]
        h = lstm_forward(*these, *more)
        found.append((h, *torch.autograd.grad((h * weight).sum(), these)))
    for plain, compiled in zip(*found):
        close(compiled, plain)
    assert len(programs) == 2


def test_a_step_is_eight_operations_forward_and_sixteen_backward():
    """As the page says; views and bookkeeping are not counted."""
    free = {"detach", "select", "t"}

    class Counted(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func.overloadpacket.__name__ not in free
            return func(*args, **kwargs or {})

    def counts(steps):
        shapes = [(steps, B, D), (4 * H, D), (4 * H, H), (4 * H,)]
        inputs = [normal(*s).requires_grad_() for s in shapes]
        found = []
        with Counted() as mode:
            mode.count = 0
            h = lstm_forward(*inputs)
            found.append(mode.count)
            h.sum().backward()
            found.append(mode.count - found[0])
        return torch.tensor(found)

    assert (counts(9) - counts(8)).tolist() == [8, 16]


def test_compiled_is_not_by_hand():
    with pytest.raises(ValueError, match="expected one of them"):
        LSTM(D, H, by_hand=True, compiled=True)
    with pytest.raises(ValueError, match="1 step or more"):
        compiled_steps(0)


def test_one_step_has_no_gradient_for_the_recurrent_weights():
    """T = 1: the state before is zero, so the sum over t > 1 is empty."""
    shapes = [(1, B, D), (4 * H, D), (4 * H, H), (4 * H,)]
    x, W_x, W_h, b = (normal(*s, seed=k).requires_grad_() for k, s in enumerate(shapes))
    lstm_forward(x, W_x, W_h, b).sum().backward()
    assert W_h.grad.shape == W_h.shape and not W_h.grad.any() and W_x.grad.any()


def test_the_loop_leaves_no_graph_behind():
    """The products' node holds the states detached; otherwise it would hold itself."""
    x = normal(T, B, D).requires_grad_()
    h = lstm_forward(x, normal(4 * H, D), normal(4 * H, H), normal(4 * H))
    alive = weakref.ref(x)
    del x, h
    assert alive() is None


def test_slides_cell_and_fast_layer_agree():
    module = torch_module(torch.nn.LSTM, torch.float64)
    x, zero = normal(B, T, D), torch.zeros(B, H).double()
    slow, _ = gated.lstm(x, zero, zero, *gated.lstm_from_torch(module))
    layer = LSTM(D, H).double().copy_from(module)
    close(slow, layer(x.transpose(0, 1)).transpose(0, 1))


def test_forget_bias_is_counted_once():
    plain = LSTM(D, H, generator=gen())
    biased = LSTM(D, H, generator=gen(), forget_bias=3.0)
    difference = (biased.b - plain.b).detach()
    assert difference[H : 2 * H].sub(3).abs().max() < 1e-6
    assert difference.count_nonzero() == H


def test_indexed_and_split_loops_agree():
    args = [normal(*s, seed=k) for k, s in
            enumerate([(T, B, D), (4 * H, D), (4 * H, H), (4 * H,)])]
    close(lstm_forward(*args), lstm_forward_indexed(*args))


# ---------------------------------------------------------------- the chapter's cells


def test_taught_lstm_step_is_the_library_s():
    step = taught("08_lstm", "lstm_step")
    arguments = [normal(*s, seed=k) for k, s in enumerate(
        [(B, D), (B, H), (B, H), (4 * H, H + D), (4 * H,)])]
    for mine, its in zip(step(*arguments), gated.lstm_step(*arguments)):
        assert torch.equal(mine, its)


def test_taught_gates_are_the_stacked_form():
    """Gate by gate, with the rows i, f, o, C cut from one matrix."""
    step = taught("08_lstm", "gate_by_gate")
    x, h, c, W, b = (normal(*s, seed=k) for k, s in enumerate(
        [(B, D), (B, H), (B, H), (4 * H, H + D), (4 * H,)]))
    parts = dict(zip("ifoC", W.chunk(4))), dict(zip("ifoC", b.chunk(4)))
    for mine, its in zip(step(x, h, c, *parts), gated.lstm_step(x, h, c, W, b)):
        close(mine, its)


def test_taught_weight_map_is_the_library_s():
    module = torch_module(torch.nn.LSTM, torch.float64)
    for mine, its in zip(taught("08_lstm", "lstm_from_torch")(module),
                         gated.lstm_from_torch(module)):
        assert torch.equal(mine, its)


def test_taught_forward_is_the_library_s():
    arguments = [normal(*s, seed=k) for k, s in
                 enumerate([(T, B, D), (4 * H, D), (4 * H, H), (4 * H,)])]
    *_, forward = taught("08_lstm", "InputProducts", "lstm_steps", "lstm_forward")
    mine, its = ([x.requires_grad_() for x in map(torch.clone, arguments)] for _ in "12")
    h, h_its = forward(*mine), lstm_forward(*its)
    assert torch.equal(h, h_its)
    for out in (h, h_its):
        out.square().sum().backward()
    for x, y in zip(mine, its):
        assert torch.equal(x.grad, y.grad)


def test_taught_gru_step_is_the_slide_s_without_biases():
    from dataclasses import replace

    zero = torch.zeros(H).double()
    p = replace(gated.GRUWeights.draw(D, H, gen(), torch.float64), b_z=zero, b_r=zero,
                b=zero)
    x, h = normal(B, D), normal(B, H, seed=1)
    close(taught("08b_gru", "gru_step")(x, h, p.W_z, p.W_r, p.W), gated.gru_step(x, h, p))
