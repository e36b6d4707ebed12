"""Bad input gets a clear error before any training."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from conftest import LABELS, TEXTS, Y
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam._validation import (
    check_classes,
    check_label_counts,
    check_label_names,
    check_named_targets,
    check_new_labels,
    check_pos_weight,
    check_sample_weight,
    check_targets,
    check_texts,
    check_threshold,
    checked_batches,
    in_order_of,
    object_array,
)
from sklearn_bertlam.baselines import BinaryRelevanceClassifier
from sklearn_bertlam.exceptions import BertLamError, LabelWithoutPositivesWarning, SingleLabelNameWarning


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
    "labels": (["printer"] * 12, "y has a string for every text.*get_dummies"),
    "array of labels": (np.array(["printer"] * 12), "get_dummies"),
    "series of labels": (pd.Series(["printer,invoice"] * 12), "get_dummies"),
    "categories": (pd.Series(["printer"] * 12, dtype="category"), "get_dummies"),
    "frame of labels": (pd.DataFrame({"labels": ["printer,invoice"] * 12}), "get_dummies"),
    "frame of string dtype": (pd.DataFrame({"labels": ["printer"] * 12}, dtype="string"), "get_dummies"),
    "series of numbers": (pd.Series([0, 1] * 6), r"y.to_frame\(\)"),
    "array of label lists": (np.array([["printer"], ["a", "b"]] * 6, dtype=object), "MultiLabelBinarizer"),
    "frame of lists": (pd.DataFrame({"labels": [["a"], ["b", "c"]] * 6}), "MultiLabelBinarizer"),
    "array of strings": (Y.astype(str), "0, 1 and NaN"),
    "array of bytes": (Y.astype(bytes), "0, 1 and NaN"),
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
    "fit_cardinality": "yes",
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
        ({"pos_weight": ["a", "b", "c"]}, "should be numbers above 0"),
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


# ------------------------------------------------------------------------------------------- messages, word for word

NOT_ZERO_ONE = "y should hold only 0, 1 and NaN (unknown), got "
LABEL_SETS = (
    "y looks like a collection of label sets. One column per label is needed: use "
    "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)."
)
MISSING = ". Missing texts are not guessed: drop the row, or replace it with ''."
FEW = np.array(["a", "b"], dtype=object)

MESSAGES = {
    "a string": (check_texts, "fire", "Iterable over raw text documents expected, string object received."),
    "bytes": (check_texts, b"fire", "Iterable over raw text documents expected, bytes object received."),
    "a dict": (check_texts, {"a": "fire"}, "Iterable over raw text documents expected, dict object received."),
    "a number": (check_texts, 3, "Iterable over raw text documents expected, int object received."),
    "nothing": (check_texts, [], "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required."),
    "a sparse matrix": (
        check_texts,
        sp.eye_array(3),
        "Raw texts expected, got a sparse matrix. Pass the texts themselves, not their vectors.",
    ),
    "two columns": (
        check_texts,
        pd.DataFrame({"a": ["x"], "b": ["y"]}),
        "Expected one text per row, got DataFrame of shape (1, 2). Pass one column, for instance X['text'] or X[:, 0].",
    ),
    "three dimensions": (
        check_texts,
        np.full((1, 1, 1), "x"),
        "Expected one text per row, got ndarray of shape (1, 1, 1). Pass one column, for instance X['text'] or X[:, 0].",
    ),
    "none": (check_texts, ["x", None], f"texts[1] is None{MISSING}"),
    "nan": (check_texts, ["x", float("nan")], f"texts[1] is nan{MISSING}"),
    "pandas' missing": (check_texts, ["x", pd.NA], f"texts[1] is <NA>{MISSING}"),
    "pandas' missing time": (check_texts, ["x", pd.NaT], f"texts[1] is NaT{MISSING}"),
    "bytes among texts": (
        check_texts,
        [b"x"],
        "texts[0] is bytes. Decode it first, for instance with .decode('utf-8').",
    ),
    "a number among texts": (check_texts, ["x", 42], "texts[1] is 42 of type int. Every text has to be a str."),
    "a long list": (
        check_texts,
        [["x" * 200]],
        f"texts[0] is ['{'x' * 78} of type list. Every text has to be a str.",
    ),
    "no targets": (lambda y: check_targets(y, 2), None, "requires y to be passed, but the target y is None."),
    "a string as targets": (
        lambda y: check_targets(y, 2),
        "ab",
        "y is a string. An indicator matrix with one column per label is needed.",
    ),
    "label sets": (lambda y: check_targets(y, 2), [{"a"}, {"b"}], LABEL_SETS),
    "label lists": (lambda y: check_targets(y, 2), [["a"], ["b"]], LABEL_SETS),
    "rows of different lengths": (lambda y: check_targets(y, 2), [[1, 2], [1]], LABEL_SETS),
    "one label": (
        lambda y: check_targets(y, 2),
        [0, 1],
        "y should be an indicator matrix of shape (n_texts, n_labels), got an array of shape (2,). For one label use "
        "y.reshape(-1, 1); for label sets use sklearn.preprocessing.MultiLabelBinarizer. Unknown label type: binary.",
    ),
    "complex": (
        lambda y: check_targets(y, 1),
        np.array([[1j]]),
        "Complex data not supported: y should hold only 0, 1 and NaN (unknown).",
    ),
    "strings": (lambda y: check_targets(y, 1), np.array([["x", "y"]]), f"{NOT_ZERO_ONE}dtype <U1: strings found."),
    "strings as objects": (
        lambda y: check_targets(y, 1),
        np.array([["x", 0]], dtype=object),
        f"{NOT_ZERO_ONE}dtype object: strings found.",
    ),
    "a sparse matrix of complex numbers": (
        lambda y: check_targets(sp.csr_array(y), 1),
        np.array([[1j]]),
        f"{NOT_ZERO_ONE}dtype complex128.",
    ),
    "two": (
        lambda y: check_targets(y, 3),
        np.array([[0, 1], [1, 0], [1, 2]], dtype=float),
        f"{NOT_ZERO_ONE}2.0 in row 2, column 1. Unknown label type: continuous or multiclass-multioutput.",
    ),
    "too few rows": (
        lambda y: check_targets(y, 3),
        np.eye(2),
        "Found input variables with inconsistent numbers of samples: 3 texts and 2 rows in y.",
    ),
    "no column": (
        lambda y: check_targets(y, 2),
        np.zeros((2, 0)),
        "y has no column (shape (2, 0)). At least one label is needed.",
    ),
    "the same column twice": (
        lambda y: check_targets(y, 2),
        pd.DataFrame(np.eye(2), columns=["a", "a"]),
        "y has the column 'a' more than once.",
    ),
    "all unknown": (
        lambda y: check_label_counts(check_targets(y, 2).matrix, FEW),
        [[np.nan, 1], [np.nan, 0]],
        "y is NaN in every row for label 'a'. Drop the column or add known entries.",
    ),
    "a set of names": (
        lambda names: check_label_names(names, None, 2),
        {"a", "b"},
        "label_names is a set. Pass a sequence with one name per column of y, in their order.",
    ),
    "too few names": (
        lambda names: check_label_names(names, None, 2),
        ["a"],
        "label_names has 1 names but y has 2 columns.",
    ),
    "a name twice": (
        lambda names: check_label_names(names, None, 3),
        ["a", "b", "b"],
        "label_names has 'b' more than once. Every label needs a name of its own.",
    ),
    "an empty name": (
        lambda names: check_label_names(names, None, 2),
        ["a", " "],
        "The text of label 1 is ' '. Every label needs a non-empty str.",
    ),
    "a number as name": (
        lambda names: check_label_names(names, None, 2),
        {"a": "x", "b": 3},
        "The text of label 1 is 3. Every label needs a non-empty str.",
    ),
    "columns without text": (
        lambda names: check_label_names(names, ["a", "b", "c"], 3),
        {"a": "x"},
        "label_names has no text for labels 'b', 'c' of y.",
    ),
    "a class twice": (check_classes, ["a", "b", "a"], "classes has 'a' more than once."),
    "no new label": (
        lambda labels: check_new_labels(labels, FEW, ["a", "b"]),
        {},
        "labels should be a dict of label to text with one entry at least, got {}.",
    ),
    "new labels without texts": (
        lambda labels: check_new_labels(labels, FEW, ["a", "b"]),
        ["c"],
        "labels should be a dict of label to text with one entry at least, got ['c'].",
    ),
    "a known label": (
        lambda labels: check_new_labels(labels, FEW, ["a", "b"]),
        {"a": "another text"},
        "The classifier has label 'a' already.",
    ),
    "a known text": (
        lambda labels: check_new_labels(labels, FEW, ["a", "b"]),
        {"c": " B "},
        "Two labels would have the text 'b' and be one to the encoder.",
    ),
    "words for threshold": (
        lambda value: check_threshold(value, [0, 1]),
        "high",
        "threshold should be numbers between 0 and 1, got 'high'.",
    ),
    "three thresholds": (
        lambda value: check_threshold(value, [0, 1]),
        [0.1] * 3,
        "threshold should be a number or have shape (2,), got shape (3,).",
    ),
    "a large threshold": (
        lambda value: check_threshold(value, [0, 1]),
        1.1,
        "threshold should lie between 0 and 1, got 1.1.",
    ),
    "a negative weight": (
        lambda value: check_sample_weight(value, 2),
        [1.0, -1e-3],
        "Negative values in data passed to `sample_weight`.",
    ),
    "pos_weight of other labels": (
        lambda value: check_pos_weight(value, [0, 1]),
        [1.0] * 3,
        "pos_weight should be a number or have shape (2,), got shape (3,).",
    ),
    "a matrix of pos_weight": (
        lambda value: check_pos_weight(value, [0, 1]),
        [[1.0]],
        "pos_weight should be a number or have shape (2,), got shape (1, 1).",
    ),
    "pos_weight zero": (
        lambda value: check_pos_weight(value, [0, 1]),
        [1.0, 0.0],
        "pos_weight should be finite and positive, got [1.0, 0.0].",
    ),
    "pos_weight infinite": (
        lambda value: check_pos_weight(value, [0, 1]),
        np.inf,
        "pos_weight should be finite and positive, got inf.",
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages_in_full(case):
    check, value, message = MESSAGES[case]
    with pytest.raises(ValueError) as caught:
        check(value)
    assert str(caught.value) == message


# ----------------------------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        iter,
        np.array,
        pd.Series,
        pa.array,
        lambda texts: pa.chunked_array([texts]),
        lambda texts: np.array(texts)[:, None],
        lambda texts: pd.DataFrame({"text": texts}),
        lambda texts: pa.table({"text": texts}),
    ],
)
def test_texts_in_any_container(container):
    texts = ["fire", "", "thank you"]
    assert check_texts(container(texts)) == texts
    assert list(checked_batches(container(texts), 2)) == [["fire", ""], ["thank you"]]


def test_a_stream_is_read_as_far_as_it_is_needed():
    stream = iter(["a", "b", "c", "d", "e", None])
    batches = checked_batches(stream, 2)
    assert next(batches) == ["a", "b"]
    assert next(stream) == "c"  # still there
    assert next(batches) == ["d", "e"]
    with pytest.raises(ValueError, match=r"^texts\[4\] is None"):
        next(batches)
    with pytest.raises(ValueError, match="string object received"):
        checked_batches("fire", 2)


@pytest.mark.parametrize(
    "container",
    [
        lambda y: y.tolist(),
        lambda y: y.astype(object),
        lambda y: y.astype(np.float16),
        sp.csc_array,
        sp.coo_matrix,
        pd.DataFrame,
        lambda y: pd.DataFrame(y).astype("Int64"),
        lambda y: pd.DataFrame(y).astype(object),
        lambda y: pa.table({"a": y[:, 0], "b": y[:, 1]}),
    ],
)
def test_targets_in_any_container(container):
    y = np.array([[1, 0], [0, 1], [1, 1]])
    targets = check_targets(container(y), 3)
    assert_array_equal(targets.matrix.toarray(), y)
    assert targets.matrix.dtype == np.float32
    assert targets.matrix.nnz == 4
    assert targets.is_sparse == sp.issparse(container(y))


@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA])
def test_unknown_entries(unknown):
    y = np.array([[1, unknown], [0, 1]], dtype=object)
    for container in (np.array, pd.DataFrame, lambda y: pd.DataFrame(y).convert_dtypes()):
        assert_array_equal(check_targets(container(y), 2).matrix.toarray(), [[1, np.nan], [0, 1]])


def test_duplicate_entries_are_summed_and_the_users_matrix_stays():
    y = sp.coo_array(([1.0, 1.0, -1.0], ([0, 1, 1], [0, 1, 1])), shape=(2, 2))
    assert check_targets(y, 2).matrix.toarray().tolist() == [[1, 0], [0, 0]]
    assert y.nnz == 3
    y = sp.csr_array(([1.0, 0.0, 1.0], [0, 1, 1], [0, 1, 3]), shape=(2, 2))  # the second 1 is told in two entries
    assert check_targets(y, 2).matrix.toarray().tolist() == [[1, 0], [0, 1]]
    assert y.nnz == 3


def test_columns_are_put_in_the_order_of_the_classes():
    targets = check_targets(pd.DataFrame([[1, 0, 0], [0, 1, 1]], columns=["c", "a", "b"]), 2)
    ordered = in_order_of(targets, ["a", "b", "c"])
    assert ordered.matrix.toarray().tolist() == [[0, 0, 1], [1, 1, 0]]
    assert ordered.columns == ["a", "b", "c"]
    assert ordered.is_sparse is False
    for classes in (["c", "a", "b"], ["x", "y", "z"]):  # the same, none of them
        assert in_order_of(targets, classes) is targets
    with pytest.raises(BertLamError) as caught:
        in_order_of(targets, ["a", "b", "x"])
    assert str(caught.value) == "The columns of y are not the labels: without label 'x', with label 'c'."
    with pytest.raises(BertLamError, match="are not the labels: with label 'c'"):
        in_order_of(targets, ["a", "b"])
    years = check_targets(pd.DataFrame([[1, 0, 0], [0, 1, 1]], columns=[2022, 2020, "later"]), 2)
    with pytest.raises(BertLamError, match="are not the labels: without label 2021, with label 'later'"):
        in_order_of(years, [2020, 2021, 2022])
    assert in_order_of(years, [2020, "later", 2022]).matrix.toarray().tolist() == [[0, 0, 1], [1, 1, 0]]
    without_names = check_targets(np.eye(2), 2)
    assert in_order_of(without_names, ["a", "b"]) is without_names


def test_numbers_that_are_the_classes_are_put_in_order_and_others_are_not():
    targets = check_targets(pd.DataFrame([[1, 0, 0], [0, 1, 1]], columns=[2, 0, 1]), 2)
    assert in_order_of(targets, [0, 1, 2]).matrix.toarray().tolist() == [[0, 0, 1], [1, 1, 0]]
    years = check_targets(pd.DataFrame([[1, 0, 0], [0, 1, 1]], columns=[2, 0, 2022]), 2)
    assert in_order_of(years, [0, 1, 2]) is years
    numbered = check_targets(pd.DataFrame([[1, 0, 0], [0, 1, 1]]), 2)
    assert in_order_of(numbered, [2, 1, 2022]) is numbered


def test_integers_that_64_bits_do_not_hold_are_labels_too():
    hashes = [2**63 + 5, 1, 2]
    assert object_array(hashes).tolist() == hashes


def test_a_frame_is_checked_in_the_precision_it_has():
    for entry in (0.99999999, 1e-50, "1"):
        with pytest.raises(BertLamError):
            check_targets(pd.DataFrame({"a": [entry] * 2}), 2)


def test_columns_are_put_in_the_order_of_the_names_where_these_name_them():
    frame = pd.DataFrame([[1, 0], [1, 1]], columns=["b", "a"])
    named = check_named_targets(frame, 2, {"a": "first", "b": "second"})
    assert (named.columns, named.matrix.toarray().tolist()) == (["a", "b"], [[0, 1], [1, 1]])
    for names in (None, ["x", "y"], ["a", "c"]):
        as_it_is = check_named_targets(frame, 2, names)
        assert (as_it_is.columns, as_it_is.matrix.toarray().tolist()) == (["b", "a"], [[1, 0], [1, 1]])
    assert check_named_targets(np.eye(2), 2, ["a", "b"]).columns is None
    with pytest.raises(BertLamError, match="3 texts and 2 rows"):
        check_named_targets(frame, 3, ["a", "b"])


def test_labels_that_no_text_has_are_named_up_to_ten():
    def message(n_without):
        classes = np.array([f"l{i}" for i in range(n_without + 1)], dtype=object)
        matrix = sp.csr_array(np.eye(1, n_without + 1, n_without, dtype=np.float32))
        with pytest.warns(LabelWithoutPositivesWarning) as caught:
            check_label_counts(matrix, classes)
        return str(caught[0].message)

    end = ". The estimator learns to predict that such a label never applies."
    assert message(1) == f"No text has label 'l0'{end}"
    assert message(2) == f"No text has labels 'l0', 'l1'{end}"
    ten = ", ".join(f"'l{i}'" for i in range(10))
    assert message(10) == f"No text has labels {ten}{end}"
    assert message(12) == f"No text has labels {ten} and 2 more{end}"


def test_the_last_label_may_be_the_one_that_no_text_has():
    with pytest.warns(LabelWithoutPositivesWarning, match="No text has label 'b'"):
        check_label_counts(sp.csr_array(np.array([[1.0, 0.0]], dtype=np.float32)), np.array(["a", "b"], dtype=object))


def test_the_name_of_a_single_label_is_warned_of():
    with pytest.warns(SingleLabelNameWarning) as caught:
        check_label_counts(sp.csr_array(np.ones((1, 1), dtype=np.float32)), np.array(["spam"], dtype=object))
    assert str(caught[0].message) == (
        "There is one label only, 'spam'. Scorers of scikit-learn take its name for the negative one of two classes, so "
        "that roc_auc comes out reversed. To use them, give y as an array; label_names={0: text} still says what the "
        "label is about."
    )


def test_label_names_and_classes():
    def checked(names, columns=None, n_labels=2):
        classes, texts = check_label_names(names, columns, n_labels)
        return classes.tolist(), texts

    assert checked(None) == ([0, 1], None)
    assert checked(None, ["a", "b"]) == (["a", "b"], ["a", "b"])
    assert checked(None, ["a", 3]) == (["a", 3], ["a", "3"])
    assert checked(None, [5, 3]) == ([5, 3], None)
    assert checked(["x", "y"]) == (["x", "y"], ["x", "y"])
    assert checked(np.array(["x", "y"]), ["a", "b"]) == (["a", "b"], ["x", "y"])
    assert checked({"b": "y", "a": "x"}) == (["b", "a"], ["y", "x"])
    assert checked({1: "y", 0: "x"}) == ([0, 1], ["x", "y"])
    assert checked({"b": "y", "a": "x"}, ["a", "b"]) == (["a", "b"], ["x", "y"])
    assert checked(pd.Series({"a": "x", "b": "y"}), ["a", "b"]) == (["a", "b"], ["x", "y"])
    assert checked(pd.Series(["x", "y"]), ["a", "b"]) == (["a", "b"], ["x", "y"])
    assert checked({"a": "Spring", "b": " spring "}) == (["a", "b"], ["a: Spring", "b:  spring "])
    assert check_classes(("a", "b")) == ["a", "b"]
    assert check_new_labels({"c": "sea", "d": "sky"}, FEW, ["a", "b"]) == (["c", "d"], ["sea", "sky"])


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("label_names", lambda values, labels: check_label_names(values.map(str), labels, 2)),
        ("threshold", check_threshold),
        ("pos_weight", check_pos_weight),
    ],
)
def test_a_series_is_not_taken_in_another_order_than_its_index(name, check):
    values = pd.Series({"b": 0.25, "a": 0.5})
    with pytest.raises(ValueError, match=rf"{name} is a Series.*in another order. Put it in that of classes_"):
        check(values, ["a", "b"])
    check(values.loc[["a", "b"]], ["a", "b"])
    check(values.reset_index(drop=True), ["a", "b"])
    check(values, ["x", "y"])


def test_what_is_masked_is_unknown():
    mask = np.arange(12)[:, None] % 3 == np.arange(3)
    unknown = check_targets(np.where(mask, np.nan, Y), 12).matrix
    masked = check_targets(np.ma.masked_array(Y, mask=mask), 12).matrix
    np.testing.assert_array_equal(masked.toarray(), unknown.toarray())


def test_arrays_of_labels():
    assert object_array([0, 1, 2]).dtype == np.int64
    for labels in ([0, 1], [True, False, True], ["a", "b", "c"], [0, 1, "c"], [(1, 2), (3, 4), (5, 6)]):
        array = object_array(labels)
        assert (array.dtype, array.shape, array.tolist()) == (object, (len(labels),), labels)


def test_numbers_that_are_accepted():
    assert check_threshold(0, [0, 1]) == 0.0
    assert check_threshold(1, [0, 1]) == 1.0
    assert isinstance(check_threshold(np.float32(0.5), [0, 1]), float)
    assert check_threshold([0.1, 1.0], [0, 1]).tolist() == [0.1, 1.0]
    assert check_sample_weight(None, 3).tolist() == [1, 1, 1]
    assert check_sample_weight([0, 2], 2).tolist() == [0, 2]
    assert check_sample_weight([0, 2], 2).dtype == np.float32
    assert check_pos_weight(None, [0, 1]) is None
    assert check_pos_weight(3, [0, 1]).tolist() == check_pos_weight([3], [0, 1]).tolist() == [3, 3]
    assert check_pos_weight([1, 2], [0, 1]).tolist() == [1, 2]
    assert check_pos_weight([1, 2], [0, 1]).dtype == np.float32
