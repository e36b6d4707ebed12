"""Bad input gets a clear error before any training."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import LABELS, TEXTS, Y
from sklearn.exceptions import NotFittedError

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.baselines import BinaryRelevanceClassifier
from sklearn_bertlam.exceptions import BertLamError


@pytest.fixture(params=["bert-lam", "binary relevance"])
def estimator(request, make_classifier):
    return make_classifier() if request.param == "bert-lam" else BinaryRelevanceClassifier()


def with_text(position, text):
    return [*TEXTS[:position], text, *TEXTS[position + 1 :]]


BAD_TEXTS = {
    "a string": ("fire", "string object received"),
    "bytes": (b"fire", "bytes object received"),
    "a number": (3, "int object received"),
    "a dict": ({"text": TEXTS}, "dict object received"),
    "a set": (set(TEXTS), "set object received"),
    "none": (with_text(7, None), r"texts\[7\] is None"),
    "nan": (with_text(7, float("nan")), r"texts\[7\] is nan"),
    "missing": (pd.Series(with_text(7, pd.NA), dtype="string"), r"texts\[7\] is <NA>"),
    "a number among texts": (with_text(7, 42), r"texts\[7\] is 42 of type int"),
    "bytes among texts": (with_text(7, b"fire"), r"texts\[7\] is bytes"),
    "an array among texts": ([np.zeros(2)] * 12, r"texts\[0\] is array"),
    "a list among texts": (with_text(7, ["fire"]), r"texts\[7\] is \['fire'\] of type list"),
    "nothing": ([], "0 sample"),
    "numbers": (np.zeros((12, 1)), r"texts\[0\] is 0.0 of type float"),
    "two columns": (pd.DataFrame({"a": TEXTS, "b": TEXTS}), r"of shape \(12, 2\)"),
    "a sparse matrix": (sp.eye_array(12).tocsr(), "sparse matrix"),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_texts(estimator, case):
    X, message = BAD_TEXTS[case]
    with pytest.raises(ValueError, match=message) as caught:
        estimator.fit(X, Y)
    assert isinstance(caught.value, BertLamError)


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_texts_in_prediction(fitted, case):
    X, message = BAD_TEXTS[case]
    with pytest.raises(ValueError, match=message):
        fitted.predict_proba(X)


BAD_TARGETS = {
    "missing": (None, "requires y to be passed"),
    "one-dimensional": (Y[:, 0], r"of shape \(12,\)"),
    "three-dimensional": (Y[:, :, None], r"of shape \(12, 3, 1\)"),
    "two": (Y * 2, "got 2 in row"),
    "minus one": (np.where(Y, 1, -1), "got -1"),
    "infinite": (np.where(Y, np.inf, 0), "got inf"),
    "probabilities": (Y * 0.5, "got 0.5 in row"),
    "sparse with two": (sp.csr_array(Y * 2), "got 2"),
    "complex": (Y * 1j, "Complex data"),
    "strings": (Y.astype(str).astype(object) + "x", "0, 1 and NaN"),
    "frame of strings": (pd.DataFrame(Y).astype(str) + "x", "0, 1 and NaN"),
    "lists of labels": ([["printer"]] * 12, "MultiLabelBinarizer"),
    "sets of labels": ([{"printer"}] * 12, "MultiLabelBinarizer"),
    "lists of numbers": ([[1, 2], [1], *([[2]] * 10)], "MultiLabelBinarizer"),
    "labels": (["printer"] * 12, "MultiLabelBinarizer"),
    "array of label lists": (np.array([["printer"], ["a", "b"]] * 6, dtype=object), "MultiLabelBinarizer"),
    "frame of lists": (pd.DataFrame({"labels": [["a"], ["b", "c"]] * 6}), "MultiLabelBinarizer"),
    "array of strings": (Y.astype(str), "0, 1 and NaN"),
    "duplicate entries": (sp.csr_array((np.ones(4), [0, 0, 1, 2], [0, 2, 3, 4, *[4] * 9]), shape=(12, 3)), "got 2.0"),
    "one-dimensional sparse": (
        sp.coo_array(Y[:, 0]),
        r"got shape \(12,\)|12 texts and 1 rows",
    ),  # two-dimensional in old scipy
    "no column": (np.zeros((12, 0)), "no column"),
    "too few rows": (Y[:5], "inconsistent numbers of samples: 12 texts and 5 rows"),
    "unknown column": (np.c_[Y, np.full(12, np.nan)], "NaN in every row for label 3"),
    "same column twice": (pd.DataFrame(Y, columns=["a", "b", "a"]), "column 'a' more than once"),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_bad_targets(estimator, case):
    y, message = BAD_TARGETS[case]
    with pytest.raises(ValueError, match=message) as caught:
        estimator.fit(TEXTS, y)
    assert isinstance(caught.value, BertLamError)


BAD_NAMES = {
    "too few": (["a", "b"], "2 names but y has 3 columns"),
    "too many in a dict": (dict.fromkeys("abcd", "text"), "4 names but y has 3 columns"),
    "duplicates": (["a", "b", "a"], "'a' more than once"),
    "a set": ({"a", "b", "c"}, "label_names is a set"),
    "a string": ("abc", "label_names' parameter|label_names is a str"),
    "lists": ([["a"], ["b"], ["c"]], "label 0 is"),
    "empty": (["a", "b", " "], "label 2 is ' '"),
    "a number": (["a", "b", 3], "label 2 is 3"),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_label_names(make_classifier, case):
    names, message = BAD_NAMES[case]
    with pytest.raises(ValueError, match=message):
        make_classifier(label_names=names).fit(TEXTS, Y)


def test_descriptions_for_other_columns(make_classifier):
    with pytest.raises(ValueError, match="no text for label 'printer'"):
        make_classifier(label_names={"invoice": "a", "thank": "b", "x": "c"}).fit(TEXTS, pd.DataFrame(Y, columns=LABELS))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(12, np.inf), "infinity"),
        (np.full(12, np.nan), "NaN"),
        (np.r_[-1.0, np.ones(11)], "Negative"),
        (np.zeros(12), "zero for every text|at least one non-zero"),
        (np.ones(5), "inconsistent|should be|shape"),
    ],
)
def test_bad_sample_weight(estimator, weight, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(TEXTS, Y, sample_weight=weight)


BAD_PARAMETERS = {
    "encoder": 3,
    "attention": "label_wise",
    "attention_scale": -1.0,
    "label_names": 3,
    "labels_per_update": 0,
    "head_init": "zeros",
    "word_share": 1.0,
    "max_length": 2,
    "dropout": 1.0,
    "learning_rate": -1e-5,
    "head_learning_rate": "fast",
    "weight_decay": -0.1,
    "warmup_fraction": 1.5,
    "batch_size": 0,
    "max_epochs": 2.5,
    "long_text": "everything",
    "stride": -1,
    "checkpoint_dir": 3,
    "early_stopping": "yes",
    "validation_fraction": 1.0,
    "n_iter_no_change": 0,
    "pos_weight": -1.0,
    "threshold": 1.5,
    "warm_start": "no",
    "callbacks": 3,
    "device": 0,
    "precision": "float16",
    "random_state": "seed",
    "verbose": -1,
}


def test_every_parameter_is_checked():
    assert set(BAD_PARAMETERS) == set(BertLamClassifier().get_params())


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_bad_parameters(make_classifier, name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of BertLamClassifier"):
        make_classifier(**{name: BAD_PARAMETERS[name]}).fit(TEXTS, Y)


def test_misspelt_parameters():
    with pytest.raises(TypeError, match="lerning_rate"):
        BertLamClassifier(lerning_rate=1e-4)
    with pytest.raises(ValueError, match="Invalid parameter 'lerning_rate'"):
        BertLamClassifier().set_params(lerning_rate=1e-4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_length": 65}, "reads at most 64 tokens"),
        ({"pos_weight": [1.0, 2.0]}, r"should be a number or have shape \(3,\)"),
        ({"pos_weight": [1.0, 2.0, 0.0]}, "finite and positive"),
        ({"threshold": [0.5, 0.5]}, "threshold should be a number or have shape"),
        ({"threshold": [0.5, 0.5, 2.0]}, "between 0 and 1"),
        ({"threshold": [0.5, 0.5, np.nan]}, "between 0 and 1"),
        ({"threshold": ["a", "b", "c"]}, "between 0 and 1"),
        ({"device": "abacus"}, "is not a device"),
        ({"early_stopping": True, "validation_fraction": 0.99}, "leaves no text to train on"),
    ],
)
def test_parameters_that_do_not_fit_the_data(make_classifier, parameters, message):
    with pytest.raises(ValueError, match=message):
        make_classifier(**parameters).fit(TEXTS, Y)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_not_fitted(estimator, method):
    with pytest.raises(NotFittedError):
        getattr(estimator, method)(TEXTS)
