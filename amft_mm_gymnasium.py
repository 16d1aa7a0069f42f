"""What Python does at start-up: makes `gymnasium.make("amft/...")` work without an import of this project.

Gymnasium 1.x reads no entry points, so an installed package can only register its environments
when something imports it. Python runs the line in `amft_mm_gymnasium.pth` at start-up; it imports
this module, which waits until `gymnasium.envs.registration` is loaded and then registers the
worlds by name. Nothing else is imported, and a process without Gymnasium pays next to nothing.

It also explains why `envs.play` or `agents.policy` is not found where somebody else's `envs` or
`agents` is in the way: `python -m envs.play` would run nothing of ours that could say so.
"""

import sys
from types import ModuleType

WORLDS = {
    "amft/GeneralPoints-v0": "envs.general_points.env:GeneralPointsEnv",
    "amft/VIRL-v0": "envs.virl.env:VIRLEnv",
    "amft/Math-v0": "envs.math_tasks.env:MathEnv",
    "amft/Discrete-v0": "envs.adapters:make_discrete_game",
    "amft/FrozenLake-v0": "envs.grids.frozen_lake:make_frozen_lake",
    "amft/Sokoban-v0": "envs.grids.sokoban:make_sokoban",
    "amft/OpenEnv-v0": "envs.protocols.openenv_client:OpenEnvWorld",
}
_REGISTRY_MODULE = "gymnasium.envs.registration"


def register_worlds(registration: ModuleType) -> None:
    """Tells Gymnasium's registration module the worlds' names. Harmless when called again."""
    for name, entry_point in WORLDS.items():
        if name not in registration.registry:
            registration.register(id=name, entry_point=entry_point)


class _RegisterOnceLoaded:
    """A finder that leaves finding to the others and acts after the registry's module has run."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        if fullname != _REGISTRY_MODULE:
            return None
        from importlib.machinery import PathFinder

        sys.meta_path.remove(cls)  # type: ignore[arg-type]
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run_module = spec.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run_module(module)
                register_worlds(module)

            spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec


def wait_for_gymnasium() -> None:
    """Registers now if Gymnasium is loaded, else as soon as it is."""
    if _REGISTRY_MODULE in sys.modules:
        register_worlds(sys.modules[_REGISTRY_MODULE])
    elif _RegisterOnceLoaded not in sys.meta_path:
        sys.meta_path.insert(0, _RegisterOnceLoaded)  # type: ignore[arg-type]


class _ExplainMissingModules:
    """The last finder: it is asked when all others have failed, and finds nothing either."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        name, _, rest = fullname.partition(".")
        if name in ("envs", "agents") and rest:
            explain(fullname)


def explain(fullname: str) -> None:
    """An error with the reason why a module of ours is not found; nothing where it is not ours."""
    import runpy
    from importlib.util import find_spec
    from pathlib import Path

    suite = find_spec("amft_mm")
    if suite is None or suite.origin is None:
        return
    home = Path(suite.origin).resolve().parent.parent
    module = home.joinpath(*fullname.split("."))
    if module.is_dir() or module.with_suffix(".py").is_file():
        names = runpy.run_path(str(home / "envs" / "names.py"))
        if told := names["in_the_way"](fullname.split(".")[0]):
            raise ModuleNotFoundError(told, name=fullname)


wait_for_gymnasium()
sys.meta_path.append(_ExplainMissingModules)  # type: ignore[arg-type]
