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
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.baselines import BinaryRelevanceClassifier, FrozenEncoderClassifier
from sklearn_bertlam.datasets import load_support_requests
from sklearn_bertlam.exceptions import LabelWithoutPositivesWarning
from sklearn_bertlam.model_selection import MultilabelThresholdClassifierCV

from .output import check_sizes, claim, portable, read_json, write_atomically
from .scoring import best_threshold, markdown_table, score
from .tables.data import data_name, load_documents

SYSTEMS: dict[str, Callable[[Any, int], Any]] = {
    "BertLamClassifier": lambda names, seed: BertLamClassifier(label_names=names, random_state=seed),
    "frozen embeddings": lambda names, seed: MultilabelThresholdClassifierCV(FrozenEncoderClassifier(random_state=seed)),
    "Binary Relevance": lambda names, seed: MultilabelThresholdClassifierCV(BinaryRelevanceClassifier()),
}
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
    parser.add_argument("--sizes", type=int, nargs="+", required=True, help="numbers of training documents")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="SYSTEM")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", LabelWithoutPositivesWarning)
    (texts, target), evaluation, names = _documents(options)
    check_sizes(options.sizes, len(texts))
    claim(options.out, {"data": data_name(options.data), "documents": len(texts), "split": options.split})
    for size in options.sizes:
        for seed in options.seeds:
            rows = np.random.RandomState(seed).permutation(len(texts))[:size]
            for system in options.systems:
                file = _file(options.out, system, size, seed)
                if not file.is_file():
                    estimator = SYSTEMS[system](names, seed)
                    result = _measure(estimator, ([texts[row] for row in rows], target[rows]), evaluation)
                    write_atomically(file, result)
                    print(f"{system}, {size} documents, seed {seed}: {json.dumps(result)}", flush=True)
    _write(options)


def _documents(options: argparse.Namespace) -> tuple[Any, Any, dict[str, str]]:
    if str(options.data) == "support":
        train, test = (load_support_requests(subset=subset) for subset in ("train", "test"))
        return (train.data, train.target), (test.data, test.target), train.label_descriptions
    documents = load_documents(options.data, None)
    return documents.train, getattr(documents, options.split), documents.descriptions


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
        seeds = sorted(set.intersection(*(set(results) for results in systems.values())))
        words = [
            "--data",
            data_name(options.data),
            "--out",
            *portable([str(options.out)]),
            "--sizes",
            str(size),
            "--seeds",
            *map(str, seeds),
        ]
        words += ["--split", options.split] if options.split != "test" else []
        commands.append("`" + shlex.join(["python", "-m", "benchmarks.few", *words]) + "`")
        ours = systems.get("BertLamClassifier")
        for system in SYSTEMS:
            if system in systems:
                results = systems[system]
                row = {metric: f"{np.mean([results[seed][metric] for seed in seeds]):.3f}" for metric in _MEASURED}
                row["seeds"] = str(len(seeds))
                if ours is not None and results is not ours:
                    row["lead"] = _lead([ours[seed]["f1_micro"] - results[seed]["f1_micro"] for seed in seeds])
                rows[f"{size:,} documents, {system}"] = row
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
            "\n\n".join(commands),
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


def _lead(gains: list[float]) -> str:
    return f"{np.mean(gains):+.3f}" + (f" ({np.std(gains, ddof=1):.3f})" if len(gains) > 1 else "")


if __name__ == "__main__":
    main()
