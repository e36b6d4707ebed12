"""What the runs come to: results.json, results.md and results.png."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..bootstrap import bootstrap_micro_f1, interval
from ..output import read_json, write_atomically
from ..scoring import COLUMNS, markdown_table
from ..systems import SYSTEMS

_TABLES = {"aapd": "Table I", "rcv1-v2": "Table II"}
_SCORES = ("precision_micro", "recall_micro", "f1_micro")
_MORE_SCORES = ("f1_macro", "hamming_loss", "average_precision_micro")
_COSTS = [key for key in COLUMNS if key not in _SCORES]
_HOW = """\
- Every system learns from the same documents in a process of its own; what is chosen is chosen on val, and {split} is
  scored once.
- The interval of micro-F1, a mean over seeds, holds 95 % of 10,000 resamples of the {split} documents. The difference to the
  reference, "{reference}", is paired: both are scored on the same resamples.
- Binary Relevance reads all words, other systems that read words up to 500 of them, and the rest up to {max_length} tokens;
  where a label-wise network counts words, it counts those of the whole text. Networks that read words start from random
  vectors.
- Seconds are over all values that val chose between. They depend on what else the machine did and on the state of the code:
  compare them between rows of the same commit only. Parameters include those of an encoder that is not trained."""


def summarise(
    results: dict[str, dict[int, dict[str, Any]]], reference: str, with_intervals: bool = True
) -> dict[str, dict[str, Any]]:
    """Return a row for every system: means and spread over seeds, and interval and paired difference of micro-F1."""
    counts = {name: np.array([run["counts"] for run in runs.values()]) for name, runs in results.items()}
    resampled = bootstrap_micro_f1(counts) if with_intervals else {}
    rows = {}
    for name, runs in results.items():
        metrics = [result["metrics"] for result in runs.values()]
        row: dict[str, Any] = {key: float(np.mean([one[key] for one in metrics])) for key in metrics[0]}
        row["seeds"] = len(metrics)
        row["commit"] = ", ".join(sorted({run.get("commit") or "not recorded" for run in runs.values()}))
        for key in (*_SCORES, *_MORE_SCORES):
            row[f"{key}_sd"] = float(np.std([one[key] for one in metrics], ddof=1)) if len(metrics) > 1 else None
        if with_intervals:
            row["f1_micro_interval"] = interval(resampled[name])
        rows[name] = row
    for name, row in rows.items():
        if reference in resampled and name != reference:
            row["difference"] = row["f1_micro"] - rows[reference]["f1_micro"]
            row["difference_interval"] = interval(resampled[name] - resampled[reference])
    return rows


def write_report(
    out: Path,
    *,
    command: str,
    settings: dict[str, Any],
    remarks: tuple[str, ...],
    results: dict[str, dict[int, dict[str, Any]]],
    failures: dict[str, str],
    reference: str,
    is_last: bool,
) -> None:
    """Write what is there so far; intervals and the picture only at the end, because they take long on many documents."""
    if not results and not failures:
        return
    rows = summarise(results, reference, is_last) if results else {}
    commands = _commands(out / "results.json", command)
    runs = {
        name: {seed: {key: run[key] for key in ("metrics", "chosen")} for seed, run in seeds.items()}
        for name, seeds in results.items()
    }
    content = {"commands": commands, "settings": settings, "remarks": remarks, "failures": failures}
    write_atomically(out / "results.json", content | {"summary": rows, "runs": runs})
    text = markdown(commands, settings, remarks, rows, failures, reference)
    (out / "results.md").write_text(text, encoding="utf-8")
    if rows and is_last:
        _plot(out / "results.png", rows, settings)


def _commands(file: Path, command: str) -> list[str]:
    """Return the commands of all calls that made the results, this one last."""
    before = read_json(file)["commands"] if file.is_file() else []
    return [*(one for one in before if one != command), command]


def markdown(
    commands: list[str],
    settings: dict[str, Any],
    remarks: tuple[str, ...],
    rows: dict[str, dict[str, Any]],
    failures: dict[str, str],
    reference: str,
) -> str:
    """Lay out the report."""
    data, split = settings["data"], settings["split"]
    title = f"{_TABLES[data]} of the paper again: {data}" if data in _TABLES else data
    described = [f"- {key.replace('_', ' ')}: {_plain(value)}" for key, value in settings.items() if value is not None]
    parts = [f"# {title}", *(f"`{command}`" for command in commands), "\n".join(described), *remarks]
    if rows:
        columns = {key: COLUMNS[key] for key in _SCORES} | {
            "sd": "sd over seeds",
            "interval": "95 % interval",
            "difference": "difference to the reference",
            "published": "the paper's micro-F1",
        }
        costs = {key: COLUMNS[key] for key in _COSTS} | {"commit": "commit"}
        parts += [
            f"## Scores on {split}",
            markdown_table({SYSTEMS[name].title: _score_row(name, row, data) for name, row in rows.items()}, columns),
            "## More, and what it costs",
            markdown_table({SYSTEMS[name].title: row for name, row in rows.items()}, costs),
        ]
    repeated = {name: row for name, row in rows.items() if row["seeds"] > 1}
    if repeated:
        columns = {f"{key}_sd": COLUMNS[key] for key in (*_SCORES, *_MORE_SCORES)}
        spread = {SYSTEMS[name].title: {key: f"{row[key]:.4f}" for key in columns} for name, row in repeated.items()}
        parts += ["## Standard deviation over seeds", markdown_table(spread, columns)]
    if failures:
        parts += ["## Failed", "\n".join(f"- {name}: {reason}" for name, reason in failures.items())]
    how = _HOW.format(split=split, reference=SYSTEMS[reference].title, max_length=settings["max_length"])
    about = _about_the_paper(data) if any(SYSTEMS[name].published.get(data) for name in rows) else ""
    return "\n\n".join([*parts, "## How to read this", how + about]) + "\n"


def _plain(value: Any) -> str:
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)


def _score_row(name: str, row: dict[str, Any], data: str) -> dict[str, Any]:
    published = SYSTEMS[name].published.get(data)
    shown: dict[str, Any] = {key: row[key] for key in _SCORES}
    shown["sd"] = f"{row['f1_micro_sd']:.3f}" if row["f1_micro_sd"] is not None else "one seed"
    if "f1_micro_interval" in row:
        shown["interval"] = "{:.3f} to {:.3f}".format(*row["f1_micro_interval"])
    if "difference" in row:
        low, high = row["difference_interval"]
        shown["difference"] = f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
    shown["published"] = None if published is None else f"{published:.3f}"
    return shown


def _about_the_paper(data: str) -> str:
    if data not in _TABLES:
        return ""
    return (
        f"\n- The last column is the paper's {_TABLES[data]}, with bert-base-uncased and its own training set; the encoder "
        "here is named above."
    ) + (
        "\n- The paper's NoLAM has .875 in that table, which is not 2 P R / (P + R) of its columns; .872 is."
        if data == "rcv1-v2"
        else ""
    )


def _plot(file: Path, rows: dict[str, dict[str, Any]], settings: dict[str, Any]) -> None:
    """Draw micro-F1 with its interval against seconds to fit, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
    except ImportError:
        return
    figure = Figure(figsize=(9, 0.45 * len(rows) + 1.6), layout="constrained")
    scores, seconds = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    order = sorted(rows, key=lambda name: rows[name]["f1_micro"])
    places = np.arange(len(order))
    f1 = np.array([rows[name]["f1_micro"] for name in order])
    low, high = np.array([rows[name]["f1_micro_interval"] for name in order]).T
    scores.hlines(places, low, high, color="#0072b2")
    scores.plot(f1, places, "o", color="#0072b2")
    for place, value in zip(places, f1, strict=True):
        scores.annotate(f"{value:.3f}", (value, place), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    scores.set(xlabel=f"micro-F1 on {settings['split']}, 95 % interval", yticks=places, ylim=(-0.6, len(order) - 0.2))
    scores.set_yticklabels([SYSTEMS[name].title for name in order])
    scores.grid(axis="x", alpha=0.3)
    times = [rows[name]["fit_seconds"] for name in order]
    seconds.barh(places, times, color="#999999", height=0.5)
    seconds.set(xscale="log", xlabel="seconds to fit")
    seconds.xaxis.set_major_locator(LogLocator(subs=(1, 3) if max(times) < 100 * min(times) else (1,)))
    seconds.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    seconds.xaxis.set_minor_formatter(NullFormatter())
    seconds.grid(axis="x", alpha=0.3)
    figure.suptitle(f"{settings['data']}: {settings['documents']['train']:,} training documents")
    figure.savefig(file, dpi=130)
