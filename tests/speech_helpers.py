"""Small speech models and mixtures that the tests of the speech half share."""

import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

from asteroid_bsrnn import models

_FRCNN = {"n_filters": 32, "bn_chan": 16, "hid_chan": 24, "num_iters": 3}
_DUAL = {"n_filters": 16, "bn_chan": 16, "hid_size": 12, "chunk_size": 20, "hop_size": 10, "n_blocks": 2}
_GLASS = {"n_filters": 16, "bn_chan": 16, "hid_size": 12, "chunk_size": 32, "hop_size": 16, "n_heads": 4}
_LOCO = {"n_fft": 64, "hop": 32, "n_blocks": 1, "emb_dim": 8, "n_groups": 2, "n_heads": 2, "attention_dim": 8}
_BLSTM = {"hid_size": 12, "n_layers": 2}

WAVEFORM = {
    "afrcnn": ("AFRCNN", _FRCNN),
    "afrcnn_sum": ("AFRCNN", {**_FRCNN, "fusion": "sum", "decoder": "shared"}),
    "sfrcnn": ("SFRCNN", _FRCNN),
    "a_dprnn": ("ADPRNNTasNet", _DUAL),
    "a_dprnn_literal": ("ADPRNNTasNet", {**_DUAL, "preset": "literal"}),
    "s_dprnn": ("SDPRNNTasNet", _DUAL),
    "sandglasset": ("Sandglasset", _GLASS),
    "sandglasset_dwconv": ("Sandglasset", {**_GLASS, "resampling": "dwconv", "legacy_residual": True}),
    "a_sandglasset": ("ASandglasset", {**_GLASS, "n_blocks": 2}),
    "sepreformer": (
        "SepReformer",
        {"n_filters": 16, "bn_chan": 8, "n_stages": 2, "n_heads": 2, "max_rel": 50, "local_kernel": 9},
    ),
    "locoformer": ("TFLocoformer", {**_LOCO, "ffn_hidden": [12, 12]}),
}
SPECTRAL = {
    "upit_blstm": ("UPITBLSTM", _BLSTM),
    "upit_blstm_st": ("UPITBLSTM", {**_BLSTM, "stacked": True, "stack_estimates": True}),
    "dpcl": ("DPCL", {**_BLSTM, "embedding_dim": 6}),
    "chimera": ("Chimera", {**_BLSTM, "embedding_dim": 6}),
    "chimera_clustering": ("Chimera", {**_BLSTM, "embedding_dim": 6, "separate_by": "clustering"}),
}
SMALL = {**WAVEFORM, **SPECTRAL}


def small_model(kind, seed=0, **changes):
    """The small model called ``kind``, the same for the same seed."""
    name, kwargs = SMALL[kind]
    torch.manual_seed(seed)
    return models.get(name)(**{**kwargs, **changes})


def n_params(model):
    return sum(p.numel() for p in model.parameters())


def voices(batch=2, n_src=2, length=2000, sample_rate=8000):
    """Harmonic tones with vibrato and syllables, different for every source: (batch, n_src, length)."""
    time = torch.arange(length) / sample_rate
    pitch = (110 * 1.37 ** torch.arange(batch * n_src)).unsqueeze(1)
    phase = 2 * torch.pi * pitch * (time + 0.002 * torch.sin(2 * torch.pi * 5 * time))
    tone = sum(torch.sin(k * phase + k) / k for k in range(1, 7))
    rate = torch.linspace(3, 7, batch * n_src).unsqueeze(1)
    syllables = torch.sin(2 * torch.pi * rate * time + pitch).clamp(min=0.05)
    return (0.2 * tone * syllables).reshape(batch, n_src, length)


def mean_si_sdr(estimates, targets):
    """SI-SDR with the best permutation, dB."""
    return -PITLossWrapper(pairwise_neg_sisdr)(estimates, targets).item()


def overfit_gain(model, sources, steps=30, lr=1e-3):
    """SI-SDR improvement, dB, on the mixtures of ``sources`` after ``steps`` of Adam on just these."""
    loss_func = PITLossWrapper(pairwise_neg_sisdr)
    mixture, optimizer = sources.sum(1), torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_func(model(mixture), sources).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        after = mean_si_sdr(model(mixture), sources)
    return after - mean_si_sdr(mixture.unsqueeze(1).expand_as(sources), sources)


def steps_to_halve_own_loss(model, sources, at_most=100, lr=1e-3):
    """Steps of Adam (a multiple of 10) until the model's own loss, without dropout, is half of what it was, or None."""
    mixture, optimizer = sources.sum(1), torch.optim.Adam(model.parameters(), lr=lr)
    model.fit_normalisation([mixture])
    before = _own_loss(model, mixture, sources)
    for step in range(1, at_most + 1):
        optimizer.zero_grad()
        model.train().training_loss(mixture, sources).backward()
        optimizer.step()
        if step % 10 == 0 and _own_loss(model, mixture, sources) < before / 2:
            return step
    return None


@torch.no_grad()
def _own_loss(model, mixture, sources):
    return model.eval().training_loss(mixture, sources).item()


def assert_same_function(module, reference, *inputs, tol=1e-5):
    """``module`` and ``reference``, a function of the same weights, agree in output and in every gradient."""
    results = []
    for function in (module, reference):
        given = [x.clone().requires_grad_() for x in inputs]
        out = function(*given)
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
        grads = torch.autograd.grad((out * weight).sum(), given + list(module.parameters()), allow_unused=True)
        results.append((out, *grads))
    for ours, theirs in zip(*results):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=tol, atol=tol)
