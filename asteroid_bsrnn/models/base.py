"""What every model of this package shares: the host's contract, kept so that files load on today's torch."""
import inspect

from asteroid.models import BaseModel


class SeparationModel(BaseModel):
    """Asteroid ``BaseModel`` that remembers its constructor arguments and writes files that load weights-only.

    A subclass stores each constructor argument as an attribute of the same name, in plain Python values.
    """

    __jit_unused_properties__ = ["sample_rate"]

    def get_model_args(self):
        """Every constructor argument with its value: enough to build the same model again."""
        return {name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters if name != "self"}

    def serialize(self):
        """As the host's, with version numbers as plain strings: ``torch.load(weights_only=True)`` reads the file."""
        conf = super().serialize()
        versions = conf["infos"]["software_versions"]
        conf["infos"]["software_versions"] = {name: str(version) for name, version in versions.items()}
        return conf
