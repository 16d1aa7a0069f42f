"""Where metrics go beside the run's folder: Weights & Biases, TensorBoard, Trackio. Only when asked for.

    for tracker in trackers(config, path, films):
        tracker(row)                 a row of metrics
        tracker.close()

Weights & Biases also gets one episode of each split of an evaluation, as the GIF that
`python -m amft_mm.replay --gif` makes.

`wandb.mode` null is `disabled`, or `online` where WANDB_API_KEY is set; `wandb.mode=online` also takes the
key that `wandb login` has stored. Nothing ever asks at the terminal, and without a key nothing ever calls
the network.
"""

from __future__ import annotations

import netrc
import os
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, cast
from urllib.parse import urlparse

from omegaconf import DictConfig, OmegaConf

from agents.files import write_text
from amft_mm.runs.metrics import EVALUATION, is_step
from envs.contract import one_of

MODES = ("disabled", "offline", "online")
Row = dict[str, Any]
Films = Callable[[Path, int, Path], Iterable[tuple[str, Path]]]
"""What was filmed of an evaluation: (run, step, folder to write into) -> names and files."""


class Tracker(Protocol):
    def __call__(self, row: Row, /) -> None: ...

    def close(self) -> None: ...


def trackers(config: DictConfig, path: Path, films: Films) -> list[Tracker]:
    found: list[Tracker] = []
    mode = wandb_mode(config.wandb.mode)
    if mode != "disabled":
        found.append(Wandb(config, path, mode, films))
    if config.tensorboard:
        found.append(TensorBoard(path))
    if config.trackio is not None:
        found.append(Trackio(config, path))
    return found


def wandb_mode(mode: str | None) -> str:
    given = bool(os.environ.get("WANDB_API_KEY"))
    if mode is None:
        return "online" if given else "disabled"
    if one_of("wandb.mode", mode, MODES) == "online" and not (given or has_logged_in()):
        raise ValueError(
            "wandb.mode=online needs a key: wandb login, or set WANDB_API_KEY; or use wandb.mode=offline"
        )
    return mode


def has_logged_in() -> bool:
    """Whether `wandb login` has left a key on this machine, in the file that curl reads too."""
    host = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class Wandb:
    def __init__(self, config: DictConfig, path: Path, mode: str, films: Films) -> None:
        # It takes our package `agents` for another's, and advertises what would trace that.
        os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")
        self._wandb = wandb = _imported("wandb", f"wandb.mode={mode}", "wandb")
        self._path, self._films, own = path, films, config.wandb
        try:
            self._run: Any = wandb.init(
                project=own.project,
                entity=own.entity,
                group=own.group,
                tags=list(own.tags) or None,
                name=own.name or path.name,
                id=_own_id(path),
                resume="allow",
                dir=str(path),
                mode=cast(Any, mode),
                config=OmegaConf.to_container(config, resolve=True),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            raise ValueError(
                f"wandb.mode={mode}: it was not taken ({error!s:.300}); wandb.mode=offline asks for no key, "
                "wandb.mode=disabled for nothing"
            ) from error

    def __call__(self, row: Row) -> None:
        with TemporaryDirectory() as folder:
            shown = row["phase"] == EVALUATION
            made = self._films(self._path, row["step"], Path(folder)) if shown else ()
            videos = {
                f"episode/{n}": self._wandb.Video(str(film), format="gif") for n, film in made
            }
            self._run.log(row | videos, step=row["step"])

    def close(self) -> None:
        self._run.finish()


class TensorBoard:
    """Steps that a stopped run had made beyond its checkpoint are shown once, as they were made again."""

    def __init__(self, path: Path) -> None:
        _imported("tensorboard", "tensorboard=true", "amft-mm[tensorboard]")
        self._folder, self._writer = str(path / "tensorboard"), cast(Any, None)

    def __call__(self, row: Row) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # An evaluation that broke off is of a step whose other figures stay.
            first = row["step"] + (not is_step(row))
            self._writer = SummaryWriter(self._folder, purge_step=first)
        for name, value in _numbers(row).items():
            self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class Trackio:
    """Where Trackio keeps its projects, so that its dashboard has all runs; TRACKIO_DIR says where."""

    def __init__(self, config: DictConfig, path: Path) -> None:
        self._trackio = _imported("trackio", f"trackio={config.trackio}", "amft-mm[trackio]")
        self._trackio.init(
            project=config.trackio,
            name=path.name,
            group=config.method.name,
            config=OmegaConf.to_container(config, resolve=True),
            resume="allow",
            embed=False,
        )

    def __call__(self, row: Row) -> None:
        self._trackio.log(_numbers(row), step=row["step"])

    def close(self) -> None:
        self._trackio.finish()


def _numbers(row: Row) -> dict[str, float]:
    return {k: v for k, v in row.items() if isinstance(v, int | float) and k != "step"}


def _imported(module: str, setting: str, package: str) -> Any:
    try:
        return __import__(module)
    except ImportError:
        raise ValueError(
            f'{setting} needs a package: pip install "{package}", or leave the setting out'
        ) from None


def _own_id(path: Path) -> str:
    """The same for a run that is gone on with, and no other's: many runs are called alike."""
    file = path / "wandb" / "id"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]", "-", path.name[:40])  # some characters are none of an id's
        write_text(file, f"{name}-{secrets.token_hex(4)}")
    return file.read_text(encoding="utf-8")
