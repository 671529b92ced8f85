"""The authors' Lightning checkpoints of CWS-PResUNet. The shapes of the weights tell all but names and rate."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..family import State
from ..renaming import RenamingAdapter, count, weight
from .network import PResUNet

DROPPED = ("f_helper.stft", "f_helper.istft", "wav_spec_loss", "l1loss")
"""Prefixes of frozen DFT matrices and of the losses' parts."""
JOINT = ("bass", "drums", "other")
"""Heads of the joint network, in the order of its output."""
UNIT = r"conv_block(\d+)\."
FIRST = "encoder_block1.conv_block1.conv1.weight"


class AuthorsPResUNet(RenamingAdapter):
    """Networks for one source and the joint one; see :class:`~asteroid_bsrnn.models.family.Adapter`."""

    name = "cws-presunet"
    system = "presunet"
    model = PResUNet

    def recognises(self, state: State) -> bool:
        """By the norm over bins and the first residual unit."""
        return FIRST in state and "bn0.running_mean" in state

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of PResUNet; of the settings only ``target`` and ``sample_rate`` say what the weights do not."""
        for key in (FIRST, "bn0.weight"):
            weight(state, key, self.name)
        heads = _heads(state)
        n_subbands = _n_subbands(state)
        stages = [weight(state, f"encoder_block{index}.conv_block1.conv1.weight", self.name) for index in range(1, 6)]
        return {
            "sources": _sources(heads, settings),
            "sample_rate": settings.get("sample_rate") or 44100,
            "in_channels": state[FIRST].shape[1] // n_subbands,
            "n_subbands": n_subbands,
            "n_units": count(state, "encoder_block1." + UNIT),
            "n_head_units": count(state, re.escape(heads[0][0]) + UNIT),
            "widths": [len(stage) for stage in stages],
            "edge": 0,
        }

    def names(self, state: State) -> dict[str, str]:
        """Our names; frozen transforms and parts of losses are dropped by their prefixes."""
        rules = _rules(_heads(state))
        return {key: _renamed(key, rules) for key in state if not key.startswith(DROPPED)}


def _heads(state: State) -> list[tuple[str, str]]:
    """(prefix of the residual units, prefix of the last convolution) of each head."""
    joint = [(f"{name}_blocks.0.", f"{name}_blocks.1.") for name in JOINT if f"{name}_blocks.1.weight" in state]
    return joint or [("after_conv_block1.", "after_conv2.")]


def _sources(heads: list[tuple[str, str]], settings: Mapping[str, Any]) -> list[str]:
    if heads[0][0].endswith("_blocks.0."):
        return [units.split("_")[0] for units, _ in heads]
    target = settings.get("target")
    return [target] if isinstance(target, str) and target else ["s1"]


def _n_subbands(state: State) -> int:
    filters = state.get("f_helper.qmf.ana_conv_filter.weight")
    return 1024 // (len(state["bn0.weight"]) - 1) if filters is None else len(filters)


def _rules(heads: list[tuple[str, str]]) -> list[tuple[str, Callable[..., str]]]:
    """(pattern, replacement by the groups it found) from their names to ours; the first that fits counts."""
    rules: list[tuple[str, Callable[..., str]]] = [
        (r"f_helper\.qmf\.ana_conv_filter\.weight", lambda: "bank.analysis"),
        (r"f_helper\.qmf\.syn_conv_filter\.weight", lambda: "bank.synthesis"),
        (r"bn0\.", lambda: "norm."),
        (r"encoder_block(\d+)\." + UNIT, lambda stage, unit: f"encoder.{stage - 1}.{unit - 1}."),
        (r"conv_block(\d+)\." + UNIT, lambda stage, unit: f"middle.{stage - 7}.{unit - 1}."),
        (r"decoder_block(\d+)\." + UNIT, lambda stage, unit: f"decoder.{stage - 1}.units.{unit - 2}."),
        (r"decoder_block(\d+)\.conv1\.", lambda stage: f"decoder.{stage - 1}.up."),
        (r"decoder_block(\d+)\.bn1\.", lambda stage: f"decoder.{stage - 1}.norm."),
    ]
    for index, (units, out) in enumerate(heads):
        rules.append((re.escape(units) + UNIT, lambda unit, index=index: f"heads.{index}.units.{unit - 1}."))
        rules.append((re.escape(out), lambda index=index: f"heads.{index}.out."))
    return rules


def _renamed(key: str, rules: list[tuple[str, Callable[..., str]]]) -> str:
    """Our name of a weight; one that no rule fits stays as it is, and is refused later."""
    for pattern, replacement in rules:
        found = re.match(pattern, key)
        if found:
            rest = re.sub(r"^bn(\d)\.", r"norm\1.", key[found.end() :])
            return replacement(*map(int, found.groups())) + rest
    return key
