"""What a user of BertLamClassifier notices."""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from conftest import LABELS, TEXTS, Y, needs_embedded_encoder
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, get_scorer, roc_auc_score
from skorch.callbacks import Callback, EarlyStopping

from sklearn_bertlam import BertLamClassifier, _fitting, _net, _text_encoder
from sklearn_bertlam._initialisation import scorers_by_cosine
from sklearn_bertlam.baselines import FrozenEncoderClassifier
from sklearn_bertlam.datasets import load_support_requests
from sklearn_bertlam.exceptions import (
    InvalidTargetError,
    LabelWithoutPositivesWarning,
    SingleLabelNameWarning,
    TrainingDivergedError,
    TrainingInterruptedWarning,
    UnsuitableThresholdError,
)


def label_texts(clf):
    """What the encoder reads for each label."""
    tokens = clf.module_.label_tokens
    return [
        clf.tokenizer_.decode(tokens.ids[start:stop], skip_special_tokens=True)
        for start, stop in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    ]


FAST = {"learning_rate": 2e-3, "head_learning_rate": 2e-2, "dropout": 0.0}
ATTENTIONS = ["label-wise", "document", "mean", "cls"]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_learns_the_training_texts(make_classifier, attention):
    # the names are words of the texts, so a random encoder is enough
    clf = make_classifier(attention=attention, max_epochs=60, **FAST)
    clf.fit(TEXTS, Y)
    assert (clf.predict(TEXTS) == Y).mean() > 0.95
    assert clf.score(TEXTS, Y) > 0.8
    assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("head_init", ["logistic", "random"])
def test_outputs_have_the_promised_shapes(make_classifier, attention, head_init):
    clf = make_classifier(attention=attention, head_init=head_init, label_names=LABELS).fit(TEXTS, Y)
    probabilities, scores, labels = clf.predict_proba(TEXTS[:5]), clf.decision_function(TEXTS[:5]), clf.predict(TEXTS[:5])
    assert probabilities.shape == scores.shape == labels.shape == (5, 3)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-scores)), rtol=1e-5)
    np.testing.assert_array_equal(labels, (probabilities > clf.threshold_).astype(int))


def test_fitted_attributes(fitted):
    assert fitted.classes_.tolist() == LABELS
    assert fitted.n_labels_ == 3
    assert fitted.n_iter_ == len(fitted.history_) == 2
    assert set(fitted.history_[0]) == {"epoch", "loss", "seconds", "documents_per_second"}
    assert fitted.threshold_ == 0.5
    assert isinstance(fitted.module_, torch.nn.Module)
    assert fitted.tokenizer_.cls_token == "[CLS]"


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object array": lambda texts: np.array(texts, dtype=object),
    "string array": np.array,
    "column array": lambda texts: np.array(texts, dtype=object)[:, None],
    "series": pd.Series,
    "series with another index": lambda texts: pd.Series(texts, index=range(100, 100 + len(texts))),
    "string dtype": lambda texts: pd.Series(texts, dtype="string"),
    "arrow dtype": lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
    "one-column frame": lambda texts: pd.DataFrame({"text": texts}),
    "pyarrow": pa.array,
    "pyarrow chunks": lambda texts: pa.chunked_array([texts[:4], texts[4:]]),
    "pyarrow table": lambda texts: pa.table({"text": texts}),
    "numpy strings": lambda texts: [np.str_(text) for text in texts],
    "generator": iter,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_any_container_of_texts_will_do(fitted, container):
    np.testing.assert_array_equal(fitted.predict_proba(CONTAINERS[container](TEXTS)), fitted.predict_proba(TEXTS))


TARGETS = {
    "bool": Y.astype(bool),
    "float": Y.astype(float),
    "list": Y.tolist(),
    "object": Y.astype(object),
    "csr": sp.csr_array(Y),
    "csc matrix": sp.csc_matrix(Y),
    "frame": pd.DataFrame(Y),
    "nullable frame": pd.DataFrame(Y).astype("Int64"),
    "half": Y.astype(np.float16),
    "pyarrow table": pa.table({str(label): Y[:, label] for label in range(3)}),
    "boolean frame": pd.DataFrame(Y.astype(bool)).astype("boolean"),
}


@pytest.mark.parametrize("container", TARGETS)
def test_any_container_of_targets_gives_the_same_model(make_classifier, container):
    expected = make_classifier(label_names=LABELS).fit(TEXTS, Y).predict_proba(TEXTS)
    clf = make_classifier(label_names=LABELS).fit(TEXTS, TARGETS[container])
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected)


def test_sparse_targets_give_sparse_predictions(make_classifier):
    predicted = make_classifier().fit(TEXTS, sp.csr_array(Y)).predict(TEXTS)
    assert sp.issparse(predicted)
    np.testing.assert_array_equal(predicted.toarray(), make_classifier().fit(TEXTS, Y).predict(TEXTS))


def test_columns_become_classes_and_label_texts(make_classifier):
    clf = make_classifier().fit(TEXTS, pd.DataFrame(Y, columns=LABELS))
    assert clf.classes_.tolist() == LABELS
    assert clf.module_.label_tokens is not None
    by_name = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), by_name.predict_proba(TEXTS))


def test_descriptions_are_the_label_texts(make_classifier):
    descriptions = {"thank": "thank you", "printer": "the printer", "invoice": "the invoice"}  # in another order
    clf = make_classifier(label_names=descriptions).fit(TEXTS, pd.DataFrame(Y, columns=LABELS))
    assert clf.classes_.tolist() == LABELS
    texts = label_texts(clf)
    assert texts == ["the printer", "the invoice", "thank you"]


def test_descriptions_by_column_number(make_classifier):
    clf = make_classifier(label_names={2: "thank you", 0: "the printer", 1: "the invoice"}).fit(TEXTS, Y)
    texts = label_texts(clf)
    assert clf.classes_.tolist() == [0, 1, 2]
    assert texts == ["the printer", "the invoice", "thank you"]


