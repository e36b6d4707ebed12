"""Sharing a classifier on the hub, played by a small server on this machine."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import numpy as np
import pytest
from conftest import LABELS, TEXTS, Y
from sklearn.exceptions import NotFittedError

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.baselines import TextCNNClassifier
from sklearn_bertlam.exceptions import HubError, SavedModelError

REPO = "someone/classifier"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as pushing and pulling one small model takes."""

    def answer(self, content, status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self):
        body = self.body()
        if self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            self.server.commits.setdefault("0" * 40, {})
            self.answer({"url": f"{self.server.address}/{REPO}"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif "/branch/" in self.path:
            self.server.branches.append(self.path.rpartition("/")[2])
            self.answer({})
        elif f"/{REPO}/commit/" in self.path:
            self.commit([json.loads(line) for line in body.splitlines()])
        else:
            self.answer({"error": "unknown"}, 404)

    def commit(self, lines):
        files = dict(next(reversed(self.server.commits.values()), {}))
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        oid = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.server.commits[oid] = files
        self.answer({"commitUrl": f"{self.server.address}/{REPO}/commit/{oid}", "commitOid": oid})

    def do_GET(self):
        info = re.fullmatch(rf"/api/models/{REPO}/(?:revision|tree)/([^/?]+)(?:\?.*)?", self.path)
        file = re.fullmatch(rf"/{REPO}/resolve/([^/]+)/([^?]+)", self.path)
        oid, files = self.revision((info or file)[1]) if info or file else (None, None)
        if files is None:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif "/tree/" in self.path:
            self.answer(
                [{"type": "file", "path": name, "size": len(content), "oid": oid} for name, content in files.items()]
            )
        elif info:
            self.answer({"id": REPO, "sha": oid, "private": False, "siblings": [{"rfilename": name} for name in files]})
        else:
            content = files[file[2]]
            self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=oid)

    do_HEAD = do_GET

    def revision(self, name):
        commits = self.server.commits
        oid = next(reversed(commits), None) if name in ("main", *self.server.branches) else name
        return oid, commits.get(oid)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub without any repository."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address, server.commits, server.branches = f"http://127.0.0.1:{server.server_port}", {}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address_of_files = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)
    for module in (huggingface_hub.constants, huggingface_hub.file_download):  # the latter in older versions
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", address_of_files, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()
    server.server_close()


def test_what_is_pushed_can_be_had_by_others(hub, make_classifier):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    url = clf.push_to_hub(REPO, metrics={"micro-F1": 0.75}, private=True, token="secret")
    assert hub.created.get("visibility") == "private" or hub.created["private"]
    loaded = BertLamClassifier.from_hub(REPO, token=False, device=clf.device)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert loaded.n_samples_seen_ == len(TEXTS)
    np.testing.assert_array_equal(loaded.class_count_, Y.sum(axis=0))
    hub.shutdown()
    again = BertLamClassifier.from_hub(REPO, local_files_only=True, revision=url.rpartition("/")[2], device=clf.device)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_a_commit_stays_what_it_was(hub, make_classifier):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    first = clf.push_to_hub(REPO, token="secret").rpartition("/")[2]
    before = clf.predict_proba(TEXTS)
    clf.partial_fit(TEXTS, Y).push_to_hub(REPO, token="secret")
    assert not np.allclose(BertLamClassifier.from_hub(REPO, token=False).predict_proba(TEXTS), before)
    pinned = BertLamClassifier.from_hub(REPO, revision=first, token=False)
    np.testing.assert_allclose(pinned.predict_proba(TEXTS), before, atol=1e-6)


def test_the_model_card_tells_what_was_learned(hub, make_classifier):
    names = {"printer": "about | a <b>printer</b>", "invoice": "about\nmoney", "thank": "thanks"}
    clf = make_classifier(label_names=names, threshold=0.25).fit(TEXTS, Y)
    clf.push_to_hub(REPO, metrics={"micro-F1": 0.754321}, token="secret")
    files = list(hub.commits.values())[-1]
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: sklearn-bertlam\n")
    assert f'clf = BertLamClassifier.from_hub("{REPO}")' in card
    assert "| micro-F1 | 0.7543 |" in card
    assert f"| printer | about \\| a &lt;b>printer&lt;/b> | {Y[:, 0].sum()} | 0.250 |" in card
    assert "| invoice | about money |" in card
    assert "learned from 12 texts" in card
    assert "- `batch_size`: `4`" in card
    assert "- `encoder`: `'encoder" in card
    assert clf.encoder not in card and "checkpoint_dir" not in card


def test_the_account_need_not_be_named(hub, make_classifier):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y)
    clf.push_to_hub(REPO.partition("/")[2], token="secret")
    assert f'from_hub("{REPO}")' in list(hub.commits.values())[-1]["README.md"].decode()
    loaded = BertLamClassifier.from_hub(REPO, token=False, device=clf.device)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_a_branch_is_made_where_one_is_named(hub, make_classifier):
    make_classifier().fit(TEXTS, Y).push_to_hub(REPO, revision="trial", token="secret")
    assert hub.branches == ["trial"]


