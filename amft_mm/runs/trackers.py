"""Where metrics go beside the run's folder: Weights & Biases, TensorBoard. Both only when asked for.

Weights & Biases also gets one episode of each split of an evaluation, as the GIF that
`python -m amft_mm.replay --gif` makes.

`wandb.mode` null is `disabled`, or `online` where WANDB_API_KEY is set. Nothing ever asks at the terminal,
and without a key nothing ever calls the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from amft_mm.runs.metrics import EVALUATION
from envs.contract import one_of

MODES = ("disabled", "offline", "online")
Track = Callable[[dict[str, Any]], None]
Films = Callable[[Path, int, Path], Iterable[tuple[str, Path]]]
"""What was filmed of an evaluation: (run, step, folder to write into) -> names and files."""


def wandb_mode(mode: str | None) -> str:
    key = bool(os.environ.get("WANDB_API_KEY"))
    if mode is None:
        return "online" if key else "disabled"
    if one_of("wandb.mode", mode, MODES) == "online" and not key:
        raise ValueError(
            "wandb.mode=online needs a key: set WANDB_API_KEY, or use wandb.mode=offline"
        )
    return mode


def trackers(config: DictConfig, path: Path, films: Films) -> list[Track]:
    found: list[Track] = []
    mode = wandb_mode(config.wandb.mode)
    if mode != "disabled":
        found.append(_wandb(config, path, mode, films))
    if config.tensorboard:
        found.append(_tensorboard(path))
    return found


def _wandb(config: DictConfig, path: Path, mode: str, films: Films) -> Track:
    try:
        import wandb
    except ImportError:
        raise ValueError(
            f"wandb.mode={mode} needs the package wandb: pip install wandb, or wandb.mode=disabled"
        ) from None
    run: Any = wandb.init(
        project=config.wandb.project,
        name=path.name,
        id=path.name,
        resume="allow",
        dir=str(path),
        mode=cast(Any, mode),
        config=OmegaConf.to_container(config, resolve=True),  # type: ignore[arg-type]
        settings=wandb.Settings(silent=True, console="off"),
    )

    def track(row: dict[str, Any]) -> None:
        with TemporaryDirectory() as folder:
            made = films(path, row["step"], Path(folder)) if row["phase"] == EVALUATION else ()
            shown = {f"episode/{n}": wandb.Video(str(film), format="gif") for n, film in made}
            run.log(row | shown, step=row["step"])

    return track


def _tensorboard(path: Path) -> Track:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError(
            "tensorboard=true needs the package tensorboard: pip install tensorboard"
        ) from None
    writer: Any = SummaryWriter(str(path / "tensorboard"))

    def track(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name != "step":
                writer.add_scalar(name, value, row["step"])
        writer.flush()

    return track
