"""The ONNX file of a classifier: the same numbers without torch, and plain words for files that are none."""

import os
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import LABELS, TEXTS, Y
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from sklearn_bertlam import _onnx_export
from sklearn_bertlam import onnx as bertlam_onnx
from sklearn_bertlam._onnx_export import export
from sklearn_bertlam.exceptions import BertLamError, InvalidTextError, OnnxFileError
from sklearn_bertlam.onnx import OnnxBertLamClassifier

onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
pytest.importorskip("onnxscript", reason="needs the extra 'onnx'")
pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

HARD_TEXTS = [
    "",
    "thank you",
    "printer " * 100,
    "my " * 30 + "printer",
    "\ud800 fire \udfff",
    "  ",
    "[PAD] invoice [SEP]",
    "日本",
    *TEXTS,
]
TOLERANCE = {"atol": 1e-4, "rtol": 0}


@pytest.fixture(scope="module")
def path(fitted, tmp_path_factory):
    """The file of the classifier that nobody may change."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export(fitted, path)
    return path


@pytest.fixture
def rewritten(path, tmp_path):
    """Write the file again with other metadata; None drops an entry."""

    def rewrite(**changes):
        model = onnx.load(path)
        properties = {entry.key: entry.value for entry in model.metadata_props} | changes
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {key: value for key, value in properties.items() if value is not None})
        onnx.save(model, tmp_path / "changed.onnx")
        return tmp_path / "changed.onnx"

    return rewrite


def properties(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


# --------------------------------------------------------------------------------------------------------- the same numbers


@pytest.mark.parametrize(
    ("attention", "label_names"),
    [("label-wise", LABELS), ("label-wise", None), ("document", LABELS), ("mean", None), ("cls", None)],
)
def test_probabilities_are_those_of_the_estimator(make_classifier, tmp_path, attention, label_names):
    clf = make_classifier(attention=attention, label_names=label_names, max_length=13, word_share=0.6).fit(TEXTS, Y)
    export(clf, tmp_path / "model.onnx")
    onnx_clf = OnnxBertLamClassifier(tmp_path / "model.onnx")
    np.testing.assert_allclose(onnx_clf.predict_proba(HARD_TEXTS), clf.predict_proba(HARD_TEXTS), **TOLERANCE)
    np.testing.assert_array_equal(onnx_clf.classes_, clf.classes_)
    assert onnx_clf.classes_.dtype == clf.classes_.dtype


def test_a_length_from_a_search_can_be_exported(make_classifier, tmp_path):
    clf = make_classifier(max_length=np.int64(13)).fit(TEXTS, Y)
    export(clf, tmp_path / "model.onnx")
    onnx_clf = OnnxBertLamClassifier(tmp_path / "model.onnx")
    np.testing.assert_allclose(onnx_clf.predict_proba(TEXTS), clf.predict_proba(TEXTS), **TOLERANCE)


def test_logits_and_labels_are_those_of_the_estimator(fitted, path):
    clf = OnnxBertLamClassifier(path)
    np.testing.assert_allclose(clf.decision_function(HARD_TEXTS), fitted.decision_function(HARD_TEXTS), atol=1e-3)
    np.testing.assert_array_equal(clf.predict(TEXTS), fitted.predict(TEXTS))
    assert clf.predict(TEXTS).dtype == fitted.predict(TEXTS).dtype
    assert clf.predict_proba(TEXTS).dtype == np.float32
    assert clf.score(TEXTS, Y) == fitted.score(TEXTS, Y)


@pytest.mark.parametrize("n, limits", [(1, {}), (40, {"_TOKENS_PER_BATCH": 128}), (40, {"_MOST_WEIGHTS": 60})])
def test_any_number_of_texts_in_their_order(fitted, path, n, limits, monkeypatch):
    for name, value in ({"_TEXTS_PER_CHUNK": 16} | limits).items():
        monkeypatch.setattr(bertlam_onnx, name, value)
    texts = (HARD_TEXTS * 3)[:n]
    np.testing.assert_allclose(OnnxBertLamClassifier(path).predict_proba(texts), fitted.predict_proba(texts), **TOLERANCE)


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_encoders_of_other_families(make_classifier, tiny_encoder, tmp_path, family):
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.save_pretrained(tmp_path)
    size = {"vocab_size": len(tokenizer), "pad_token_id": 0}
    if family == "roberta":
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        RobertaModel(RobertaConfig(max_position_embeddings=21, **shape, **size)).save_pretrained(tmp_path)
    else:
        shape = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
        DistilBertModel(DistilBertConfig(max_position_embeddings=24, **shape, **size)).save_pretrained(tmp_path)
    clf = make_classifier(encoder=str(tmp_path), max_length=20, max_epochs=1).fit(TEXTS, Y)
    export(clf, tmp_path / "model.onnx")
    onnx_clf = OnnxBertLamClassifier(tmp_path / "model.onnx")
    np.testing.assert_allclose(onnx_clf.predict_proba(HARD_TEXTS), clf.predict_proba(HARD_TEXTS), **TOLERANCE)


def test_the_shortest_length_with_sparse_output_and_one_threshold_per_label(make_classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(bertlam_onnx, "_SCORES_PER_CHUNK", 15)
    clf = make_classifier(max_length=3, threshold=[0.2, 0.5, 0.6], max_epochs=0).fit(TEXTS, sp.csr_array(Y))
    export(clf, tmp_path / "model.onnx")
    onnx_clf = OnnxBertLamClassifier(tmp_path / "model.onnx")
    assert onnx_clf.sparse_output_ and isinstance(onnx_clf.predict(TEXTS), sp.csr_array)
    np.testing.assert_array_equal(onnx_clf.threshold_, clf.threshold_)
    np.testing.assert_array_equal(onnx_clf.predict(TEXTS).toarray(), clf.predict(TEXTS).toarray())
    np.testing.assert_allclose(onnx_clf.predict_proba(HARD_TEXTS), clf.predict_proba(HARD_TEXTS), **TOLERANCE)


# ------------------------------------------------------------------------------------------------------------------ writing


def test_a_file_is_replaced_and_the_estimator_stays_as_it_was(make_classifier, tmp_path):
    (tmp_path / "model.onnx").write_text("old")
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    before, implementation = pickle.dumps(clf), clf.module_.encoder.config._attn_implementation
    was_training = clf.module_.training
    export(clf, str(tmp_path / "model.onnx"))
    assert clf.module_.encoder.config._attn_implementation == implementation
    assert clf.module_.training == was_training
    assert pickle.dumps(clf) == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert len(OnnxBertLamClassifier(str(tmp_path / "model.onnx")).classes_) == 3


def test_writing_says_nothing(fitted, tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(fitted))
    code = (
        "import pickle; from sklearn_bertlam._onnx_export import export;"
        "export(pickle.load(open('model.pkl', 'rb')), 'model.onnx')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_file_that_could_not_be_written_leaves_the_old_one(fitted, tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_text("old")

    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(_onnx_export, "_save", fail)
    with pytest.raises(OSError, match="No space left"):
        export(fitted, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "old"


def test_weights_that_one_file_cannot_hold_go_beside_it(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(_onnx_export, "_MOST_BYTES", 1000)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"They are in model\.onnx-.*\.data, which has to stay beside model.onnx"):
            export(fitted, tmp_path / "model.onnx")
        (weights,) = tmp_path.glob("model.onnx-*.data")
        assert len(list(tmp_path.iterdir())) == 2
        got = OnnxBertLamClassifier(tmp_path / "model.onnx").predict_proba(TEXTS)
        np.testing.assert_allclose(got, fitted.predict_proba(TEXTS), **TOLERANCE)
    content = weights.read_bytes()
    weights.write_bytes(bytes(len(content)))
    refused(tmp_path / "model.onnx", "not the file that was written")
    weights.unlink()
    refused(tmp_path / "model.onnx", "truncated, damaged")
    monkeypatch.undo()
    (tmp_path / "model.onnx-20261127.data").touch()  # of somebody else
    export(fitted, tmp_path / "model.onnx")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.onnx-20261127.data"]


def test_a_killed_export_leaves_the_old_file_with_its_weights(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(_onnx_export, "_MOST_BYTES", 1000)
    with pytest.warns(UserWarning, match="They are in"):
        export(fitted, tmp_path / "model.onnx")
    replace = os.replace

    def stop_before_the_graph(source, target):
        if Path(target).name == "model.onnx":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop_before_the_graph)
    with pytest.warns(UserWarning, match="They are in"), pytest.raises(KeyboardInterrupt):
        export(fitted, tmp_path / "model.onnx")
    got = OnnxBertLamClassifier(tmp_path / "model.onnx").predict_proba(TEXTS)
    np.testing.assert_allclose(got, fitted.predict_proba(TEXTS), **TOLERANCE)


def test_the_file_says_nothing_of_the_machine(path):
    content = path.read_bytes()
    assert str(Path(_onnx_export.__file__).parent).encode() not in content
    assert b"site-packages" not in content and b"stack_trace" not in content
    assert set(properties(path)) == {
        *("format", "format_version", "classes", "threshold", "max_length", "pad_id", "sparse_output", "tokenizer"),
        *("cardinality", "n_pieces", "pairs", "package_version", "checksum"),
    }


def test_paths_that_cannot_be_written(fitted, tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        export(fitted, tmp_path)
    with pytest.raises(FileNotFoundError):
        export(fitted, tmp_path / "missing" / "model.onnx")


def test_labels_that_no_file_holds(make_classifier, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(Y, columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]))
    clf = make_classifier(max_epochs=0).fit(TEXTS, frame)
    with pytest.raises(ValueError, match=r"type str or int, got \('a', 1\) of type tuple"):
        export(clf, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["onnx", "onnxscript"])
def test_export_without_a_dependency_names_the_extra(fitted, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"to_onnx needs .*, but {module} .*pip install 'sklearn-bertlam\[onnx\]'"):
        export(fitted, tmp_path / "model.onnx")


# ------------------------------------------------------------------------------------------------------------------ reading


def test_prediction_imports_no_torch(path):
    code = (
        "import sys; from sklearn_bertlam.onnx import OnnxBertLamClassifier;"
        f"OnnxBertLamClassifier({str(path)!r}).predict_proba(['thank you']);"
        "sys.exit(bool({'torch', 'transformers', 'skorch', 'onnx', 'onnxscript'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_prediction_without_onnxruntime_names_the_extra(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnxruntime could not be imported .*pip install 'sklearn-bertlam\[onnx\]'"):
        OnnxBertLamClassifier(path).predict(TEXTS)


def test_threshold_can_be_set(fitted, path):
    probabilities = fitted.predict_proba(TEXTS)
    threshold = np.sort(probabilities, axis=None)[[10, 11]].mean()
    clf = OnnxBertLamClassifier(path, threshold=threshold)
    np.testing.assert_array_equal(clf.predict(TEXTS), probabilities > threshold)
    assert OnnxBertLamClassifier(path).threshold_ == 0.5
    with pytest.raises(ValueError, match="should be a number or have shape"):
        clf.set_params(threshold=[0.1, 0.2]).predict(TEXTS)
    with pytest.raises(ValueError, match="'threshold' parameter"):
        OnnxBertLamClassifier(path, threshold=1.5).predict(TEXTS)


@pytest.mark.parametrize("copy", [lambda clf: pickle.loads(pickle.dumps(clf)), deepcopy, clone])
def test_copies_hold_the_path_only(path, copy):
    clf = OnnxBertLamClassifier(path, threshold=0.3, n_threads=1)
    expected = clf.predict_proba(TEXTS)
    got = copy(clf)
    assert set(vars(got)) == {"path", "threshold", "n_threads"}
    np.testing.assert_array_equal(got.predict_proba(TEXTS), expected)


def test_a_new_path_opens_the_new_file(path, rewritten):
    clf = OnnxBertLamClassifier(path)
    assert clf.classes_.tolist() == LABELS
    clf.set_params(path=rewritten(classes='["a", "b", "c"]', checksum=None))
    assert clf.classes_.tolist() == ["a", "b", "c"]


def test_scikit_learn_takes_it_for_a_fitted_classifier(fitted, path):
    clf = OnnxBertLamClassifier(path)
    check_is_fitted(clf)
    assert is_classifier(clf)
    assert clf.fit(TEXTS, Y) is clf
    pipeline = make_pipeline(FunctionTransformer(lambda texts: [text.lower() for text in texts]), clf).fit(TEXTS, Y)
    np.testing.assert_array_equal(pipeline.predict([text.upper() for text in TEXTS]), fitted.predict(TEXTS))


@pytest.mark.parametrize("limit, expected", [("3", 3), ("", os.cpu_count()), ("2,1", os.cpu_count())])
def test_threads(monkeypatch, limit, expected):
    monkeypatch.setattr("joblib.cpu_count", os.cpu_count)
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert bertlam_onnx._default_threads() == expected


def test_texts_are_checked(path):
    with pytest.raises(InvalidTextError, match=r"texts\[1\] is None"):
        OnnxBertLamClassifier(path).predict(["thank you", None])


# ------------------------------------------------------------------------------------------------------------- bad files


def refused(path, match):
    clf = OnnxBertLamClassifier(path)  # is not opened yet
    for error in (OnnxFileError, BertLamError, ValueError):
        with pytest.raises(error, match=match):
            clf.predict(TEXTS)
    assert "OnnxBertLamClassifier" in clf._repr_html_()


def test_no_file(tmp_path):
    refused(tmp_path / "missing.onnx", "there is no such file")
    refused(tmp_path, "there is no such file")


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_no_onnx_file(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    refused(
        tmp_path / "model.onnx", "truncated, damaged or not an ONNX model .*Write it with BertLamClassifier.to_onnx again"
    )


@pytest.mark.parametrize("part", [0.01, 0.5, 0.9, 0.999])
def test_truncated_file(path, tmp_path, part):
    content = path.read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: int(part * len(content))])
    refused(tmp_path / "model.onnx", "truncated, damaged or not an ONNX model")


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_changed_weights_are_refused(path, tmp_path, part):
    content = bytearray(path.read_bytes())
    content[int(part * len(content))] ^= 1
    (tmp_path / "model.onnx").write_bytes(content)
    refused(tmp_path / "model.onnx", "not the file that was written|truncated, damaged|an ONNX model of something else")


def test_a_file_that_a_tool_has_changed_on_purpose_is_read_without_its_checksum(rewritten):
    refused(rewritten(package_version='"9.0"'), "remove the entry 'checksum' of its metadata")
    path = rewritten(package_version='"9.0"', checksum=None)
    assert OnnxBertLamClassifier(path).predict(TEXTS).shape == Y.shape


def test_a_file_of_a_newer_onnx_asks_for_a_newer_runtime(path, tmp_path):
    model = onnx.load(path)
    model.ir_version = 99
    onnx.save(model, tmp_path / "model.onnx")
    refused(tmp_path / "model.onnx", "newer than onnxruntime .*has to be updated")


def test_model_of_something_else(tmp_path):
    tensor = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "relu", [tensor], [result])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "relu.onnx")
    refused(tmp_path / "relu.onnx", "an ONNX model of something else: its metadata has format=None")


def test_file_of_another_version(rewritten):
    path = rewritten(format_version="2", package_version='"9.0"')
    refused(path, 'format version 2, written by sklearn-bertlam "9.0", but version 1 is read here')


@pytest.mark.parametrize("changes", [{"tokenizer": None}, {"tokenizer": '"{}"'}, {"classes": "["}], ids=str)
def test_damaged_metadata(rewritten, changes):
    refused(rewritten(**changes, checksum=None), "truncated, damaged")


def test_what_is_not_fitted_cannot_be_written(make_classifier, tmp_path):
    with pytest.raises(NotFittedError):
        make_classifier().to_onnx(tmp_path / "model.onnx")


def test_windows_have_no_onnx_file(make_classifier, tmp_path):
    with pytest.raises(ValueError, match="ONNX file truncates long texts"):
        make_classifier(long_text="windows", stride=4).fit(TEXTS, Y).to_onnx(tmp_path / "model.onnx")
