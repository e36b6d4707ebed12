"""What can go wrong around a classifier: no room on the disk, no home directory, many threads, labels that mean nothing."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import LABELS, TEXTS, Y, needs_embedded_encoder
from sklearn.metrics import average_precision_score

from sklearn_bertlam import BertLamClassifier, _runtime
from sklearn_bertlam.datasets import load_support_requests

SAVE_WITHOUT_ROOM = """
import resource, sys
from sklearn_bertlam import BertLamClassifier, _runtime
clf = BertLamClassifier.load(sys.argv[1], device="cpu")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
clf.save(sys.argv[2], overwrite=True)
"""
WRITE_INTO_A_FOLDER = """
import os, sys
from sklearn_bertlam import BertLamClassifier
clf, folder = BertLamClassifier.load(sys.argv[1], device="cpu"), sys.argv[2]
if "forbidden" in sys.argv:
    os.chmod(folder, 0o555)
    if os.geteuid() == 0:  # who may write everywhere
        os.seteuid(65534)
for attempt in (
    lambda: clf.save(folder + "/model"),
    lambda: clf.set_params(checkpoint_dir=folder).fit(["a", "b"], [[0, 1, 0], [1, 0, 1]]),
):
    try:
        attempt()
    except Exception as error:
        print(type(error).__name__, error)
if "forbidden" not in sys.argv:
    print(os.listdir(folder))  # of a disk that only this process sees
"""
MOUNT_A_SMALL_DISK = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
MOUNT_A_SMALL_DISK += ['mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"', "sh"]
FIT_AND_PREDICT = """
import sys
from sklearn_bertlam import BertLamClassifier, _runtime
clf = BertLamClassifier(sys.argv[1], max_length=32, max_epochs=1, device="cpu").fit(["a", "b"], [[0, 1], [1, 0]])
print(clf.predict(["a"]).shape)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of file sizes")
@pytest.mark.parametrize("target", ["new", "model"])
def test_without_room_nothing_is_half_written(make_classifier, tmp_path, target):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    command = [sys.executable, "-c", SAVE_WITHOUT_ROOM, str(tmp_path / "model"), str(tmp_path / target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert os.listdir(tmp_path) == ["model"]
    loaded = BertLamClassifier.load(tmp_path / "model", device=clf.device)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))


@pytest.mark.skipif(sys.platform != "linux", reason="needs namespaces")
def test_a_full_disk_is_named_and_keeps_nothing(make_classifier, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run([*MOUNT_A_SMALL_DISK, str(disk), "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a disk")
    make_classifier(label_names=LABELS).fit(TEXTS, Y).save(tmp_path / "model")
    filling = [sys.executable, "-c", WRITE_INTO_A_FOLDER, str(tmp_path / "model"), str(disk)]
    done = subprocess.run([*MOUNT_A_SMALL_DISK, str(disk), *filling], capture_output=True, text=True)
    saving, training, left = done.stdout.splitlines()
    assert "No space left on device" in saving
    assert training.startswith("CheckpointError") and "No space left on device" in training
    assert left == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions of folders")
def test_folders_that_cannot_be_written_to_are_named(make_classifier, tmp_path):
    make_classifier(label_names=LABELS).fit(TEXTS, Y).save(tmp_path / "model")
    folder = tmp_path / "read-only"
    folder.mkdir()
    command = [sys.executable, "-c", WRITE_INTO_A_FOLDER, str(tmp_path / "model"), str(folder), "forbidden"]
    done = subprocess.run(command, capture_output=True, text=True)
    saving, training = done.stdout.splitlines()
    assert saving.startswith("PermissionError")
    assert str(folder) in saving
    assert training.startswith(f"CheckpointError checkpoint_dir={str(folder)!r} cannot be written to")
    assert os.listdir(folder) == []


def test_no_home_directory(tiny_encoder):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    environment |= {"HOME": "/proc/nowhere"}  # where nobody can write
    done = subprocess.run(
        [sys.executable, "-c", FIT_AND_PREDICT, tiny_encoder], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 2)\n"


def test_control_c_leaves_a_classifier(tiny_encoder):
    code = f"""
import os, signal, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from conftest import TEXTS, Y
from skorch.callbacks import Callback
from sklearn_bertlam import BertLamClassifier
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
class ControlC(Callback):
    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            os.kill(os.getpid(), signal.SIGINT)
clf = BertLamClassifier({tiny_encoder!r}, max_length=32, batch_size=4, max_epochs=50, callbacks=[ControlC()]).fit(TEXTS, Y)
print(clf.n_iter_, clf.predict(TEXTS).shape)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["1", "(12,", "3)"]
    assert "TrainingInterruptedWarning: Training was interrupted after 1 of 50 epochs" in result.stderr


def test_threads_share_one_estimator(make_classifier):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    expected = clf.predict_proba(TEXTS)
    clf._prepared = None  # as after unpickling: the first threads make it at the same time
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(clf.predict_proba, [TEXTS] * 64):
            np.testing.assert_array_equal(found, expected)


@needs_embedded_encoder
def test_shuffled_labels_give_chance():
    X, y = load_support_requests(subset="train", return_X_y=True)
    X_test, y_test = load_support_requests(subset="test", return_X_y=True)
    y, y_test = (indicator.toarray() if hasattr(indicator, "toarray") else indicator for indicator in (y, y_test))
    some = slice(0, 60)
    shuffled = np.random.RandomState(0).permutation(y[some])
    clf = BertLamClassifier(max_epochs=1, random_state=0)
    chance = y_test.mean()
    nonsense = average_precision_score(y_test, clf.fit(X[some], shuffled).predict_proba(X_test))
    learned = average_precision_score(y_test, clf.fit(X[some], y[some]).predict_proba(X_test))
    assert abs(nonsense - chance) < 0.06
    assert learned > chance + 0.3


class Malloc:
    def __init__(self):
        self.options = {}

    def mallopt(self, option, value):
        self.options[option] = value

    def malloc_trim(self, pad):
        pass


def test_memory_is_kept_until_the_last_block_that_wants_it_ends(monkeypatch):
    malloc, cpu = Malloc(), torch.device("cpu")
    monkeypatch.setattr(_runtime, "_glibc", lambda: malloc)
    with _runtime.kept_memory(cpu):
        with _runtime.kept_memory(cpu):
            assert malloc.options[_runtime._MMAP_MAX] == 0
        assert malloc.options[_runtime._MMAP_MAX] == 0
    assert malloc.options[_runtime._MMAP_MAX] > 0


def test_limits_of_malloc_that_the_environment_names_come_back(monkeypatch):
    malloc, cpu = Malloc(), torch.device("cpu")
    monkeypatch.setattr(_runtime, "_glibc", lambda: malloc)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    with _runtime.kept_memory(cpu):
        assert malloc.options[_runtime._TRIM_THRESHOLD] > 2**30
    assert malloc.options[_runtime._TRIM_THRESHOLD] == 65536
