"""Losses that Asteroid lacks; ``get`` also knows Asteroid's own. A loss is ``loss(est_targets, targets)``."""
import asteroid.losses

from ..registry import Registry

_REGISTRY = Registry("loss", lambda name: getattr(asteroid.losses, name, None))
get, register_loss = _REGISTRY.get, _REGISTRY.register

for _loss in ():
    register_loss(_loss)
