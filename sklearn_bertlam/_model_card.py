"""The page that tells others what a shared estimator is: what it learned from, its labels, its scores, how to use it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._persistence import OF_THIS_MACHINE

_MOST_LABELS = 200


def model_card(estimator: Any, repo_id: str, metrics: Mapping[str, float] | None) -> str:
    """Return a model card in Markdown, with the header that the hub reads."""
    name = type(estimator).__name__
    parts = [
        _header(estimator),
        f"# {repo_id}",
        f"A multi-label text classifier: `{name}` of sklearn-bertlam, for {estimator.n_labels_} labels, learned from "
        f"{estimator.n_samples_seen_:,} texts.",
        "## Use",
        f"```python\nfrom {_module(estimator)} import {name}\n\n"
        f"clf = {name}.from_hub({json.dumps(repo_id)})\n"
        'clf.predict(["a text"])\n```',
        "Loading runs no code from this repository and unpickles nothing.",
        "## Scores",
        _scores(metrics),
        "## Labels",
        "The threshold is the probability above which `predict` gives a label.",
        _labels(estimator),
        "## Parameters",
        "\n".join(f"- `{key}`: `{_code(value)}`" for key, value in _parameters(estimator).items()),
    ]
    return "\n\n".join(parts) + "\n"


def _header(estimator: Any) -> str:
    lines = ["library_name: sklearn-bertlam", "pipeline_tag: text-classification", "tags:", "- multi-label", "- sklearn"]
    encoder = getattr(estimator, "encoder", None)
    if encoder is not None and os.fspath(encoder).count("/") == 1:  # no path, see push
        name = os.fspath(encoder).partition("@")[0]  # the hub knows no revision here
        lines.append(f"base_model: {json.dumps(name)}")
    return "\n".join(["---", *lines, "---"])


def _parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters without what is about the machine that the estimator was fitted on."""
    return {name: value for name, value in estimator.get_params(deep=False).items() if name not in OF_THIS_MACHINE}


def _code(value: Any) -> str:
    """Return a value as it stands in Python, which does not end the code that it is set as."""
    return f"{value!r:.200}".replace("`", "'")


def _module(estimator: Any) -> str:
    package = "sklearn_bertlam"
    return f"{package}.baselines" if type(estimator).__module__.startswith(f"{package}.baselines") else package


def _scores(metrics: Mapping[str, float] | None) -> str:
    if not metrics:
        return "None were given."
    try:
        rows: list[tuple[str, ...]] = [(str(name), f"{float(value):.4g}") for name, value in metrics.items()]
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(f"metrics should be a dict of names to numbers, got {metrics!r:.200}.") from error
    return _table(("metric", "value"), rows)


def _labels(estimator: Any) -> str:
    n_labels = estimator.n_labels_
    thresholds = np.broadcast_to(estimator.threshold_, n_labels)
    texts = estimator._label_texts or [""] * n_labels
    counts = estimator.class_count_
    rows: list[tuple[str, ...]] = [
        (str(label), text, f"{count:,}", f"{threshold:.3f}")
        for label, text, count, threshold in zip(estimator.classes_, texts, counts, thresholds, strict=True)
    ]
    more = f"\n\nand {n_labels - _MOST_LABELS} more." if n_labels > _MOST_LABELS else ""
    return _table(("label", "text", "training texts that have it", "threshold"), rows[:_MOST_LABELS]) + more


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Return text that ends neither its cell nor its line, and is no HTML."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
