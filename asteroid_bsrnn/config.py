"""Configuration: base file, protocol, variant, overlays and command line become one checked dictionary.

A configuration has two levels, section and key. ``local/conf.yml`` of a recipe is complete: every key that exists
stands there with its unit and its origin. Everything else says only what differs, in this order, later ones win::

    local/conf.yml <- local/corrected.yml (protocol) <- local/variants/<variant>.yml <- overlay files <- overrides

Each section is handed whole, as keywords, to one constructor or function, so that a key nobody reads cannot exist.
Only the sections ``model`` and ``loss`` are open: their keys are the constructor arguments of the class that
``model_name`` or ``name`` names, and a file that names another class starts that section afresh.
"""
import copy
import inspect
import re
from difflib import get_close_matches
from pathlib import Path

import yaml

from .errors import UserError

PROTOCOLS = ("published", "corrected")


class _Loader(yaml.SafeLoader):
    """YAML as people write it: ``1e-7`` is a number, and a key that stands twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise UserError(f"{self.name}: the key {twice!r} stands twice in one section")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)$|^[-+]?\d[\d_]*\.[\d_]*$|^[-+]?\.(inf|nan)$", re.I),
    list("-+0123456789."),
)


def read_yaml(path):
    """The two-level dictionary in a YAML file.

    Raises:
        UserError: if the file is missing, is no YAML, or is not made of sections.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8") as file:
            conf = yaml.load(file, _Loader) or {}
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(conf, dict) or not all(isinstance(section, dict) for section in conf.values()):
        raise UserError(f"{path}: a configuration is made of sections with keys, as in conf.yml")
    return conf


def variant_names(recipe_dir):
    """Names of the variant files of a recipe, sorted."""
    return sorted(path.stem for path in (Path(recipe_dir) / "local" / "variants").glob("*.yml"))


def load_conf(recipe_dir, variant=None, overrides=None, overlays=(), protocol="published"):
    """The configuration of one experiment.

    Args:
        recipe_dir (str or Path): folder with ``local/conf.yml`` and ``local/variants/``.
        variant (str, optional): name of a file in ``local/variants``, without ``.yml``.
        overrides (dict or list of str, optional): ``{"section": {"key": value}}`` or ``"section.key=value"`` with
            the value in YAML.
        overlays (iterable of path): YAML files laid over the variant, e.g. the demo's sizes.
        protocol (str): ``"published"`` or ``"corrected"`` (``local/corrected.yml``).

    Returns:
        dict: ``{section: {key: value}}``, complete and checked.

    Raises:
        UserError: unknown recipe, variant, protocol, section or key (with the nearest known one), or a value of
            another type than the base configuration has.
    """
    local = Path(recipe_dir) / "local"
    if not (local / "conf.yml").is_file():
        raise UserError(f"{recipe_dir} is no recipe: it has no local/conf.yml")
    _known("protocol", protocol, PROTOCOLS)
    conf = read_yaml(local / "conf.yml")
    _check_model(conf, local / "conf.yml")
    layers = [local / "corrected.yml"] if protocol == "corrected" else []
    if variant is not None:
        _known("variant", variant, variant_names(recipe_dir), f"of the recipe {Path(recipe_dir).resolve().name}")
        layers.append(local / "variants" / f"{variant}.yml")
    for path in [*layers, *overlays]:
        conf = merge(conf, read_yaml(path), origin=path)
    return merge(conf, parse_overrides(overrides), origin="override")


def parse_overrides(overrides):
    """Overrides as a two-level dictionary, from a dictionary or from ``"section.key=value"`` strings."""
    if overrides is None or isinstance(overrides, dict):
        return overrides or {}
    conf = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and key):
            raise UserError(f"override {text!r}: expected section.key=value, for example optim.lr=0.001")
        try:
            conf.setdefault(section, {})[key] = yaml.load(value, _Loader)
        except yaml.YAMLError:
            raise UserError(f"override {text!r}: {value!r} is no YAML value") from None
    return conf


