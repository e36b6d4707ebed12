"""Try changes to how BertLamClassifier trains: ``python -m benchmarks.accuracy --data FOLDER --out FOLDER --train-size N``.

Every seed draws its own training documents; every change learns from the same ones. All are scored on val, test is never
read. Each run leaves a file, so that the same call goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_bertlam.datasets import load_support_requests
from sklearn_bertlam.exceptions import LabelWithoutPositivesWarning

from ..command_line import end_where_training_is_interrupted, natural, positive, shown
from ..output import check_sizes, claim, commit, read_json, write_atomically
from ..scoring import best_threshold, markdown_table, score
from ..tables.data import Documents, data_name, load_documents
from .changes import BASELINE, CHANGES, make_changed

_METRICS = {"average_precision_micro": "average precision", "f1_micro": "micro-F1", "f1_macro": "macro-F1"}


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help='folder of a data set, or "support"')
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--changes", nargs="*", choices=list(CHANGES), default=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--train-size", type=positive, required=True)
    parser.add_argument("--seeds", type=natural, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-length", type=positive, default=128)
    options = parser.parse_args(arguments)
    end_where_training_is_interrupted()
    warnings.simplefilter("ignore", LabelWithoutPositivesWarning)
    documents = _support_requests() if str(options.data) == "support" else load_documents(options.data, None)
    check_sizes([options.train_size], len(documents.train[0]))
    settings = {"data": data_name(options.data), "documents": documents.describe()}
    claim(options.out, settings | {"train_size": options.train_size, "max_length": options.max_length})
    for seed in options.seeds:
        for name in [BASELINE, *options.changes]:
            file = _file(options.out, name, seed)
            if not file.is_file():
                result = _measure(name, seed, documents, options)
                write_atomically(file, result)
                print(f"{name}, seed {seed}: {json.dumps(result)}", flush=True)
    _write(options)


def _support_requests() -> Documents:
    """Return the training messages as train and val; the test messages are not looked at."""
    requests = load_support_requests(subset="train")
    order = np.random.RandomState(0).permutation(len(requests.data))
    val, train = (([requests.data[row] for row in rows], requests.target[rows]) for rows in np.split(order, [160]))
    return Documents(train, val, val, requests.label_descriptions, ())


def _file(out: Path, name: str, seed: int) -> Path:
    return out / "runs" / f"{name.replace(' ', '-')}-{seed}.json"


def _measure(name: str, seed: int, documents: Any, options: argparse.Namespace) -> dict[str, Any]:
    texts, target = documents.train
    rows = np.random.RandomState(seed).permutation(len(texts))[: options.train_size]
    estimator = make_changed(
        name,
        label_names=documents.descriptions,
        max_length=options.max_length,
        threshold=0.5,  # all documents train; F1 is at the best threshold on val, the same advantage for all
        random_state=seed,
    )
    code = commit()  # before it is another one
    start = time.process_time()  # other work on the machine changes it little
    estimator.fit([texts[row] for row in rows], target[rows])
    seconds = time.process_time() - start
    texts, target = documents.val
    scores = estimator.decision_function(texts)
    results = score(target, scores > best_threshold(target, scores), scores)
    return {metric: results[metric] for metric in _METRICS} | {"cpu_seconds": seconds, "commit": code}


def _write(options: argparse.Namespace) -> None:
    """Write a table of everything that was tried so far."""
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for name in [BASELINE, *CHANGES]:
        for file in sorted((options.out / "runs").glob("*.json")):
            stem, _, seed = file.stem.rpartition("-")
            if stem == name.replace(" ", "-"):
                results.setdefault(name, {})[int(seed)] = read_json(file)
    usual = results.pop(BASELINE)
    columns = {"seeds": "seeds"}
    for metric, title in _METRICS.items():
        columns |= {metric: f"{title}, gain", f"{metric}_sd": "sd"}
    columns |= {"cost": "processor time to fit", "commit": "commit"}
    rows = {name: _row(tried, usual) for name, tried in results.items()}
    level = ", ".join(
        f"{title} {np.mean([one[metric] for one in usual.values()]):.3f}" for metric, title in _METRICS.items()
    )
    text = "\n".join(
        [
            f"# Changes to BertLamClassifier: {data_name(options.data)}, {options.train_size:,} training documents",
            "",
            "\n\n".join(_commands(options, results)),
            "",
            f"BertLamClassifier as it comes, at {options.max_length} tokens, on val: {level} (mean over "
            f"{len(usual)} seeds, each with training documents of its own). F1 is at the best threshold on val.",
            "",
            "A gain is the mean difference on the same documents, sd its standard deviation over seeds; with one seed it is "
            "not known." + (" Time is a ratio." if any("cost" in row for row in rows.values()) else ""),
            "",
            markdown_table(rows, columns, "change"),
        ]
    )
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def _commands(options: argparse.Namespace, results: dict[str, dict[int, dict[str, float]]]) -> list[str]:
    """Return the calls that make all results again, one for each set of seeds."""
    by_seeds: dict[tuple[str, ...], list[str]] = {}
    for name, tried in results.items():
        by_seeds.setdefault(tuple(map(str, sorted(tried))), []).append(name)
    words = ["--data", data_name(options.data), "--out", str(options.out)]
    words += ["--train-size", str(options.train_size), "--max-length", str(options.max_length)]
    return [
        "`" + shown("accuracy", [*words, "--seeds", *seeds, "--changes", *names]) + "`" for seeds, names in by_seeds.items()
    ]


def _row(tried: dict[int, dict[str, Any]], usual: dict[int, dict[str, Any]]) -> dict[str, str]:
    seeds = sorted(set(tried) & set(usual))
    commits = {result.get("commit") or "not recorded" for seed in seeds for result in (tried[seed], usual[seed])}
    row = {"seeds": str(len(seeds)), "commit": ", ".join(sorted(commits))}
    for metric in _METRICS:
        gains = [tried[seed][metric] - usual[seed][metric] for seed in seeds]
        row[metric] = f"{np.mean(gains):+.4f}"
        row[f"{metric}_sd"] = f"{np.std(gains, ddof=1):.4f}" if len(seeds) > 1 else ""
    if all("cpu_seconds" in result for seed in seeds for result in (tried[seed], usual[seed])):
        row["cost"] = f"{np.mean([tried[seed]['cpu_seconds'] / usual[seed]['cpu_seconds'] for seed in seeds]):.2f}"
    return row


if __name__ == "__main__":
    main()
