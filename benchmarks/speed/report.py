"""From the rounds of all systems to ratios, Markdown and a plot."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from .systems import ROWS

_TASKS = {"train": "Training", "predict": "Prediction"}
_NOTES = """\
Medians over rounds; ratios are taken within a round: median (smallest to largest).

- Every system is a process of its own with a turn in every round, after a few untimed steps. Training is timed from
  the begin of the first update to the end of the last, each document once; prediction from raw texts to probabilities.
- BertLamClassifier gives the memory that training used back at the end of ``fit``. Its first updates are slower than later
  ones, because they ask for it again; short runs like these make more of that than long ones.
- Memory is the peak of the process, interpreter and libraries included; on a GPU, the most that torch has allocated.
  Prediction starts from a model that has not been trained in that process.
- The share of matrix speed counts the FLOPs of the encoder for real tokens, not for padding (three times for training),
  against the fastest matrix product measured in the same precision at the start of the run.
- All train with the same learning rate of the encoder, the peers with it everywhere, and from a last layer with random
  weights. BertLamClassifier trains without counts of words; its last layer has a learning rate of its own and starts from
  the labels' log-odds, which is most of its lead in loss after so few updates. The training loss is the mean of the last
  quarter of the updates; the held-out loss is computed by one function.
- "As documented" is float32 with each batch padded to its longest text (skorch: to max_length). "At its best switches" is
  the fastest precision, texts grouped by length (prediction: sorted), fused AdamW, and the attention implementation (on a
  GPU also the size of a prediction batch) that was fastest in a trial before the rounds.
- BertLamClassifier does not drop attention weights while training; Trainer does, as the encoder's configuration says. The
  row without attention dropout shows what this alone is worth.
- Classifiers that are only timed in prediction are not fine-tuned: that does not change what a prediction costs."""
_COLUMNS = {
    "documents_per_second": "docs/s",
    "ratio": "ours / it",
    "peak_memory_gb": "peak memory, GB",
    "share_of_matrix_speed": "share of matrix speed",
    "training_loss": "training loss",
    "heldout_loss": "held-out loss",
}
_LOSSES = ("training_loss", "heldout_loss")
_SPECIAL = {
    "label attention: time of label-wise / time of cls": ("ours-cls", "ours"),
    "documents x 10: time per document / that at x 1": ("ours", "ours-10x-documents"),
    "labels x 10: time / that at x 1": ("ours", "ours-10x-labels"),
}


def summarise(rounds: list[dict[str, Any]], flops: float, speeds: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Compute one entry per system from its rounds; ``flops`` are those of a document, ``speeds`` the roofs."""
    summary: dict[str, dict[str, Any]] = {}
    for key in dict.fromkeys(key for one in rounds for key in one):
        answers = [one[key] for one in rounds if key in one]
        speed = [answer["documents_per_second"] for answer in answers]
        precision = ROWS[key].precision if ROWS[key].precision in speeds else max(speeds, key=lambda name: speeds[name])
        summary[key] = {
            "documents_per_second": _spread(speed),
            "ratio": _ratio(rounds, "ours", key),
            "peak_memory_gb": _spread([answer["peak_memory_gb"] for answer in answers]),
            "precision": precision,
            # of 8-bit integers the roof is not measured
            "share_of_matrix_speed": None if key == "ours-optimized" else median(speed) * flops / speeds[precision],
        }
        for loss in _LOSSES:
            if loss in answers[0]:
                summary[key][loss] = _spread([answer[loss] for answer in answers])
    return summary


def ratios(rounds: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Compare this package with itself, and its memory with that of Trainer as documented."""
    found = {title: _ratio(rounds, *pair) for title, pair in _SPECIAL.items()}
    found["peak memory / that of Trainer as documented"] = _ratio(rounds, "ours", "trainer", "peak_memory_gb")
    return {title: ratio for title, ratio in found.items() if ratio}


def _ratio(rounds: list[dict[str, Any]], one: str, other: str, what: str = "documents_per_second") -> list[float] | None:
    """Divide what ``one`` has by what ``other`` has, round by round."""
    quotients = [round_[one][what] / round_[other][what] for round_ in rounds if one in round_ and other in round_]
    return _spread(quotients) if quotients else None


def _spread(values: list[float]) -> list[float]:
    return [median(values), min(values), max(values)]


def markdown(results: dict[str, Any]) -> str:
    """Lay out everything that was measured."""
    lines = ["# Speed and memory", "", f"`{results['command']}`", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in results["settings"].items()]
    lines += [f"- matrix products, {name}: {speed / 1e9:,.0f} GFLOP/s" for name, speed in results["matrix_speed"].items()]
    for part in results["parts"]:
        lines += ["", f"## {_TASKS[part['task']]}, {part['max_length']} tokens", ""]
        lines += [f"{part['documents']} documents of {part['mean_tokens']:.0f} tokens on average.", ""]
        lines += [_table(part["summary"])]
        own = [f"- {title}: {_text(ratio)}" for title, ratio in part["ratios"].items()]
        own += [f"- {ROWS[key].title}: {_words(switch)} was fastest" for key, switch in part["switches"].items()]
        own += [f"- {ROWS[key].title}: {reason}" for key, reason in part["missing"].items()]
        lines += ["", *own] if own else []
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results["versions"].items()))
    return "\n".join([*lines, "", "## How to read this", "", _NOTES, "", f"Versions: {versions}.", ""])


def _table(summary: dict[str, dict[str, Any]]) -> str:
    columns = {key: title for key, title in _COLUMNS.items() if any(key in entry for entry in summary.values())}
    lines = [["system", *columns.values()], ["---", *["---:"] * len(columns)]]
    for key, entry in summary.items():
        cells = {
            "documents_per_second": f"{entry['documents_per_second'][0]:,.1f}",
            "ratio": _text(entry["ratio"]) if entry["ratio"] and key != "ours" else "",
            "peak_memory_gb": f"{entry['peak_memory_gb'][0]:.2f}",
            **{loss: f"{entry[loss][0]:.4f}" for loss in _LOSSES if loss in entry},
        }
        if entry["share_of_matrix_speed"] is not None:
            cells["share_of_matrix_speed"] = f"{entry['share_of_matrix_speed']:.0%} of {entry['precision']}"
        lines.append([ROWS[key].title, *(cells.get(column, "") for column in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(spread: list[float]) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*spread)


def _words(switch: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in switch.items())


def plot(results: dict[str, Any], file: Path) -> None:
    """Draw documents per second as bars, with a line from the slowest round to the fastest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = results["parts"]
    height = 1.1 + 0.34 * max(len(part["summary"]) for part in parts)
    figure, axes = pyplot.subplots(len(parts), 1, figsize=(8, height * len(parts)), squeeze=False, layout="constrained")
    for axis, part in zip(axes[:, 0], parts, strict=True):
        for row, (key, entry) in enumerate(part["summary"].items()):
            middle, low, high = entry["documents_per_second"]
            axis.barh(row, middle, color="#2b6cb0" if key.startswith("ours") else "#a0aec0")
            axis.plot([low, high], [row, row], color="black", linewidth=1)
            axis.annotate(f"{middle:,.0f}", (high, row), (4, 0), textcoords="offset points", va="center", fontsize=8)
        axis.set_yticks(range(len(part["summary"])), [ROWS[key].title for key in part["summary"]], fontsize=8)
        axis.invert_yaxis()
        axis.margins(x=0.1)
        axis.set_title(f"{_TASKS[part['task']]}, {part['max_length']} tokens: documents per second", fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
