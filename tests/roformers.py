"""Small RoFormers with random weights, ours and the fork's."""

import torch

from asteroid_bsrnn.models import BSRoFormer, MelBandRoFormer
from asteroid_bsrnn.models.roformer import FAMILY

ADAPTERS = {adapter.system: adapter for adapter in FAMILY.adapters}
BANDS = [2] * 8 + [4] * 4 + [12, 21]  # 65 bins
TINY = dict(n_fft=128, n_hop=32, feature_dim=8, n_repeats=2, n_heads=2, dim_head=4, mask_ratio=2)
SHARED_NORM = dict(gate=True, final_norm="shared")
MODELS = {
    "paper": (BSRoFormer, dict(bands=BANDS)),
    "fork": (
        BSRoFormer,
        dict(bands=BANDS, sources=("a", "b"), n_linear_layers=1, skip=True, zero_dc=True, **SHARED_NORM),
    ),
    "mel": (MelBandRoFormer, dict(n_bands=8, gate=True)),
}


def tiny(name="paper", seed=0, **arguments):
    """A small network whose weights are all random."""
    cls, own = MODELS[name]
    model = cls(**{**TINY, **own, **arguments}).eval()
    return randomised(model, seed)


def randomised(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for key, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        spread = (1.8 / weight.shape[-1]) ** 0.5 if weight.ndim > 1 else 0.2
        weight.data = 1 + 0.3 * noise if key.endswith("gamma") else spread * noise
    return model


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def worst(ours, theirs):
    """Greatest difference as a share of the peak."""
    theirs = torch.as_tensor(theirs)
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


ORIGINAL = dict(
    dim=8,
    depth=2,
    stereo=True,
    num_stems=1,
    time_transformer_depth=1,
    freq_transformer_depth=1,
    linear_transformer_depth=0,
)
ORIGINAL |= dict(
    dim_head=4, heads=2, stft_n_fft=128, stft_hop_length=32, stft_win_length=128, stft_normalized=False, zero_dc=True
)
ORIGINAL |= dict(mask_estimator_depth=2, mlp_expansion_factor=2, skip_connection=False)


def model_channels(args):
    return 2 if args["stereo"] else 1


def foreign_state(adapter, args):
    """Random weights under the fork's names, gates and rotary frequencies included."""
    own = dict(bands=BANDS, final_norm="shared") if adapter.system == "bs_roformer" else dict(n_bands=8)
    heads = dict(n_heads=args["heads"], dim_head=args["dim_head"], gate=True)
    masks = dict(mask_depth=args["mask_estimator_depth"] - adapter.hidden, mask_ratio=args["mlp_expansion_factor"])
    blocks = dict(n_repeats=args["depth"], n_linear_layers=args["linear_transformer_depth"])
    layers = dict(n_time_layers=args["time_transformer_depth"], n_band_layers=args["freq_transformer_depth"])
    model = adapter.model(
        sources=[f"s{number}" for number in range(args["num_stems"])],
        in_channels=model_channels(args),
        n_fft=128,
        n_hop=32,
        feature_dim=args["dim"],
        **{**own, **heads, **masks, **blocks, **layers},
    )
    state = {key: weight.detach() for key, weight in randomised(model).state_dict().items()}
    freqs = 10000.0 ** (-torch.arange(0, args["dim_head"], 2) / args["dim_head"])
    return {
        **state,
        **{key.replace("to_qkv.weight", "rotary_embed.freqs"): freqs for key in state if key.endswith("to_qkv.weight")},
    }
