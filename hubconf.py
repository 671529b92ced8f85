"""Entries for ``torch.hub.load``: each builds a model, or loads one when it is told a name, address or file."""

dependencies = ["asteroid", "torch", "pytorch_lightning", "safetensors", "requests", "huggingface_hub"]


def _model(model_name, name_url_or_file, kwargs):
    import asteroid_bsrnn

    cls = asteroid_bsrnn.models.get(model_name)
    if name_url_or_file is None:
        return cls(**kwargs)
    model = cls.from_pretrained(name_url_or_file, **kwargs).eval()
    if not isinstance(model, cls):
        raise ValueError(f"{name_url_or_file} holds a {type(model).__name__}, not a {cls.__name__}")
    return model


def _entry(model_name):
    def entry(name_url_or_file=None, **kwargs):
        return _model(model_name, name_url_or_file, kwargs)

    entry.__doc__ = f"""``{model_name}``, new or pretrained.

    Args:
        name_url_or_file (str, optional): name of a published model, file, address or hub id; without it, new weights.
        **kwargs: constructor arguments; they replace those of the file.
    """
    return entry


bsrnn = _entry("BSRNN")
causal_bsrnn = _entry("CausalBSRNN")
stem_separator = _entry("StemSeparator")
afrcnn = _entry("AFRCNN")
sfrcnn = _entry("SFRCNN")
adprnn_tasnet = _entry("ADPRNNTasNet")
sdprnn_tasnet = _entry("SDPRNNTasNet")
sandglasset = _entry("Sandglasset")
asandglasset = _entry("ASandglasset")
upit_blstm = _entry("UPITBLSTM")
dpcl = _entry("DPCL")
chimera = _entry("Chimera")
bs_roformer = _entry("BSRoFormer")
mel_band_roformer = _entry("MelBandRoFormer")
tfc_tdf_v3 = _entry("TFCTDFv3")
conv_tdf_net = _entry("ConvTDFNet")
dttnet = _entry("DTTNet")
mixer = _entry("Mixer")
presunet = _entry("PResUNet")
scnet = _entry("SCNet")
demucs = _entry("Demucs")
hdemucs = _entry("HDemucs")
htdemucs = _entry("HTDemucs")
sepreformer = _entry("SepReformer")
tf_locoformer = _entry("TFLocoformer")
separation_system = _entry("SeparationSystem")
