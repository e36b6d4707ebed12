"""Everything that speaks for or against trusting this package, in one table: ``python -m benchmarks.trust``.

scikit-learn's checks, fuzzing, kills, threads and processes, memory, reproducibility, coverage of the tests and the mutants
that they notice, each by the command that it names. Every part leaves a file in the folder of ``--out``, so that the same
call goes on where it was cut off; delete the folder to measure anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import checks, fuzz, kills, load, reproduce
from .output import read_json, write_atomically
from .scoring import markdown_table

_CHECKS_PAGE = Path("docs/results/checks.md")


class Part(NamedTuple):
    """A measurement, the command that repeats it, how its result reads, and whether it is as it should be."""

    command: str
    measure: Callable[[], dict[str, Any]]
    rows: Callable[[dict[str, Any]], dict[str, str]]
    holds: Callable[[dict[str, Any]], bool]
    pythons: Sequence[str] = (sys.executable,)


def _parts(minutes: float, n_kills: int, n_fits: int, pythons: Sequence[str]) -> dict[str, Part]:
    command_of_checks = f"python -m benchmarks.checks --out {_CHECKS_PAGE} --pythons {' '.join(pythons)}"
    return {
        "checks": Part(
            command_of_checks,
            lambda: _checks(pythons, command_of_checks),
            _checks_rows,
            lambda result: not any(counts["failed"] for counts in result.values()),
            pythons,
        ),
        "fuzz": Part(
            f"python -m benchmarks.fuzz --minutes {minutes:g}",
            lambda: _fuzz(minutes),
            _fuzz_rows,
            lambda result: not result["failures"],
        ),
        "kills": Part(
            f"python -m benchmarks.kills --kills {n_kills}",
            lambda: _kills(n_kills),
            _kills_rows,
            lambda result: not result["lost"],
        ),
        "load": Part(
            f"python -m benchmarks.load --fits {n_fits}",
            lambda: load.measure(n_fits),
            _load_rows,
            lambda result: all(value for key, value in result.items() if key.endswith(("_agree", "_agrees"))),
        ),
        "reproduce": Part(
            "python -m benchmarks.reproduce",
            lambda: reproduce.measure(64),
            _reproduce_rows,
            lambda result: all(result["same"].values()),
        ),
        "coverage": Part(
            "python -m pytest -n auto --cov=sklearn_bertlam --cov=baselines --cov-branch",
            _coverage,
            _coverage_rows,
            lambda result: all_passed(result["tests"]),
        ),
        "mutants": Part("python -m mutmut run", _mutants, _mutants_rows, lambda result: not result["segfault"]),
    }


def _checks(pythons: Sequence[str], command: str) -> dict[str, Any]:
    results = checks.run_everywhere(pythons)
    _CHECKS_PAGE.write_text(checks.page(results, command), encoding="utf-8")
    return {
        version: {
            "estimators": len(of_estimators),
            "passed": sum(len(one.passed) for one in of_estimators.values()),
            "excused": sum(len(one.excused) for one in of_estimators.values()),
            "failed": sum(len(one.failed) for one in of_estimators.values()),
        }
        for version, of_estimators in results.items()
    }


def _checks_rows(result: dict[str, Any]) -> dict[str, str]:
    return {
        f"the checks of scikit-learn {version} on {counts['estimators']} estimators": (
            f"{counts['passed']} passed, {counts['excused']} excused with reasons, {counts['failed']} failed"
        )
        for version, counts in result.items()
    }


def _fuzz(minutes: float) -> dict[str, Any]:
    tried, failures = fuzz.fuzz(minutes)
    outcomes: Counter = Counter()
    for (_, outcome), number in tried.items():
        outcomes[outcome] += number
    return {**outcomes, "failures": failures}


def _fuzz_rows(result: dict[str, Any]) -> dict[str, str]:
    accepted, refused = result.get("accepted", 0), result.get("refused", 0)
    failures = len(result["failures"])
    return {"fuzzing": f"{accepted + refused + failures:,} inputs ({refused:,} refused as documented), {failures} failures"}


def _kills(n_kills: int) -> dict[str, Any]:
    survived, lost = kills.kill_everything(n_kills)
    return {"survived": survived, "lost": lost}


def _kills_rows(result: dict[str, Any]) -> dict[str, str]:
    each = ", ".join(f"{name} {number}" for name, number in result["survived"].items())
    return {"kill -9 at random moments": f"{sum(result['survived'].values())} survived ({each}), {len(result['lost'])} lost"}


def _load_rows(result: dict[str, Any]) -> dict[str, str]:
    (first, before), (last, after) = (
        (key.split("_")[2], value) for key, value in result.items() if key.startswith("mb_after_")
    )
    yes = {True: "the same as one", False: "DIFFERENT from one"}
    return {
        f"{result['threads']} threads on one estimator": yes[result["threads_agree"]],
        f"{result['processes']} processes of loky": yes[result["loky_agrees"]],
        f"{result['processes']} forked processes": f"{yes[result['fork_agrees']]}, {result['fork_messages']} warnings",
        f"memory after {first} and {last} fits": f"{before:.0f} MB, {after:.0f} MB",
    }


def _reproduce_rows(result: dict[str, Any]) -> dict[str, str]:
    same = ", ".join(f"{name}: {'same' if is_same else 'DIFFERENT'}" for name, is_same in result["same"].items())
    difference = result["largest_difference_of_threads"]
    return {
        "bits of the same fit in fresh processes": same,
        "two threads against one": f"probabilities differ by at most {difference:.1e}",
    }


def _coverage() -> dict[str, Any]:
    file = Path("coverage.json")
    command = ["-m", "pytest", "-q", "-n", "auto", "--cov=sklearn_bertlam", "--cov=baselines", "--cov-branch"]
    done = subprocess.run(
        [sys.executable, *command, f"--cov-report=json:{file}"], capture_output=True, text=True, check=False
    )
    totals = json.loads(file.read_text(encoding="utf-8"))["totals"]
    file.unlink()
    return {"tests": done.stdout.strip().splitlines()[-1], "totals": totals}


def all_passed(summary: str) -> bool:
    """Tell from pytest's last line whether no test has failed; those that were expected to, "xfailed", do not count."""
    return re.search(r"\b\d+ (failed|errors?)\b", summary) is None


