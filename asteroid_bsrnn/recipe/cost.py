"""What a model costs: parameters and multiply-accumulate operations, counted on the model itself.

Networks of ours are imagined for it (shapes without values), so that neither size nor length costs time or memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..models.base import MusicModel, count_params, run_batch
from ..models.names import MODELS
from .building import build_model
from .configuration import conf_of, experiments, task_name
from .imagined import imagined

SECONDS = {"music": 3, "speech": 2}
"""Length of the input of a model that was made for no particular one."""


def count_macs(model: Callable[[torch.Tensor], Any], wav: torch.Tensor) -> int:
    """Multiply-accumulate operations of products, convolutions, attention and recurrent layers in ``model(wav)``.

    Counted where PyTorch dispatches them, so that it holds for any model; the model should be on the CPU. What is not
    done is not counted: TAC of BSRNN multiplies once what the channels have in common, 1.2 % less than as published.
    """
    aten = torch.ops.aten
    more = {aten.mkldnn_rnn_layer: _rnn_flop, aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop}
    with torch.no_grad(), _attention_in_parts(), FlopCounterMode(display=False, custom_mapping=more) as counter:
        model(wav)
    return counter.get_total_flops() // 2


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """PyTorch's own attention layers do without the one operation of inference that nothing counts."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _rnn_flop(input_shape: Sequence[int], w_ih: Sequence[int], w_hh: Sequence[int], *_: Any, **__: Any) -> int:
    steps, batch = input_shape[:2]
    return 2 * steps * batch * w_ih[0] * (w_ih[1] + w_hh[1])


def _attention_flop(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    rows, n_heads, n_queries, width = query
    return 2 * rows * n_heads * n_queries * key[2] * (width + value[3])


def recipe_cost(conf: dict[str, Any], with_macs: bool = False) -> tuple[dict[str, int], dict[str, float] | None]:
    """Parameters, and operations per second of audio (music in stereo), of all models of a configuration.

    A model reads a segment of the length that it is made for, else as many seconds as :data:`SECONDS` says.

    Args:
        conf: from :func:`~asteroid_bsrnn.recipe.configuration.load_conf`.
        with_macs: whether to give the operations as well.

    Returns:
        Parameters by source with their ``total`` (only ``total`` where one model does all), and giga operations per second
        likewise, None without ``with_macs``.
    """
    task, params, macs, known = task_name(conf), {}, {}, {}
    for name, _ in experiments(conf):
        section = conf_of(conf, name)["model"]
        with _same_every_time(task == "music" and issubclass(MODELS.get(section["model_name"]), MusicModel)):
            model = build_model(conf, name).eval()
            params[name] = count_params(model)
            if not with_macs:
                continue
            alike = repr((section, [tuple(parameter.shape) for parameter in model.parameters()]))
            if alike not in known:
                known[alike] = _macs_per_second(model, SECONDS[task], 2 if task == "music" else 1)
            macs[name] = known[alike]
    return _with_total(params, 1), _with_total(macs, 1e-9) if with_macs else None


@contextmanager
def _same_every_time(ours: bool) -> Iterator[None]:
    """Within this block networks of ours are imagined; others, whose work may depend on what they hear, hear the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with imagined() if ours else nullcontext():
            yield


def _macs_per_second(model: Any, seconds: float, channels: int) -> float:
    length = getattr(model, "segment", None) or int(seconds * model.sample_rate)
    wav = torch.randn(1, channels, length)
    return count_macs(lambda given: run_batch(model, given), wav) * model.sample_rate / length


def _with_total(values: Mapping[str | None, Any], scale: float) -> dict[str, Any]:
    named = {name: value * scale for name, value in values.items() if name is not None}
    return {**named, "total": sum(values.values()) * scale}
