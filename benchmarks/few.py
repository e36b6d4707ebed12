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

from .scoring import markdown_table, score
from .tables.data import data_name, load_documents
from .tables.runs import write_atomically

SYSTEMS: dict[str, Callable[[Any, int], Any]] = {
    "BertLamClassifier": lambda names, seed: BertLamClassifier(label_names=names, random_state=seed),
    "frozen embeddings": lambda names, seed: MultilabelThresholdClassifierCV(FrozenEncoderClassifier(random_state=seed)),
    "Binary Relevance": lambda names, seed: MultilabelThresholdClassifierCV(BinaryRelevanceClassifier()),
}
_METRICS = ("f1_micro", "f1_macro", "average_precision_micro")


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
    words = ["python", "-m", "benchmarks.few", *arguments]
    _write(options, shlex.join(data_name(options.data) if word == str(options.data) else word for word in words))


def _documents(options: argparse.Namespace) -> tuple[Any, Any, dict[str, str]]:
    if str(options.data) == "support":
        train, test = (load_support_requests(subset=subset) for subset in ("train", "test"))
        return (train.data, train.target), (test.data, test.target), train.label_descriptions
    documents = load_documents(options.data, None)
    return documents.train, getattr(documents, options.split), documents.descriptions


def _measure(estimator: Any, train: tuple[Any, Any], evaluation: tuple[Any, Any]) -> dict[str, float]:
    estimator.fit(*train)
    texts, target = evaluation
    results = score(target, estimator.predict(texts), estimator.predict_proba(texts))
    return {metric: results[metric] for metric in _METRICS}


def _file(out: Path, system: str, size: int, seed: int) -> Path:
    return out / "runs" / f"{system.replace(' ', '-')}-{size}-{seed}.json"


def _write(options: argparse.Namespace, command: str) -> None:
    rows = {}
    for size in options.sizes:
        f1 = {}
        for system in SYSTEMS:
            files = [_file(options.out, system, size, seed) for seed in options.seeds]
            results = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
            if results:
                f1[system] = np.array([result["f1_micro"] for result in results])
                means = {metric: f"{np.mean([result[metric] for result in results]):.3f}" for metric in _METRICS}
                rows[f"{size:,} documents, {system}"] = means | {"gain": _gain(f1, system)}
    columns = {
        "f1_micro": "micro-F1",
        "gain": "BertLamClassifier's lead (sd over seeds)",
        "f1_macro": "macro-F1",
        "average_precision_micro": "average precision",
    }
    text = "\n".join(
        [
            f"# Few documents: {data_name(options.data)}",
            "",
            f"`{command}`",
            "",
            f"Means over {len(options.seeds)} draws of training documents, scored on {options.split}. BertLamClassifier has "
            "its defaults, the threshold of the others is from five-fold cross-validation on the training documents.",
            "",
            markdown_table(rows, columns),
        ]
    )
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def _gain(f1: dict[str, np.ndarray], system: str) -> str:
    ours = f1.get("BertLamClassifier")
    if ours is None or system == "BertLamClassifier" or len(ours) != len(f1[system]):
        return ""
    gains = ours - f1[system]
    return f"{gains.mean():+.3f}" + (f" ({gains.std(ddof=1):.3f})" if len(gains) > 1 else "")


if __name__ == "__main__":
    main()