def test_equal_descriptions_are_told_apart(make_classifier):
    names = {"printer": "wrong", "invoice": "Wrong", "thank": "thank you"}
    clf = make_classifier(label_names=names).fit(TEXTS, Y)
    assert len(set(label_texts(clf))) == 3


def test_without_names_the_label_vectors_start_from_the_documents(make_classifier):
    start = make_classifier(max_epochs=0).fit(TEXTS, Y)
    assert start.classes_.tolist() == [0, 1, 2]
    assert start.module_.label_tokens is None
    table = start.module_.label_table.detach().cpu().numpy()
    states = []
    with torch.inference_mode():
        for text in TEXTS:
            encoded = start.tokenizer_(text, return_tensors="pt").to(start.device_)
            states.append(start.module_.encoder(**encoded).last_hidden_state[0, 1:-1].mean(dim=0).cpu().numpy())
    for label in range(3):
        expected = np.mean([state for state, has in zip(states, Y[:, label], strict=True) if has], axis=0)
        np.testing.assert_allclose(table[label], expected, atol=2e-3)
    trained = make_classifier().fit(TEXTS, Y).module_.label_table.detach().cpu().numpy()
    assert not np.array_equal(trained, table)


@needs_embedded_encoder
def test_default_start_is_a_good_classifier_without_any_training(no_network):
    texts = [
        "a cheap red car",
        "an old blue car",
        "a fast lorry",
        "a bus to town",
        "red wine",
        "cold beer",
        "a cup of tea",
        "juice",
    ]
    Y = np.array([[1, 0]] * 4 + [[0, 1]] * 4)
    clf = BertLamClassifier(label_names=["vehicle", "drink"], max_epochs=0, random_state=0).fit(texts, Y)
    np.testing.assert_array_equal(clf.predict(["a black taxi", "lemonade", "a tractor", "coffee"]), [[1, 0], [0, 1]] * 2)


@needs_embedded_encoder
def test_works_with_all_defaults_and_no_network(no_network):
    clf = BertLamClassifier(max_epochs=1).fit(TEXTS, Y)
    assert clf.predict_proba(TEXTS).shape == Y.shape


