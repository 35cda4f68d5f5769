"""Chapter 9, taggers: hand-made windows, enumeration, rules, planted mistakes."""

import doctest
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import crf, tagger, tagging
from course_utils.tagger import (
    FCN, WORDS, BiLSTM, ConvNet, LinearWindow, Tagger, constrain, counts, f1,
    f1_interval, free, gain_interval, predict, windows,
)
from teaching import taught

N, K = tagging.N_LETTERS, len(tagging.TAGS)
LINES = [
    tagging.Line(*tagging.tag_words(words.split()), "play")
    for words in ("i am the king", "a rose", "o what a rogue", "to be or not", "we")
]


def features(kind, seed=0):
    torch.manual_seed(seed)
    net = {
        "linear": lambda: LinearWindow(5),
        "fcn": lambda: FCN(3, 7),
        "conv": lambda: ConvNet(2, 5),
        "bilstm": lambda: BiLSTM(3, 5, layers=2),
    }[kind]()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.7)
    return net.double()


def model(kind, *, with_crf, seed=0):
    made = Tagger(features(kind, seed), crf=with_crf).double()
    if with_crf:
        for parameter in made.crf.parameters():
            nn.init.normal_(parameter)
    return made


def test_doctests():
    assert doctest.testmod(tagger).failed == 0


def test_linear_window_is_a_sum_of_columns():
    """E_t = b + sum_j V_j x_{t+j}: a one-hot letter picks its column; "rose", L = 5."""
    net = features("linear")
    x = torch.tensor([tagging.encode("rose")])
    columns = net.V.weight.reshape(K, 5, N)
    for t in range(4):
        expected = net.V.bias.clone()
        for j in range(-2, 3):
            if 0 <= t + j < 4:
                expected = expected + columns[:, j + 2, x[0, t + j]]
        torch.testing.assert_close(net(x, x > 0)[0, t], expected)


@pytest.mark.parametrize("kind, name", [("fcn", "FCN"), ("conv", "ConvNet")])
def test_windows_equal_the_teaching_cells_of_chapter_6(kind, name):
    Taught, _ = taught("06_windows", name, "one_hot", D=N, K=K)
    net = features(kind).float()
    sizes = {"fcn": (3, 7), "conv": (2, 5)}[kind]
    twin = Taught(*sizes)
    twin.load_state_dict(net.state_dict())
    batch = tagging.collate(LINES)
    torch.testing.assert_close(net(batch.x, batch.mask), twin(batch.x, batch.mask))


@pytest.mark.parametrize("L", [0, 4])
def test_even_windows_are_refused(L):
    with pytest.raises(ValueError, match="L: expected an odd window"):
        LinearWindow(L)


def test_bilstm_scores_equal_torch():
    net = features("bilstm")
    batch = tagging.collate(LINES)
    lstm = nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True).double()
    for i, (there, back) in enumerate(zip(net.states.forwards, net.states.backwards)):
        for side, part in (("", there), ("_reverse", back)):
            for name, value in part.state_dict().items():
                getattr(lstm, name.removesuffix("_l0") + f"_l{i}{side}").data.copy_(value)
    got = net(batch.x, batch.mask)
    for i, line in enumerate(LINES):
        x = batch.x[i : i + 1, : len(line.letters)]
        h, _ = lstm(net.table(x))
        torch.testing.assert_close(got[i, : len(line.letters)], net.U(h)[0])


@pytest.mark.parametrize("with_crf", [True, False])
@pytest.mark.parametrize("kind", ["linear", "fcn", "conv", "bilstm"])
def test_loss_and_tags_do_not_depend_on_batch_mates(kind, with_crf):
    net = model(kind, with_crf=with_crf)
    together = predict(net, LINES)
    alone = [predict(net, [line])[0] for line in LINES]
    assert together == alone
    letters = [len(line.letters) for line in LINES]
    each = [net.loss(tagging.collate([line])).item() for line in LINES]
    mean = np.dot(each, letters) / sum(letters)
    assert net.loss(tagging.collate(LINES)).item() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("kind", ["linear", "bilstm"])
def test_crf_loss_equals_enumeration(kind):
    """-log p(y | x) over all 4^5 tag sequences of "arose", divided by 5 letters."""
    net = model(kind, with_crf=True)
    line = LINES[1]
    batch = tagging.collate([line])
    table = crf.enumerate_one(net.scores(batch)[0], net.crf.chain)
    truth = tuple(tagging.TAGS.index(k) for k in line.tags)
    log_z = torch.stack(list(table.values())).logsumexp(0)
    expected = (log_z - table[truth]) / len(line.letters)
    torch.testing.assert_close(net.loss(batch), expected, rtol=0, atol=1e-12)


