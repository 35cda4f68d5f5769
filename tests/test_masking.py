"""15 % and 80/10/10 by chi-square tests; special tokens are safe; pairs are what they say."""

import pytest
import torch
from scipy.stats import chisquare
from torch.nn import functional as F

from course_utils import masking as mk

N, PAD, UNK, CLS, SEP, MASK = 53, 0, 7, 11, 13, 29
SPECIAL = (PAD, UNK, CLS, SEP, MASK)
ORDINARY = torch.tensor([i for i in range(N) if i not in SPECIAL])
B, T = 500, 41
LEVEL = 1e-4  # a right rule is called wrong once in ten thousand generators; seeds are fixed


def rule(**settings):
    return mk.Masking(N, MASK, SPECIAL, **settings)


def batch(seed=0):
    """Every row: [CLS] words [SEP] words [UNK] [SEP] [PAD]s, no two alike."""
    g = torch.Generator().manual_seed(seed)
    ids = ORDINARY[torch.randint(len(ORDINARY), (B, T), generator=g)]
    ids[:, 0], ids[:, 17], ids[:, 29], ids[:, 36] = CLS, SEP, UNK, SEP
    ids[:, 37:] = PAD
    return ids


def outcome(masking, ids, seed=1):
    """How many free tokens were masked, changed, kept (chosen), or not chosen."""
    inputs, labels = masking(ids, torch.Generator().manual_seed(seed))
    free = ~torch.isin(ids, torch.tensor(SPECIAL))
    chosen = labels != mk.IGNORED
    masked = chosen & (inputs == MASK)
    changed = chosen & ~masked & (inputs != ids)
    kept = chosen & (inputs == ids)
    counts = [int(x.sum()) for x in (masked, changed, kept, free & ~chosen)]
    return counts, inputs, labels, free, chosen


def p_value(counts, rate=0.15, masked=0.8, random=0.1):
    """Chi-square against the four shares; a random token is the same one in 48."""
    same = random / len(ORDINARY)
    kept = 1 - masked - random + same
    shares = [rate * masked, rate * (random - same), rate * kept, 1 - rate]
    n = sum(counts)
    used = [(c, n * s) for c, s in zip(counts, shares) if s > 1e-9]
    assert sum(c for c, _ in used) == n
    return chisquare(*zip(*used)).pvalue


@pytest.mark.parametrize("seed", range(5))
def test_shares_by_chi_square(seed):
    counts, *_ = outcome(rule(), batch(seed), seed + 10)
    assert p_value(counts) > LEVEL


@pytest.mark.parametrize("settings", [
    {"rate": 0.3}, {"masked": 1.0, "random": 0.0}, {"masked": 0.0, "random": 0.5},
])
def test_other_shares_by_chi_square(settings):
    counts, *_ = outcome(rule(**settings), batch())
    assert p_value(counts, **settings) > LEVEL


def test_special_tokens_are_never_chosen_and_never_drawn():
    for seed in range(10):
        ids = batch(seed)
        _, inputs, labels, free, chosen = outcome(rule(masked=0.0, random=1.0), ids, seed)
        assert not (chosen & ~free).any()
        assert torch.equal(inputs[~free], ids[~free])
        assert not torch.isin(inputs[chosen], torch.tensor(SPECIAL)).any()


def test_the_random_token_is_uniform():
    _, inputs, _, _, chosen = outcome(rule(rate=1.0, masked=0.0, random=1.0), batch())
    counts = torch.bincount(inputs[chosen], minlength=N)[ORDINARY]
    assert chisquare(counts.tolist()).pvalue > LEVEL


def test_every_place_is_chosen_alike():
    _, _, _, free, chosen = outcome(rule(), batch())
    places = free.all(0)
    assert chisquare(chosen.sum(0)[places].tolist()).pvalue > LEVEL


def test_labels_are_the_original_where_chosen_and_nothing_else_changes():
    ids = batch()
    before = ids.clone()
    _, inputs, labels, _, chosen = outcome(rule(), ids)
    assert torch.equal(ids, before)
    assert torch.equal(labels[chosen], ids[chosen])
    assert (labels[~chosen] == mk.IGNORED).all()
    assert torch.equal(inputs[~chosen], ids[~chosen])