def test_same_seed_same_result_to_the_bit(make_classifier):
    first, second = (make_classifier().fit(TEXTS, Y).predict_proba(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = make_classifier(random_state=1).fit(TEXTS, Y).predict_proba(TEXTS)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_states_are_left_alone(make_classifier, random_state):
    np.random.seed(3)
    torch.manual_seed(3)
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    make_classifier(random_state=random_state).fit(TEXTS, Y).predict(TEXTS)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_global_random_states_do_not_matter(make_classifier):
    np.random.seed(1)
    torch.manual_seed(1)
    first = make_classifier().fit(TEXTS, Y).predict_proba(TEXTS)
    np.random.seed(2)
    torch.manual_seed(2)
    np.testing.assert_array_equal(make_classifier().fit(TEXTS, Y).predict_proba(TEXTS), first)


def test_fitting_writes_no_file_and_prints_nothing(make_classifier, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    make_classifier(early_stopping=True).fit(TEXTS, Y).predict(TEXTS)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_verbose_shows_documents_per_second_and_loss(make_classifier, capfd):
    make_classifier(verbose=1).fit(TEXTS, Y)
    shown = capfd.readouterr().err
    assert "docs/s" in shown
    assert "loss" in shown


def test_callbacks_are_called(make_classifier):
    class CountEpochs(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(len(net.history))

    epochs = []
    clf = make_classifier(callbacks=[CountEpochs()])
    clf.fit(TEXTS, Y)
    assert epochs == [1, 2]


def test_early_stopping_keeps_the_best_weights(make_classifier):
    parameters = {"early_stopping": True, "validation_fraction": 0.4, "n_iter_no_change": 2, "head_init": "random"}
    parameters |= {"learning_rate": 3e-3, "head_learning_rate": 3e-2}
    clf = make_classifier(max_epochs=40, **parameters).fit(TEXTS, Y)
    assert clf.n_iter_ < 40
    assert 0 < clf.best_epoch_ == clf.n_iter_ - 2
    again = make_classifier(max_epochs=40, callbacks=[StopAfter(clf.best_epoch_)], **parameters).fit(TEXTS, Y)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), again.predict_proba(TEXTS))
    assert all(0 <= epoch[key] <= 1 for epoch in clf.history_ for key in ("valid_f1_micro", "valid_average_precision"))


class StopAfter(Callback):
    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            raise KeyboardInterrupt


def test_early_stopping_goes_back_to_the_start_where_training_only_harms(make_classifier):
    parameters = {"early_stopping": True, "validation_fraction": 0.4, "n_iter_no_change": 3, "head_init": "logistic"}
    harmful = {"learning_rate": 0.0, "head_learning_rate": 1.0, "weight_decay": 1.0, "warmup_fraction": 0.0}
    clf = make_classifier(**parameters, **harmful).fit(TEXTS, 1 - Y)
    start = make_classifier(max_epochs=0, **parameters).fit(TEXTS, 1 - Y)
    if clf.best_epoch_ == 0:
        np.testing.assert_allclose(clf.predict_proba(TEXTS), start.predict_proba(TEXTS), atol=1e-6)
    best = max([epoch["valid_average_precision"] for epoch in clf.history_])
    assert clf.best_epoch_ == 0 or clf.history_[clf.best_epoch_ - 1]["valid_average_precision"] == best


def test_early_stopping_goes_by_the_loss_where_nothing_that_is_held_out_has_a_label(make_classifier):
    texts = [f"{word} {number}" for number in range(10) for word in ("printer", "invoice", "thank", "you", "fire")]
    y = np.zeros((50, 10), dtype=int)
    y[np.arange(10), np.arange(10)] = 1
    stopping = {"early_stopping": True, "validation_fraction": 0.1, "max_epochs": 8, "head_init": "random"}
    clf = make_classifier(**stopping, learning_rate=1e-3, head_learning_rate=1e-2).fit(texts, y)
    losses = [epoch["valid_loss"] for epoch in clf.history_]
    assert all(np.isnan(epoch["valid_average_precision"]) for epoch in clf.history_)
    assert clf.best_epoch_ == 1 + np.argmin(losses)


def test_early_stopping_scores_every_nth_text_where_there_are_many(make_classifier, monkeypatch):
    stopping = {"early_stopping": True, "validation_fraction": 0.5, "max_epochs": 1}
    seen = []

    def scores(module, data, *rest):
        seen.append(len(data))
        return np.zeros((len(data), 3), dtype=np.float32)

    monkeypatch.setattr(_net, "network_scores", scores)
    monkeypatch.setattr(_net, "_MOST_ENTRIES_TO_WATCH", 8)
    make_classifier(**stopping).fit(TEXTS, Y)
    assert set(seen) == {2}


def test_a_tuned_threshold_is_learned_on_texts_that_are_held_out(make_classifier):
    texts, y = TEXTS * 20, np.tile(Y, (20, 1))
    y = y * (np.random.RandomState(0).rand(*y.shape) < 0.3)  # so that no label is more probable than not
    learning = {"max_epochs": 8, "learning_rate": 1e-3}
    fixed = make_classifier(**learning).fit(texts, y)
    tuned = make_classifier(threshold="tuned", validation_fraction=0.3, **learning).fit(texts, y)
    assert tuned.threshold_.shape == (3,)
    assert (tuned.threshold_ < 0.5).all()
    assert f1_score(Y, tuned.predict(TEXTS), average="micro") > f1_score(Y, fixed.predict(TEXTS), average="micro") + 0.1
    np.testing.assert_array_equal(tuned.predict(TEXTS), tuned.predict_proba(TEXTS) > tuned.threshold_.astype(np.float32))
    assert tuned.set_params(threshold=0.3).threshold_ == 0.3
    with pytest.warns(LabelWithoutPositivesWarning):
        tuned.set_params(threshold="tuned").fit(texts, np.zeros_like(y))
    np.testing.assert_array_equal(tuned.threshold_, 0.5)  # nothing to learn from


def test_texts_without_weight_do_not_tune_the_threshold(make_classifier):
    texts, y = TEXTS * 8, np.vstack([np.tile(Y, (4, 1)), np.tile(1 - Y, (4, 1))])
    weights = np.repeat([1.0, 0.0], 48)
    clf = make_classifier(threshold="tuned", validation_fraction=0.4, max_epochs=8, learning_rate=1e-3)
    assert (clf.fit(texts, y, sample_weight=weights).predict(TEXTS) == Y).mean() > 0.9


def test_the_threshold_is_lower_the_harder_the_labels_are(make_classifier):
    clf = make_classifier(max_epochs=0)
    texts, y = TEXTS * 20, np.tile(Y, (20, 1))
    wrong = np.random.RandomState(0).permutation(y.ravel()).reshape(y.shape)
    easy, hard = clf.fit(texts, y).threshold_, make_classifier(max_epochs=0).fit(texts, wrong)
    assert 0.4 < easy <= 0.5
    assert 0.2 < hard.threshold_ < 0.4
    scores = [
        f1_score(wrong, hard.predict_proba(texts) > threshold, average="micro") for threshold in (0.5, hard.threshold_)
    ]
    assert scores[1] > scores[0]
    assert make_classifier(max_epochs=0, head_init="random").fit(texts, y).threshold_ == 0.5


@pytest.mark.parametrize("threshold", ["tuned", [0.1, 0.2]])
def test_a_threshold_that_does_not_suit_the_classifier_does_not_keep_it_from_being_shown(make_classifier, threshold):
    clf = make_classifier(max_epochs=0)
    assert not hasattr(clf.set_params(threshold=threshold), "threshold_")
    clf.set_params(threshold="auto").fit(TEXTS, Y).set_params(threshold=threshold)
    assert not hasattr(clf, "threshold_")
    assert "BertLamClassifier" in clf._repr_html_()
    with pytest.raises(UnsuitableThresholdError, match="threshold"):
        clf.predict(TEXTS)


def test_threads_that_fit_take_turns(make_classifier):
    expected = make_classifier(dropout=0.5).fit(TEXTS, Y).predict_proba(TEXTS)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: make_classifier(dropout=0.5).fit(TEXTS, Y).predict_proba(TEXTS), range(6)))
    for result in results:
        np.testing.assert_array_equal(result, expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_can_be_loaded_while_another_thread_fits(make_classifier):
    pickled = [pickle.dumps(make_classifier(label_names=names).fit(TEXTS, Y)) for names in (LABELS, None)]

    class Loading(Callback):
        def on_epoch_begin(self, net, **kwargs):
            with ThreadPoolExecutor(1) as pool:
                list(pool.map(pickle.loads, pickled, timeout=60))

    expected = make_classifier().fit(TEXTS, Y).predict_proba(TEXTS)
    clf = make_classifier(callbacks=[Loading()]).fit(TEXTS, Y)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected)


def test_a_threshold_that_was_not_tuned_is_an_error(make_classifier):
    clf = make_classifier().fit(TEXTS, Y).set_params(threshold="tuned")
    with pytest.raises(ValueError, match="set after fit"):
        clf.predict(TEXTS)
    with pytest.raises(ValueError, match="threshold='tuned' with validation_fraction"):
        clf.fit(["fire"], [[1]])


