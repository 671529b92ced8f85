"""Models from files, addresses, hub ids and names; files that say what they are. Nothing pickled is ever executed.

From the top: ``load`` (whatever names a model) asks ``published`` (names), ``sources`` (files, addresses, hub) and
``open_file`` (content); that tells our own files (``assemble``) from other implementations' (``foreign``, which asks the
adapters of the families).
"""

from .foreign import from_foreign
from .host_hook import install
from .load import load_model, read_conf
from .safetensors import read_safetensors, save_safetensors, weights_sha256

__all__ = [
    "from_foreign",
    "install",
    "load_model",
    "read_conf",
    "read_safetensors",
    "save_safetensors",
    "weights_sha256",
]
