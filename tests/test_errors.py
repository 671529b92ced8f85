"""What the user can mend is one sentence; a fault of a program keeps its traceback."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT

from asteroid_bsrnn.cli.main import guarded
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import load_conf

FAULT = (
    "import sys, numpy as np\nfrom asteroid_bsrnn.cli.main import guarded\n"
    "sys.exit(guarded(lambda: np.zeros(3) + np.zeros(4)))"
)


def configured(*overrides):
    build_model(load_conf(ROOT / "recipes" / "libri2mix", "afrcnn_16", list(overrides)))


def test_a_fault_of_a_program_keeps_its_traceback():
    with pytest.raises(ValueError, match="broadcast"):
        guarded(lambda: np.zeros(3) + np.zeros(4))
    done = subprocess.run([sys.executable, "-c", FAULT], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "broadcast" in done.stderr


@pytest.mark.parametrize(
    "override, said",
    [
        ("model.chanels=3", "unknown key 'chanels'"),
        ("model.model_name=AFRCN", "unknown model 'AFRCN': did you mean 'AFRCNN'"),
        ("model.kernel_size=4", "kernel_size must be odd"),
        ("loss.name=Nothing", "unknown loss 'Nothing'"),
        ("training.epochs=many", "training.epochs is"),
    ],
)
def test_a_bad_configuration_is_one_sentence(override, said, capsys):
    assert guarded(configured, override) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and said in captured and captured.count("\n") == 1


def test_so_is_a_file_that_is_not_there(capsys):
    assert guarded(open, "/no/such/file") == 2
    assert capsys.readouterr().err == "error: [Errno 2] No such file or directory: '/no/such/file'\n"


def test_the_debug_switch_shows_the_traceback_of_these_too(monkeypatch):
    monkeypatch.setenv("ASTEROID_BSRNN_DEBUG", "1")
    with pytest.raises(UserError):
        guarded(configured, "model.chanels=3")


def test_arguments_that_a_strange_network_refuses_are_the_configuration_s(capsys):
    """Asteroid's own networks know nothing of our errors."""
    wrong = ["model.model_name=ConvTasNet", "model.n_src=2", "model.mask_act=nothing"]
    assert guarded(configured, *wrong) == 2
    assert capsys.readouterr().err.startswith("error: section model: ConvTasNet does not take these values: ")


OF_THE_USER = (
    "recipe",
    "training",
    "models/layers/checks.py",
    "models/*/config.py",
    "models/*/adapter*.py",
    "models/bsrnn",
)


def test_what_a_configuration_or_a_file_can_cause_is_the_users():
    """There is nobody else to blame in these places: their ValueErrors would be tracebacks."""
    package = ROOT / "asteroid_bsrnn"
    found = [path for pattern in OF_THE_USER for path in package.glob(pattern)]
    files = [file for path in found for file in ([path] if path.is_file() else path.rglob("*.py"))]
    assert len(files) > 50
    assert [str(file) for file in files if "raise ValueError" in file.read_text(encoding="utf-8")] == []
