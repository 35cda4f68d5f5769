"""Patches, windows and the distance of attention, by hand and against full attention."""

import doctest

import pytest
import torch

from course_utils import attention as att
from course_utils import runtime, vision


def test_examples_in_the_docstrings():
    assert doctest.testmod(vision).failed == 0


def test_patches_are_rows_of_squares():
    images = torch.arange(2 * 36.0).view(2, 6, 6)
    found = vision.patches(images, 2)
    assert found.shape == (2, 9, 4)
    for t in range(9):
        y, x = 2 * (t // 3), 2 * (t % 3)
        assert torch.equal(found[1, t], images[1, y : y + 2, x : x + 2].flatten())


def test_a_linear_map_of_patches_is_a_convolution_with_that_stride():
    runtime.seed_everything(0)
    images, layer = torch.randn(2, 6, 6), torch.nn.Linear(9, 5)
    conv = torch.nn.functional.conv2d(
        images[:, None], layer.weight.view(5, 1, 3, 3), layer.bias, stride=3
    ).flatten(2).transpose(1, 2)
    ours = layer(vision.patches(images, 3))
    torch.testing.assert_close(ours, conv, rtol=0, atol=1e-6)


def test_attention_distance_by_hand():
    """2 x 2 tokens: distances from a corner are 0, 1, 1, sqrt 2; uniform: their mean."""
    uniform, self_only = torch.full((4, 4), 0.25), torch.eye(4)
    found = vision.attention_distance(torch.stack([uniform, self_only]))
    wanted = torch.tensor([(2 + 2**0.5) / 4, 0.0])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("w, shift", [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (6, 0), (6, 5)])
def test_windows_equal_masked_full_attention(w, shift):
    runtime.seed_everything(0)
    layer, x = att.MultiHead(15, 3).double(), torch.randn(2, 36, 15).double()
    where = vision.regions(6, w, shift)
    mask = (where[:, None] == where[None, :]).expand(2, -1, -1)
    gap = vision.window_attention(layer, x, w, shift) - layer(x, mask=mask)
    assert gap.abs().max() < 1e-12


def test_without_the_mask_the_shift_would_leak_round_the_edges():
    runtime.seed_everything(0)
    layer, x = att.MultiHead(15, 3).double(), torch.randn(1, 36, 15).double()
    cut = vision.to_windows(vision.roll(x, 1), 3)
    leaky = vision.roll(vision.from_windows(layer(cut), 6), -1)
    gap = (leaky - vision.window_attention(layer, x, 3, 1)).abs().amax(-1)[0].view(6, 6)
    assert gap[0].min() > 1e-6 and gap[:, 0].min() > 1e-6  # the edges
    assert gap[1:4, 1:4].max() < 1e-12  # a full window


def test_cutting_and_rolling_are_undone():
    x = torch.randn(2, 36, 5)
    assert torch.equal(vision.from_windows(vision.to_windows(x, 3), 6), x)
    assert torch.equal(vision.roll(vision.roll(x, 2), -2), x)


def test_shuffling_patches_with_their_positions_changes_no_answer():
    runtime.seed_everything(0)
    vit = vision.ViT(12, 4, D=8, L=2, n_heads=2).double().eval()
    x, order = vit.tokens(torch.randn(3, 12, 12).double()), torch.randperm(9)
    one = vit.out(vit.encoder(x).mean(1))
    other = vit.out(vit.encoder(x[:, order]).mean(1))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_maps_are_those_the_forward_pass_uses():
    runtime.seed_everything(0)
    vit = vision.ViT(12, 4, D=8, L=2, n_heads=2).eval()
    A = vit.maps(torch.randn(3, 12, 12))
    assert A.shape == (2, 3, 2, 9, 9)
    torch.testing.assert_close(A.sum(-1), torch.ones(2, 3, 2, 9), rtol=0, atol=1e-5)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        vision.patches(torch.zeros(1, 6, 6), 4)
    with pytest.raises(ValueError, match="multiple of 4"):
        vision.to_windows(torch.zeros(1, 36, 2), 4)


def test_convnet_sees_neighbours_and_its_last_maps_fill_the_layer():
    runtime.seed_everything(0)
    net = vision.ConvNet(28, 3).eval()
    assert net.maps(torch.randn(2, 1, 28, 28)).shape == (2, 6, 4, 4)
    images = torch.randn(2, 28, 28)
    assert net(images).shape == (2, 10)
    first = net.maps[0](images[:, None])
    images[:, 20, 20] += 1
    moved = (net.maps[0](images[:, None]) - first).abs().amax((0, 1)) > 0
    assert moved.sum() <= 4 and moved[9:11, 9:11].any()  # 3 x 3 pixels, stride 2


def test_the_chapter_teaches_the_same_patches():
    from teaching import taught

    images = torch.randn(2, 6, 6)
    assert torch.equal(taught("05g_beyond", "patches")(images, 3), vision.patches(images, 3))
