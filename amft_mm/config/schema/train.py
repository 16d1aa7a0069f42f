"""Settings of `amft-mm train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amft_mm.config.fields import setting
from amft_mm.config.schema.evaluation import EvaluationWhileTraining
from amft_mm.config.schema.method import Preset
from amft_mm.config.schema.parts import (
    LARGEST_RATE,
    MOST,
    OF_THREADS,
    SEEDS,
    Corrupt,
    Limits,
    Model,
    Named,
    Play,
    Sampling,
)
from amft_mm.config.schema.worlds import world


@dataclass
class Steps:
    warmup_steps: int = setting("that imitate alone", least=0, most=MOST)
    warm_from: str | None = setting("a run whose warm-up of as many steps is taken over")
    steps: int = setting("that imitate and explore", least=0, most=MOST)
    warmup_demos: int = setting("demonstrations a step of the warm-up", least=1, most=MOST)
    demos: int = setting("demonstrations a step", least=1, most=MOST)
    tasks: int = setting("task instances a step", least=1, most=MOST)
    group: int = setting("episodes of each task instance", least=1, most=MOST)
    minibatches: int = setting("that a step's groups are divided into", least=1, most=10_000)
    epochs: int = setting("how often all of them are gone through", least=1, most=10_000)
    warmup_lr: float = setting("learning rate of the warm-up", least=0, most=LARGEST_RATE)
    lr: float = setting("learning rate after the warm-up", least=0, most=LARGEST_RATE)
    ramp: int = setting(
        "steps in which the learning rate rises, in both phases", least=0, most=MOST
    )
    final_lr: float = setting("share of the learning rate at the end of a phase", least=0, most=1)
    betas: list[float] = setting("of Adam's moments", length=2, least=0, below=1)
    weight_decay: float = setting("of AdamW", least=0, most=10)
    max_norm: float | None = setting("of the mixed gradient; null does not clip", above=0)
    micro_batch_tokens: int = setting("read in one pass, padding included", least=1, most=MOST)
    shard: bool = setting(
        "divide weights, gradients, moments and the derivative by mu among the processes"
    )
    offload: bool = setting("with train.shard: keep them in main memory while no pass needs them")
    pool: int | None = setting(
        "task instances that are played again and again; null: always new ones", least=1, most=10**7
    )
    curriculum: Named = setting(
        "which task instances are played: uniform, difficulty, variance, sec", others=True
    )
    reward_noise: float = setting(
        "share of episodes that are credited with the opposite of what they got", least=0, most=1
    )
    nonfinite: int = setting(
        "steps in a row without a finite gradient that end the run", least=1, most=MOST
    )
    ahead: int = setting(
        "1 plays the next step's episodes while this one is learnt from, by weights a step older",
        least=0,
        most=1,
    )
    dry_run: bool = setting("build the model without weights, tell where memory would go, and end")


@dataclass
class Demonstrated:
    folder: str | None = setting(
        "of demonstrations; null: the expert plays `n` into the run's folder"
    )
    n: int = setting("demonstrations; 0: none, for methods that explore alone", least=0, most=10**7)
    seed: int = setting("of the expert's task instances", **SEEDS)
    slips: float = setting(
        "how often the expert makes a mistake first and mends it; mistakes are not imitated",
        least=0,
        most=1,
    )
    corrupt: Corrupt = setting("bad demonstrations, for studies")


@dataclass
class PlayWhileTraining(Play):
    failing: float = setting("share of a step's tries that may fail", least=0, most=1)
    failing_steps: int = setting("steps in a row with more of them end the run", least=1, most=MOST)


@dataclass
class Record:
    rollouts: int = setting("episodes of a step that are kept to be looked at", least=0, most=10**6)
    evaluation: int = setting("episodes of an evaluation that are", least=0, most=10**6)


@dataclass
class Checkpoint:
    every: int = setting(
        "steps between two; the end of the warm-up has one too", least=1, most=MOST
    )
    minutes: float = setting(
        "and where the last is so long ago, or twenty times what the run waited for it", above=0
    )
    keep: int = setting("the newest; the best stays too", least=1, most=MOST)


@dataclass
class Wandb:
    mode: str | None = setting(
        "null: online where WANDB_API_KEY is set; online takes the key of `wandb login` too",
        among=("disabled", "offline", "online"),
    )
    project: str = setting("that the run is filed under")
    entity: str | None = setting("user or team; null is the one of the key")
    group: str | None = setting("of runs that belong together")
    tags: list[str] = setting("to find it by")
    name: str | None = setting("of the run; null is its folder's")


@dataclass
class Train:
    """Trains an agent by imitation and exploration, mixed as `method=` says, into the folder `out=`."""

    seed: int = setting("of everything random", **SEEDS)
    out: str | None = setting("the run's folder; null makes runs/<env>-<method>-<seed>-<time>/")
    resume: bool = setting("go on with the run in `out`")
    threads: int | None = setting(OF_THREADS, least=1, most=4096)
    debug: bool = setting("show where an error came from")
    env: Any = setting("what is played", schema=world, others=True)
    model: Model = setting("who plays and learns")
    engine: Named = setting("what writes the answers: hf, vllm", others=True)
    method: Any = setting("how both are mixed; amft-mm methods lists them", schema=lambda _: Preset)
    train: Steps = setting("how long, how much, how fast")
    demos: Demonstrated = setting("what is imitated")
    sampling: Sampling = setting("of answers while exploring")
    limits: Limits = setting("of episodes")
    play: PlayWhileTraining = setting("how episodes are played")
    eval: EvaluationWhileTraining = setting("how well it does")
    record: Record = setting("episodes that are kept, from each environment or split")
    checkpoint: Checkpoint = setting("what a stopped run goes on from")
    wandb: Wandb = setting("Weights & Biases")
    tensorboard: bool = setting("write the figures for TensorBoard too")
    trackio: str | None = setting("a project of Trackio that gets the figures too; null: none")
    push_to_hub: str | None = setting(
        "USER/NAME on the hub for model and card; what its expert played goes to USER/NAME-demos-ENV"
    )
    hub_private: bool = setting("what is pushed is for you alone")
