"""The user guide's examples run one after another, as they are printed."""

import re
from pathlib import Path

from conftest import needs_embedded_encoder

GUIDE = (Path(__file__).parents[1] / "docs" / "guide" / "index.md").read_text(encoding="utf-8")


@needs_embedded_encoder
def test_the_guide_runs(capsys, no_network):
    import matplotlib

    matplotlib.use("Agg")
    examples = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    exec(compile("\n".join(examples), "the user guide", "exec"), {})
    printed = capsys.readouterr().out
    assert "f1_micro" in printed
    assert "delivery" in printed
    assert "True" in printed
    matplotlib.pyplot.close("all")
