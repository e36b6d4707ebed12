"""How many labels texts have."""

from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import LABELS, TEXTS
from scipy.special import expit

from sklearn_bertlam import _cardinality
from sklearn_bertlam._cardinality import MOST_COUNTED, count_labels, log_ratio

ONE_OF_THREE = np.eye(3, dtype=int)[np.arange(len(TEXTS)) % 3]


def adjust(logits, ratio):
    return _cardinality.adjust(logits, ratio, np.ones(logits.shape[1], dtype=bool))


def random_logits(n_texts, n_labels, mean=-1.0):
    return np.random.RandomState(0).normal(mean, 2, size=(n_texts, n_labels)).astype(np.float32)


def random_log_ratio():
    return np.random.RandomState(1).normal(size=MOST_COUNTED + 1)


def counted(targets, sample_weight=None):
    targets = np.asarray(targets, dtype=np.float32)
    return count_labels(sp.csr_array(targets), np.ones(len(targets)) if sample_weight is None else np.array(sample_weight))


def test_probabilities_are_sums_over_all_sets_of_labels():
    logits, ratio = random_logits(5, 6), np.exp(random_log_ratio())
    sets = np.array(list(product([0, 1], repeat=6)))  # (64, 6)
    for got, p in zip(adjust(logits.copy(), np.log(ratio)), expit(logits.astype(float)), strict=True):
        weights = np.prod(np.where(sets, p, 1 - p), axis=1) * ratio[sets.sum(axis=1)]
        np.testing.assert_allclose(expit(got), weights @ sets / weights.sum(), rtol=1e-5)


def test_many_labels_are_one_case():
    logits = random_logits(4, MOST_COUNTED + 5, mean=2.0)
    changed = adjust(logits.copy(), np.r_[np.zeros(MOST_COUNTED), 50.0])  # at least so many, for certain
    assert (expit(changed).sum(axis=1) >= MOST_COUNTED).all()
    assert (changed >= logits).all()


def test_labels_of_which_a_text_has_hardly_any_are_close_to_poisson(monkeypatch):
    logits, ratio = random_logits(7, 400, mean=-8.0), random_log_ratio()
    exact = adjust(logits.copy(), ratio)
    assert np.abs(exact - logits).max() > 0.3
    monkeypatch.setattr(_cardinality, "_MOST_LIKELY", 40)
    np.testing.assert_allclose(adjust(logits.copy(), ratio), exact, atol=0.02)


def test_texts_are_adjusted_one_by_one(monkeypatch):
    logits, ratio = random_logits(7, 3), random_log_ratio()
    expected = adjust(logits.copy(), ratio)
    monkeypatch.setattr(_cardinality, "_TEXTS_AT_ONCE", 2)
    np.testing.assert_array_equal(adjust(logits.copy(), ratio), expected)
    assert adjust(logits[:0].copy(), ratio).shape == (0, 3)
    assert adjust(logits[:, :0].copy(), ratio).shape == (7, 0)


@pytest.mark.parametrize("value", [-200.0, 200.0])
def test_certain_labels_stay_finite(value):
    adjusted = adjust(np.full((2, 20), value, dtype=np.float32), log_ratio(*counted(np.eye(20)[np.arange(1000) % 20])))
    assert np.isfinite(adjusted).all()


def test_labels_that_come_alone_share_one():
    ratio = log_ratio(*counted(np.eye(4)[np.arange(2000) % 4]))
    probabilities = expit(adjust(random_logits(50, 4), ratio))
    assert np.median(np.abs(probabilities.sum(axis=1) - 1)) < 0.02


def test_labels_that_come_independently_stay_as_they_are():
    targets = np.random.RandomState(0).rand(50_000, 5) < [0.5, 0.3, 0.2, 0.1, 0.05]
    logits = random_logits(50, 5)
    np.testing.assert_allclose(adjust(logits.copy(), log_ratio(*counted(targets))), logits, atol=0.3)


def test_numbers_that_differ_more_than_by_chance_are_left_to_the_logits():
    targets = np.zeros((200, 4))
    targets[:50] = 1  # all labels or none
    assert not log_ratio(*counted(targets)).any()


def test_one_label_stays_as_it_is():
    logits = random_logits(50, 1)
    ratio = log_ratio(*counted(np.arange(60)[:, None] % 3 == 0))
    np.testing.assert_allclose(adjust(logits.copy(), ratio), logits, atol=1e-6)


