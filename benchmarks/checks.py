"""Write the page of scikit-learn's checks: which ones ran, which are excused, and why.

``python -m benchmarks.checks --out docs/results/checks.md``
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import sklearn

_TESTS = Path(__file__).parents[1] / "tests" / "test_common.py"
_NAME = re.compile(r"test_scikit_learn_check\[(?:Numeric)?(?P<estimator>\w+?)(?:Classifier)?\(.*\)-(?P<check>check_\w+)")


class Checks(NamedTuple):
    """What came out of the checks of one estimator."""

    passed: list[str]
    excused: dict[str, str]
    failed: list[str]


def run_checks() -> dict[str, Checks]:
    """Run all checks on all estimators, and return the results by estimator."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "auto", str(_TESTS), f"--junitxml={report}"],
            capture_output=True,
            check=False,  # the page tells what failed
        )
        root = ET.parse(report).getroot()
    results: dict[str, Checks] = defaultdict(lambda: Checks([], {}, []))
    for case in root.iter("testcase"):
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
    return dict(results)


def page(results: dict[str, Checks]) -> str:
    """Return the page in Markdown."""
    lines = [
        "# scikit-learn's checks",
        "",
        "`python -m benchmarks.checks --out docs/results/checks.md`",
        "",
        f"With scikit-learn {sklearn.__version__}. Each estimator is run through a subclass that turns rows of numbers into "
        "texts, because scikit-learn skips most checks for estimators that read only texts. An excused check has to fail: "
        "one that begins to pass is an error.",
        "",
        "| estimator | passed | excused | failed |",
        "|---|--:|--:|--:|",
    ]
    for name, checks in results.items():
        lines.append(f"| {name} | {len(set(checks.passed))} | {len(checks.excused)} | {len(checks.failed)} |")
    lines += ["", "## Excused", ""]
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, checks in results.items():
        for check, reason in checks.excused.items():
            reasons[check, reason].append(name)
    for (check, reason), names in sorted(reasons.items()):
        lines.append(f"- `{check}` ({', '.join(names)}): {reason}")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what is asked for on the command line; return 1 where a check failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.checks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    out = parser.parse_args().out
    results = run_checks()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(results), encoding="utf-8")
    print(page(results))
    return int(any(checks.failed for checks in results.values()))


if __name__ == "__main__":
    sys.exit(main())
