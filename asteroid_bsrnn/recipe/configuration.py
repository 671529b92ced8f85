"""Configuration: base file, protocol, variant, overlays and command line become one checked dictionary.

A configuration has two levels, section and key (``plugins`` and ``logging`` are lists). ``local/conf.yml`` of a recipe is complete: every key that exists
stands there with its unit and its origin. Everything else says only what differs, in this order, later ones win::

    local/conf.yml <- local/corrected.yml (protocol) <- <variant>.yml (:mod:`.variants`) <- local/controlled.yml (protocol)
    <- overlay files <- overrides

Each section is handed whole, as keywords, to one constructor or function, so that a key nobody reads cannot exist.
Two sections are open: the keys of ``model`` are the constructor arguments of the class that ``model_name`` names, those
of ``loss`` the arguments of the loss called ``name``; a file that names another starts the section afresh.

The section ``per_source`` says what differs for the model of one source or group: ``{bass: {model.n_fft: 16384}}``. What a
later file says for all replaces it.
"""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import losses, models
from ..common.errors import UserError
from ..common.files import load_yaml
from ..common.plugins import load_plugins
from ..common.registry import check_known
from ..common.typed import WORDS
from ..models.family import demo_arguments
from ..models.names import named_arguments
from .overrides import Loader, parse_overrides
from .variants import variant_file

Conf = dict[str, Any]  # {section: {key: value}}; "plugins" and "logging" hold lists

PROTOCOLS = ("published", "corrected", "controlled")
UNDER, OVER = {"corrected"}, {"controlled"}  # protocols whose files lie under the variant, and over it
PER_SOURCE = "per_source"
SHARES = ("training.activation_checkpointing",)  # true, false or a number between
LISTS = ("plugins", "logging")  # the only top-level keys that hold lists; absent is empty
OPEN = {"model": "model_name", "loss": "name"}  # sections whose keys are the arguments of what this key names


def read_yaml(path: str | Path) -> Conf:
    """The two-level dictionary in a YAML file.

    Raises:
        UserError: if the file is missing, is no YAML, or is not made of sections.
    """
    try:
        conf = load_yaml(path, Loader) or {}
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file") from None
    rule = f"{path}: a configuration is made of sections with keys, as in conf.yml"
    if not isinstance(conf, dict):
        raise UserError(rule)
    for name, section in conf.items():
        if not isinstance(section, list if name in LISTS else dict):
            raise UserError(f"{rule}; {name!r} {'is a list' if name in LISTS else 'has keys'}")
    return conf


def load_conf(
    recipe_dir: str | Path,
    variant: str | None = None,
    overrides: Conf | Iterable[str] | None = None,
    overlays: Iterable[str | Path] = (),
    protocol: str = "published",
    demo: bool = False,
) -> Conf:
    """The configuration of one experiment.

    Args:
        recipe_dir: folder with ``local/conf.yml``.
        variant: name of one of :func:`.variants.variant_names`, or the path of any such file.
        overrides: ``{"section": {"key": value}}`` or ``"section.key=value"`` with the value in YAML.
        overlays: YAML files laid over the variant, e.g. the demo's sizes.
        protocol: ``"published"``, ``"corrected"`` (``local/corrected.yml``, under the variant) or ``"controlled"``
            (``local/controlled.yml``, over it).
        demo: give the model the demonstration size of its family.

    Returns:
        ``{section: {key: value}}``, complete and checked.

    Raises:
        UserError: unknown recipe, variant, protocol, section or key (with the nearest known one), or a value of
            another type than the base configuration has.
    """
    local = Path(recipe_dir) / "local"
    if not (local / "conf.yml").is_file():
        raise UserError(f"{recipe_dir} is no recipe: it has no local/conf.yml")
    check_known("protocol", protocol, PROTOCOLS)
    conf = read_yaml(local / "conf.yml")
    load_plugins(conf.get("plugins", ()), str(local / "conf.yml"))
    for section in OPEN.keys() & conf.keys() | {"model"}:
        _check_open(section, conf, local / "conf.yml")
    own = local / f"{protocol}.yml"
    if protocol in UNDER | OVER and not own.is_file():
        raise UserError(f"{recipe_dir} has no protocol {protocol!r}: there is no {own}")
    layers = [own] if protocol in UNDER else []
    if variant is not None:
        layers.append(variant_file(recipe_dir, variant))
    layers += [own] if protocol in OVER else []
    for path in [*layers, *overlays]:
        conf = merge(conf, read_yaml(path), origin=path)
    if demo:
        conf = merge(conf, {"model": demo_arguments(conf["model"]["model_name"])}, origin="demonstration")
    return merge(conf, parse_overrides(overrides, conf), origin="override")