def test_warm_start_goes_on(make_classifier):
    clf = make_classifier(warm_start=True, max_epochs=8, learning_rate=1e-3).fit(TEXTS, Y)
    before = clf.history_[-1]["loss"]
    module = clf.module_
    clf.fit(TEXTS, Y)
    assert clf.module_ is module
    assert clf.history_[0]["loss"] < before * 1.5
    clf.set_params(max_length=8).fit(TEXTS, Y)  # the length stays as it was
    long = ["thank " * 9 + "printer"]
    np.testing.assert_array_equal(clf.predict_proba(long), clf.set_params(max_length=32).predict_proba(long))
    with pytest.raises(ValueError, match="warm_start=True goes on with the labels"):
        clf.fit(TEXTS, Y[:, :2])


def test_a_stream_is_learned_part_by_part(make_classifier):
    clf = make_classifier(**FAST, label_names=LABELS)
    for _ in range(20):
        for part in (slice(0, 6), slice(6, 12)):
            assert clf.partial_fit(TEXTS[part], Y[part]) is clf
    assert (clf.predict(TEXTS) == Y).all()
    assert clf.classes_.tolist() == LABELS
    assert clf.n_iter_ == 1


def test_a_part_of_a_stream_need_not_have_every_label(make_classifier, recwarn):
    clf = make_classifier().partial_fit(TEXTS, Y, classes=LABELS)
    no_thanks = Y[:, 2] == 0
    clf.partial_fit(np.array(TEXTS)[no_thanks], Y[no_thanks])
    assert clf.classes_.tolist() == LABELS
    assert not recwarn


def test_a_stream_may_bring_labels(make_classifier):
    clf = make_classifier(**FAST, label_names=LABELS[:2]).partial_fit(TEXTS, Y[:, :2])
    clf.add_labels({"thank": "thank"})
    for _ in range(30):
        clf.partial_fit(TEXTS, Y)
    assert (clf.predict(TEXTS) == Y).all()


def test_a_label_that_the_first_part_knows_nothing_of_is_not_predicted(make_classifier):
    y = Y.astype(float)
    y[:, 2] = np.nan
    clf = make_classifier(max_epochs=0).partial_fit(TEXTS, y)
    assert not clf.predict(TEXTS)[:, 2].any()


def test_partial_fit_keeps_the_threshold(make_classifier):
    anything = np.random.RandomState(0).randint(0, 2, size=(48, 3))
    clf = make_classifier().partial_fit(TEXTS * 4, anything)
    before = clf.threshold_
    assert before < 0.5
    assert clf.partial_fit(TEXTS, Y).threshold_ == before


@pytest.mark.parametrize(
    ("parameters", "classes", "message"),
    [
        ({}, LABELS[:2], "classes has 2 label"),
        ({}, ["a", "b", "c"], "partial_fit goes on with the labels"),
        ({"early_stopping": True}, None, "early_stopping=True, which needs all texts"),
        ({"threshold": "tuned"}, None, "threshold='tuned', which needs all texts"),
        ({"checkpoint_dir": "folder"}, None, "checkpoint_dir, which needs all texts"),
    ],
)
def test_what_partial_fit_refuses(make_classifier, parameters, classes, message):
    clf = make_classifier().partial_fit(TEXTS, Y, classes=LABELS).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(TEXTS, Y, classes=classes)


def test_a_frozen_encoder_does_not_learn_in_parts(tiny_encoder):
    assert not hasattr(FrozenEncoderClassifier(tiny_encoder), "partial_fit")


def test_threshold_needs_no_refit(make_classifier):
    clf = make_classifier().fit(TEXTS, Y)
    probabilities = clf.predict_proba(TEXTS)
    np.testing.assert_array_equal(clf.set_params(threshold=0.3).predict(TEXTS), probabilities > 0.3)
    per_label = [0.2, 0.9, float(np.median(probabilities[:, 2]))]
    np.testing.assert_array_equal(clf.set_params(threshold=per_label).predict(TEXTS), probabilities > per_label)
    with pytest.raises(ValueError, match="threshold should be a number or have shape"):
        clf.set_params(threshold=[0.5, 0.5]).predict(TEXTS)


def test_pos_weight_raises_probabilities(make_classifier):
    plain = make_classifier(max_epochs=10, head_init="random").fit(TEXTS, Y).predict_proba(TEXTS)
    weighted = make_classifier(max_epochs=10, head_init="random", pos_weight=20.0).fit(TEXTS, Y).predict_proba(TEXTS)
    assert weighted.mean() > plain.mean()


def test_sample_weight_zero_silences_a_text(make_classifier):
    wrong = Y.copy()
    wrong[:2] = 1 - wrong[:2]
    weights = np.r_[0.0, 0.0, np.ones(10)]
    first = make_classifier().fit(TEXTS, Y, sample_weight=weights).predict_proba(TEXTS)
    second = make_classifier().fit(TEXTS, wrong, sample_weight=weights).predict_proba(TEXTS)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_unknown_targets_do_not_matter(make_classifier):
    unknown = Y.astype(float)
    unknown[3:, 1] = np.nan
    clf = make_classifier().fit(TEXTS, unknown)
    assert np.isfinite(clf.predict_proba(TEXTS)).all()
    assert np.isfinite([epoch["loss"] for epoch in clf.history_]).all()
    missing = pd.DataFrame(unknown).astype("Int64")
    np.testing.assert_array_equal(make_classifier().fit(TEXTS, missing).predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_score_is_the_share_of_texts_that_are_right_in_all_known_labels(fitted):
    predicted = fitted.predict(TEXTS).astype(float)
    assert fitted.score(TEXTS, predicted) == 1.0
    wrong = predicted.copy()
    wrong[:3, 0] = 1 - wrong[:3, 0]
    assert fitted.score(TEXTS, wrong) == pytest.approx(9 / 12)
    assert fitted.score(TEXTS, sp.csr_array(wrong)) == pytest.approx(9 / 12)
    wrong[0, 0] = np.nan
    assert fitted.score(TEXTS, wrong) == pytest.approx(10 / 12)
    with pytest.raises(ValueError, match="knows 3 labels"):
        fitted.score(TEXTS, predicted[:, :2])


def test_a_failed_fit_leaves_the_estimator_as_it_was(make_classifier, no_network):
    clf = make_classifier().fit(TEXTS, Y)
    before = clf.predict_proba(TEXTS)
    for parameters in ({"max_length": 1000}, {"learning_rate": 1e30}, {"encoder": "nobody/nothing"}):
        broken = copy.deepcopy(clf).set_params(**parameters)
        with pytest.raises((ValueError, ArithmeticError)):
            broken.fit(TEXTS, Y[:, :2])
        np.testing.assert_array_equal(broken.predict_proba(TEXTS), before)
    unfitted = make_classifier(max_length=1000, warm_start=True)
    with pytest.raises(ValueError, match="reads at most"):
        unfitted.fit(TEXTS, Y)
    with pytest.raises(NotFittedError):
        unfitted.predict(TEXTS)


def test_diverged_training_is_an_error(make_classifier):
    with pytest.raises(TrainingDivergedError, match="Lower learning_rate"):
        make_classifier(learning_rate=1e30).fit(TEXTS, Y)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf)), "joblib"])
