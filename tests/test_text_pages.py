"""The cells of chapter 10's first pages are the library's functions."""

import torch
from teaching import taught

from course_utils import charmodel, sentiment


def twins(make):
    pair = []
    for _ in range(2):
        torch.manual_seed(0)
        pair.append(make())
    return pair


def test_update_of_the_page_is_the_library_s():
    cell = taught("10b_text_generation", "update")
    models = twins(lambda: charmodel.CharRNN(11, hidden=7, embedding=5))
    x, y = torch.randint(11, (2, 2, 3), generator=torch.Generator().manual_seed(1))
    results = []
    for model, function in zip(models, (cell, charmodel.update)):
        sgd, state = torch.optim.SGD(model.parameters(), 0.3), None
        for _ in range(3):
            loss, state = function(model, sgd, x, y, state, 0.2)
        results.append((loss, state[1], model.out.weight))
    (a, c_a, w_a), (b, c_b, w_b) = results
    assert a == b and torch.equal(c_a, c_b) and torch.equal(w_a, w_b)


def test_epoch_of_the_page_is_the_library_s():
    cell = taught("10_sentiment", "epoch")
    texts = ["a b c", "b a", "c c c a b", "a", "b c"] * 3
    vocabulary = sentiment.vocabulary_of(texts)
    data = sentiment.encode(texts, vocabulary, [0, 1, 1, 0, 1] * 3)
    plan = sentiment.Plan(cell="GRU", hidden=5, dropout=0.0)
    models = twins(lambda: sentiment.Reader(len(vocabulary), 3, plan))
    results = []
    for model, function in zip(models, (cell, sentiment.epoch)):
        adam = torch.optim.Adam(model.parameters(), 0.01)
        loss = function(model, adam, data, torch.Generator().manual_seed(3), 4)
        results.append((loss, model.out.weight))
    (a, w_a), (b, w_b) = results
    assert a == b and torch.equal(w_a, w_b)