def test_few_texts_say_little():
    sizes = [np.ptp(log_ratio(*counted(np.eye(3)[np.arange(n) % 3]))) for n in (3, 9, 12, 60, 600)]
    assert sizes[:2] == [0, 0]
    assert 0 < sizes[2] < sizes[3] < sizes[4]
    np.testing.assert_array_equal(log_ratio(np.zeros(3), np.zeros(MOST_COUNTED + 1)), 0)


def test_numbers_that_hardly_occur_are_no_case_of_their_own():
    targets = np.zeros((100, 12))
    targets[:, :2] = 1
    targets[:50, 2:4] = np.eye(2)[np.arange(50) % 2]
    targets[:5, :4] = 1
    ratio = log_ratio(*counted(targets))
    assert ratio[3] != 0
    assert (ratio[4:] == ratio[4]).all() and ratio[4] <= ratio[3]


def test_texts_with_an_unknown_label_and_those_without_weight_are_not_counted():
    targets = np.array([[1, 1, 0], [1, 0, np.nan], [0, 1, 0], [0, 0, 0]])
    per_label, histogram = counted(targets, [3, 3, 0, 6])
    np.testing.assert_allclose(per_label, [0.75, 0.75, 0])
    np.testing.assert_allclose(histogram[:4], [1.5, 0, 0.75, 0])
    assert not any(part.any() for part in counted(np.full((3, 2), np.nan)))


def test_a_classifier_learns_how_many_labels_texts_have(make_classifier):
    texts, y = TEXTS * 5, np.tile(ONE_OF_THREE, (5, 1))
    by_themselves, together = (
        clf.fit(texts, y).predict_proba(["my printer", "", "what", "not for me"])
        for clf in (make_classifier(max_epochs=0, fit_cardinality=fit) for fit in (False, True))
    )
    assert np.abs(together.sum(axis=1) - 1).mean() < 0.5 * np.abs(by_themselves.sum(axis=1) - 1).mean()


def test_parts_of_a_stream_are_counted_together(make_classifier):
    clf = make_classifier()
    for part in (slice(0, 8), slice(8, None)):
        clf.partial_fit(TEXTS[part], ONE_OF_THREE[part])
    cardinality = clf.module_.cardinality
    np.testing.assert_allclose(cardinality.per_label, ONE_OF_THREE.sum(axis=0))
    assert cardinality.histogram[1] == len(TEXTS)
    clf.partial_fit(TEXTS, np.ones_like(ONE_OF_THREE))
    assert cardinality.histogram[3] == len(TEXTS)


def test_all_texts_are_counted_anew_where_training_goes_on(make_classifier):
    clf = make_classifier(warm_start=True)
    for _ in range(2):
        clf.fit(TEXTS, ONE_OF_THREE)
    assert clf.module_.cardinality.histogram[1] == len(TEXTS)


def test_texts_from_before_a_label_was_added_do_not_count_with_it(make_classifier):
    one_label = np.eye(3, dtype=int)[np.arange(60) % 3]
    texts = [TEXTS[row % len(TEXTS)] for row in range(60)]
    clf = make_classifier(label_names=LABELS, word_share=0).partial_fit(texts, one_label)
    before = clf.module_.cardinality.log_ratio.clone()
    clf.add_labels({"urgent": "what cannot wait"})
    clf.partial_fit(texts, np.column_stack([one_label, np.zeros(60, dtype=int)]))
    assert clf.module_.cardinality.histogram.sum() == 120
    clf.partial_fit(texts, np.column_stack([one_label, np.ones(60, dtype=int)]))
    after = clf.module_.cardinality
    assert after.histogram.sum() == after.histogram[2] == 60
    assert before[2] < 0 < after.log_ratio[2]


def test_labels_that_are_added_have_been_seen_in_no_text(make_classifier):
    clf = make_classifier(label_names=["printer", "invoice", "delivery"]).fit(TEXTS, ONE_OF_THREE)
    assert clf.module_.cardinality.log_ratio.any()
    before = clf.predict_proba(TEXTS)
    clf.add_labels({"refund": "refund of money"})
    np.testing.assert_allclose(clf.module_.cardinality.per_label, [*ONE_OF_THREE.sum(axis=0), 0])
    assert clf.predict_proba(TEXTS).shape == (len(TEXTS), 4)
    np.testing.assert_allclose(clf.predict_proba(TEXTS)[:, :3], before, atol=1e-6)


def test_without_it_every_label_is_for_itself(make_classifier):
    clf = make_classifier(fit_cardinality=False).fit(TEXTS, ONE_OF_THREE)
    assert clf.module_.cardinality is None
    with pytest.raises(ValueError, match="fit_cardinality"):
        make_classifier(fit_cardinality="yes").fit(TEXTS, ONE_OF_THREE)
