"""The notebook runs from top to bottom without a screen, with sound and plots."""

import re

import pytest
from helpers import ROOT

NOTEBOOK = ROOT / "docs" / "tour.ipynb"


def test_the_notebook_has_ten_cells_of_code_and_no_outputs():
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert len(code) == 10 and not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    pytest.importorskip("nbconvert")
    pytest.importorskip("stempeg")
    import nbformat
    from nbconvert.preprocessors import ExecutePreprocessor

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    ExecutePreprocessor(timeout=900, kernel_name="python3").preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    kinds = [kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", ())]
    sounds = sum(
        "<audio" in output.get("data", {}).get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    assert kinds.count("image/png") == 3 and sounds == 6
    estimate, mixture = (
        float(re.search(rf"{name} +(-?[\d.]+)", str(notebook.cells[-2].outputs))[1]) for name in ("estimate", "mixture")
    )
    assert estimate > max(0, mixture) + 1, "the network learnt something in its minute"