def test_copies_predict_the_same(fitted, copied, tmp_path):
    if copied == "joblib":
        joblib.dump(fitted, tmp_path / "clf.joblib")
        copied = joblib.load(tmp_path / "clf.joblib")
    else:
        copied = copied(fitted)
    np.testing.assert_array_equal(copied.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert copied.history_ == fitted.history_


def test_a_model_trained_on_cuda_unpickles_on_the_cpu(fitted):
    trained = copy.deepcopy(fitted)
    trained.module_ = trained.module_.cpu()
    expected = copy.deepcopy(trained)
    expected.device_ = "cpu"
    trained.device_ = "cuda:0"
    loaded = pickle.loads(pickle.dumps(trained))
    assert loaded.device_ == ("cuda:0" if torch.cuda.is_available() else "cpu")
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), expected.predict_proba(TEXTS), atol=1e-4)


def test_pickles_hold_no_paths_of_another_system(make_classifier, tiny_encoder, tmp_path):
    clf = make_classifier(encoder=Path(tiny_encoder), checkpoint_dir=tmp_path / "checkpoint").fit(TEXTS, Y)
    pickled = pickle.dumps(clf)
    assert b"pathlib" not in pickled
    assert pickle.loads(pickled).encoder == str(tiny_encoder)
    np.testing.assert_array_equal(pickle.loads(pickled).predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_clone_and_unfitted_pickle_keep_parameters(make_classifier):
    clf = make_classifier(label_names=LABELS, threshold=0.3)
    for copied in (clone(clf), pickle.loads(pickle.dumps(clf))):
        assert copied.get_params() == clf.get_params()
        with pytest.raises(NotFittedError):
            copied.predict(TEXTS)


def test_default_number_of_epochs_suits_few_and_many_texts():
    epochs = [BertLamClassifier._epoch_range.epochs(n, 32) for n in (1, 50, 300, 3000, 300_000)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] <= 5
    assert epochs[0] >= 10


def test_from_paper_has_the_papers_settings():
    clf = BertLamClassifier.from_paper("aapd")
    paper = {
        "encoder": "bert-base-uncased",
        "attention": "document",
        "attention_scale": 1.0,
        "max_length": 128,
        "learning_rate": 5e-5,
        "dropout": 0.1,
        "threshold": 0.5,
    }
    assert paper.items() <= clf.get_params().items()
    assert BertLamClassifier.from_paper("rcv1-v2").max_length == 126
    assert BertLamClassifier.from_paper("aapd", max_epochs=2).max_epochs == 2
    with pytest.raises(ValueError, match="dataset should be one of"):
        BertLamClassifier.from_paper("imdb")


# --------------------------------------------------------------------------------------------------------- legal extremes


@pytest.mark.parametrize("text", ["", " ", "fire " * 50_000, "🔥🔥", "a\x00b\x07", "\ud800", "مرحبا", "[SEP] [PAD]"])
def test_any_text_gets_probabilities(fitted, text):
    probabilities = fitted.predict_proba([text, "thank you"])
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities[1], fitted.predict_proba(["thank you"])[0], atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_one_text_and_one_label(make_classifier, attention):
    with pytest.warns(LabelWithoutPositivesWarning):
        clf = make_classifier(attention=attention).fit(["fire"], [[0]])
    assert clf.predict_proba(["fire", "ice"]).shape == (2, 1)
    assert make_classifier(attention=attention).fit(TEXTS, Y[:, :1]).predict(TEXTS).shape == (12, 1)


def test_texts_without_labels_and_large_batches(make_classifier):
    some = Y.copy()
    some[0] = 0
    assert make_classifier(batch_size=1000).fit(TEXTS, some).predict(TEXTS).shape == Y.shape


def test_a_label_without_positives_warns_once_by_name(make_classifier):
    absent = pd.DataFrame(np.c_[Y, np.zeros(12, dtype=int)], columns=[*LABELS, "refund"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf = make_classifier().fit(TEXTS, absent)
    assert [str(warning.message).split(".")[0] for warning in caught] == ["No text has label 'refund'"]
    assert caught[0].filename == __file__
    assert (clf.predict_proba(TEXTS)[:, 3] < 0.5).all()


@needs_embedded_encoder
def test_a_label_without_positives_is_known_by_its_text():
    train, test = (load_support_requests(subset=subset) for subset in ("train", "test"))
    label = train.target_names.tolist().index("app problem")
    absent = train.target[:60] * (np.arange(12) != label)
    clf = BertLamClassifier(label_names=train.label_descriptions, max_epochs=0, word_share=0, random_state=0)
    with pytest.warns(LabelWithoutPositivesWarning):
        clf.fit(train.data[:60], absent)
    assert roc_auc_score(test.target[:, label], clf.predict_proba(test.data)[:, label]) > 0.8


def test_interruption_keeps_a_usable_estimator(make_classifier):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    clf = make_classifier(max_epochs=5, callbacks=[Interrupt()])
    with pytest.warns(TrainingInterruptedWarning, match="after 1 of 5 epochs"):
        clf.fit(TEXTS, Y)
    assert clf.predict(TEXTS).shape == Y.shape


def test_many_texts_in_small_chunks_are_the_same(fitted, monkeypatch):
    expected = fitted.predict_proba(TEXTS)
    monkeypatch.setattr("sklearn_bertlam._base._TEXTS_PER_CHUNK", 5)
    np.testing.assert_allclose(fitted.predict_proba(TEXTS), expected, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------- long texts

LONG_TEXTS = [f"{text} " + "and the " * 40 + ending for text, ending in zip(TEXTS, TEXTS[::-1], strict=True)]


@pytest.mark.parametrize("attention", ["label-wise", "document", "mean"])
@pytest.mark.parametrize("long_text", ["truncate", "head-tail", "windows"])
def test_the_end_of_a_long_text_counts_where_it_should(make_classifier, attention, long_text):
    clf = make_classifier(attention=attention, long_text=long_text, stride=8, word_share=0.0).fit(TEXTS, Y)
    alone, with_end = (clf.predict_proba([f"thank you {'and the ' * 40} {end}"]) for end in ("", "printer fire"))
    assert np.array_equal(alone, with_end) == (long_text == "truncate")
    clf.fit(LONG_TEXTS, Y)
    assert np.isfinite(clf.predict_proba(LONG_TEXTS)).all()


def test_windows_do_not_change_short_texts(make_classifier, tolerance):
    plain = make_classifier().fit(TEXTS, Y)
    windows = make_classifier(long_text="windows", stride=8).fit(TEXTS, Y)
    np.testing.assert_allclose(windows.predict_proba(TEXTS), plain.predict_proba(TEXTS), **tolerance)


def test_a_text_of_any_length_can_be_read_in_windows(make_classifier, monkeypatch, tolerance):
    clf = make_classifier(long_text="windows", stride=8).fit(TEXTS, Y)
    book = ["the printer is on fire and " * 2000]
    expected = clf.predict_proba(book)
    monkeypatch.setattr(_text_encoder, "_TOKENS_PER_PART", 100)
    np.testing.assert_allclose(clf.predict_proba(book), expected, **tolerance)


def test_windows_need_room_for_something_new(make_classifier):
    with pytest.raises(ValueError, match="Use a stride below 30"):
        make_classifier(long_text="windows", stride=32).fit(TEXTS, Y)
    with pytest.raises(ValueError, match="long_text"):
        make_classifier(long_text="window").fit(TEXTS, Y)


# ---------------------------------------------------------------------------------------------------------- more labels


def test_labels_can_be_added_by_name(make_classifier, tmp_path):
    clf = make_classifier(label_names=LABELS[:2], warm_start=True, max_epochs=8, learning_rate=1e-3).fit(TEXTS, Y[:, :2])
    before = clf.predict_proba(TEXTS)
    assert clf.add_labels({"thank": "thank you"}) is clf
    assert clf.classes_.tolist() == LABELS
    after = clf.predict_proba(TEXTS)
    np.testing.assert_allclose(after[:, :2], before, atol=1e-6)
    assert np.isfinite(after).all()
    assert label_texts(clf)[2] == "thank you"
    assert clf.predict(TEXTS).shape == (12, 3)
    clf.save(tmp_path / "model")
    np.testing.assert_array_equal(BertLamClassifier.load(tmp_path / "model").predict_proba(TEXTS), after)
    clf.fit(TEXTS, Y)  # goes on with three labels
    assert (clf.predict(TEXTS) == Y).mean() > 0.8


def test_new_labels_are_scored_by_cosine_on_the_scale_of_the_others():
    cosines = np.array([[0.1, 0.5], [0.9, 0.3]])
    new = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(scorers_by_cosine(new, cosines, 5 * cosines - 2), [[3.0, 4.0, -2.0]], rtol=1e-5)
    falling = scorers_by_cosine(new, cosines, -5 * cosines)  # a scale that would turn the ranking round is not believed
    assert falling[0, 0] > 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"invoice": "again"}, "has label 'invoice' already"),
        ({}, "one entry at least"),
        (["fire"], "dict of label to text"),
        ({"fire": " "}, "non-empty"),
        ({"fire": "Invoice"}, "have the text 'invoice'"),
    ],
)
def test_labels_that_cannot_be_added_are_refused(make_classifier, labels, message):
    with pytest.raises(ValueError, match=message):
        make_classifier(label_names=LABELS).fit(TEXTS, Y).add_labels(labels)


