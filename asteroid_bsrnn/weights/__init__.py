"""Models from files, addresses, hub ids and names; files that say what they are. Nothing pickled is ever executed."""

from .host_hook import install
from .load import load_model, read_conf
from .safetensors import read_safetensors, save_safetensors, weights_sha256

__all__ = ["install", "load_model", "read_conf", "read_safetensors", "save_safetensors", "weights_sha256"]
