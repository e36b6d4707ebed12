"""Saved estimators: the same predictions, and nothing read that should not be."""

import copy
import errno
import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import LABELS, TEXTS, Y
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from sklearn_bertlam import BertLamClassifier, _persistence
from sklearn_bertlam._files import sha256
from sklearn_bertlam._persistence import FILES, _checksum
from sklearn_bertlam.baselines import (
    BERTClassifier,
    CNNRNNClassifier,
    FrozenEncoderClassifier,
    LEAMClassifier,
    MAGNETClassifier,
    SGMClassifier,
    TextCNNClassifier,
)
from sklearn_bertlam.exceptions import SavedModelError, UnsavedParameterWarning

SMALL = {"max_epochs": 1, "random_state": 0}
WORDS = {**SMALL, "embedding_size": 8}
SYSTEMS = [
    (BERTClassifier, {**SMALL, "max_length": 32}),
    (FrozenEncoderClassifier, {"max_length": 32}),
    (MAGNETClassifier, {**SMALL, "max_length": 32, "hidden_size": 8, "label_names": LABELS}),
    (TextCNNClassifier, {**WORDS, "n_filters": 4}),
    (LEAMClassifier, {**WORDS, "label_names": LABELS}),
    (CNNRNNClassifier, {**WORDS, "n_filters": 4, "hidden_size": 8, "label_size": 4}),
    (SGMClassifier, {**WORDS, "hidden_size": 8, "label_size": 4, "global_embedding": True}),
]


@pytest.fixture
def saved(make_classifier, tmp_path):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("attention", ["label-wise", "document", "mean", "cls"])
@pytest.mark.parametrize("names", [LABELS, None], ids=["names", "no names"])
def test_a_loaded_estimator_predicts_the_same(make_classifier, tmp_path, attention, names):
    clf = make_classifier(attention=attention, label_names=names, threshold="tuned", validation_fraction=0.3).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    loaded = BertLamClassifier.load(tmp_path / "model", device=clf.device)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    np.testing.assert_array_equal(loaded.predict(TEXTS), clf.predict(TEXTS))
    assert loaded.get_params() == clf.get_params()
    assert loaded.classes_.tolist() == clf.classes_.tolist()
    assert loaded.history_ == clf.history_


@pytest.mark.parametrize(("system", "parameters"), SYSTEMS, ids=lambda one: getattr(one, "__name__", ""))
def test_baselines_can_be_saved(tiny_encoder, tmp_path, system, parameters):
    if "encoder" in system._get_param_names():
        parameters = parameters | {"encoder": tiny_encoder}
    clf = system(**parameters).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    loaded = system.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    np.testing.assert_array_equal(loaded.predict(TEXTS), clf.predict(TEXTS))


