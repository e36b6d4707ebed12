"""Whether explanations name the words that predictions depend on: take these words away, or keep only them.

``python -m benchmarks.explanations --data FOLDER --out docs/results/explanations --train-size 1000``

For the most probable label of each document, words are ranked by attention, by influence and by chance. The score of
deletion, comprehensiveness, is how much the probability falls without the words on top; that of insertion, sufficiency, how
much it falls with these words alone; both are means over several shares of the words [1]_. Good explanations have a high
comprehensiveness and a low sufficiency.

.. [1] J. DeYoung et al., "ERASER: A Benchmark to Evaluate Rationalized NLP Models", ACL 2020.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_bertlam import BertLamClassifier

from .command_line import end_where_training_is_interrupted, positive, report_path, shown
from .output import report
from .scoring import markdown_table
from .tables.data import data_name, load_documents

_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # those of ERASER
_N_RESAMPLES = 2000


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.explanations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a data set")
    parser.add_argument("--out", type=report_path, required=True, help="where measurements go: OUT.md and OUT.json")
    parser.add_argument("--train-size", type=positive)
    parser.add_argument("--documents", type=positive, default=100, help="of the test split (default: %(default)s)")
    parser.add_argument("--max-length", type=positive, default=128)
    options = parser.parse_args(arguments)
    end_where_training_is_interrupted()
    documents = load_documents(options.data, options.train_size)
    clf = BertLamClassifier(label_names=documents.descriptions, max_length=options.max_length, random_state=0)
    clf.fit(*documents.train)
    texts = documents.test[0]
    chosen = np.random.RandomState(0).permutation(len(texts))[: options.documents]
    falls = [_falls(clf, texts[row], np.random.RandomState(row)) for row in chosen]
    _write(options, shown("explanations", arguments), falls)


def _falls(clf: BertLamClassifier, text: str, random_state: np.random.RandomState) -> dict[str, dict[str, float]]:
    """Return comprehensiveness and sufficiency of every ranking of the words of a text."""
    (explanation,) = clf.explain([text])
    label = clf.classes_.tolist().index(explanation.labels[0])
    rankings = {
        "influence": np.argsort(-explanation.influence[0], kind="stable"),
        "attention": np.argsort(-explanation.attention[0], kind="stable"),
        "chance": random_state.permutation(len(explanation.spans)),
    }
    variants = []
    for ranking in rankings.values():
        for share in _SHARES:
            top = np.zeros(len(ranking), dtype=bool)
            top[ranking[: max(1, round(share * len(ranking)))]] = True
            variants += [_keep(text, explanation.spans, ~top), _keep(text, explanation.spans, top)]
    probabilities = clf.predict_proba(variants)[:, label].reshape(len(rankings), len(_SHARES), 2)
    falls = (explanation.probabilities[0] - probabilities).mean(axis=1)  # (ranking, without or alone)
    return {
        name: {"comprehensiveness": float(without), "sufficiency": float(alone)}
        for name, (without, alone) in zip(rankings, falls, strict=True)
    }


def _keep(text: str, spans: list[tuple[int, int]], kept: np.ndarray) -> str:
    """Return the text with some of its words."""
    return " ".join(text[start:stop] for (start, stop), is_kept in zip(spans, kept, strict=True) if is_kept)


def _write(options: argparse.Namespace, command: str, falls: list[dict[str, dict[str, float]]]) -> None:
    columns = {
        "comprehensiveness": "deletion (comprehensiveness; higher is better)",
        "sufficiency": "insertion (sufficiency; lower is better)",
    }
    rows = {
        name: {column: _with_interval([fall[name][column] for fall in falls]) for column in columns} for name in falls[0]
    }
    text = "\n".join(
        [
            f"# Words that predictions depend on: {data_name(options.data)}",
            "",
            f"`{command}`",
            "",
            f"{len(falls)} test documents, the most probable label of each; falls in its probability, means over "
            f"{', '.join(f'{share:.0%}' for share in _SHARES)} of the words, with 95 % bootstrap intervals over documents.",
            "",
            markdown_table(rows, columns),
        ]
    )
    report(text, options.out, {"command": command, "falls": falls})


def _with_interval(values: Any) -> str:
    values = np.asarray(values)
    draws = np.random.RandomState(0).randint(len(values), size=(_N_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
