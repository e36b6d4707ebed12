"""What every baseline has to do, whatever its network is."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from conftest import LABELS, TEXTS, Y
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_bertlam import baselines
from sklearn_bertlam._batches import TextRows
from sklearn_bertlam._tokens import tokenize
from sklearn_bertlam.exceptions import (
    EncoderNotFoundError,
    InvalidLabelNamesError,
    InvalidTargetError,
    InvalidTextError,
    LabelWithoutPositivesWarning,
)

SMALL_WORDS = {"embedding_size": 16, "batch_size": 4, "max_epochs": 2}
SMALL_SEQUENCE = {**SMALL_WORDS, "hidden_size": 16, "label_size": 8}
SMALL_ENCODER = {"max_length": 32, "batch_size": 4, "max_epochs": 2, "precision": "float32"}
SYSTEMS = {
    "TextCNN": ("TextCNNClassifier", {**SMALL_WORDS, "n_filters": 8}),
    "LEAM": ("LEAMClassifier", SMALL_WORDS),
    "LEAM label-wise": ("LEAMClassifier", {**SMALL_WORDS, "variant": "label-wise"}),
    "CNN-RNN": ("CNNRNNClassifier", {**SMALL_SEQUENCE, "n_filters": 8}),
    "SGM": ("SGMClassifier", SMALL_SEQUENCE),
    "SGM+GE": ("SGMClassifier", {**SMALL_SEQUENCE, "global_embedding": True}),
    "MAGNET": ("MAGNETClassifier", {**SMALL_ENCODER, "hidden_size": 16}),
    "BERT": ("BERTClassifier", SMALL_ENCODER),
    "frozen": ("FrozenEncoderClassifier", {"max_length": 32, "precision": "float32"}),
}
ENCODERS = ("MAGNET", "BERT", "frozen")
TRAINED = [system for system in SYSTEMS if system != "frozen"]
TRUE_LABELS = pd.DataFrame(Y, columns=LABELS)


@pytest.fixture
def make(tiny_encoder, device):
    """Make a small baseline by its key in SYSTEMS; keyword arguments override its parameters."""

    def make(system, **parameters):
        name, settings = SYSTEMS[system]
        encoder = {"encoder": tiny_encoder} if system in ENCODERS else {}
        return getattr(baselines, name)(**({**encoder, **settings, "device": device, "random_state": 0} | parameters))

    return make


@pytest.fixture(params=SYSTEMS)
def system(request):
    return request.param


def test_results_have_the_shape_and_type_of_the_targets(make, system):
    clf = make(system).fit(TEXTS, TRUE_LABELS)
    assert clf.classes_.tolist() == LABELS
    predicted, probabilities = clf.predict(TEXTS), clf.predict_proba(TEXTS)
    assert predicted.shape == probabilities.shape == Y.shape
    assert set(np.unique(predicted)) <= {0, 1}
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_sparse_targets_give_the_model_of_dense_ones(make, system):
    dense, sparse = make(system).fit(TEXTS, Y), make(system).fit(TEXTS, sp.csr_array(Y))
    assert sp.issparse(sparse.predict(TEXTS))
    np.testing.assert_array_equal(sparse.predict(TEXTS).toarray(), dense.predict(TEXTS))
    np.testing.assert_array_equal(sparse.predict_proba(TEXTS), dense.predict_proba(TEXTS))


def test_predictions_do_not_depend_on_company(make, system, tolerance):
    clf = make(system).fit(TEXTS, Y)
    texts = [*TEXTS, "", "unheard words", " ".join(TEXTS)]
    alone = np.vstack([clf.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(clf.predict_proba(texts), alone, **tolerance)
    np.testing.assert_array_equal(np.vstack([clf.predict([text]) for text in texts]), clf.predict(texts))


def test_the_seed_decides_and_copies_agree(make, system):
    clf = make(system).fit(TEXTS, Y)
    expected = clf.predict_proba(TEXTS)
    np.testing.assert_array_equal(clone(clf).fit(TEXTS, Y).predict_proba(TEXTS), expected)
    random_state = torch.get_rng_state()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(TEXTS), expected)
    assert torch.equal(torch.get_rng_state(), random_state)
    if system != "frozen":
        assert (clone(clf).set_params(random_state=1).fit(TEXTS, Y).predict_proba(TEXTS) != expected).any()


def test_streams_give_what_predict_gives(make, system):
    clf = make(system).fit(TEXTS, Y)
    for method in ("predict", "predict_proba"):
        parts = list(clf.predict_batches(iter(TEXTS), method=method, batch_size=5))
        np.testing.assert_allclose(np.vstack(parts), getattr(clf, method)(TEXTS), atol=1e-5)


def test_takes_the_place_of_any_classifier(make, system):
    pipeline = make_pipeline(FunctionTransformer(lambda texts: [text.upper() for text in texts]), make(system))
    scores = cross_val_score(pipeline, TEXTS, Y, cv=2, scoring="f1_micro")
    assert scores.shape == (2,) and ((scores >= 0) & (scores <= 1)).all()
    parameter = "max_length"
    search = GridSearchCV(make(system), {parameter: [5, 8]}, cv=2, scoring="average_precision").fit(TEXTS, Y)
    assert search.best_params_[parameter] in (5, 8)


def quick_learner(system, max_epochs):
    """Parameters that learn a few documents by heart."""
    if system == "frozen":
        return {}
    if system == "BERT":
        return {"dropout": 0.0, "max_epochs": 30, "learning_rate": 1e-3, "head_learning_rate": 1e-2}
    return {"dropout": 0.0, "max_epochs": max_epochs, "learning_rate": 1e-2}


@pytest.mark.parametrize("system", TRAINED)
def test_learns_32_documents_by_heart(make, system):
    texts = [f"{TEXTS[i % 12]} {TEXTS[(5 * i + 1) % 12]}" for i in range(32)]
    y = np.array([[label in text for label in LABELS] for text in texts], dtype=int)
    clf = make(system, **quick_learner(system, max_epochs=150)).fit(texts, y)
    np.testing.assert_array_equal(clf.predict(texts), y)
    assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]


def test_unknown_entries_are_legal(make, system):
    unknown = Y.astype(float)
    unknown[1::2, 0] = np.nan
    clf = make(system).fit(TEXTS, unknown)
    assert np.isfinite(clf.predict_proba(TEXTS)).all()
    nothing_known = np.vstack([unknown, np.full((2, 3), np.nan)])
    assert np.isfinite(make(system).fit([*TEXTS, "fire", "printer"], nothing_known).predict_proba(TEXTS)).all()


@pytest.mark.parametrize("system", TRAINED)
def test_early_stopping_stops_and_reports(make, system):
    clf = make(system, early_stopping=True, validation_fraction=0.3, n_iter_no_change=1, max_epochs=100, learning_rate=0.1)
    clf.fit(TEXTS, Y)
    assert clf.n_iter_ < 100
    assert {"valid_loss", "valid_f1_micro"} <= set(clf.history_[-1])


def test_sample_weights_of_zero_silence_a_document(make, system):
    """Every text is there twice, the second time with the opposite labels and no weight."""
    weights = np.array([1.0] * 12 + [0.0] * 12)
    opposite = np.vstack([Y, 1 - Y])
    clf = make(system, **quick_learner(system, max_epochs=40)).fit(TEXTS * 2, opposite, sample_weight=weights)
    assert (clf.predict(TEXTS) == Y).mean() > 0.7
    with pytest.raises(ValueError, match="sample_weight"):
        make(system).fit(TEXTS, Y, sample_weight=-np.ones(12))


def test_extreme_targets_are_legal(make, system):
    for y in (Y[:, :1], np.hstack([Y, np.ones((12, 1), dtype=int)])):
        assert make(system).fit(TEXTS, y).predict(TEXTS).shape == y.shape
    with pytest.warns(LabelWithoutPositivesWarning, match="nobody"):
        frame = TRUE_LABELS.assign(nobody=0)
        assert make(system).fit(TEXTS, frame).predict(TEXTS).shape == (12, 4)
    assert make(system).fit(TEXTS[2:5], Y[2:5]).predict(TEXTS).shape == Y.shape


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ("the printer", Y, ValueError, "string object received"),
        ([*TEXTS[:-1], None], Y, InvalidTextError, r"texts\[11\] is None"),
        ([], np.empty((0, 3)), ValueError, "0"),
        (TEXTS, Y[:5], ValueError, "5"),
        (TEXTS, Y + 1, InvalidTargetError, "2"),
        (TEXTS, [["printer"]] * 12, InvalidTargetError, "MultiLabelBinarizer"),
    ],
)
def test_bad_input_is_refused_in_the_same_words(make, system, X, y, error, message):
    with pytest.raises(error, match=message):
        make(system).fit(X, y)


def test_bad_parameters_are_refused(make, system):
    with pytest.raises(ValueError, match="max_length"):
        make(system, max_length=0).fit(TEXTS, Y)
    with pytest.raises(ValueError, match="max_lenght"):
        make(system).set_params(max_lenght=3)


@pytest.mark.parametrize("system", ["TextCNN", "LEAM", "MAGNET"])
def test_a_threshold_that_nothing_can_expect_is_refused(make, system):
    with pytest.raises(ValueError, match="threshold.*'auto'"):
        make(system, threshold="auto").fit(TEXTS, Y)


def test_numbers_may_be_those_of_numpy(make, system):
    kinds = {int: np.int64, float: np.float32}
    usual = make(system).get_params()
    clf = make(system, **{name: kinds[type(value)](value) for name, value in usual.items() if type(value) in kinds})
    assert clf.fit(TEXTS, Y).predict(TEXTS).shape == Y.shape


@pytest.mark.parametrize("system", ENCODERS)
def test_encoders_are_checked(make, system, no_network):
    with pytest.raises(EncoderNotFoundError, match="no-such-model"):
        make(system, encoder="no-such-model/at-all").fit(TEXTS, Y)
    with pytest.raises(ValueError, match="at most 64 tokens"):
        make(system, max_length=65).fit(TEXTS, Y)


@pytest.mark.parametrize("system", ["LEAM", "MAGNET"])
def test_label_texts_are_checked(make, system):
    with pytest.raises(InvalidLabelNamesError, match="3"):
        make(system, label_names=["one", "two"]).fit(TEXTS, Y)


@pytest.mark.parametrize("system", ["TextCNN", "CNN-RNN"])
def test_filter_widths_are_checked(make, system):
    for widths in ((), (3, 0), (2.5,)):
        with pytest.raises(ValueError, match="filter_widths"):
            make(system, filter_widths=widths).fit(TEXTS, Y)


def test_the_paper_settings_leave_out_what_a_class_has_not():
    clf = baselines.BERTClassifier.from_paper("aapd", encoder="folder")
    assert not hasattr(clf, "add_labels")
    assert (clf.max_length, clf.learning_rate, clf.head_init, clf.encoder) == (128, 5e-5, "random", "folder")


def test_all_names_can_be_listed_and_imported():
    assert set(baselines.__all__) <= set(dir(baselines))
    assert all(getattr(baselines, name).__name__ == name for name in baselines.__all__)
    with pytest.raises(AttributeError, match="NoSuchClassifier"):
        _ = baselines.NoSuchClassifier


def test_column_names_are_no_words_of_the_texts(make):
    """The same y gives the same model, whether its columns have names or not."""
    plain, named = make("TextCNN").fit(TEXTS, Y), make("TextCNN").fit(TEXTS, TRUE_LABELS.add_suffix(" unheard"))
    np.testing.assert_array_equal(plain.predict_proba(TEXTS), named.predict_proba(TEXTS))


def test_one_long_text_does_not_pad_thousands_of_short_ones(make):
    clf = make("TextCNN").fit(TEXTS, Y)
    texts = TextRows(tokenize(clf.tokenizer_, ["word " * 500, *["short text"] * 3000], 500), np.arange(3001))
    assert max(part.content_mask.numel() for _, part in texts.parts(2**15)) <= 2 * 2**15 * 1.1
