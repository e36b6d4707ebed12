"""Web servers load a model, try it, and fork."""

import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import LABELS, TEXTS, Y

PROGRAM = """
import multiprocessing, sys
from pathlib import Path
import numpy as np
import torch
from sklearn_bertlam import BertLamClassifier

torch.set_num_threads(2)
folder = Path(sys.argv[1])
expected = np.load(folder / "expected.npy")
texts = [" ".join(sys.argv[3:])] * len(expected)
clf = BertLamClassifier.load(folder / "model", device="cpu")
if sys.argv[2] == "tried":
    clf.predict_proba(texts)

def predict():
    assert torch.get_num_threads() == 1
    np.testing.assert_allclose(clf.predict_proba(texts), expected, atol=1e-6)

child = multiprocessing.get_context("fork").Process(target=predict)
child.start()
child.join(60)
child.kill()
sys.exit(child.exitcode)
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize(("label_names", "is_tried"), [(LABELS, "tried"), (None, "only loaded")])
def test_a_forked_process_predicts_like_its_parent(make_classifier, tmp_path, label_names, is_tried):
    clf = make_classifier(label_names=label_names).fit(TEXTS, Y)
    clf.save(tmp_path / "model")
    np.save(tmp_path / "expected.npy", clf.predict_proba([" ".join(TEXTS)] * 200))
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path), is_tried, *TEXTS]
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
