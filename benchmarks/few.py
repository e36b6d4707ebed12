"""BertLamClassifier as it comes, against what else one would use on a few documents, each as it is used best.

``python -m benchmarks.few --data FOLDER --out FOLDER --sizes 100 1000 --seeds 0 1 2 3 4``

Nothing is tuned on val or test: the classifier decides on its own threshold, and that of the others, Binary Relevance and
frozen embeddings with logistic regression, is tuned by cross-validation on the training documents. Every seed draws its
own. Each run leaves a file, so that the same call goes on where it was cut off. ``--data support`` means the support
requests that come with the package.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.baselines import BinaryRelevanceClassifier, FrozenEncoderClassifier
from sklearn_bertlam.datasets import load_support_requests
from sklearn_bertlam.exceptions import LabelWithoutPositivesWarning
from sklearn_bertlam.model_selection import MultilabelThresholdClassifierCV

from .command_line import end_where_training_is_interrupted, natural, positive, shown
from .output import check_sizes, claim, read_json, write_atomically
from .scoring import best_threshold, markdown_table, score
from .tables.data import Documents, data_name, load_documents

SYSTEMS: dict[str, Callable[[Any, int], Any]] = {
    "BertLamClassifier": lambda names, seed: BertLamClassifier(label_names=names, random_state=seed),
    "frozen embeddings": lambda names, seed: MultilabelThresholdClassifierCV(FrozenEncoderClassifier(random_state=seed)),
    "Binary Relevance": lambda names, seed: MultilabelThresholdClassifierCV(BinaryRelevanceClassifier()),
}
_FOLDS = 5  # of MultilabelThresholdClassifierCV
_METRICS = ("f1_micro", "f1_macro", "average_precision_micro")
_MEASURED = (*_METRICS, "f1_half", "f1_best")


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.few", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help='folder of a data set, or "support"')
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--sizes", type=positive, nargs="+", required=True, help="numbers of training documents")
    parser.add_argument("--seeds", type=natural, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="SYSTEM")
    options = parser.parse_args(arguments)
    if str(options.data) == "support" and options.split == "val":
        parser.error("the support requests have no val: choose on --data of your own, or on AAPD's")
    end_where_training_is_interrupted()
    warnings.simplefilter("ignore", LabelWithoutPositivesWarning)
    documents = _support_requests() if str(options.data) == "support" else load_documents(options.data, None)
    texts, target = documents.train
    check_sizes(options.sizes, len(texts))
    if min(options.sizes) < _FOLDS:
        raise SystemExit(f"Thresholds are tuned in {_FOLDS} folds, which {min(options.sizes)} documents do not have.")
    claim(options.out, {"data": data_name(options.data), "documents": documents.describe(), "split": options.split})
    for size in options.sizes:
        for seed in options.seeds:
            rows = np.random.RandomState(seed).permutation(len(texts))[:size]
            for system in options.systems:
                file = _file(options.out, system, size, seed)
                if not file.is_file():
                    estimator = SYSTEMS[system](documents.descriptions, seed)
                    drawn = [texts[row] for row in rows], target[rows]
                    result = _measure(estimator, drawn, getattr(documents, options.split))
                    write_atomically(file, result)
                    print(f"{system}, {size} documents, seed {seed}: {json.dumps(result)}", flush=True)
    _write(options)


def _support_requests() -> Documents:
    train, test = (load_support_requests(subset=subset) for subset in ("train", "test"))
    scored = test.data, test.target
    return Documents((train.data, train.target), scored, scored, train.label_descriptions, ())


def _measure(estimator: Any, train: tuple[Any, Any], evaluation: tuple[Any, Any]) -> dict[str, float]:
    estimator.fit(*train)
    texts, target = evaluation
    scores = estimator.predict_proba(texts)
    results = score(target, estimator.predict(texts), scores)
    return {metric: results[metric] for metric in _METRICS} | {
        "f1_half": score(target, scores > 0.5, scores)["f1_micro"],
        "f1_best": score(target, scores > best_threshold(target, scores), scores)["f1_micro"],
    }


def _file(out: Path, system: str, size: int, seed: int) -> Path:
    return out / "runs" / f"{system.replace(' ', '-')}-{size}-{seed}.json"


def _read(out: Path) -> dict[int, dict[str, dict[int, dict[str, float]]]]:
    """Return all results that are there: size -> system -> seed -> metrics."""
    results: dict[int, dict[str, dict[int, dict[str, float]]]] = {}
    names = {system.replace(" ", "-"): system for system in SYSTEMS}
    for file in sorted((out / "runs").glob("*.json")):
        stem, size, seed = file.stem.rsplit("-", 2)
        content = read_json(file)
        results.setdefault(int(size), {}).setdefault(names[stem], {})[int(seed)] = content
    return dict(sorted(results.items()))


def _write(options: argparse.Namespace) -> None:
    rows, commands = {}, []
    for size, systems in _read(options.out).items():
        by_seeds: dict[tuple[int, ...], list[str]] = {}
        for system in filter(systems.get, SYSTEMS):
            rows[f"{size:,} documents, {system}"] = _row(systems[system], systems.get("BertLamClassifier"))
            by_seeds.setdefault(tuple(sorted(systems[system])), []).append(system)
        commands += [_command(options, size, seeds, measured) for seeds, measured in by_seeds.items()]
    columns = {
        "seeds": "seeds",
        "f1_micro": "micro-F1",
        "lead": "BertLamClassifier's lead (sd over seeds)",
        "f1_half": "at threshold 0.5",
        "f1_best": "at the best one in hindsight",
        "f1_macro": "macro-F1",
        "average_precision_micro": "average precision",
    }
    text = "\n".join(
        [
            f"# Few documents: {data_name(options.data)}",
            "",
            "\n\n".join(f"`{command}`" for command in commands),
            "",
            f"Means over draws of training documents (over seeds where all documents are drawn), scored on {options.split}. "
            "BertLamClassifier has its defaults and reads the labels' descriptions; the threshold of the others is from "
            "five-fold cross-validation on the training documents.",
            "",
            markdown_table(rows, columns, "learned from, system"),
        ]
    )
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def _row(results: dict[int, dict[str, float]], ours: dict[int, dict[str, float]] | None) -> dict[str, str]:
    row = {metric: f"{np.mean([result[metric] for result in results.values()]):.3f}" for metric in _MEASURED}
    row["seeds"] = str(len(results))
    if ours is not None and ours is not results:
        gains = [ours[seed]["f1_micro"] - results[seed]["f1_micro"] for seed in sorted(set(ours) & set(results))]
        row |= {"lead": _lead(gains)} if gains else {}
    return row


def _command(options: argparse.Namespace, size: int, seeds: Sequence[int], systems: list[str]) -> str:
    """Return the call that makes the results of some systems again."""
    words = ["--data", data_name(options.data), "--out", str(options.out), "--sizes", str(size), "--seeds", *map(str, seeds)]
    words += ["--split", options.split] if options.split != "test" else []
    words += ["--systems", *systems] if len(systems) < len(SYSTEMS) else []
    return shown("few", words)


def _lead(gains: list[float]) -> str:
    return f"{np.mean(gains):+.3f}" + (f" ({np.std(gains, ddof=1):.3f})" if len(gains) > 1 else "")


if __name__ == "__main__":
    main()
