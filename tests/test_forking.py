"""Web servers load a model, try it, and fork."""

import multiprocessing
import os
import subprocess
import sys

import pytest
from conftest import LABELS, TEXTS, Y

PROGRAM = """
import multiprocessing, sys
import numpy as np
import torch
from sklearn_bertlam import BertLamClassifier

torch.set_num_threads(2)
texts = [" ".join(sys.argv[2:])] * 200
clf = BertLamClassifier.load(sys.argv[1], device="cpu")
expected = clf.predict_proba(texts)

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
def test_a_forked_process_predicts_like_its_parent(make_classifier, tmp_path):
    make_classifier(label_names=LABELS).fit(TEXTS, Y).save(tmp_path / "model")
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "model"), *TEXTS]
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