def test_same_generator_same_masks():
    ids = batch()
    one, two, other = (
        rule()(ids, torch.Generator().manual_seed(s))[0] for s in (4, 4, 5)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_exact_number_in_each_row():
    """33 free tokens a row: 0.15 * 33 = 4.95, rounded 5; one free token: that one."""
    ids = batch()
    ids[0, 2:] = PAD  # one free token
    ids[1, 1:] = PAD  # none
    counts, _, _, free, chosen = outcome(rule(exact=True), ids)
    n = chosen.sum(1)
    assert n[0] == 1 and n[1] == 0
    assert (free.sum(1)[2:] == 33).all() and (n[2:] == 5).all()
    same = 0.1 / len(ORDINARY)
    total = sum(counts[:3])
    expected = [total * s for s in (0.8, 0.1 - same, 0.1 + same)]
    assert chisquare(counts[:3], expected).pvalue > LEVEL


# ---- planted mistakes: each must fall through the same sieve ----------------------------


def two_draws(ids, generator):
    """80/10/10 drawn independently: the 10 % for random also hit masked tokens."""
    special = torch.tensor(SPECIAL)

    def draw():
        return torch.rand(ids.shape, generator=generator)

    chosen = ~torch.isin(ids, special) & (draw() < 0.15)
    inputs = torch.where(chosen & (draw() < 0.8), MASK, ids)
    random = ORDINARY[torch.randint(len(ORDINARY), ids.shape, generator=generator)]
    inputs = torch.where(chosen & (draw() < 0.1), random, inputs)
    return inputs, ids.masked_fill(~chosen, mk.IGNORED)


def shares_of_all_tokens(ids, generator):
    """80 % of all tokens instead of 80 % of the chosen 15 %."""
    return rule(rate=1.0)(ids, generator)


def all_masked(ids, generator):
    return rule(masked=1.0, random=0.0)(ids, generator)


@pytest.mark.parametrize("wrong", [two_draws, shares_of_all_tokens, all_masked])
def test_wrong_shares_are_seen(wrong):
    counts, *_ = outcome(wrong, batch())
    assert p_value(counts) < LEVEL


def special_drawn(ids, generator):
    inputs, labels = rule(masked=0.0, random=1.0)(ids, generator)
    random = torch.randint(N, ids.shape, generator=generator)
    return torch.where(labels != mk.IGNORED, random, inputs), labels


def special_chosen(ids, generator):
    u = torch.rand(ids.shape, generator=generator)
    return torch.where(u < 0.12, MASK, ids), ids.masked_fill(u >= 0.15, mk.IGNORED)


def test_touched_special_tokens_are_seen():
    _, inputs, _, _, chosen = outcome(special_drawn, batch())
    assert torch.isin(inputs[chosen], torch.tensor(SPECIAL)).any()
    _, _, _, free, chosen = outcome(special_chosen, batch())
    assert (chosen & ~free).any()


def test_the_loss_counts_chosen_tokens_only():
    """Misconceptions: 'all tokens count', 'only [MASK] counts'."""
    ids = batch()
    _, inputs, labels, _, chosen = outcome(rule(), ids)
    logits = torch.randn(B, T, N)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    by_hand = -logits.log_softmax(-1)[chosen].gather(1, ids[chosen][:, None]).sum()
    torch.testing.assert_close(loss, by_hand, rtol=1e-5, atol=0)
    assert int(chosen.sum()) > int((inputs == MASK).sum()) > 0


# ---- pairs ------------------------------------------------------------------------------


def documents():
    """Sentence s of document d is [d, s]: everything can be read off."""
    return [[[d, s] for s in range(n)] for d, n in enumerate((5, 1, 7, 0, 300, 200))]


def pairs(seed=0):
    return mk.sentence_pairs(documents(), generator=torch.Generator().manual_seed(seed))


def test_pairs_are_what_they_say():
    found = pairs()
    assert len(found) == 4 + 0 + 6 + 299 + 199
    for first, second, is_next in found:
        follows = second == [first[0], first[1] + 1]
        assert follows == is_next
        assert is_next or second[0] != first[0]  # never from the same document


def test_half_of_the_pairs_are_true_and_wrong_ones_are_uniform():
    found = [p for seed in range(4) for p in pairs(seed)]
    yes = sum(p.is_next for p in found)
    assert chisquare([yes, len(found) - yes]).pvalue > LEVEL
    from_4 = [p.second[0] for p in found if p.first[0] == 4 and not p.is_next]
    seen = [from_4.count(d) for d in (0, 1, 2, 5)]
    expected = [len(from_4) * n / 213 for n in (5, 1, 7, 200)]
    merged = [sum(seen[:3]), seen[3]], [sum(expected[:3]), expected[3]]
    assert chisquare(*merged).pvalue > LEVEL and sum(seen) == len(from_4)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"\[MASK\], 5, among \(0, 1\)"):
        mk.Masking(N, 5, (0, 1))
    with pytest.raises(ValueError, match="above 0"):
        rule(rate=0.0)
    with pytest.raises(ValueError, match="at most 1"):
        rule(masked=0.8, random=0.3)
    with pytest.raises(ValueError, match="beside the special"):
        mk.Masking(1, 0, (0,))
    with pytest.raises(ValueError, match="at least 2, got 1"):
        mk.sentence_pairs([[[1]], []], generator=torch.Generator())
