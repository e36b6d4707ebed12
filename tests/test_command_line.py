"""What the commands that measure refuse before they begin."""

from pathlib import Path

import pytest

from benchmarks import many, scaling
from benchmarks.command_line import report_path
from benchmarks.speed import __main__ as speed
from benchmarks.trust import all_passed


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (many.main, ["--documents", "0"], "expected a number of at least 1, got 0"),
        (scaling.main, ["--arithmetic", "--gpus", "0"], "expected a number of at least 1, got 0"),
        (scaling.main, ["--arithmetic", "--bandwidth", "0"], "expected a number above 0, got 0"),
        (scaling.main, ["--measure", "--limit", "-490"], "expected a number of at least 1, got -490"),
        (speed.main, ["--repeats", "0"], "expected a number of at least 1, got 0"),
        (speed.main, ["--learning-rate", "nan"], "expected a number above 0, got nan"),
    ],
)
def test_numbers_that_make_no_sense(main, arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers-python", "no-such-python"], "no-such-python: there is no such program"),
        (["--device", "abacus"], "abacus"),
        (["--encoder", "no-such-folder"], "--encoder no-such-folder cannot be read"),
    ],
)
def test_speed_is_not_measured_of_what_is_not_there(arguments, message, no_network):
    with pytest.raises(SystemExit, match=message):
        speed.main(arguments)


@pytest.mark.parametrize("name", [".", "..", "a-file/report"])
@pytest.mark.parametrize("main", [many.main, scaling.main, speed.main])
def test_a_report_that_could_not_be_written(main, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    with pytest.raises(SystemExit):
        main(["--measure", "--out", name] if main == scaling.main else ["--out", name])
    assert f"expected the name of a report in a folder, got {name}" in capsys.readouterr().err


def test_reports_may_be_anywhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("report", "new/folder/report", str(tmp_path / "report"), "../report"):
        assert str(report_path(name)) == name


@pytest.mark.parametrize(
    ("summary", "passed"),
    [
        ("2190 passed, 22 skipped, 94 xfailed in 762.18s (0:12:42)", True),
        ("1 failed, 2189 passed, 94 xfailed in 762.18s", False),
        ("2189 passed, 94 xfailed, 1 error in 762.18s", False),
        ("2188 passed, 2 errors in 762.18s", False),
    ],
)
def test_trust_tells_expected_failures_from_others(summary, passed):
    assert all_passed(summary) == passed


def test_the_arithmetic_is_that_of_the_documentation(capsys):
    scaling.main(["--arithmetic"])
    page = (Path(__file__).parents[1] / "docs" / "scaling.md").read_text(encoding="utf-8").splitlines()
    assert set(capsys.readouterr().out.strip().splitlines()) <= set(page)