def test_labels_need_a_classifier_that_reads_them(make_classifier):
    for parameters in ({}, {"attention": "cls", "label_names": LABELS}):
        with pytest.raises(ValueError, match="where the classifier reads them"):
            make_classifier(**parameters).fit(TEXTS, Y).add_labels({"fire": "fire"})


def test_thresholds_of_more_labels_come_before_them(make_classifier):
    clf = make_classifier(label_names=LABELS, threshold=[0.1, 0.2, 0.3]).fit(TEXTS, Y)
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        clf.add_labels({"fire": "fire"})
    clf.set_params(threshold=[0.1, 0.2, 0.3, 0.0]).add_labels({"fire": "fire"})
    assert clf.predict(TEXTS)[:, 3].all()


@pytest.mark.parametrize("way", ["partial_fit", "fit"])
def test_going_on_that_fails_leaves_the_estimator_as_it_was(make_classifier, way):
    clf = make_classifier(label_names=LABELS, labels_per_update=1, warm_start=True).fit(TEXTS, Y)
    undisturbed, parameters = copy.deepcopy(clf), clf.get_params()
    clf.set_params(learning_rate=1e30, head_learning_rate=1e30, labels_per_update=2)
    with pytest.raises(TrainingDivergedError):
        getattr(clf, way)(TEXTS, Y)
    np.testing.assert_allclose(clf.predict_proba(TEXTS), undisturbed.predict_proba(TEXTS), atol=1e-6)
    clf.set_params(**parameters)
    after = [getattr(each, way)(TEXTS, Y).predict_proba(TEXTS) for each in (clf, undisturbed)]
    np.testing.assert_allclose(*after, atol=1e-6)