def test_a_new_process_loads_without_network(saved):
    code = (
        f"from sklearn_bertlam import BertLamClassifier as C; print(C.load({str(saved)!r}).predict_proba(['fire']).tolist())"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    expected = BertLamClassifier.load(saved).predict_proba(["fire"])
    np.testing.assert_allclose(json.loads(output), expected, atol=1e-6)


def test_training_goes_on_after_loading(make_classifier, tmp_path):
    clf = make_classifier(label_names=LABELS, warm_start=True, labels_per_update=2).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    loaded = BertLamClassifier.load(tmp_path / "model", device=clf.device)
    np.testing.assert_array_equal(loaded.fit(TEXTS, Y).predict_proba(TEXTS), clf.fit(TEXTS, Y).predict_proba(TEXTS))


def test_targets_and_parameters_of_many_kinds(make_classifier, tmp_path):
    frame = pd.DataFrame(Y, columns=LABELS)
    names = {"printer": "about a printer", "invoice": "about money", "thank": "thanks"}
    clf = make_classifier(label_names=names, pos_weight=np.array([1.0, 2.0, 3.0]), threshold=[0.2, 0.3, 0.4]).fit(
        TEXTS, frame
    )
    clf.save(tmp_path / "frame")
    loaded = BertLamClassifier.load(tmp_path / "frame")
    assert loaded.classes_.tolist() == LABELS
    assert loaded.label_names == names
    np.testing.assert_array_equal(loaded.predict(TEXTS), clf.predict(TEXTS))
    numbered = make_classifier(label_names=dict(enumerate(LABELS))).fit(TEXTS, sp.csr_array(Y))
    numbered.save(tmp_path / "numbered")
    loaded = BertLamClassifier.load(tmp_path / "numbered")
    assert sp.issparse(loaded.predict(TEXTS))
    assert loaded.classes_.dtype.kind == "i"
    assert loaded.label_names == numbered.label_names


def test_what_json_cannot_hold_is_left_out_with_a_warning(make_classifier, tmp_path):
    clf = make_classifier(callbacks=[Callback()]).fit(TEXTS, Y)
    with pytest.warns(UnsavedParameterWarning, match="callbacks"):
        clf.save(tmp_path / "model")
    assert BertLamClassifier.load(tmp_path / "model").callbacks is None
    clf = make_classifier().fit(TEXTS, pd.DataFrame(Y, columns=[("a", 1), ("b", 2), ("c", 3)]))
    with pytest.raises(TypeError, match="have to be str or numbers"):
        clf.save(tmp_path / "tuples")
    assert not (tmp_path / "tuples").exists()


def test_folders_are_not_replaced_by_accident(saved, make_classifier):
    before = (saved / "model.safetensors").read_bytes()
    clf = make_classifier(random_state=1).fit(TEXTS, Y)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        clf.save(saved)
    assert (saved / "model.safetensors").read_bytes() == before
    clf.save(saved, overwrite=True)
    np.testing.assert_array_equal(BertLamClassifier.load(saved).predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
    with pytest.raises(FileExistsError, match="is a file"):
        clf.save(saved / "estimator.json")
    with pytest.raises(NotFittedError):
        make_classifier().save(saved.parent / "other")


@pytest.mark.parametrize("n_moves", range(6))
def test_a_save_that_is_killed_when_all_is_written_counts(saved, make_classifier, monkeypatch, n_moves):
    class Killed(BaseException):
        pass

    moves, replace = iter(range(6)), Path.replace

    def replace_until_killed(self, target):
        if next(moves) == n_moves:
            raise Killed
        return replace(self, target)

    clf = make_classifier(random_state=1).fit(TEXTS, Y)
    with monkeypatch.context() as patch, pytest.raises(Killed) if n_moves < 5 else nullcontext():
        patch.setattr(Path, "replace", replace_until_killed)
        clf.save(saved, overwrite=True)
    np.testing.assert_array_equal(BertLamClassifier.load(saved).predict_proba(TEXTS), clf.predict_proba(TEXTS))
    other = make_classifier(random_state=2).fit(TEXTS, Y)
    other.save(saved, overwrite=True)
    np.testing.assert_array_equal(BertLamClassifier.load(saved).predict_proba(TEXTS), other.predict_proba(TEXTS))
    assert {path.name for path in saved.iterdir()} == FILES


def test_a_save_that_is_killed_before_does_not_count(saved, make_classifier):
    expected = BertLamClassifier.load(saved).predict_proba(TEXTS)
    (saved / ".saving-x").mkdir()
    (saved / ".saving-x" / "model.safetensors").touch()
    np.testing.assert_array_equal(BertLamClassifier.load(saved).predict_proba(TEXTS), expected)
    make_classifier(random_state=1).fit(TEXTS, Y).save(saved, overwrite=True)
    assert {path.name for path in saved.iterdir()} == FILES


def test_a_folder_that_is_there_stays_the_same_folder(saved, make_classifier, tmp_path, monkeypatch):
    """It may be the working directory, or where a disk is mounted."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    clf = make_classifier().fit(TEXTS, Y)
    clf.save(".")
    clf.save(".", overwrite=True)
    np.testing.assert_array_equal(BertLamClassifier.load(".").predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_who_may_read_a_saved_classifier_is_for_the_umask_to_say(make_classifier, tmp_path):
    before = os.umask(0o027)
    try:
        make_classifier().fit(TEXTS, Y).save(tmp_path / "model")
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "model").iterdir()} == {0o640}


def test_files_of_one_kind_of_network_do_not_stay_with_another(make_classifier, tmp_path):
    make_classifier().fit(TEXTS, Y).save(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("mine")
    TextCNNClassifier(**WORDS, n_filters=4).fit(TEXTS, Y).save(tmp_path / "model", overwrite=True)
    assert {file.name for file in (tmp_path / "model").iterdir()} == FILES - {"encoder.json"} | {"README.md"}


def test_what_nobody_could_load_is_not_saved(saved, make_classifier):
    expected = BertLamClassifier.load(saved).predict_proba(TEXTS)
    clf = make_classifier().fit(TEXTS, Y)
    for wrong in ({"threshold": 1.5}, {"batch_size": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            copy.copy(clf).set_params(**wrong).save(saved, overwrite=True)
    np.testing.assert_array_equal(BertLamClassifier.load(saved).predict_proba(TEXTS), expected)


def test_a_save_that_fails_leaves_nothing_behind(saved, make_classifier, monkeypatch):
    import safetensors.torch

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    clf = make_classifier().fit(TEXTS, Y)
    for name in ("model", "new"):
        with pytest.raises(OSError, match="No space left"):
            clf.save(saved.parent / name, overwrite=True)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
    BertLamClassifier.load(saved)


def test_folders_of_earlier_versions_are_read():
    """There is one folder for each format; predictions are those of the version that wrote it."""
    loaded = BertLamClassifier.load(Path(__file__).parent / "saved" / "format-1", device="cpu")
    assert loaded.classes_.tolist() == LABELS
    expected = [[0.95830, 0.18582, 0.02505], [0.15171, 0.90330, 0.04141]]
    np.testing.assert_allclose(loaded.predict_proba(TEXTS[:2]), expected, atol=1e-4)


# ---------------------------------------------------------------------------------------------------- what is not loaded


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "encoder.json", "estimator.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_damaged_folders_are_refused(saved, name, damage):
    file = saved / name
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif name == "estimator.json":
        file.write_text(file.read_text().replace('"n_labels_": 3', '"n_labels_": 4'))
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(SavedModelError, match="(missing|Save the estimator again|was not written by save)"):
        BertLamClassifier.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99, "version": "7.0"}, "written by version '7.0'.*Update"),
        ({"class": "SGMClassifier"}, r"holds a SGMClassifier. Load it with SGMClassifier\.load"),
        ({"files": {"../../etc/passwd": "0"}}, "does not list the files"),
        ({"files": None}, "does not list the files"),
        ({"parameters": {"attention": "everything"}}, "cannot be loaded.*attention"),
        ({"facts": {}}, "cannot be loaded"),
        ({"class_count": [1, 2]}, r"not of the same number: \[2, 3\]"),
        ({"tuned_threshold": [0.5]}, r"not of the same number: \[1, 3\]"),
        ({"facts": {"_label_texts": ["a", "b"]}}, r"not of the same number: \[2, 3\]"),
        (
            {"facts": {"n_labels_": 2, "_label_texts": ["a", "b"]}, "classes": ["a", "b"], "class_count": [1, 2]},
            r"size mismatch for classifier.weight: .*\[3, 32\].*\[2, 32\]",
        ),
    ],
)
def test_foreign_configurations_are_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(SavedModelError, match=message):
        BertLamClassifier.load(saved)


def rewrite(folder, change):
    """Change estimator.json as somebody would who knows the format."""
    config = json.loads((folder / "estimator.json").read_text())
    if change.get("facts"):
        change = change | {"facts": config["facts"] | change["facts"]}
    config |= change
    (folder / "estimator.json").write_text(json.dumps(config | {"checksum": _checksum(config)}))


def test_an_edited_number_is_noticed(saved):
    file = saved / "estimator.json"
    file.write_text(file.read_text().replace('"batch_size": ', '"batch_size": 1'))
    with pytest.raises(SavedModelError, match="estimator.json is not the file that was saved"):
        BertLamClassifier.load(saved)


def test_folders_neither_hold_nor_set_paths_to_write_to(make_classifier, tmp_path):
    clf = make_classifier(checkpoint_dir=tmp_path / "mine").fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    assert "mine" not in (tmp_path / "model" / "estimator.json").read_text()
    parameters = json.loads((tmp_path / "model" / "estimator.json").read_text())["parameters"]
    rewrite(tmp_path / "model", {"parameters": parameters | {"checkpoint_dir": "/etc"}})
    assert BertLamClassifier.load(tmp_path / "model").checkpoint_dir is None


def test_only_the_tokenizer_that_was_saved_is_read(saved):
    expected = BertLamClassifier.load(saved).predict_proba(TEXTS)
    (saved / "added_tokens.json").write_text(json.dumps({"printer": 0}))
    (saved / "special_tokens_map.json").write_text(json.dumps({"unk_token": "printer"}))
    with pytest.warns(UserWarning, match="not read: added_tokens.json, special_tokens_map.json"):
        loaded = BertLamClassifier.load(saved)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), expected)


def test_a_tokenizer_is_not_read_from_elsewhere(saved, tmp_path):
    expected = BertLamClassifier.load(saved).predict_proba(TEXTS)
    settings = json.loads((saved / "tokenizer_config.json").read_text()) | {"tokenizer_file": str(tmp_path / "other.json")}
    (saved / "tokenizer_config.json").write_text(json.dumps(settings))
    files = json.loads((saved / "estimator.json").read_text())["files"]
    rewrite(saved, {"files": files | {"tokenizer_config.json": sha256(saved / "tokenizer_config.json")}})
    np.testing.assert_array_equal(BertLamClassifier.load(saved).predict_proba(TEXTS), expected)


def test_a_device_that_is_not_there_is_not_the_fault_of_the_folder(saved):
    with pytest.raises(ValueError, match="device") as caught:
        BertLamClassifier.load(saved, device="cuda:99")
    assert not isinstance(caught.value, SavedModelError)


def test_what_is_not_a_saved_estimator_is_refused(tmp_path, tiny_encoder):
    with pytest.raises(SavedModelError, match="no folder"):
        BertLamClassifier.load(tmp_path / "nothing")
    with pytest.raises(SavedModelError, match="was not written by save"):
        BertLamClassifier.load(tiny_encoder)
    for content in ("[]", "[" * 100_000):
        (tmp_path / "estimator.json").write_text(content)
        with pytest.raises(SavedModelError, match="damaged"):
            BertLamClassifier.load(tmp_path)


def test_ends_of_lines_of_windows_are_no_damage(saved):
    expected = BertLamClassifier.load(saved).predict_proba(TEXTS)
    for file in saved.glob("*.json"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(BertLamClassifier.load(saved).predict_proba(TEXTS), expected)


def test_what_a_desktop_leaves_in_a_folder_is_no_matter(saved, fitted, tmp_path, recwarn):
    for folder, name in ((saved, ".DS_Store"), (tmp_path / "other", "desktop.ini")):
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    BertLamClassifier.load(saved)
    fitted.save(tmp_path / "other")
    assert (tmp_path / "other" / "desktop.ini").exists()
    assert not [warning for warning in recwarn if "not read" in str(warning.message)]


def test_a_folder_that_cannot_be_flushed_is_saved_nevertheless(saved, fitted, tmp_path, monkeypatch):
    def fsync(descriptor, fsync=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    fitted.save(tmp_path / "other")
    assert sorted(os.listdir(tmp_path / "other")) == sorted(os.listdir(saved))


def test_no_room_for_temporary_files_is_not_the_fault_of_the_folder(saved, monkeypatch):
    def gettempdir():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", gettempdir)
    with pytest.raises(FileNotFoundError, match="No usable temporary directory"):
        BertLamClassifier.load(saved)


class Trap:
    def __reduce__(self):
        return (exit, (1,))


def test_a_pickle_in_the_folder_is_not_read(saved):
    (saved / "model.pkl").write_bytes(pickle.dumps(Trap()))
    with pytest.warns(UserWarning, match=r"not read: model\.pkl"):
        BertLamClassifier.load(saved)


@pytest.mark.parametrize(("system", "parameters"), SYSTEMS, ids=lambda one: getattr(one, "__name__", ""))
def test_skops_has_only_our_class_to_trust(tiny_encoder, tmp_path, system, parameters):
    skops = pytest.importorskip("skops.io")
    if "encoder" in system._get_param_names():
        parameters = parameters | {"encoder": tiny_encoder}
    clf = system(**parameters).fit(TEXTS, Y)
    skops.dump(clf, tmp_path / "model.skops")
    types = skops.get_untrusted_types(file=tmp_path / "model.skops")
    assert types == [f"{system.__module__}.{system.__name__}"]
    loaded = skops.load(tmp_path / "model.skops", trusted=types)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))


@pytest.mark.parametrize(
    ("fitted_with", "then"),
    [
        ({}, {"attention": "document"}),
        ({}, {"attention_scale": 1.0}),
        ({"attention_scale": 5.0}, {"attention_scale": 1.0}),
        ({"label_names": ["a printer is what this is about", "an invoice", "thank you"]}, {"max_length": 4}),
    ],
    ids=lambda parameters: ",".join(parameters),
)
def test_copies_are_of_the_network_that_was_fitted(make_classifier, tmp_path, fitted_with, then):
    clf = make_classifier(**({"label_names": LABELS} | fitted_with)).fit(TEXTS, Y)
    expected = clf.predict_proba(TEXTS)
    clf.set_params(**then)
    clf.save(tmp_path / "saved")
    for copied in (pickle.loads(pickle.dumps(clf)), type(clf).load(tmp_path / "saved")):
        np.testing.assert_allclose(copied.predict_proba(TEXTS), expected, atol=1e-6)
        assert copied.get_params()[next(iter(then))] == next(iter(then.values()))


def test_only_saved_classifiers_are_overwritten(saved, make_classifier, tmp_path):
    clf = make_classifier().fit(TEXTS, Y)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="notes.txt"):
        clf.save(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    link = saved.parent / "link"
    link.symlink_to(saved, target_is_directory=True)
    (saved / "notes.txt").write_text("mine as well")
    clf.save(link, overwrite=True)
    assert (saved / "notes.txt").read_text() == "mine as well"
    assert {file.name for file in link.parent.iterdir()} == {"link", "model", "notes.txt"}
    assert link.is_symlink()


def test_thresholds_of_any_container_are_saved(make_classifier, tmp_path):
    clf = make_classifier(threshold=pd.Series([0.1, 0.2, 0.3])).fit(TEXTS, Y)
    clf.save(tmp_path / "saved")
    np.testing.assert_array_equal(type(clf).load(tmp_path / "saved").threshold_, [0.1, 0.2, 0.3])


def test_an_encoder_may_be_given_as_a_path(make_classifier, tiny_encoder, tmp_path):
    clf = make_classifier(encoder=Path(tiny_encoder)).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    loaded = BertLamClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_a_lack_of_memory_is_not_the_fault_of_the_folder(saved, monkeypatch):
    def starve(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(_persistence, "_build", starve)
    with pytest.raises(MemoryError):
        BertLamClassifier.load(saved)