def merge(conf, changes, origin):
    """``conf`` with ``changes`` laid over it, every section, key and type checked against ``conf``.

    Raises:
        UserError: naming ``origin``, the key, and the nearest known one.
    """
    conf = copy.deepcopy(conf)
    for section, keys in changes.items():
        _known("section", section, conf, f"in {origin}")
        if not isinstance(keys, dict):
            raise UserError(f"{origin}: section {section!r} needs keys, got {keys!r}")
        if section == "loss":
            conf["loss"] = _merged_loss(conf["loss"], keys, origin)
            continue
        if section == "model":
            if keys.get("model_name", conf["model"]["model_name"]) != conf["model"]["model_name"]:
                conf["model"] = {}
            conf["model"].update(copy.deepcopy(keys))
            _check_model(conf, origin)
            continue
        for key, value in keys.items():
            _known("key", key, conf[section], f"in section {section!r} of {origin}")
            conf[section][key] = _typed(value, conf[section][key], f"{origin}: {section}.{key}")
    return conf


def _merged_loss(base, keys, origin):
    """The section ``loss`` with ``keys`` laid over it: any argument of the loss that it names in the end."""
    from . import losses

    base = base if keys.get("name", base.get("name")) == base.get("name") else {}
    merged = {**base, **{key: _typed(value, base.get(key), f"{origin}: loss.{key}") for key, value in keys.items()}}
    try:
        known = ["name", *inspect.signature(losses.get(merged["name"])).parameters]
    except ValueError as error:
        raise UserError(f"{origin}: {error}") from None
    for key in keys:
        _known("key", key, known, f"in section 'loss' of {origin}")
    return merged


def _known(kind, name, known, where=""):
    if name in known:
        return
    near = get_close_matches(str(name), [str(entry) for entry in known], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"unknown {kind} {name!r}{' ' + where if where else ''}: {hint}known are {', '.join(map(str, known))}")


def _typed(value, base, where):
    """``value`` if it fits the type of ``base``; whole numbers become floats where the base has a float."""
    if value is None or base is None:
        return copy.deepcopy(value)
    if isinstance(base, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    if type(value) is not type(base):
        raise UserError(f"{where} is {kinds.get(type(base), type(base).__name__)}, got {value!r}")
    return copy.deepcopy(value)


def _check_model(conf, origin):
    from . import models

    arguments = dict(conf.get("model", {}))
    if "model_name" not in arguments:
        raise UserError(f"{origin}: section 'model' needs a model_name")
    try:
        signature = inspect.signature(models.get(arguments.pop("model_name")))
    except ValueError as error:
        raise UserError(f"{origin}: {error}") from None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [name for name, entry in signature.parameters.items() if entry.kind in by_name and name != "self"]
    for key in arguments:
        _known("key", key, known, f"in section 'model' of {origin}")


def experiments(conf):
    """The models that a configuration trains: ``[(name, sources)]``.

    Music, one model per source: ``[("vocals", ("vocals",)), ...]``; one model for all, and speech: ``[(None, ...)]``
    with all source names (speech: ``s1, s2, ...``).
    """
    if "task" not in conf:
        return [(None, tuple(f"s{index + 1}" for index in range(conf["model"].get("n_src", 2))))]
    sources = tuple(conf["task"]["sources"])
    return [(None, sources)] if conf["task"]["simo"] else [(source, (source,)) for source in sources]


def build_model(conf, source=None):
    """The untrained model of a configuration.

    Args:
        conf (dict): from :func:`load_conf`.
        source (str, optional): which source, where each has its own model. Without it, such a configuration gives a
            ``StemSeparator`` of all of them.

    Raises:
        UserError: if ``source`` is not one of the configuration's.
        ValueError: if the model refuses its arguments.
    """
    from . import models

    arguments = dict(conf["model"])
    cls = models.get(arguments.pop("model_name"))
    if "task" not in conf:
        return cls(**arguments)
    sources = tuple(conf["task"]["sources"])
    if source is not None:
        _known("source", source, sources)
    if conf["task"]["simo"]:
        return cls(sources=sources, **arguments)
    if source is not None:
        return cls(sources=(source,), **arguments)
    return models.StemSeparator([cls(sources=(name,), **arguments) for name in sources])
