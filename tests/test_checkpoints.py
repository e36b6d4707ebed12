"""Training that was killed goes on, to the same model."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from conftest import TEXTS, Y
from skorch.callbacks import Callback

from sklearn_bertlam import _net, _runtime
from sklearn_bertlam._checkpoints import CheckpointFile
from sklearn_bertlam.exceptions import CheckpointError, TrainingInterruptedWarning

PARAMETERS = {"max_epochs": 4, "learning_rate": 1e-3, "label_names": ["printer", "invoice", "thank"], "labels_per_update": 2}


class StopAt(Callback):
    """Ends training after some updates as a power cut would: nothing more is saved."""

    def __init__(self, n_updates):
        self.n_updates = n_updates

    def on_batch_end(self, net, **kwargs):
        self.n_updates -= 1
        if self.n_updates == 0:
            raise PowerCutError


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize("n_updates", [1, 3, 4, 8, 11])
@pytest.mark.parametrize("seconds", [600, 0], ids=["every epoch", "every update"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_killed_training_ends_with_the_same_model(
    make_classifier, tmp_path, monkeypatch, n_updates, seconds, early_stopping
):
    monkeypatch.setattr(_net, "_SECONDS_BETWEEN_CHECKPOINTS", seconds)
    parameters = PARAMETERS | {"early_stopping": early_stopping, "n_iter_no_change": 10, "validation_fraction": 0.2}
    undisturbed = make_classifier(**parameters).fit(TEXTS, Y)
    killed = make_classifier(checkpoint_dir=tmp_path, callbacks=[StopAt(n_updates)], **parameters)
    with pytest.raises(PowerCutError):
        killed.fit(TEXTS, Y)
    seen = CountUpdates()
    again = make_classifier(checkpoint_dir=tmp_path, callbacks=[seen], **parameters).fit(TEXTS, Y)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), undisturbed.predict_proba(TEXTS))
    assert [epoch["loss"] for epoch in again.history_] == [epoch["loss"] for epoch in undisturbed.history_]
    assert again.best_epoch_ == undisturbed.best_epoch_
    saved = n_updates if seconds == 0 else (n_updates - 1) // 3 * 3  # an epoch has 3 updates
    assert seen.n_updates == 12 - saved


def test_training_goes_on_in_the_precision_in_which_it_began(make_classifier, tmp_path, monkeypatch):
    parameters = PARAMETERS | {"precision": "auto", "device": "cpu"}
    monkeypatch.setattr(_runtime, "_cpu_gains_from_bfloat16", lambda: True)
    undisturbed = make_classifier(**parameters).fit(TEXTS, Y)
    with pytest.raises(PowerCutError):
        make_classifier(checkpoint_dir=tmp_path, callbacks=[StopAt(4)], **parameters).fit(TEXTS, Y)
    monkeypatch.setattr(_runtime, "_cpu_gains_from_bfloat16", lambda: False)  # another measurement, another result
    again = make_classifier(checkpoint_dir=tmp_path, **parameters).fit(TEXTS, Y)
    for name, weights in undisturbed.module_.state_dict().items():
        np.testing.assert_array_equal(again.module_.state_dict()[name], weights, err_msg=name)


class CountUpdates(Callback):
    def on_train_begin(self, net, **kwargs):
        self.n_updates = 0

    def on_batch_end(self, net, **kwargs):
        self.n_updates += 1


@pytest.mark.parametrize("make_state", [lambda: None, lambda: 3, np.random.RandomState], ids=["None", "int", "state"])
def test_a_training_that_has_ended_is_not_repeated(make_classifier, tmp_path, make_state):
    parameters = PARAMETERS | {"checkpoint_dir": tmp_path, "pos_weight": np.ones(3)}
    first = make_classifier(random_state=make_state(), **parameters).fit(TEXTS, Y)
    seen = CountUpdates()
    again = make_classifier(random_state=make_state(), callbacks=[seen], **parameters).fit(TEXTS, Y)
    assert seen.n_updates == 0
    np.testing.assert_array_equal(again.predict_proba(TEXTS), first.predict_proba(TEXTS))
    assert again.n_iter_ == 4


def test_a_real_kill(tiny_encoder, tmp_path):
    code = f"""
import hashlib, os, signal, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from conftest import TEXTS, Y
from skorch.callbacks import Callback
from sklearn_bertlam import BertLamClassifier, _net
_net._SECONDS_BETWEEN_CHECKPOINTS = 0
class Kill(Callback):
    n_updates = 0
    def on_batch_begin(self, net, **kwargs):
        if self.n_updates == 8 and sys.argv[1] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self.n_updates += 1
clf = BertLamClassifier({tiny_encoder!r}, max_length=32, batch_size=4, max_epochs=4, random_state=0, precision="float32",
                        checkpoint_dir={str(tmp_path)!r} if sys.argv[1] != "undisturbed" else None, callbacks=[Kill()])
print(clf.fit(TEXTS, Y).predict_proba(TEXTS).tolist())
for name, weights in clf.module_.state_dict().items():
    print(name, hashlib.sha256(weights.numpy().tobytes()).hexdigest())
