"""Label sequences: order, likelihood and beam search, against counting all sequences."""

from itertools import permutations

import numpy as np
import pytest
import torch
from conftest import LABELS, TEXTS, Y

from sklearn_bertlam._batches import pack
from sklearn_bertlam._tokens import tokenize
from sklearn_bertlam.baselines import CNNRNNClassifier, SGMClassifier
from sklearn_bertlam.baselines._sequence import follow

SMALL = {"embedding_size": 16, "hidden_size": 16, "label_size": 8, "batch_size": 4, "max_epochs": 2, "random_state": 0}
MODELS = {
    "SGM": lambda **parameters: SGMClassifier(**SMALL, **parameters),
    "SGM+GE": lambda **parameters: SGMClassifier(global_embedding=True, **SMALL, **parameters),
    "CNN-RNN": lambda **parameters: CNNRNNClassifier(n_filters=8, **SMALL, **parameters),
}
SUBSETS = [subset for size in range(4) for subset in permutations(range(3), size)]  # 16 sequences of three labels


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


def packed(clf, texts):
    tokens = tokenize(clf.tokenizer_, texts, 500)
    order = np.argsort(-tokens.lengths, kind="stable")
    return pack(tokens, order), order


def all_log_probabilities(network, batch):
    """The log-probability (B, 16) of every sequence, one step after another and one sequence at a time."""
    columns = []
    with torch.no_grad():
        for labels in SUBSETS:
            text, state = network.read(batch)
            previous = torch.full((len(batch), 1), network.start)
            forbidden = torch.zeros(len(batch), 1, network.n_labels + 1, dtype=torch.bool)
            total = torch.zeros(len(batch))
            for symbol in [*labels, network.end]:
                scores, state = network.step(text, state, previous)
                log_probabilities = scores.masked_fill(forbidden, -torch.inf).log_softmax(dim=-1)
                state = network.note(state, log_probabilities)
                total += log_probabilities[:, 0, symbol]
                if symbol != network.end:
                    forbidden[:, :, symbol] = True
                previous = torch.full((len(batch), 1), symbol)
            columns.append(total)
    return torch.stack(columns, dim=1)


def test_a_wide_beam_finds_what_counting_all_sequences_finds(make):
    clf = make(beam_width=16).fit(TEXTS, Y)
    batch, _ = packed(clf, TEXTS)
    exact = all_log_probabilities(clf.module_, batch)
    np.testing.assert_allclose(exact.exp().sum(dim=1), 1.0, rtol=1e-4)
    found = clf.module_.search(batch)
    np.testing.assert_allclose(found.log_probabilities, exact.sort(dim=1, descending=True).values, atol=1e-4)

    carries = torch.tensor([[label in subset for label in range(3)] for subset in SUBSETS], dtype=torch.float32)
    expected = torch.empty_like(exact[:, :3])
    expected[:, clf.module_.order] = exact.exp() @ carries
    np.testing.assert_allclose(found.marginals(), expected, atol=1e-5)
    best = carries[exact.argmax(dim=1)]
    in_columns = torch.empty_like(best)
    in_columns[:, clf.module_.order] = best
    np.testing.assert_array_equal(clf.module_.decode(batch), in_columns)


def test_a_narrow_beam_keeps_its_promises(make):
    """Probabilities are those of real sequences, sorted."""
    clf = make(beam_width=4).fit(TEXTS, Y)
    batch, _ = packed(clf, TEXTS)
    exact = all_log_probabilities(clf.module_, batch)
    found = clf.module_.search(batch).log_probabilities
    assert (found.diff(dim=1) <= 0).all()
    for row in range(len(TEXTS)):
        gaps = (exact[row][None] - found[row][:, None]).abs()  # (4, 16)
        assert (gaps.min(dim=1).values < 1e-4).all()


def test_likelihood_is_that_of_the_labels_by_frequency(make):
    clf = make().fit(TEXTS, Y)
    network = clf.module_
    frequency = Y.sum(axis=0)
    assert (np.diff(frequency[network.order.numpy()]) <= 0).all()
    batch, order = packed(clf, TEXTS)
    exact = all_log_probabilities(network, batch)
    targets = torch.tensor(Y[order], dtype=torch.float32)
    with torch.no_grad():
        likelihood = network.log_likelihood(batch, targets)
    for row in range(len(TEXTS)):
        symbols = tuple(symbol for symbol, label in enumerate(network.order.tolist()) if targets[row, label] == 1)
        assert likelihood[row].item() == pytest.approx(exact[row, SUBSETS.index(symbols)].item(), abs=1e-4)


