"""Write the page of scikit-learn's checks: which ones ran, which are excused, and why.

``python -m benchmarks.checks --out docs/results/checks.md``. With ``--pythons`` they run with the scikit-learn of each of
these interpreters.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .command_line import shown

_TESTS = Path(__file__).parents[1] / "tests" / "test_common.py"
_NAME = re.compile(r"test_scikit_learn_check\[(?:Numeric)?(?P<estimator>\w+?)(?:Classifier)?\(.*\)-(?P<check>check_\w+)")


class Checks(NamedTuple):
    """What came out of the checks of one estimator."""

    passed: list[str]
    excused: dict[str, str]
    failed: list[str]


def run_everywhere(pythons: Sequence[str]) -> dict[str, dict[str, Checks]]:
    """Run all checks with each interpreter, and return the results by version of scikit-learn and estimator."""
    return {_version_of_scikit_learn(python): run_checks(python) for python in pythons}


def _version_of_scikit_learn(python: str) -> str:
    command = [python, "-c", "import sklearn; print(sklearn.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run_checks(python: str = sys.executable) -> dict[str, Checks]:
    """Run all checks on all estimators with an interpreter, and return the results by estimator."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [python, "-m", "pytest", "-q", "-n", "auto", str(_TESTS), f"--junitxml={report}"],
            capture_output=True,
            check=False,  # the page tells what failed
        )
        cases = list(ET.parse(report).getroot().iter("testcase")) if report.is_file() else []
    results: dict[str, Checks] = defaultdict(lambda: Checks([], {}, []))
    for case in cases:
        match = _NAME.match(case.get("name", ""))
        if match is None:
            continue
        checks, name = results[match["estimator"]], match["check"]
        excuse = case.find("skipped")
        if excuse is not None:
            checks.excused[name] = (excuse.get("message") or "").removeprefix("Skipped: ").removeprefix("reason: ")
        elif case.find("failure") is not None or case.find("error") is not None:
            checks.failed.append(name)
        else:
            checks.passed.append(name)
    if not results:
        raise SystemExit(f"No check ran with {python}. `{python} -m pytest {_TESTS}` tells why.")
    return dict(sorted(results.items()))


def page(results: dict[str, dict[str, Checks]], command: str) -> str:
    """Return the page in Markdown."""
    lines = [
        "# scikit-learn's checks",
        "",
        f"`{command}`",
        "",
        "Each estimator is run through a subclass that turns rows of numbers into "
        "texts, because scikit-learn skips most checks for estimators that read only texts. An excused check has to fail: "
        "one that begins to pass is an error.",
    ]
    for version, of_estimators in results.items():
        lines += ["", f"## scikit-learn {version}", "", *_table(of_estimators), "", "Excused:", "", *_excuses(of_estimators)]
    return "\n".join(lines) + "\n"


def _table(results: dict[str, Checks]) -> list[str]:
    lines = ["| estimator | passed | excused | failed |", "|---|--:|--:|--:|"]
    for name, checks in results.items():
        lines.append(f"| {name} | {len(set(checks.passed))} | {len(checks.excused)} | {len(checks.failed)} |")
    return lines


def _excuses(results: dict[str, Checks]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, checks in results.items():
        for check, reason in checks.excused.items():
            reasons[check, reason].append(name)
    return [f"- `{check}` ({', '.join(names)}): {reason}" for (check, reason), names in sorted(reasons.items())]


def main() -> int:
    """Run what is asked for on the command line; return 1 where a check failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.checks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    parser.add_argument(
        "--pythons", nargs="+", default=[sys.executable], metavar="PYTHON", help="interpreters (default: this one)"
    )
    options = parser.parse_args()
    results = run_everywhere(options.pythons)
    text = page(results, shown("checks", sys.argv[1:]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(text)
    return int(any(checks.failed for of_estimators in results.values() for checks in of_estimators.values()))


if __name__ == "__main__":
    sys.exit(main())
