"""Train BERT-LAM and simpler systems on the support requests, and compare them: ``python -m benchmarks.demo``."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from typing import Any

from sklearn_bertlam.datasets import load_support_requests
from sklearn_bertlam.model_selection import MultilabelThresholdClassifierCV

from .command_line import end_where_training_is_interrupted, natural, report_path, shown
from .output import report
from .scoring import COLUMNS, evaluate, markdown_table
from .systems import DEMO_SYSTEMS, SYSTEMS, make_system

_SHOWN = ("f1_micro", "f1_macro", "precision_micro", "recall_micro", "fit_seconds")
_MESSAGES = (
    "You took the money twice, and the parcel is still not here.",
    "I can't get in, the code you text me never comes. Otherwise I love your shop!",
    "Please let me cancel my membership in the app. The button does nothing at all.",
)


def main(arguments: list[str] | None = None) -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--epochs", type=natural, default=3, help="passes over the training messages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random state of all systems (default: %(default)s)")
    parser.add_argument("--out", type=report_path, help="where the table goes as well: OUT.md and OUT.json")
    options = parser.parse_args(arguments)
    end_where_training_is_interrupted()
    command = shown("demo", sys.argv[1:] if arguments is None else arguments)
    warnings.filterwarnings("ignore", category=FutureWarning)

    start = time.perf_counter()
    rows, default = _compare(options.epochs, options.seed)
    table = markdown_table(rows, {key: COLUMNS[key] for key in _SHOWN})
    report(f"\n# Support requests\n\n`{command}`\n\n{table}\n", options.out, {"command": command, "measured": rows})
    for message, probabilities in zip(_MESSAGES, default.predict_proba(_MESSAGES), strict=True):
        labels = [
            f"{label} ({probability:.2f})"
            for label, probability in zip(default.classes_, probabilities, strict=True)
            if probability > default.threshold_
        ]
        print(f"{message}\n    -> {', '.join(labels) or 'no label'}")
    print(f"\n{time.perf_counter() - start:.0f} seconds in all.")


def _compare(epochs: int, seed: int) -> tuple[dict[str, Any], Any]:
    """Return the scores of all systems by their titles, and the last system, which is BertLamClassifier's default."""
    train, test = (load_support_requests(subset=subset, return_X_y=True, as_frame=True) for subset in ("train", "test"))
    descriptions = load_support_requests().label_descriptions
    print(f"Support requests: {len(train[0])} messages to learn from, {len(test[0])} to test on, 12 labels.\n")
    rows = {}
    for name in DEMO_SYSTEMS:
        print(f"... {SYSTEMS[name].title}", flush=True)
        system = make_system(name, label_names=descriptions, max_epochs=epochs, random_state=seed)
        title = SYSTEMS[name].title
        if name == "binary-relevance":  # the others know a threshold for themselves
            system, title = MultilabelThresholdClassifierCV(system), f"{title}, tuned threshold"
        rows[title] = evaluate(system, train, test)
    return rows, system


if __name__ == "__main__":
    main()