def test_unknown_labels_change_nothing_but_what_can_be_written(make):
    clf = make().fit(TEXTS, Y)
    batch, order = packed(clf, TEXTS)
    targets = torch.tensor(Y[order], dtype=torch.float32)
    targets[:, 1] = torch.nan
    with torch.no_grad():
        likelihood = clf.module_.log_likelihood(batch, targets)
        text, state = clf.module_.read(batch)
        scores, _ = clf.module_.step(text, state, torch.full((len(batch), 1), clf.module_.start))
    unknown = int((clf.module_.order == 1).nonzero())
    kept = [symbol for symbol in range(4) if symbol != unknown]
    first = scores[:, 0, kept].log_softmax(dim=-1)
    empty = (targets.nan_to_num(0) == 0).all(dim=1)
    np.testing.assert_allclose(likelihood[empty], first[empty, -1], atol=1e-5)


def test_not_too_many_labels(make):
    clf = make(max_labels=2, beam_width=3).fit(TEXTS, np.ones_like(Y) * [1, 1, 1])
    batch, _ = packed(clf, TEXTS)
    found = clf.module_.search(batch)
    assert found.labels.sum(dim=2).max() <= 2
    assert torch.isfinite(found.log_probabilities).all()
    assert clf.predict(TEXTS).sum(axis=1).max() <= 2


def test_padding_is_not_attended_to(make):
    """What stands in the places of padding does not change the result."""
    clf = make().fit(TEXTS, Y)
    batch, _ = packed(clf, TEXTS)
    alone, _ = packed(clf, [TEXTS[int(packed(clf, TEXTS)[1][-1])]])  # the shortest text of the batch
    np.testing.assert_allclose(
        clf.module_.search(batch).log_probabilities[-1], clf.module_.search(alone).log_probabilities[0], atol=1e-5
    )
    network = clf.module_
    if isinstance(network.read(batch)[0], tuple):
        text, state = network.read(batch)
        noise = torch.where(text.mask[:, :, None], text.words, torch.full_like(text.words, 1e3))
        previous = torch.full((len(batch), 1), network.start)
        np.testing.assert_allclose(
            network.step(text, state, previous)[0].detach(),
            network.step(text._replace(words=noise), state, previous)[0].detach(),
            atol=1e-5,
        )


def test_states_follow_their_hypotheses():
    values = torch.arange(6).view(1, 3, 2)
    np.testing.assert_array_equal(follow(values, torch.tensor([[2, 0]])), values[:, [2, 0]])


def test_probabilities_are_the_marginals_of_the_beam(make):
    clf = make(beam_width=3).fit(TEXTS, Y)
    batch, order = packed(clf, TEXTS)
    found = clf.module_.search(batch)
    np.testing.assert_allclose(found.log_probabilities.softmax(dim=1).sum(dim=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(clf.predict_proba(TEXTS)[order], found.marginals().clamp(1e-6, 1 - 1e-6), atol=1e-5)


def test_the_order_of_labels_comes_from_training_alone():
    y = np.array([[0, 1, 1]] * 6 + [[1, 0, 1]] * 3 + [[0, 0, 1]] * 3)
    clf = SGMClassifier(**SMALL).fit(TEXTS, y)
    assert clf.module_.order.tolist() == [2, 1, 0]


def test_global_embedding_gates_between_the_label_and_the_expected_one():
    clf = MODELS["SGM+GE"]().fit(TEXTS, Y)
    network = clf.module_
    expected = torch.tensor([[[0.5, 0.25, 0.25, 0.0, 0.0]]])
    label = torch.tensor([[1]])
    with torch.no_grad():
        table = network.labels.weight
        mean = 0.5 * table[0] + 0.25 * table[1] + 0.25 * table[2]
        of_expected, of_written = network.gate
        gate = 1 / (1 + torch.exp(-(of_expected.weight @ mean + of_written.weight @ table[1])))
        result = network._input((None, None, expected), label)[0, 0]
        by_hand = (1 - gate) * table[1] + gate * mean
    np.testing.assert_allclose(result, by_hand, atol=1e-6)


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="hidden_size"):
        SGMClassifier(hidden_size=15).fit(TEXTS, Y)


def test_label_names_of_a_frame_are_kept():
    import pandas as pd

    assert SGMClassifier(**SMALL).fit(TEXTS, pd.DataFrame(Y, columns=LABELS)).classes_.tolist() == LABELS
