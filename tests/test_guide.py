"""The examples of the user guide, and those for users of other libraries, run one after another, as they are printed."""

import re
from pathlib import Path

from conftest import needs_embedded_encoder

DOCS = Path(__file__).parents[1] / "docs"


def run_examples_of(page):
    examples = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {}
    exec(compile("\n".join(examples), page, "exec"), names)
    return names


@needs_embedded_encoder
def test_the_guide_runs(capsys, no_network, quick_examples):
    import matplotlib

    matplotlib.use("Agg")
    run_examples_of("guide/index.md")
    printed = capsys.readouterr().out
    assert "f1_micro" in printed
    assert "delivery" in printed
    assert "True" in printed
    matplotlib.pyplot.close("all")


@needs_embedded_encoder
def test_the_examples_for_users_of_other_libraries_run(capsys, no_network, quick_examples):
    names = run_examples_of("migration.md")
    assert names["probabilities"].shape == names["predictions"].shape == (1, 12)
    there, here = map(float, capsys.readouterr().out.split())
    assert here > there


@needs_embedded_encoder
def test_the_example_of_the_baselines_runs(capsys, no_network, quick_examples):
    assert run_examples_of("baselines.md")["clf"].n_iter_ == 10
    labels = capsys.readouterr().out.strip("[] \n").split()
    assert len(labels) == 12 and set(labels) <= {"0", "1"}


def test_every_measurement_is_in_the_contents():
    contents = (DOCS / "index.md").read_text(encoding="utf-8").splitlines()
    pages = [str(page.relative_to(DOCS).with_suffix("").as_posix()) for page in (DOCS / "results").rglob("*.md")]
    named = {line.rpartition("<")[2].rstrip(">") for line in contents}  # a page with a title of its own, or without
    assert [page for page in pages if page not in named] == []
