"""`envs` and `agents` are generic names: the commands say when somebody else's package is in the way.

    check_names()    an error that names what is in the way, and what to do; a warning where ours wins

Other packages come by three ways: a folder where the command runs, a distribution in another place
on the path, and a distribution in the very folder of ours (`pip` lets both write to
site-packages/agents without a word). `amft_mm` runs this file by its path, since `envs` may be the
name that is taken; so it imports nothing of the suite. Where all is well it costs a millisecond.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

NAMES = ("envs", "agents")
_HOME = Path(__file__).resolve().parent.parent


def check_names() -> None:
    for name in NAMES:
        if told := in_the_way(name):
            # While `python -m` is still looking for the command, there is no use in a traceback.
            raise SystemExit(f"error: {told}") if sys.argv[:1] == ["-m"] else ImportError(told)
        for owner, place in _behind(name):
            warnings.warn(
                f"{owner} installs a package {name!r} too, in {place}. Here {name!r} is amft_mm's, and "
                f"what needs that of {owner} fails. {_APART}",
                stacklevel=3,
            )


def in_the_way(name: str) -> str | None:
    """What Python finds under a name in place of our package, and what to do about it."""
    spec = find_spec(name)
    found = [Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()]
    if found == [_HOME / name]:
        owners = _owners(_HOME / name) if _has_strangers(_HOME / name) else []
        if not owners:
            return None
        who = " and ".join(owners)
        return f"{who} installed files into the package {name!r} of amft_mm, {found[0]}. {_APART}"
    places = found or ([Path(spec.origin)] if spec and spec.origin else [])
    where = ", ".join(map(str, places)) or "nothing"
    ours = f"the package {name!r} of amft_mm lies in {_HOME / name}, but Python finds {where}"
    if owners := [owner for place in places for owner in _owners(place)]:
        return f"{ours}, which {' and '.join(owners)} installed. {_APART}"
    return f"{ours}. Rename or leave that folder, or run the command from another directory."


_APART = "Keep the two in environments of their own, or uninstall one and install the other anew."


def _behind(name: str) -> list[tuple[str, Path]]:
    """Distributions whose package of that name comes after ours on the path."""
    places = {Path(entry or ".").resolve() / name for entry in sys.path} - {_HOME / name}
    return [
        (owner, place) for place in sorted(places) if place.is_dir() for owner in _owners(place)
    ]


def _owners(place: Path) -> list[str]:
    """The other distributions that installed a package or module, by the lists of files beside it."""
    if not any(place.parent.glob("*.dist-info")):
        return []
    from importlib.metadata import distributions  # slow to import, and seldom needed

    return sorted(
        {
            dist.name
            for dist in distributions(path=[str(place.parent)])
            if dist.name != "amft-mm" and any(p.parts[0] == place.name for p in dist.files or ())
        }
    )


def _has_strangers(package: Path) -> bool:
    """Whether an installed package of ours has files beside it that our wheel did not bring."""
    records = list(package.parent.glob("amft_mm-*.dist-info/RECORD"))
    if not records:
        return False  # a checkout
    rows = [line.rsplit(",", 2) for line in records[0].read_text("utf-8").splitlines()]
    sizes = {path: size for path, _, size in rows if path.startswith(f"{package.name}/")}
    ours = {path.split("/")[1] for path in sizes} | {"__pycache__"}
    opening = package / "__init__.py"
    return any(name not in ours for name in os.listdir(package)) or (
        sizes.get(f"{package.name}/__init__.py") != str(opening.stat().st_size)
    )