def merge(conf: Conf, changes: Conf, origin: str | Path) -> Conf:
    """``conf`` with ``changes`` laid over it, every section, key and type checked against ``conf``.

    Raises:
        UserError: naming ``origin``, the key, and the nearest known one.
    """
    conf = copy.deepcopy(conf)
    load_plugins(changes.get("plugins", ()), str(origin))
    for section, keys in changes.items():
        if section in LISTS:
            conf[section] = copy.deepcopy(keys)
            continue
        check_known("section", section, conf, f"in {origin}")
        if not isinstance(keys, dict):
            raise UserError(f"{origin}: section {section!r} needs keys, got {keys!r}")
        if section == PER_SOURCE:
            continue
        _forget(conf.get(PER_SOURCE) or {}, section, keys)
        if section in OPEN:
            name_key = OPEN[section]
            if keys.get(name_key, conf[section][name_key]) != conf[section][name_key]:
                conf[section] = {}
            conf[section].update(copy.deepcopy(keys))
            _check_open(section, conf, origin)
            continue
        for key, value in keys.items():
            check_known("key", key, conf[section], f"in section {section!r} of {origin}")
            conf[section][key] = _typed(value, conf[section][key], f"{origin}: {section}.{key}")
    for name, values in changes.get(PER_SOURCE, {}).items():
        _check_per_source(conf, name, values, origin)
        conf[PER_SOURCE].setdefault(name, {}).update(copy.deepcopy(values))
    return conf


def _forget(per_source: dict[str, Conf], section: str, keys: Conf) -> None:
    """What is said for all now no longer differs for a source; another loss or model makes all of its keys void."""
    whole = section in OPEN and OPEN[section] in keys
    for values in per_source.values():
        for dotted in [dotted for dotted in values if dotted.partition(".")[0] == section]:
            if whole or dotted.partition(".")[2] in keys:
                del values[dotted]
    for name in [name for name, values in per_source.items() if not values]:
        del per_source[name]


def _check_per_source(conf: Conf, name: str, values: Conf, origin: str | Path) -> None:
    """UserError unless ``values`` are settings ``section.key`` that the models of ``name`` could have."""
    check_known("source", name, [known for known, _ in experiments(conf)], f"in section {PER_SOURCE!r} of {origin}")
    if not isinstance(values, dict):
        raise UserError(f"{origin}: {PER_SOURCE}.{name} needs entries such as model.n_fft: 4096, got {values!r}")
    merge({**conf, PER_SOURCE: {}}, nested(values, f"{origin}: {PER_SOURCE}.{name}"), origin)


def nested(values: dict[str, Any], origin: str) -> Conf:
    """``{"section.key": value}`` -> ``{"section": {"key": value}}``."""
    found: Conf = {}
    for dotted, value in values.items():
        section, dot, key = str(dotted).partition(".")
        if not (dot and key):
            raise UserError(f"{origin}: expected section.key, got {dotted!r}")
        found.setdefault(section, {})[key] = copy.deepcopy(value)
    return found


def conf_of(conf: Conf, name: str | None) -> Conf:
    """The configuration of the model called ``name``, one of :func:`experiments`: with what differs for it."""
    values = (conf.get(PER_SOURCE) or {}).get(name)
    if not name or not values:
        return conf
    return {**merge({**conf, PER_SOURCE: {}}, nested(values, name), name), PER_SOURCE: conf[PER_SOURCE]}


def _typed(value: Any, base: Any, where: str) -> Any:
    """``value`` if it fits the type of ``base``; whole numbers become floats where the base has a float.

    Where one of them is ``auto``, or the key is a switch that takes a share, what reads the key knows its other values.
    """
    if value is None or base is None or "auto" in (value, base) or where.endswith(SHARES):
        return copy.deepcopy(value)
    if isinstance(base, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(base):
        raise UserError(f"{where} is {WORDS.get(type(base), type(base).__name__)}, got {value!r}")
    return copy.deepcopy(value)


def _check_open(section: str, conf: Conf, origin: str | Path) -> None:
    """The keys of an open section are the arguments of what it names."""
    tables: dict[str, Any] = {"model": models, "loss": losses}
    name_key, table = OPEN[section], tables[section]
    arguments = dict(conf.get(section, {}))
    if name_key not in arguments:
        raise UserError(f"{origin}: section {section!r} needs a {name_key}")
    try:
        known = named_arguments(table.get(arguments.pop(name_key)))
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None
    for key in arguments:
        check_known("key", key, known, f"in section {section!r} of {origin}")


def task_name(conf: Conf) -> str:
    """``"music"`` or ``"speech"``; configurations of version 0.1.0 do not say: music has a section ``task``."""
    return conf.get("task", {}).get("name") or ("music" if "task" in conf else "speech")


def experiments(conf: Conf) -> list[tuple[str | None, tuple[str, ...]]]:
    """The models that a configuration trains: ``[(name, sources)]``.

    Music, one model per source: ``[("vocals", ("vocals",)), ...]``; one per group of ``task.groups``:
    ``[("vocals", ("vocals",)), ("bass+drums", ("bass", "drums"))]``; one model for all, and speech: ``[(None, ...)]``
    with all source names (speech: ``s1, s2, ...``).
    """
    if task_name(conf) == "speech":
        return [(None, tuple(f"s{index + 1}" for index in range(conf["model"].get("n_src", 2))))]
    sources = tuple(conf["task"]["sources"])
    if conf["task"]["simo"]:
        return [(None, sources)]
    groups = conf["task"].get("groups")
    groups = [[source] for source in sources] if groups is None else groups
    listed = sorted(source for group in groups for source in group)
    if listed != sorted(sources):
        raise UserError(f"task.groups must hold each of {', '.join(sources)} once, got {groups}")
    return [("+".join(group), tuple(group)) for group in groups]
