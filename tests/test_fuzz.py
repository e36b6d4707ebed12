"""A few seconds of what ``python -m benchmarks.fuzz`` does for minutes."""

from benchmarks.fuzz import fuzz


def test_nothing_but_documented_errors():
    tried, failures = fuzz(minutes=0.1)
    assert not failures, failures[0]
    assert {kind for kind, _ in tried} == {"texts", "targets", "parameters", "saved_folder", "json_lines"}
    assert sum(number for (_, outcome), number in tried.items() if outcome == "accepted") > 0
