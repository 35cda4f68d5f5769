"""What the notebooks on training teach is what the library does."""

import torch

from course_utils import clipping, hessian_free, omega, seeds
from course_utils.runtime import generator
from teaching import taught

CLIP = "07c_exploding_gradients"
CURES = "07d_vanishing_gradients"


def test_clipping_in_the_cell_is_the_library_s():
    """Lists of tensors of unequal shapes, above and below the threshold."""
    teach = taught(CLIP, "clip_by_global_norm")
    g = generator(0)
    gradients = [torch.randn(s, generator=g) for s in ((2, 3), (5,), (7, 11))]
    for threshold in (0.5, 100.0):
        ours = clipping.clip_by_global_norm(gradients, threshold)
        for a, b in zip(teach(gradients, threshold), ours, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=0)


def test_clipping_of_a_stack_is_the_rule_of_the_lecture_for_each_seed():
    g = generator(1)
    stack = [torch.randn(s, generator=g) for s in ((3, 2, 5), (3, 7))]
    alone = [clipping.clip_by_global_norm([t[s] for t in stack], 2.0) for s in range(3)]
    seeds.clip(stack, 2.0)
    for s in range(3):
        for t, expected in zip(stack, alone[s]):
            torch.testing.assert_close(t[s], expected)


def test_cliff_in_the_cell_is_the_library_s():
    w, b = torch.meshgrid(torch.linspace(3, 7, 5), torch.linspace(-3, -1, 3), indexing="ij")
    torch.testing.assert_close(taught(CLIP, "cliff")(w, b), clipping.cliff(w, b))


def test_omega_in_the_cell_is_the_library_s():
    g = generator(2)
    delta, h = (torch.randn(7, 3, 5, generator=g) for _ in range(2))
    h, W = torch.tanh(h), torch.randn(5, 5, generator=g)
    teach = taught(CURES, "omega_of")
    torch.testing.assert_close(teach(delta, h, W), omega.omega(delta, h, W))


def test_gauss_newton_in_the_cell_is_the_library_s():
    """Forward mode in the cell, two backward passes in the library."""
    g = generator(3)
    X = torch.randn(11, 5, generator=g, dtype=torch.float64)
    theta, v = (torch.randn(1, 15, generator=g, dtype=torch.float64) for _ in range(2))

    def outputs(t):
        return torch.tanh(X @ t.view(5, 3))[None]  # (1, B, K)

    curvature = hessian_free.cross_entropy_curvature
    teach = taught(CURES, "gauss_newton_product")
    torch.testing.assert_close(
        teach(outputs, curvature, theta, v),
        hessian_free.gauss_newton(outputs, curvature, theta)(v),
    )
