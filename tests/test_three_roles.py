"""The instruments of the page on three roles: one attention, permutations, distances."""

import pytest
import torch

from course_utils import runtime, seq2seq
from teaching import taught

PAGE = "10j_three_roles"


def places(B=3, n=7, D=5, H=2):
    g = runtime.generator(0)
    a, u = torch.randn(B, n, D, generator=g), torch.randn(B, H, generator=g)
    real = torch.arange(n) < torch.tensor([[7], [4], [1]])
    return a.double(), u.double(), real


def test_weigh_is_the_attention_of_the_library_and_ignores_padding():
    weigh = taught(PAGE, "weigh")
    runtime.seed_everything(0)
    attend = seq2seq.AdditiveAttention(2, 3, D=5).double()
    a, u, real = places()
    alpha, z = weigh(attend, u, a, real)
    c, weights = attend(u, seq2seq.Memory(a, attend.U_a(a), real, a[:, 0]))
    torch.testing.assert_close(alpha, weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(z, c, rtol=0, atol=1e-12)
    assert not alpha[~real].any()
    changed = torch.where(real[..., None], a, 9.0)
    torch.testing.assert_close(weigh(attend, u, changed, real)[1], z, rtol=0, atol=1e-12)


def test_permuted_keeps_the_numbers_and_the_padding():
    permuted = taught(PAGE, "permuted")

    class look:
        real = places()[2]

    alpha = torch.rand(3, 7, generator=runtime.generator(1)) * look.real
    g, firsts = runtime.generator(2), set()
    for _ in range(40):
        mixed = permuted(look, alpha, g)
        assert not mixed[~look.real].any()
        torch.testing.assert_close(mixed.sort(-1)[0], alpha.sort(-1)[0])
        firsts.add(round(mixed[1, 0].item(), 6))
    assert firsts == {round(v, 6) for v in alpha[1, :4].tolist()}  # all places are reached


def test_total_variation_by_hand():
    """(0.5 + 0.25 + 0.25) / 2; equal is 0, disjoint is 1."""
    tv = taught(PAGE, "tv")
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.75, 0.25])
    assert tv(p, q).item() == pytest.approx(0.5) and tv(p, p) == 0
    assert tv(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])) == 1
