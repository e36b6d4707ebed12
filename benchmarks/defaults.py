"""Cross-validate values of one parameter on training messages of the support requests.

``python -m benchmarks.defaults learning_rate 5e-5 1e-4 2e-4 --out docs/results/defaults`` is how defaults are chosen: the
test messages are not looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from sklearn.model_selection import KFold, cross_validate

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.datasets import load_support_requests

from .command_line import end_where_training_is_interrupted, positive, shown
from .scoring import markdown_table

_SCORINGS = {"f1_micro": "micro-F1", "f1_macro": "macro-F1", "average_precision": "average precision (macro)"}


def main() -> None:
    """Run what is asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.defaults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parameter", help="a parameter of BertLamClassifier")
    parser.add_argument("values", nargs="+", help="its values, as JSON or plain strings")
    parser.add_argument("--folds", type=positive, default=3)
    parser.add_argument("--without-names", action="store_true", help="let labels have no text")
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("PARAMETER", "VALUE"), help="keep fixed")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    options = parser.parse_args()
    end_where_training_is_interrupted()

    requests = load_support_requests(subset="train")
    names = None if options.without_names else requests.label_descriptions
    fixed = {parameter: _value(value) for parameter, value in options.set}
    rows = {}
    for text in options.values:
        print(f"... {options.parameter}={text}", flush=True)
        parameters = fixed | {options.parameter: _value(text)}
        results = cross_validate(
            BertLamClassifier(label_names=names, random_state=0, **parameters),
            requests.data,
            requests.target,
            scoring=list(_SCORINGS),
            cv=KFold(options.folds, shuffle=True, random_state=0),
            error_score="raise",
        )
        rows[text] = {metric: results[f"test_{metric}"].mean() for metric in _SCORINGS}
        rows[text] |= {"f1_micro_sd": results["test_f1_micro"].std(ddof=1), "fit_seconds": results["fit_time"].mean()}
    columns = _SCORINGS | {"f1_micro_sd": "sd of micro-F1 over folds", "fit_seconds": "seconds to fit"}
    _write(options, markdown_table(rows, columns))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _write(options: argparse.Namespace, table: str) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    name = "-".join([options.parameter, *(f"{parameter}-{value}" for parameter, value in options.set)])
    name += "-without-names" if options.without_names else ""
    file = options.out / f"{name.replace('/', '-')}.md"
    file.write_text(
        f"# {options.parameter} on support requests\n\nMeans over {options.folds} folds of the 360 training messages.\n\n"
        f"`{shown('defaults', sys.argv[1:])}`\n\n{table}\n",
        encoding="utf-8",
    )
    print(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
