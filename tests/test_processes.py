"""One fit in two processes, as torchrun and accelerate launch start them."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import LABELS, TEXTS, Y

PROGRAM = """
import json, os, sys
import numpy as np
import torch
torch.set_num_threads(1)
from skorch.callbacks import Callback
from sklearn_bertlam import BertLamClassifier, baselines
class KeepFirstGradients(Callback):
    gradients = ()
    def on_grad_computed(self, net, named_parameters, **kwargs):
        if len(self.gradients) == 0:
            known = [parameter.grad.flatten() for _, parameter in named_parameters if parameter.grad is not None]
            self.gradients = torch.cat(known).numpy()
systems, texts, y, out = json.load(open(sys.argv[1]))
for name, settings in systems.items():
    first = KeepFirstGradients()
    settings |= {"callbacks": [first]} if name == "BertLamClassifier" else {}
    clf = getattr(baselines, name, BertLamClassifier)(**settings).fit(texts, np.array(y))
    rank = os.environ.get('RANK', 'alone')
    np.savez(f"{out}/{name}-{rank}.npz", proba=clf.predict_proba(texts), loss=clf.history_[-1]["loss"],
             gradients=first.gradients)
    assert not torch.distributed.is_initialized()
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def announcements(n_processes):
    """What a launcher tells each process."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": str(n_processes)}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(n_processes)]


@pytest.fixture
def run(tiny_encoder, tmp_path):
    """Fit in one process or in two, one system after another, and return what each process ended with."""

    def run(n_processes, launcher=None, systems=("BertLamClassifier",), **settings):
        out = tmp_path / str(n_processes)
        out.mkdir()
        settings = {"max_length": 32, "max_epochs": 3, "batch_size": 5, "device": "cpu"} | settings
        encoder = {"encoder": tiny_encoder, "precision": "float32"}
        known = {"BertLamClassifier": encoder, "MAGNETClassifier": encoder, "LEAMClassifier": {}}
        fits = {name: settings | known.get(name, {}) for name in systems}
        for name in known.keys() & fits.keys():
            fits[name]["label_names"] = LABELS
        (tmp_path / "input.json").write_text(json.dumps([fits, TEXTS, Y.tolist(), str(out)]))
        (tmp_path / "train.py").write_text(PROGRAM)
        program = [str(tmp_path / "train.py"), str(tmp_path / "input.json")]
        announced = [{}] if n_processes == 1 or launcher else announcements(n_processes)
        environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        running = [
            subprocess.Popen(
                [sys.executable, *(launcher or []), *program],
                env=os.environ | environment | ranks,
                stderr=subprocess.PIPE,
                text=True,
            )
            for ranks in announced
        ]
        try:
            for process in running:
                _, errors = process.communicate(timeout=120)
                assert process.returncode == 0, errors
        finally:
            for process in running:
                process.kill()
                process.wait()
                process.stderr.close()
        return [dict(np.load(file)) for file in sorted(out.glob("*.npz"))]

    return run


def test_two_processes_end_where_one_does(run):
    """Batches of 5 and a last one of 2 texts, so that the shares differ in size."""
    settings = {"random_state": 0, "dropout": 0.0}
    (alone,) = run(1, **settings)
    first, second = run(2, **settings)
    np.testing.assert_array_equal(first["gradients"], second["gradients"])
    largest = np.abs(alone["gradients"]).max()
    np.testing.assert_allclose(first["gradients"], alone["gradients"], atol=1e-5 * largest)
    np.testing.assert_array_equal(first["proba"], second["proba"])
    np.testing.assert_allclose(first["proba"], alone["proba"], atol=1e-4)
    np.testing.assert_allclose(first["loss"], alone["loss"], rtol=0.01)  # its mean weighs batches by the process's share


def test_processes_agree_without_a_seed_and_with_empty_shares(run):
    first, second = run(2, batch_size=11, max_epochs=1)  # the last batch has one text
    np.testing.assert_array_equal(first["proba"], second["proba"])


def test_no_process_is_left_without_any_text(run):
    with pytest.raises(AssertionError, match=r"2 processes share batches of 1 of 12 text\(s\)"):
        run(2, batch_size=1, max_epochs=1)


def test_baselines_train_in_two_processes_as_in_one(run):
    """A penalty, targets that the network reads, and an encoder that is not trained."""
    systems = ["LEAMClassifier", "MAGNETClassifier", "SGMClassifier"]
    alone = run(1, systems=systems, random_state=0, dropout=0.0)
    together = run(2, systems=systems, random_state=0, dropout=0.0)
    for system, expected, first, second in zip(systems, alone, together[::2], together[1::2], strict=True):
        np.testing.assert_array_equal(first["proba"], second["proba"], err_msg=system)
        np.testing.assert_allclose(first["proba"], expected["proba"], atol=1e-3, err_msg=system)


LAUNCHERS = {
    "torchrun": "torch.distributed.run --standalone --nproc-per-node 2",
    # several processes without MPI are "multi_gpu" to accelerate, on whatever device they then find
    "accelerate": "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no "
    "--dynamo_backend no --main_process_port {port}",
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_start_two_processes_that_end_alike(run, launcher):
    module, *options = LAUNCHERS[launcher].format(port=free_port()).split()
    if importlib.util.find_spec(module.split(".")[0]) is None:
        pytest.skip(f"needs {launcher}")
    first, second = run(2, launcher=["-m", module, *options], random_state=0, max_epochs=1)
    np.testing.assert_array_equal(first["proba"], second["proba"])
