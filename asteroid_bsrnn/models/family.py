"""Families of models, and the adapters that read other implementations' weights.

A family is one folder (``config.py``, ``network.py``, ``adapter.py``, ``published.yml``) and one registration::

    register_family(Family("bsrnn", models=(BSRNN,), adapters=(ReferenceBSRNN(),), published=HERE / "published.yml"))

``convert``, ``load_model``, ``from_foreign``, ``models`` and ``download`` iterate what is registered and know no family.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from ..common.errors import UserError
from ..common.registry import Registry

State = Mapping[str, torch.Tensor]


class Adapter:
    """One foreign format of one system.

    A subclass sets the class attributes and writes :meth:`recognises`, :meth:`config` and :meth:`convert`. Nothing here
    imports or runs the other implementation.

    Attributes:
        name: of the format, unique, for messages and tables (``"msst-bs-roformer"``).
        system: the name that ``from_foreign`` takes (``"bs_roformer"``); several formats may share one.
        model: the class that the weights become.
        suffixes: endings of files that are no PyTorch or safetensors file and that :meth:`read` reads (``(".onnx",)``).
        needs_settings: whether the weights alone cannot say how the network is built.
        mark: a weight by which people know the format, for messages.
    """

    name: ClassVar[str]
    system: ClassVar[str]
    model: ClassVar[type]
    suffixes: ClassVar[tuple[str, ...]] = ()
    needs_settings: ClassVar[bool] = False
    mark: ClassVar[str] = ""

    def unwrap(self, content: Mapping[str, Any]) -> tuple[State, Mapping[str, Any]] | None:
        """(state, settings) out of a file of this format's own container; None where the usual containers are used.

        The usual ones are opened before: ``state_dict``, ``state``, ``model_state_dict``, ``model``, an EMA's list.
        """
        return None

    def read(self, path: Path) -> tuple[State, Mapping[str, Any]]:
        """(state, settings) of a file that ends in one of :attr:`suffixes`."""
        raise UserError(f"{path}: the format {self.name} is read from PyTorch files only")

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Settings in the original's words out of a configuration file that lay beside the weights (``--config``)."""
        return dict(document)

    def recognises(self, state: State) -> bool:
        """Whether these weights are of this format, by their names and shapes."""
        return False

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments of :attr:`model`, from the original's settings and the shapes of the weights.

        Raises:
            UserError: naming a setting that is missing and cannot be inferred.
        """
        return dict(settings)

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights under our names, in float32; every key is used or dropped on purpose.

        Raises:
            UserError: naming a key that is neither.
        """
        return dict(state)

    def build(self, state: State, settings: Mapping[str, Any]) -> torch.nn.Module:
        """The model with these weights, in evaluation mode.

        Raises:
            UserError: where the weights do not fit the settings, naming the first that does not.
        """
        model = self.model(**self.config(state, settings))
        load_all(model, self.convert(state, settings), self.name, self.called(state))
        return model.eval()

    def called(self, state: State) -> dict[str, str]:
        """Our name -> that in the file, of weights that errors shall call as the file does."""
        return {}


def load_all(model: torch.nn.Module, weights: State, origin: str, called: Mapping[str, str] | None = None) -> None:
    """Load weights, every one of them and nothing else.

    Args:
        called: name -> what errors call that weight.

    Raises:
        UserError: naming the first weight that is unexpected or of another shape, or the first that is missing.
    """
    own, called = model.state_dict(), called or {}
    for name in [*weights, *own]:
        if name not in weights:
            lacks = "no weight in the file becomes" if called else "the weights lack"
            raise UserError(f"{origin}: {lacks} {name!r}, which {type(model).__name__} needs")
        if name not in own:
            raise UserError(f"{origin}: {type(model).__name__} has no weight {called.get(name, name)!r}")
        if own[name].shape != weights[name].shape:
            raise UserError(
                f"{origin}: the weight {called.get(name, name)!r} has the shape {tuple(weights[name].shape)}, "
                f"and the settings ask for {tuple(own[name].shape)}"
            )
    model.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in weights.items()})


@dataclass(frozen=True)
class Family:
    """What a family brings.

    Args:
        name: of the folder.
        models: classes, found by their names.
        adapters: of foreign formats.
        published: file with published weights by name; see docs/weights.md for its keys.
        demo: constructor arguments of a demonstration size by class name.
    """

    name: str
    models: tuple[type, ...]
    adapters: tuple[Adapter, ...] = ()
    published: Path | None = None
    demo: Mapping[str, Mapping[str, Any]] | None = None


FAMILIES = Registry("family")


def demo_arguments(model_name: str) -> dict[str, Any]:
    """Constructor arguments of a demonstration size; none for a class whose family brings none, which keeps its own."""
    sizes = {name.lower(): dict(args) for family in FAMILIES.values() for name, args in (family.demo or {}).items()}
    return sizes.get(model_name.lower(), {})


def adapters() -> list[Adapter]:
    """Adapters of all registered families."""
    return [adapter for family in FAMILIES.values() for adapter in family.adapters]
