"""Made-up checkpoints as other people's tools write them, with stand-ins for their classes."""

import argparse
import collections
import contextlib
import datetime
import pathlib
import sys
import types
import typing
import zipfile

import numpy as np
import torch


@contextlib.contextmanager
def modules_for(*classes):
    """Let pickle find ``classes`` where they claim to be from; afterwards nobody does."""
    names = {
        ".".join(parts[: n + 1])
        for parts in (kind.__module__.split(".") for kind in classes)
        for n in range(len(parts))
    }
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update({name: types.ModuleType(name) for name in names})
    for kind in classes:
        setattr(sys.modules[kind.__module__], kind.__name__, kind)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


def stand_in(full_name, *bases, **more):
    """A class that says it is ``full_name``."""
    module, _, name = full_name.rpartition(".")
    return type(name, bases, {"__module__": module, **more})


DictConfig, ListConfig = stand_in("omegaconf.dictconfig.DictConfig"), stand_in("omegaconf.listconfig.ListConfig")
AnyNode, PathNode = stand_in("omegaconf.nodes.AnyNode"), stand_in("omegaconf.nodes.PathNode")
Metadata = stand_in("omegaconf.base.Metadata")
ContainerMetadata = stand_in("omegaconf.base.ContainerMetadata")
ModelCheckpoint = stand_in("old_lightning.callbacks.model_checkpoint.ModelCheckpoint")
EarlyStopping = stand_in("old_lightning.callbacks.early_stopping.EarlyStopping")
AttributeDict = stand_in("old_lightning.utilities.parsing.AttributeDict", dict)
Stage = stand_in("old_lightning.trainer.states.Stage", value=1)
Opaque = stand_in("nowhere.Opaque", __reduce_ex__=lambda self, protocol: (Opaque, (1, "two"), {"three": [4]}))
CLASSES = (DictConfig, ListConfig, AnyNode, PathNode, Metadata, ContainerMetadata, ModelCheckpoint, EarlyStopping)
CLASSES += (AttributeDict, Stage, Opaque)


def omega(value, key=None, parent=None):
    """``value`` as OmegaConf 2 keeps it: a tree whose nodes know their parents and, as metadata, their types."""
    kind = {dict: DictConfig, list: ListConfig}.get(
        type(value), PathNode if isinstance(value, pathlib.PurePath) else AnyNode
    )
    node = kind()
    about = ContainerMetadata() if kind in (DictConfig, ListConfig) else Metadata()
    about.__dict__.update(ref_type=typing.Any, object_type=type(value), optional=True, key=key, flags={"struct": True})
    node.__dict__.update(_metadata=about, _parent=parent, _flags_cache=None)
    if kind is DictConfig:
        about.__dict__.update(key_type=str, element_type=int, resolver_cache=collections.defaultdict(dict))
        node._content = {name: omega(entry, name, node) for name, entry in value.items()}
    elif kind is ListConfig:
        node._content = [omega(entry, index, node) for index, entry in enumerate(value)]
    else:
        node._val = value
    return node


def hydra(settings):
    """The model's part of a whole Hydra configuration, which it is the child of."""
    root = {
        "hydra": {"run": {"dir": pathlib.PurePosixPath("exp/1")}, "overrides": ["a=1", 2, 2.5, None]},
        "model": settings,
    }
    return omega(root)._content["model"]


def _early(content, settings):
    """Lightning 1.2: callbacks by class, settings in a dictionary with attributes."""
    callbacks = {ModelCheckpoint: {"best_model_path": "a.ckpt", "best_model_score": torch.tensor(1.5)}}
    callbacks[EarlyStopping] = {"wait_count": 0, "best_score": np.float32(1)}
    return {**content, "callbacks": callbacks, "hyper_parameters": AttributeDict(settings), "hparams_name": "kwargs"}


def _of_hydra(content, settings):
    """As the reference's ``train.py``: every value of the settings may be a container of OmegaConf."""
    settings = {key: omega(value) if isinstance(value, (dict, list)) else value for key, value in settings.items()}
    return {**content, "hyper_parameters": {**settings, "cfg_optim": hydra({"lr": 1e-3, "betas": [0.9, 0.999]})}}


def _whole_container(content, settings):
    """Lightning 1.6 to 1.9: the settings are one container, whose type is stored beside it."""
    content = {**content, "hparams_type": DictConfig, "loops": {"fit_loop": {"state_dict": {}, "stage": Stage()}}}
    return {**content, "hyper_parameters": hydra({**settings, "lost": "${hydra.run}", "missing": "???"})}


def _namespace(content, settings):
    return {**content, "hyper_parameters": argparse.Namespace(**settings)}


def _odd_things(content, settings):
    """Values that people put into ``save_hyperparameters``."""
    extra = {
        "root": pathlib.PurePosixPath("/data/x"),
        "when": datetime.datetime(2024, 2, 3),
        "kept": {1, 2},
        "o": Opaque(),
    }
    extra |= {"frozen": frozenset([3]), "counts": collections.Counter("aab"), "queue": collections.deque([1, 2])}
    extra |= {"grid": np.arange(4.0).reshape(2, 2), "names": np.array(["a", "b"], dtype=object), "raw": bytearray(b"x")}
    numbers = {key: np.int64(value) if type(value) is int else value for key, value in settings.items()}
    return {**content, "hyper_parameters": {**numbers, **extra}, "when": extra["when"], "seen": datetime.timedelta(1)}


#: what wrote it -> (content and settings to the file's content, how torch saved it)
AGES = {
    "1.2, torch 1.4": (_early, {"_use_new_zipfile_serialization": False}),
    "1.2, torch 1.8": (_early, {}),
    "1.5, Hydra": (_of_hydra, {}),
    "1.6 to 1.9, one container": (_whole_container, {}),
    "2.0, namespace": (_namespace, {}),
    "2.4, odd things": (_odd_things, {}),
    "2.6, protocol 5": (_of_hydra, {"pickle_protocol": 5}),
    "2.6, protocol 4 without zip": (_odd_things, {"pickle_protocol": 4, "_use_new_zipfile_serialization": False}),
}


def save_lightning(path, age, state_dict, settings):
    """Write a checkpoint of one age: weights, optimiser, callbacks, and ``settings`` as they were stored then."""
    arrange, options = AGES[age]
    states = [{"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}]
    content = {"epoch": 3, "global_step": 7, "pytorch-lightning_version": age[:3], "state_dict": state_dict}
    content |= {"optimizer_states": states, "lr_schedulers": [{"best": np.float64(2.5), "mode": Stage()}]}
    with modules_for(*CLASSES):
        torch.save(arrange(content, settings), path, **options)
    return path


def rewritten(path, out, change):
    """Copy a zip of torch with ``change(pickle)`` in the place of its pickle."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            target.writestr(item.filename, change(content) if item.filename.endswith("data.pkl") else content)
    return out


def with_pickle(path, pickled):
    """A zip of torch without storages that holds this pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3")
    return path