def test_gradient_of_the_crf_loss_is_expected_minus_observed():
    """d(-log p)/dE_{t,k} = P(y_t = k | x) - 1[y_t = k]; per letter: divided by 5."""
    net = model("bilstm", with_crf=True)
    batch = tagging.collate([LINES[1]])
    E = net.scores(batch).detach().requires_grad_()
    crf.nll(E, batch.y, net.crf.chain, batch.mask).sum().backward()
    unary, _ = crf.marginals(E.detach(), net.crf.chain, batch.mask)
    expected = unary - F.one_hot(batch.y, K)
    torch.testing.assert_close(E.grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("with_crf", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_rules_give_the_best_legal_sequence(seed, with_crf):
    net = model("fcn", with_crf=with_crf, seed=seed)
    batch = tagging.collate([LINES[1]])
    E = net.scores(batch)[0]
    chain = net.crf.chain if with_crf else free(K, E)
    E = E if with_crf else E.log_softmax(-1)
    legal = [y for y in product(range(K), repeat=5) if tagging.illegal(y) == 0]
    assert 0 < len(legal) < K**5
    best = max(legal, key=lambda y: crf.score_one(E, y, chain).item())
    assert predict(net, LINES[1:2], rules=WORDS) == [list(best)]


@pytest.mark.parametrize("with_crf", [True, False])
def test_rules_leave_no_illegal_transition(with_crf):
    net = model("fcn", with_crf=with_crf)
    assert counts(predict(net, LINES), LINES)[:, 3].sum() > 0
    assert counts(predict(net, LINES, rules=WORDS), LINES)[:, 3].sum() == 0


def test_without_transitions_a_crf_is_a_softmax():
    """A zero chain: log Z is a sum of logsumexp, so the losses and the tags agree."""
    plain, chained = model("bilstm", with_crf=False), model("bilstm", with_crf=True)
    for parameter in chained.crf.parameters():
        nn.init.zeros_(parameter)
    batch = tagging.collate(LINES)
    torch.testing.assert_close(plain.loss(batch), chained.loss(batch), rtol=0, atol=1e-12)
    assert predict(plain, LINES) == predict(chained, LINES)


def test_planted_viterbi_without_end_transition_is_caught():
    """One letter, E = (1, 0), end = (-2, 0): with `end` tag 1 wins, without it tag 0."""
    E = torch.tensor([[[1.0, 0.0]]])
    chain = crf.Chain(torch.zeros(2), torch.zeros(2, 2), torch.tensor([-2.0, 0.0]))
    assert crf.viterbi(E, chain)[0].tolist() == [[1]]
    assert crf.viterbi(E, chain._replace(end=torch.zeros(2)))[0].tolist() == [[0]]
    lines = LINES[4:]                                              # "we": B E
    net = model("linear", with_crf=True)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        net.crf.end[:2] = -9.0                                     # B and M cannot end
    assert predict(net, lines)[0][-1] in (2, 3)


def test_planted_end_score_at_the_padding_is_caught():
    """`end` must be added at each line's own last letter: alone or padded, the same."""
    net = model("bilstm", with_crf=True, seed=3)
    with torch.no_grad():
        net.crf.end += torch.tensor([-30.0, -30.0, 0.0, 0.0])
    assert all(row[-1] in (2, 3) for row in predict(net, LINES))


def test_planted_log_sum_exp_without_shift_is_caught():
    """Scores of +-2,000: exp overflows, log Z must not. Two tags, two letters, by hand.

    E = ((2000, 0), (0, 2000)), no transitions: log Z = 2000 + 2000 + 2 log(1 + e^-2000).
    """
    E = torch.tensor([[[2000.0, 0.0], [0.0, 2000.0]]])
    chain = free(2, E)
    naive = E.exp().sum(-1).log().sum()
    assert torch.isinf(naive)
    assert crf.log_partition(E, chain).item() == 4000.0
    assert crf.log_partition(-E, chain).item() == 0.0
    net = model("linear", with_crf=True)
    with torch.no_grad():
        net.features.V.weight *= 1000
    loss = net.loss(tagging.collate(LINES))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_a_model_learns_five_lines():
    torch.manual_seed(0)
    net = Tagger(BiLSTM(8, 16), crf=True)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(60):
        optimiser.zero_grad()
        net.loss(tagging.collate(LINES)).backward()
        optimiser.step()
    assert f1(counts(predict(net, LINES), LINES)) == 1.0


def test_predict_keeps_the_training_mode():
    net = model("fcn", with_crf=False)
    net.train()
    predict(net, LINES)
    assert net.training


def test_counts_agree_with_the_tasks_own_report():
    predicted = predict(model("fcn", with_crf=False), LINES)
    table = counts(predicted, LINES)
    report = tagging.evaluate(predicted, LINES)
    assert f1(table) == pytest.approx(report.f1)
    assert 100 * table[:, 3].mean() == pytest.approx(report.illegal)


def test_gain_of_a_model_over_itself_is_nothing():
    table = counts(predict(model("fcn", with_crf=False), LINES), LINES)
    gain, low, high = gain_interval(table, table, rng=np.random.default_rng(0))
    assert gain == low == high == 0
    low, high = f1_interval(table, rng=np.random.default_rng(0))
    assert low <= f1(table) <= high


def test_constrain_keeps_allowed_scores():
    chain = crf.Chain(*(torch.randn(K), torch.randn(K, K), torch.randn(K)))
    tied = constrain(chain, WORDS)
    allowed = torch.as_tensor(tagging.ALLOWED)
    assert torch.equal(tied.transition[allowed], chain.transition[allowed])
    assert torch.isinf(tied.transition[~allowed]).all()


def test_windows_stop_at_the_line():
    got = windows(torch.tensor([[1, 2]]), 5)
    assert got.tolist() == [[[0, 0, 1, 2, 0], [0, 1, 2, 0, 0]]]


def test_teaching_class_equals_the_library():
    """BiLSTMCRF of the chapter and Tagger(BiLSTM, crf=True), same weights: same loss."""
    Taught, loss_of = taught(
        "09b_bilstm_crf", "BiLSTMCRF", "sequence_loss", K=K, N=N
    )
    ours = Tagger(BiLSTM(3, 5), crf=True).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.7)
    theirs = Taught(3, 5).double()
    theirs.load_state_dict({
        name.removeprefix("features.").replace("crf.", "chain."): value
        for name, value in ours.state_dict().items()
    })
    batch = tagging.collate(LINES)
    torch.testing.assert_close(loss_of(theirs, batch), ours.loss(batch))
