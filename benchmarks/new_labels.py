"""Labels without examples: train without some labels, add them by name, and rank documents by them.

``python -m benchmarks.new_labels --data FOLDER --out docs/results/new-labels --train-size 2000``
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.exceptions import LabelWithoutPositivesWarning

from .command_line import end_where_training_is_interrupted, natural, positive, report_path, shown
from .output import report
from .scoring import dense, markdown_table
from .tables.data import data_name, load_documents

_FEWEST_POSITIVES = 5
_COLUMNS = {"macro": "average precision (mean over labels)", "micro": "average precision (all entries)"}


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.new_labels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of a data set")
    parser.add_argument("--out", type=report_path, required=True, help="where measurements go: OUT.md and OUT.json")
    parser.add_argument("--train-size", type=positive)
    parser.add_argument("--split", choices=["val", "test"], default="test", help="the documents that are ranked")
    parser.add_argument("--share", type=float, default=0.25, help="of the labels that are left out of training")
    parser.add_argument("--seeds", type=natural, nargs="+", default=[0, 1, 2], help="each leaves out other labels")
    parser.add_argument("--max-length", type=positive, default=128)
    options = parser.parse_args(arguments)
    end_where_training_is_interrupted()
    warnings.simplefilter("ignore", LabelWithoutPositivesWarning)
    documents = load_documents(options.data, options.train_size)
    results = [_measure(documents, options, seed) for seed in options.seeds]
    _write(options, shown("new_labels", arguments), results)


def _measure(documents: Any, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Leave out some labels, train on the others, and score the documents for those that were left out."""
    texts, target = documents.train
    ranked, truth = getattr(documents, options.split)
    train, truth = dense(target), dense(truth)
    candidates = np.flatnonzero(truth.sum(axis=0) >= _FEWEST_POSITIVES)
    if not len(candidates):
        raise SystemExit(f"No label has {_FEWEST_POSITIVES} documents in {options.split}, so that none can be ranked.")
    n_new = max(1, round(options.share * len(candidates)))
    new = np.sort(np.random.RandomState(seed).choice(candidates, n_new, replace=False))
    old = np.setdiff1d(np.arange(train.shape[1]), new)
    names = list(documents.descriptions)
    rows = np.flatnonzero(train[:, old].any(axis=1))
    clf = BertLamClassifier(
        label_names={names[label]: documents.descriptions[names[label]] for label in old},
        max_length=options.max_length,
        random_state=seed,
    )
    clf.fit([texts[row] for row in rows], train[np.ix_(rows, old)])
    clf.add_labels({names[label]: documents.descriptions[names[label]] for label in new})
    new_texts = [documents.descriptions[names[label]] for label in new]
    scores = {
        "chance": np.zeros((len(ranked), n_new)),
        "cosine of frozen embeddings": _frozen_cosines(ranked, new_texts, options),
        "add_labels": clf.decision_function(ranked)[:, len(old) :],
    }
    return {
        "seed": seed,
        "new": [names[label] for label in new],
        "scores": {name: _score(truth[:, new], values) for name, values in scores.items()},
    }


def _frozen_cosines(texts: list[str], names: list[str], options: argparse.Namespace) -> np.ndarray:
    """Return the cosine of each text with each name, both as mean token vectors of the encoder as it comes."""
    frozen = BertLamClassifier(attention="mean", max_epochs=0, max_length=options.max_length, random_state=0)
    frozen.fit(["a", "b"], [[0], [1]])
    vectors, labels = (next(frozen._scores([part], "features")) for part in (texts, names))  # of unit length
    return vectors @ labels.T


def _score(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    per_label = [average_precision_score(truth[:, label], scores[:, label]) for label in range(truth.shape[1])]
    return {"macro": float(np.mean(per_label)), "micro": float(average_precision_score(truth.ravel(), scores.ravel()))}


def _write(options: argparse.Namespace, command: str, results: list[dict[str, Any]]) -> None:
    systems = results[0]["scores"]
    rows = {
        system: {column: float(np.mean([result["scores"][system][column] for result in results])) for column in _COLUMNS}
        for system in systems
    }
    lines = [f"- seed {result['seed']}: {', '.join(result['new'])}" for result in results]
    text = "\n".join(
        [
            f"# Labels without examples: {data_name(options.data)}",
            "",
            f"`{command}`",
            "",
            f"Mean over {len(results)} choices of labels that were left out of training, ranked on {options.split}.",
            "",
            markdown_table(rows, _COLUMNS),
            "",
            "Left out:",
            "",
            *lines,
        ]
    )
    report(text, options.out, {"command": command, "results": results})


if __name__ == "__main__":
    main()
