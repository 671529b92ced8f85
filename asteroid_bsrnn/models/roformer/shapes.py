"""What the weights of the fork's RoFormers say about the network, in the words of its configuration files."""

from collections.abc import Mapping
from typing import Any

from ...common.errors import UserError
from ..family import State
from .bands import mel_bands

N_FFTS = [2**power for power in range(4, 15)]


def count(state: State, prefix: str) -> int:
    """Entries of the list of modules at ``prefix``."""
    start = len(prefix) + 1
    return len({key[start:].split(".")[0] for key in state if key.startswith(prefix + ".")})


def sizes(state: State) -> list[int]:
    """Values of each band."""
    return [
        len(state[f"band_split.to_features.{band}.0.gamma"]) for band in range(count(state, "band_split.to_features"))
    ]


def trunk(state: State) -> dict[str, Any]:
    """Settings of blocks and mask estimators: all but those that leave no trace in shapes."""
    parts = count(state, "layers.0")
    names = ["time_transformer_depth", "freq_transformer_depth"]
    names = ["linear_transformer_depth"] * (parts - 2) + names
    depths = {name: count(state, f"layers.0.{part}.layers") for part, name in enumerate(names)}
    hidden = [state[key] for key in _linears(state)[:-1]]
    dim = state["band_split.to_features.0.1.weight"].shape[0]
    return {
        "linear_transformer_depth": 0,
        **depths,
        **heads(state),
        "dim": dim,
        "depth": count(state, "layers"),
        "num_stems": count(state, "mask_estimators"),
        "hidden_layers": len(hidden),
        "mlp_expansion_factor": hidden[0].shape[0] // dim if hidden else 4,
    }


def heads(state: State) -> dict[str, int]:
    """Number and size of the attention heads, as far as gates, temperatures or rotary frequencies tell them."""
    inner = next((len(state[key]) // 3 for key in state if key.endswith((".to_qkv.weight", ".to_qkv.0.weight"))), None)
    if inner is None:
        return {}
    for ending, n_heads in (
        (".to_gates.weight", len),
        (".temperature", len),
        (".rotary_embed.freqs", lambda f: inner // (2 * len(f))),
    ):
        found = next((n_heads(state[key]) for key in state if key.endswith(ending)), None)
        if found:
            return {"heads": found, "dim_head": inner // found}
    return {}


def _linears(state: State) -> list[str]:
    prefix = "mask_estimators.0.to_freqs.0.0."
    return sorted((key for key in state if key.startswith(prefix) and key.endswith(".weight")), key=_position)


def _position(key: str) -> int:
    return int(key.split(".")[-2])


def split(state: State) -> dict[str, Any]:
    """Channels, window and bands: there are 2 * channels * (n_fft / 2 + 1) values, the last factor is odd."""
    widths = sizes(state)
    stereo = sum(widths) % 4 == 0
    per_bin = 4 if stereo else 2
    return {
        "stereo": stereo,
        "freqs_per_bands": [width // per_bin for width in widths],
        "stft_n_fft": 2 * (sum(widths) // per_bin - 1),
    }


def mel_split(state: State, told: Mapping[str, Any]) -> dict[str, Any]:
    """Channels and window of mel bands: those whose bands have the sizes at hand; nothing where none has."""
    widths, rate = sizes(state), told.get("sample_rate", 44100)
    for n_fft in [told["stft_n_fft"]] if "stft_n_fft" in told else N_FFTS:
        per_bin = _values_per_bin(widths, n_fft, rate)
        if per_bin:
            return {"num_bands": len(widths), "stft_n_fft": n_fft, "stereo": per_bin == 4}
    return {"num_bands": len(widths)}


def _values_per_bin(widths: list[int], n_fft: int, rate: float) -> int | None:
    try:
        bins = [len(band) for band in mel_bands(len(widths), n_fft, rate)]
    except UserError:
        return None
    return next((values for values in (2, 4) if [values * width for width in bins] == widths), None)