def test_named_columns_may_be_in_any_order(make_classifier):
    frame = pd.DataFrame(Y, columns=LABELS)
    swapped = frame[LABELS[::-1]]
    clf = make_classifier().partial_fit(TEXTS, swapped, classes=LABELS).partial_fit(TEXTS, swapped)
    expected = make_classifier().partial_fit(TEXTS, frame).partial_fit(TEXTS, frame)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    learned = make_classifier(max_epochs=100, learning_rate=1e-2).fit(TEXTS, frame)
    assert learned.score(TEXTS, frame) == learned.score(TEXTS, swapped) > 0.5
    with pytest.raises(InvalidTargetError, match="without label 'thank'"):
        learned.score(TEXTS, frame[LABELS[:2]])
    with pytest.raises(ValueError, match="classes has 'a' more than once"):
        make_classifier().partial_fit(TEXTS, Y, classes=["a", "a", "b"])


def test_divergence_is_found_where_training_is_watched(make_classifier):
    clf = make_classifier(learning_rate=1e30, head_learning_rate=1e30, early_stopping=True, validation_fraction=0.25)
    with pytest.raises(TrainingDivergedError):
        clf.fit(TEXTS, Y)


def test_texts_without_weight_do_not_move_the_threshold(make_classifier):
    texts, y = TEXTS * 4, np.vstack([Y] * 4)
    weights = np.r_[np.ones(24), np.zeros(24)]
    wrong = np.vstack([y[:24], 1 - y[24:]])
    clf, same = (make_classifier().fit(texts, targets, sample_weight=weights) for targets in (y, wrong))
    assert clf.threshold_ == same.threshold_


def test_early_stopping_weighs_texts(make_classifier, monkeypatch):
    seen = []

    def score(actual, scores, sample_weight):
        seen.append(set(sample_weight.tolist()))
        return 0.5

    monkeypatch.setattr(_net, "average_precision_score", score)
    weights = np.resize([0.0, 1.0, 3.0], 12)
    make_classifier(early_stopping=True, validation_fraction=0.5).fit(TEXTS, Y, sample_weight=weights)
    assert all(len(weights) == 2 and max(weights) == pytest.approx(3 * min(weights)) for weights in seen)


def test_a_callback_may_stop_training(make_classifier):
    stopping = EarlyStopping(monitor="train_loss", threshold=1e9, patience=1)
    clf = make_classifier(max_epochs=9, callbacks=[stopping]).fit(TEXTS, Y)  # without a warning
    assert clf.n_iter_ < 9


def test_a_frame_of_other_numbers_is_taken_as_it_stands(make_classifier):
    clf = make_classifier().fit(TEXTS, Y)
    assert clf.score(TEXTS, pd.DataFrame(Y, columns=[3, 1, 2])) == clf.score(TEXTS, Y)
    with pytest.raises(InvalidTargetError, match=r"0 label\(s\)"):
        make_classifier().partial_fit(TEXTS, Y, classes=[])


def test_how_many_labels_an_update_reads_may_change(make_classifier):
    clf = make_classifier(label_names=LABELS, labels_per_update=1, warm_start=True).fit(TEXTS, Y)
    assert clf.module_.labels_per_update == 1
    clf.add_labels({"fire": "something burns"}).set_params(labels_per_update=None)
    clf.fit(TEXTS, np.column_stack([Y, ["fire" in text for text in TEXTS]]))
    assert clf.module_.labels_per_update == 4


def test_a_number_as_threshold_is_compared_as_precisely_as_a_tuned_one(fitted):
    just_below = np.nextafter(np.float32(1), np.float32(0))
    clf = copy.copy(fitted).set_params(threshold=(float(just_below) + 1) / 2)
    logits = np.array([[20.0, 10.0, 0.0]])
    scores = expit(logits.astype(np.float32))
    np.testing.assert_array_equal(clf._labels(logits.astype(np.float32)), (scores.astype(float) > clf.threshold).astype(int))


# ------------------------------------------------------------------------------------------- what must not mislead silently


def test_positive_weights_are_not_taken_back(make_classifier):
    clf = make_classifier(label_names=LABELS, pos_weight=20.0).fit(TEXTS, Y)
    assert clf.threshold_ == 0.5
    assert clf.module_.cardinality is None
    plain = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    assert clf.predict_proba(TEXTS).mean() > plain.predict_proba(TEXTS).mean()
    clf.set_params(pos_weight=None)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(TEXTS), clf.predict_proba(TEXTS))


@pytest.mark.parametrize("way", ["partial_fit", "fit"])
def test_thresholds_follow_positive_weights_of_a_training_that_goes_on(make_classifier, way):
    texts, y = TEXTS * 3, np.random.default_rng(0).permutation(np.tile(Y, (3, 1)))
    clf = make_classifier(label_names=LABELS, warm_start=True).fit(texts, y)
    assert clf.threshold_ != 0.5
    getattr(clf.set_params(pos_weight=20.0), way)(texts, y)
    assert clf.threshold_ == 0.5


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_numbers_of_labels_have_no_say_where_a_training_with_positive_weights_goes_on(make_classifier, way):
    texts, y = TEXTS * 3, np.tile(np.eye(3, dtype=int), (12, 1))
    with_counts, without = (
        make_classifier(warm_start=True, fit_cardinality=counts, random_state=0).fit(texts, y) for counts in (True, False)
    )
    assert np.abs(with_counts.predict_proba(texts) - without.predict_proba(texts)).max() > 0.01
    for clf in (with_counts, without):
        getattr(clf.set_params(pos_weight=5.0), way)(texts, y)
    np.testing.assert_array_equal(with_counts.predict_proba(texts), without.predict_proba(texts))