def test_files_that_do_not_belong_to_a_model_are_not_even_downloaded(hub, make_classifier, tmp_path):
    clf = make_classifier().fit(TEXTS, Y)
    clf.push_to_hub(REPO, token="secret")
    list(hub.commits.values())[-1]["code.pkl"] = b"no"
    BertLamClassifier.from_hub(REPO, token=False)
    assert not list((tmp_path / "cache").rglob("code.pkl"))


def test_clear_errors(hub, make_classifier, tiny_encoder):
    with pytest.raises(HubError, match="'someone/classifier' could not be had from the hub"):
        BertLamClassifier.from_hub(REPO, token=False)
    with pytest.raises(HubError, match="could not be had"):
        BertLamClassifier.from_hub("no/such/name", token=False)
    with pytest.raises(NotFittedError):
        make_classifier().push_to_hub(REPO)
    TextCNNClassifier(max_epochs=1).fit(TEXTS, Y).push_to_hub(REPO, token="secret")
    with pytest.raises(SavedModelError, match="holds a TextCNNClassifier"):
        BertLamClassifier.from_hub(REPO, token=False)


def test_no_network(hub, make_classifier, no_network):
    clf = make_classifier().fit(TEXTS, Y)
    with pytest.raises(HubError, match="could not be written"):
        clf.push_to_hub(REPO, token="secret")
    with pytest.raises(HubError, match="could not be had"):
        BertLamClassifier.from_hub(REPO, token=False)


def test_the_model_card_links_the_encoder_of_the_hub(hub, make_classifier):
    clf = make_classifier(label_names=LABELS).fit(TEXTS, Y).set_params(encoder="someone/model@abc123")
    clf.push_to_hub(REPO, token="secret")
    card = list(hub.commits.values())[-1]["README.md"].decode()
    assert '\nbase_model: "someone/model"\n---\n' in card


def test_no_path_of_this_machine_is_shared(hub, make_classifier, tiny_encoder, tmp_path):
    clf = make_classifier(label_names=["`</a>`", "b", "c"]).fit(TEXTS, Y)
    clf.push_to_hub(REPO, token="secret")
    files = list(hub.commits.values())[-1]
    assert not [name for name, content in files.items() if str(tiny_encoder).encode() in content]
    (names,) = [line for line in files["README.md"].decode().splitlines() if line.startswith("- `label_names`: `")]
    assert names.count("`") == 4  # a name does not end the code
    assert clf.encoder == tiny_encoder
    pulled = BertLamClassifier.from_hub(REPO, device="cpu")
    pulled.set_params(encoder="../models/encoder").push_to_hub(REPO, token="secret")
    card = list(hub.commits.values())[-1]["README.md"].decode()
    assert "base_model" not in card and "models" not in card


def test_what_nobody_could_load_is_not_pushed(hub, make_classifier):
    with pytest.raises(ValueError, match="threshold"):
        make_classifier().fit(TEXTS, Y).set_params(threshold=1.5).push_to_hub(REPO, token="secret")
    assert not hub.commits


def test_advice_of_the_hub_is_passed_on(hub):
    with pytest.raises(HubError, match="Make sure you are authenticated|make sure you are authenticated"):
        BertLamClassifier.from_hub("no/such", token=False)


@pytest.mark.parametrize("metrics", [{"f1": "high"}, {"f1": None}, [0.5]])
def test_metrics_that_are_no_numbers(hub, make_classifier, metrics):
    with pytest.raises(TypeError, match="metrics should be a dict of names to numbers"):
        make_classifier().fit(TEXTS, Y).push_to_hub(REPO, metrics=metrics, token="secret")
    assert not hub.commits
