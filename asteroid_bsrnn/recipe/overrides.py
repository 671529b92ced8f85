"""YAML as people write it, and single values ``section.key=value`` laid over a configuration."""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from ..common.errors import UserError

_NEXT = re.compile(r"\s+(?=[A-Za-z_]\w*\.\w+=)")  # what separates two overrides in one text


class Loader(yaml.SafeLoader):
    """``1e-7`` is a number, ``010`` is 10, ``<<`` merges, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise UserError(f"{self.name}: the key {twice!r} stands twice in one section")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Leading zeros mean nothing (in YAML 1.1: octal)."""
        text = node.value.replace("_", "")
        return int(text) if re.fullmatch(r"[-+]?\d+", text) else super().construct_yaml_int(node)


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)$|^[-+]?\d[\d_]*\.[\d_]*$|^[-+]?\.(inf|nan)$", re.I),
    list("-+0123456789."),
)
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?0\d[\d_]*$"), list("-+0"))  # 08, 09


def split_overrides(texts: Iterable[str]) -> list[str]:
    """``["a.b=1 c.d=two words"]`` -> ``["a.b=1", "c.d=two words"]``: a new one begins where ``section.key=`` follows a blank."""
    return [part for text in texts for part in _NEXT.split(text.strip()) if part]


def parse_overrides(
    overrides: dict | Iterable[str] | None, conf: dict[str, dict[str, Any]] | None = None
) -> dict[str, dict[str, Any]]:
    """Overrides as a two-level dictionary, from a dictionary or from ``"section.key=value"`` strings.

    Args:
        overrides: values are YAML; what is text is taken literally, ``#`` and all (quotes around the whole fall away).
        conf: the configuration that they are meant for: where it holds a text, a text is meant.

    Raises:
        UserError: for a string of another form, or what is no YAML.
    """
    if overrides is None or isinstance(overrides, dict):
        return overrides or {}
    found: dict[str, dict[str, Any]] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and key):
            raise UserError(f"override {text!r}: expected section.key=value, for example optim.lr=0.001")
        known = (conf or {}).get(section)
        base = known.get(key) if isinstance(known, dict) else None
        found.setdefault(section, {})[key] = _value(value.strip(), base, text)
    return found


def _value(text: str, base: Any, override: str) -> Any:
    is_text = isinstance(base, str) and base != "auto"  # auto stands for numbers too
    try:
        value = yaml.load(text, Loader)
    except yaml.YAMLError:
        if not is_text:
            raise UserError(f"override {override!r}: {text!r} is no YAML value") from None
        value = text
    if text.lower() in ("", "~", "null"):
        return None
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if quoted and isinstance(value, str):
        return value
    odd = value is None or isinstance(value, dict) and not isinstance(base, dict)  # "# x", or a path with a colon
    return text if is_text or odd or isinstance(value, str) else value
