"""What a model costs: parameters and multiply-accumulate operations.

For BSRNN both follow in closed form from the constructor arguments, without building anything; for every other model
they are counted on the model itself.
"""

from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..models.base import MusicModel, count_params, run_batch
from ..models.bsrnn.band_sequence import dilated_settings
from ..models.bsrnn.config import BSRNNConfig
from ..models.bsrnn.network import BSRNN
from ..models.bsrnn.sequence import neighbour_counts
from ..models.names import MODELS
from .configuration import build_model, conf_of, experiments, task_name
from .imagined import imagined

GATES = {"lstm": 4, "gru": 3}


def bsrnn_params(**model_args):
    """Trainable parameters of ``BSRNN(**model_args)``.

    Returns:
        dict: ``band_split``, ``separator``, ``masks`` and ``total``.
    """
    args = BSRNNConfig(**model_args)
    n_feat, hid, chan = args.feature_dim, args.mask_ratio * args.feature_dim, args.mask_channels
    n_bands, n_bins = len(args.widths), sum(args.widths)
    split = 4 * n_bins * chan + 2 * n_bins * chan * n_feat + n_bands * n_feat
    block = _net_params(args, 0) + _net_params(args, 1)
    if args.stereo == "tac":
        wide = args.tac_ratio * n_feat
        block += (
            (n_feat * wide + wide) + (wide * wide + wide) + (2 * wide * n_feat + n_feat) + (args.tac_act == "prelu")
        )
    if args.n_attn_heads:
        sizes = [args.attn_dim] * 2 * args.n_attn_heads + [n_feat // args.n_attn_heads] * args.n_attn_heads + [n_feat]
        block += sum(n_feat * size + size + 1 + 2 * size * n_bands for size in sizes)
    mask = n_bands * (2 * n_feat + n_feat * hid + hid + hid * hid + hid) + 4 * n_bins * chan * (hid + 1)
    parts = {"band_split": split, "separator": args.n_repeats * block, "masks": args.n_masks * mask}
    return {**parts, "total": sum(parts.values())}


def bsrnn_macs(seconds=3.0, channels=2, **model_args):
    """Multiply-accumulate operations of one forward pass of ``BSRNN(**model_args)``, STFTs and norms left out.

    Counted as the architecture is published; our TAC does less (what is common to the channels is multiplied once).

    Args:
        seconds (float): length of the audio.
        channels (int): its channels (naive models read them in groups of ``in_channels``).
        **model_args: constructor arguments of BSRNN.

    Returns:
        dict: ``band_split``, ``separator``, ``masks`` and ``total``, in operations.
    """
    args = BSRNNConfig(**model_args)
    n_frames = 1 + int(seconds * args.sample_rate) // args.n_hop
    n_items = channels if args.stereo != "naive" else -(-channels // args.in_channels)
    n_feat, hid = args.feature_dim, args.mask_ratio * args.feature_dim
    n_bands, n_bins = len(args.widths), sum(args.widths)
    cells = n_items * n_frames * n_bands
    block = cells * (_net_macs(args, 0) + _net_macs(args, 1))
    if args.stereo == "tac":
        wide = args.tac_ratio * n_feat
        block += cells * (3 * n_feat * wide) + cells // channels * wide * wide
    if args.n_attn_heads:
        block += cells * n_feat * (2 * args.attn_dim * args.n_attn_heads + 2 * n_feat)
        block += n_items * n_frames**2 * n_bands * (args.n_attn_heads * args.attn_dim + n_feat)
    mask = n_bands * (n_feat * hid + hid * hid) + 4 * n_bins * args.mask_channels * hid
    parts = {
        "band_split": n_items * n_frames * 2 * n_bins * args.mask_channels * n_feat,
        "separator": args.n_repeats * block,
        "masks": args.n_masks * n_items * n_frames * mask,
    }
    return {**parts, "total": sum(parts.values())}


def _net_params(args, axis):
    layer, n_feat = (args.time_layer, args.band_layer)[axis], args.feature_dim // args.n_heads
    directions, hid = 1 + args.bidirectional, args.hid_ratio * n_feat
    if layer == "none":
        return 0
    if layer == "dilated":
        layers = _dilated_layers(args, axis, n_feat)
        return sum(2 * n_in + kernel * n_in * n_out + n_out for kernel, n_in, n_out in layers)
    if layer == "conv":
        main = 3 * n_feat * directions * hid + directions * hid
    else:
        main = directions * GATES[layer] * hid * (n_feat + hid + 2)
    return 2 * n_feat + main + directions * hid * n_feat + n_feat


def _net_macs(args, axis):
    """Operations per band and frame, all heads."""
    layer, n_feat = (args.time_layer, args.band_layer)[axis], args.feature_dim // args.n_heads
    directions, hid = 1 + args.bidirectional, args.hid_ratio * n_feat
    if layer == "none":
        return 0
    if layer == "dilated":
        return args.n_heads * sum(kernel * n_in * n_out for kernel, n_in, n_out in _dilated_layers(args, axis, n_feat))
    main = 3 * n_feat * hid if layer == "conv" else GATES[layer] * hid * (n_feat + hid)
    return args.n_heads * directions * (main + hid * n_feat)


def _dilated_layers(args, axis, n_feat):
    """(taps, inputs, outputs) of every convolution of a dilated net."""
    count, kernel, ratio = dilated_settings(args, axis)
    hid = ratio * n_feat
    layers = [(kernel, n_feat, hid)] + [(kernel, hid, hid)] * count
    layers += [(kernel, reads * hid, hid) for reads in neighbour_counts(count)]
    return layers + [(kernel, max(count, 1) * hid, n_feat)]


def count_macs(model, wav):
    """Multiply-accumulate operations of products, convolutions, attention and recurrent layers in ``model(wav)``.

    Counted where PyTorch dispatches them, so that it holds for any model; the model should be on the CPU.
    """
    aten = torch.ops.aten
    more = {aten.mkldnn_rnn_layer: _rnn_flop, aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop}
    with torch.no_grad(), _attention_in_parts(), FlopCounterMode(display=False, custom_mapping=more) as counter:
        model(wav)
    return counter.get_total_flops() // 2


@contextmanager
def _attention_in_parts():
    """PyTorch's own attention layers do without the one operation of inference that nothing counts."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _rnn_flop(input_shape, weight_ih_shape, weight_hh_shape, *_, **__):
    steps, batch = input_shape[:2]
    return 2 * steps * batch * weight_ih_shape[0] * (weight_ih_shape[1] + weight_hh_shape[1])


def _attention_flop(query_shape, key_shape, value_shape, *_, **__):
    rows, n_heads, n_queries, width = query_shape
    return 2 * rows * n_heads * n_queries * key_shape[2] * (width + value_shape[3])


def recipe_cost(conf, with_macs=False, channels=2):
    """Parameters, and operations per second of audio, of all models of a configuration.

    Args:
        conf (dict): from :func:`~asteroid_bsrnn.recipe.configuration.load_conf`.
        with_macs (bool): whether to give the operations as well.
        channels (int): channels of the music that is separated; speech is mono.

    Returns:
        tuple: parameters by source with their ``total`` (only ``total`` where one model does all), and giga
        operations per second likewise, None without ``with_macs``.
    """
    params, macs, known = {}, {}, {}
    for name, sources in experiments(conf):
        section = conf_of(conf, name)["model"]
        if section["model_name"].lower() == "bsrnn":
            args = {**{key: value for key, value in section.items() if key != "model_name"}, "sources": sources}
            params[name] = bsrnn_params(**args)["total"]
            macs[name] = bsrnn_macs(3.0, channels, **args)["total"] / 3 if with_macs else 0
            continue
        named = issubclass(MODELS.get(section["model_name"]), BSRNN)  # has each source's own bands
        alike = repr((section, sources if named else len(sources)))  # else it costs the same whatever they are called
        if alike not in known:
            known[alike] = _network_cost(conf, name, channels, with_macs)
        params[name], macs[name] = known[alike]
    return _with_total(params, 1), _with_total(macs, 1e-9) if with_macs else None


def _network_cost(conf, name, channels, with_macs):
    """Parameters, and operations per second at the segment that a music model of ours is made for.

    Others, whose work may depend on what they hear, are run on two seconds.
    """
    if task_name(conf) == "music" and issubclass(MODELS.get(conf["model"]["model_name"]), MusicModel):
        with imagined():
            model = build_model(conf, name).eval()
            length = model.segment or int(2 * model.sample_rate)
            wav = torch.zeros(1, channels, length)
            macs = count_macs(lambda given: run_batch(model, given), wav) if with_macs else 0
            return count_params(model), macs * model.sample_rate / length
    model, wav = _seeded(conf, name, channels if task_name(conf) == "music" else 1)
    return count_params(model), count_macs(lambda given: run_batch(model, given), wav) / 2 if with_macs else 0


def _seeded(conf, name, channels):
    """The model and two seconds of noise, the same every time: clusterings take as many steps as these make them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(conf, name).eval()
        return model, torch.randn(1, channels, int(2 * model.sample_rate))


def _with_total(values, scale):
    named = {name: value * scale for name, value in values.items() if name is not None}
    return {**named, "total": sum(values.values()) * scale}