def test_copies_go_on_as_the_original_where_label_texts_are_read_in_turn(make_classifier, tmp_path):
    clf = make_classifier(label_names=LABELS, labels_per_update=1, batch_size=12, random_state=0).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    loaded = BertLamClassifier.load(tmp_path / "model", device=clf.device)
    for _ in range(2):
        for one in (clf, loaded):
            one.partial_fit(TEXTS, Y)
        np.testing.assert_array_equal(clf.predict_proba(TEXTS), loaded.predict_proba(TEXTS))


def test_numbers_may_be_those_of_numpy(make_classifier):
    kinds = {int: np.int64, float: np.float32}
    usual = make_classifier().get_params()
    clf = make_classifier(**{name: kinds[type(value)](value) for name, value in usual.items() if type(value) in kinds})
    assert clf.fit(TEXTS, Y).predict(TEXTS).shape == Y.shape


def test_a_single_label_is_scored_where_it_has_no_name_and_warned_of_where_it_has_one(make_classifier):
    y = Y[:, :1]
    clf = make_classifier(label_names={0: "printer"}, max_epochs=5).fit(TEXTS, y)
    assert get_scorer("roc_auc")(clf, TEXTS, y) == roc_auc_score(y, clf.predict_proba(TEXTS)) > 0.9
    with pytest.warns(SingleLabelNameWarning, match="reversed"):
        make_classifier().fit(TEXTS, pd.DataFrame(y, columns=["printer"]))


def test_names_in_another_order_are_those_of_the_columns(make_classifier):
    frame = pd.DataFrame(Y, columns=LABELS)
    in_order = make_classifier(label_names=LABELS).fit(TEXTS, frame)
    reversed_names = make_classifier(label_names=LABELS[::-1]).fit(TEXTS, frame)
    np.testing.assert_array_equal(reversed_names.predict_proba(TEXTS), in_order.predict_proba(TEXTS))


def test_numbered_columns_may_be_in_any_order_in_score(make_classifier):
    frame = pd.DataFrame(Y)
    clf = make_classifier().fit(TEXTS, frame)
    assert clf.score(TEXTS, frame[[2, 0, 1]]) == clf.score(TEXTS, frame)


@pytest.mark.parametrize("seed", range(3))
def test_texts_without_weight_do_not_judge_training(make_classifier, seed):
    texts, y = TEXTS + TEXTS, np.vstack([Y, 1 - Y])
    weights = np.repeat([1.0, 0.0], len(TEXTS))
    settings = {"early_stopping": True, "validation_fraction": 0.1, "random_state": seed}
    clf = make_classifier(**settings).fit(texts, y, sample_weight=weights)
    assert all(epoch["valid_loss"] > 0 for epoch in clf.history_)
    only_one = np.arange(len(TEXTS)) == seed
    assert make_classifier(**settings).fit(TEXTS, Y, sample_weight=only_one).predict(TEXTS).shape == Y.shape


@pytest.mark.parametrize("change", ["float64", "no gradients", "inference mode", "autocast", "numpy raises"])
def test_what_a_program_has_set_in_torch_does_not_matter(make_classifier, change):
    expected = make_classifier(label_names=LABELS).fit(TEXTS, Y).predict_proba(TEXTS)
    contexts = {
        "no gradients": torch.no_grad,
        "inference mode": torch.inference_mode,
        "autocast": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
        "numpy raises": partial(np.errstate, all="raise"),
    }
    if change == "float64":
        torch.set_default_dtype(torch.float64)
    try:
        with contexts.get(change, nullcontext)():
            clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
            copied = pickle.loads(pickle.dumps(clf))
            for fitted in (clf, copied):
                np.testing.assert_allclose(fitted.predict_proba(TEXTS), expected, atol=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)


def test_adding_labels_draws_no_random_numbers(make_classifier):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    clf.add_labels({"urgent": "what cannot wait"})
    assert torch.equal(torch.rand(3), expected)


def test_a_new_label_has_the_mean_of_the_tuned_thresholds(make_classifier):
    clf = make_classifier(label_names=LABELS, threshold="tuned", validation_fraction=0.25).fit(TEXTS, Y)
    before = clf.threshold_
    clf.add_labels({"fire": "fire"})
    np.testing.assert_allclose(clf.threshold_, [*before, before.mean()])
    assert clf.predict(TEXTS).shape == (12, 4)


def test_thresholds_stay_at_one_half_where_no_text_with_weight_is_held_out(make_classifier):
    clf = make_classifier(threshold="tuned", validation_fraction=0.25)
    assert (clf.fit(TEXTS, Y).threshold_ != 0.5).any()
    np.testing.assert_array_equal(clf.fit(TEXTS, Y, sample_weight=[1.0] + [0.0] * 11).threshold_, [0.5] * 3)


def test_interrupted_tuning_keeps_what_was_trained(make_classifier, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    clf = make_classifier(threshold="tuned", validation_fraction=0.25)
    expected = clf.fit(TEXTS, Y).predict_proba(TEXTS)
    monkeypatch.setattr(_fitting, "cautious_thresholds", interrupt)
    with pytest.warns(TrainingInterruptedWarning, match="Tuning the threshold was interrupted") as warnings:
        clf.fit(TEXTS, Y)
    assert warnings[0].filename == __file__
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected)
    np.testing.assert_array_equal(clf.predict(TEXTS), expected > 0.5)