"""

    def run(how):
        return subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True)

    assert run("kill").returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    again, undisturbed = run("go on"), run("undisturbed")
    assert again.returncode == 0, again.stderr
    assert again.stdout == undisturbed.stdout


def test_other_trainings_are_refused(make_classifier, tmp_path):
    make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(TEXTS, Y)
    with pytest.raises(CheckpointError, match="max_epochs was 4, now 5. Use another checkpoint_dir"):
        make_classifier(checkpoint_dir=tmp_path, **(PARAMETERS | {"max_epochs": 5})).fit(TEXTS, Y)
    for name, data in {"X": (TEXTS[::-1], Y), "y": (TEXTS, Y[::-1]), "sample_weight": (TEXTS, Y, np.arange(12))}.items():
        with pytest.raises(CheckpointError, match=rf"another training: {name} was \w+, now \w+\. Use"):
            make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(*data)
    with pytest.raises(ValueError, match="warm_start"):
        clf = make_classifier(warm_start=True).fit(TEXTS, Y)
        clf.set_params(checkpoint_dir=tmp_path).fit(TEXTS, Y)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_damaged_checkpoints_are_refused(make_classifier, tmp_path, content):
    file = tmp_path / "checkpoint.pt"
    if content is None:
        make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(TEXTS, Y)
        content = file.read_bytes()[:-100]
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="Delete it to train from the beginning"):
        make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(TEXTS, Y)
    assert file.read_bytes() == content


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(make_classifier, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written to"):
        make_classifier(checkpoint_dir=tmp_path / "file" / "folder").fit(TEXTS, Y)


def test_a_full_disk_leaves_the_last_checkpoint(make_classifier, tmp_path, monkeypatch):
    make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(TEXTS, Y)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    from sklearn_bertlam._checkpoints import CheckpointFile

    with pytest.raises(CheckpointError, match="could not be written .*No space left"):
        CheckpointFile(tmp_path).write({})
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_other_labels_are_another_training(make_classifier, tmp_path):
    frame = pd.DataFrame(Y, columns=["printer", "invoice", "thank"])
    make_classifier(checkpoint_dir=tmp_path).fit(TEXTS, frame)
    for other in (frame.set_axis(["a", "b", "c"], axis=1), frame.assign(more=[1] + [0] * (len(Y) - 1))):
        with pytest.raises(CheckpointError, match="labels"):
            make_classifier(checkpoint_dir=tmp_path).fit(TEXTS, other)


def test_the_same_said_otherwise_is_the_same_training(make_classifier, tiny_encoder, tmp_path):
    first = make_classifier(checkpoint_dir=tmp_path, label_names=("a", "b", "c"), encoder=Path(tiny_encoder)).fit(TEXTS, Y)
    again = make_classifier(checkpoint_dir=tmp_path, label_names=["a", "b", "c"], encoder=str(tiny_encoder)).fit(
        pd.Series(TEXTS), sp.csc_array(Y.astype(np.int8))
    )
    np.testing.assert_array_equal(again.predict_proba(TEXTS), first.predict_proba(TEXTS))


def test_parameters_from_a_search_can_be_checkpointed(make_classifier, tmp_path):
    parameters = {"learning_rate": np.float64(1e-3), "weight_decay": np.float64(0.1), "labels_per_update": np.int64(2)}
    parameters |= {"batch_size": np.int64(4), "max_epochs": np.int64(2)}
    killed = make_classifier(checkpoint_dir=tmp_path, callbacks=[StopAt(4)], label_names=list("abc"), **parameters)
    with pytest.raises(PowerCutError):
        killed.fit(TEXTS, Y)
    assert killed.set_params(callbacks=None).fit(TEXTS, Y).n_iter_ == 2


def test_a_training_that_stopped_early_is_not_repeated(make_classifier, tmp_path):
    parameters = {"early_stopping": True, "n_iter_no_change": 1, "validation_fraction": 0.25, "max_epochs": 9}
    parameters |= {"learning_rate": 0.0, "head_learning_rate": 0.0, "checkpoint_dir": tmp_path}
    first, seen = make_classifier(**parameters).fit(TEXTS, Y), CountUpdates()
    again = make_classifier(callbacks=[seen], **parameters).fit(TEXTS, Y)
    assert seen.n_updates == 0
    assert first.n_iter_ == again.n_iter_ == 1
    np.testing.assert_array_equal(again.predict_proba(TEXTS), first.predict_proba(TEXTS))


def test_a_refusal_does_not_print_a_page_of_labels(tmp_path):
    saved, now = ({"the labels": repr([f"{word} {i}" for i in range(1000)])} for word in ("old", "new"))
    with pytest.raises(CheckpointError, match="the labels was .*old 0.*now .*new 0") as refusal:
        CheckpointFile(tmp_path).check(saved, now)
    assert len(str(refusal.value)) < 1000


def test_an_interruption_while_a_checkpoint_is_written_is_reported(make_classifier, tmp_path, monkeypatch):
    def interrupted(self, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointFile, "write", interrupted)
    with pytest.warns(TrainingInterruptedWarning):
        clf = make_classifier(checkpoint_dir=tmp_path, max_epochs=5).fit(TEXTS, Y)
    assert clf.predict(TEXTS).shape == Y.shape


def test_a_checkpoint_of_another_version_is_told_from_a_damaged_one(make_classifier, tmp_path):
    torch.save({"format": "1999"}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="written by another version. Delete it"):
        make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(TEXTS, Y)


def test_a_checkpoint_that_says_less_is_of_another_training(make_classifier, tmp_path):
    file = tmp_path / "checkpoint.pt"
    make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(TEXTS, Y)
    state = torch.load(file, weights_only=True)
    del state["identity"]["batch_size"]
    torch.save(state, file)
    with pytest.raises(CheckpointError, match="batch_size was not there, now 4"):
        make_classifier(checkpoint_dir=tmp_path, **PARAMETERS).fit(TEXTS, Y)
