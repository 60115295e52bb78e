"""Look at the person a language model is being: ask, cache, probe, transfer, steer, report.

Reading these names is reading the design: instruments -> prompts -> models -> activations -> measures -> probes ->
steering. They are imported on first use, so that the command line starts without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personascope.activations.collect import collect as collect
    from personascope.activations.plan import Plan as Plan
    from personascope.activations.plan import Row as Row
    from personascope.activations.store import ActivationStore as ActivationStore
    from personascope.direction import Direction as Direction
    from personascope.errors import PersonascopeError as PersonascopeError
    from personascope.instruments.items import load_items as load_items
    from personascope.instruments.personas import load_personas as load_personas
    from personascope.instruments.tasks import load_tasks as load_tasks
    from personascope.measures.utilities import fit_utilities as fit_utilities
    from personascope.models.load import load_model as load_model
    from personascope.probes.transfer import transfer_matrix as transfer_matrix
    from personascope.prompts.render import render as render
    from personascope.steering.coefficient_sweep import coefficient_sweep as coefficient_sweep
    from personascope.steering.steer import steer as steer

_HOMES = {
    "load_items": "instruments.items",
    "load_tasks": "instruments.tasks",
    "load_personas": "instruments.personas",
    "render": "prompts.render",
    "load_model": "models.load",
    "Row": "activations.plan",
    "Plan": "activations.plan",
    "collect": "activations.collect",
    "ActivationStore": "activations.store",
    "fit_utilities": "measures.utilities",
    "transfer_matrix": "probes.transfer",
    "Direction": "direction",
    "steer": "steering.steer",
    "coefficient_sweep": "steering.coefficient_sweep",
    "PersonascopeError": "errors",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'personascope' has no attribute {name!r}")
    return getattr(import_module(f"personascope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