def _coverage_rows(result: dict[str, Any]) -> dict[str, str]:
    totals = result["totals"]
    lines = totals["covered_lines"] / totals["num_statements"]
    branches = totals["covered_branches"] / totals["num_branches"]
    return {"coverage of the tests": f"{lines:.1%} of the lines, {branches:.1%} of the branches"}


def _mutants() -> dict[str, Any]:
    shutil.rmtree("mutants", ignore_errors=True)
    for command in ("run", "export-cicd-stats"):
        subprocess.run([sys.executable, "-m", "mutmut", command], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return json.loads(Path("mutants/mutmut-cicd-stats.json").read_text(encoding="utf-8"))


def _mutants_rows(result: dict[str, Any]) -> dict[str, str]:
    noticed = result["killed"] + result["timeout"]
    return {"changes to the code that tests notice": f"{noticed} of {result['total']}, {noticed / result['total']:.1%}"}


def main() -> int:
    """Run what is asked for on the command line; return 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trust", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results/trust"))
    parser.add_argument("--minutes", type=float, default=5.0, help="of fuzzing")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--fits", type=int, default=1000)
    parser.add_argument("--parts", nargs="+", choices=list(_parts(0, 0, 0, [])), help="only these; all by default")
    parser.add_argument(
        "--pythons", nargs="+", default=["python"], metavar="PYTHON", help="interpreters for scikit-learn's checks"
    )
    options = parser.parse_args()
    parts = _parts(options.minutes, options.kills, options.fits, options.pythons)
    rows, all_hold = {}, True
    for name, part in parts.items():
        file = options.out / f"{name}.json"
        if not file.is_file() and name in (options.parts or parts):
            print(f"... {part.command}", flush=True)
            versions = "; ".join(_versions(python) for python in part.pythons)
            write_atomically(file, {"command": part.command, "versions": versions, "result": part.measure()})
        if file.is_file():
            content = read_json(file)
            all_hold &= part.holds(content["result"])
            for title, value in part.rows(content["result"]).items():
                rows[title] = {"value": value, "command": f"`{content['command']}`", "versions": content["versions"]}
    text = f"# Trust\n\n{markdown_table(rows, {'value': 'result', 'command': 'command', 'versions': 'with'}, 'what')}\n"
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    return 0 if all_hold else 1


def _versions(python: str) -> str:
    command = [python, "-c", "from benchmarks.output import versions; print(versions())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
