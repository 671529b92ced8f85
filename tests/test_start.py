"""The console command starts without PyTorch; importing the package registers everything and no more than it must."""

import json
import subprocess
import sys

from helpers import ROOT

from asteroid_bsrnn.cli import main as cli
from asteroid_bsrnn_cli import SPINS, waits_shortly

BLOCKED = "import sys\nfor name in ('torch', 'numpy', 'asteroid', 'yaml', 'soundfile'): sys.modules[name] = None\n"


def run(code):
    """Run ``code`` in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_help_version_and_wrong_arguments_need_no_library():
    calls = [["--help"], ["--version"], [], ["separat"], *([name, "--help"] for name in cli.COMMANDS)]
    calls += [["separate"], ["models", "--jsn"]]
    done = run(
        BLOCKED + "from asteroid_bsrnn_cli import main\n"
        f"for call in {calls!r}:\n"
        "    try:\n        main(call)\n"
        "    except SystemExit as end:\n        print(end.code)\n"
        "    else:\n        raise AssertionError(call)\n"
        "assert not hasattr(sys.modules['asteroid_bsrnn'], 'host'), 'the package itself was loaded'\n"
    )
    assert done.returncode == 0, done.stderr
    codes = [line for line in done.stdout.splitlines() if line in ("0", "1", "2")]
    assert codes == ["0", "0", "2", "2"] + ["0"] * len(cli.COMMANDS) + ["2", "2"]


def test_a_command_that_runs_loads_the_package_and_says_what_it_runs_on():
    done = run("import sys\nfrom asteroid_bsrnn_cli import main\nsys.exit(main(['info', '--json']))")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"python", "torch", "asteroid", "cpu", "features", "threads", "devices", "repaired"} <= set(found)
    assert "silent_separate" in found["repaired"], "the package ran its repairs"


def test_threads_of_the_command_wait_shortly_unless_the_user_chose():
    chosen = {"OMP_WAIT_POLICY": "active"}
    for given, expected in (({}, {"GOMP_SPINCOUNT": SPINS}), (chosen, chosen), ({"GOMP_SPINCOUNT": "7"},) * 2):
        environ = dict(given)
        waits_shortly(environ)
        assert environ == expected


def test_a_plugin_that_is_missing_is_one_line_and_exit_code_2(monkeypatch):
    monkeypatch.setenv("ASTEROID_BSRNN_PLUGINS", "no_such_module_anywhere")
    done = run("import sys\nfrom asteroid_bsrnn_cli import main\nsys.exit(main(['models']))")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ASTEROID_BSRNN_PLUGINS names the plug-in 'no_such_module_anywhere'")


def test_importing_registers_the_models_and_loads_the_rest_on_first_use():
    heavy = "pandas matplotlib pytorch_lightning lightning_fabric musdb museval codecarbon jinja2 tensorboard librosa"
    done = run(
        f"import asteroid_bsrnn, sys\nassert not set({heavy.split()}) & set(sys.modules)\n"
        "import asteroid.models\n"
        "assert asteroid.models.get('BSRNN') is asteroid_bsrnn.models.BSRNN\n"
        "assert asteroid_bsrnn.losses.get('TimeTFLoss') and asteroid_bsrnn.weights.load_model\n"
        "assert 'asteroid_bsrnn.data' not in sys.modules and asteroid_bsrnn.data.get('MUSDB18HQ')\n"
        "from asteroid_bsrnn import data, losses, models, weights\n"
        "assert {'data', 'losses', 'models', 'weights'} <= set(dir(asteroid_bsrnn))\n"
        "try:\n    asteroid_bsrnn.dta\nexcept AttributeError as error:\n    assert 'dta' in str(error)\n"
        "else:\n    raise SystemExit('no error')"
    )
    assert done.returncode == 0, done.stderr
