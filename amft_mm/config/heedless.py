"""Words that would do nothing beside others: `refuse_heedless_words(command, config, overrides)`.

demos import_from=chats.json slips=0.2     chats are taken as they are
evaluate env=math checkpoint=best          only a run has checkpoints
evaluate run=RUN sampling.temperature=0.5  eval.temperature is that of several tries
evaluate run=RUN eval.temperature=0.5      a single try is greedy
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from amft_mm.config.fields import SettingError

Heedless = tuple[tuple[str, ...], str]
"""Settings, or sections of them, and why nobody asks for them."""


def refuse_heedless_words(command: str, config: DictConfig, overrides: Sequence[Override]) -> None:
    for names, why in _heedless(command, config):
        for override in overrides:
            name = str(override.key_or_group)
            if name in names or name.partition(".")[0] in names:
                raise SettingError(f"{override.input_line}: {why}")


def _heedless(command: str, config: DictConfig) -> Iterator[Heedless]:
    engine = config.get("engine") or {}
    if engine.get("name") == "openai":
        why = "with engine=openai the endpoint's model plays; name it by engine.model=NAME"
        yield ("model", "checkpoint"), why
    if command == "evaluate" and config.run is None:
        why = "only a run has checkpoints: give it as run=RUN. The weights of a folder are model.name=FOLDER"
        yield ("checkpoint",), why
    if command == "evaluate":
        yield ("sampling",), "answers are greedy, or of eval.tries=N sampled at eval.temperature"
        yield from _of_an_evaluation(config.eval)
    if command == "demos":
        yield from _of_demonstrations(config)


def _of_an_evaluation(evaluation: DictConfig) -> Iterator[Heedless]:
    if evaluation.tries == 1:
        yield ("eval.temperature",), "a single try is greedy; sampled ones are eval.tries=N"
        if evaluation.in_order:
            yield ("eval.seed",), "eval.in_order=true plays the seeds 0, 1, 2, ..., greedily"
    elif not evaluation.temperature:
        yield ("eval.tries",), "eval.temperature=0 makes all tries at a task instance the same"


def _of_demonstrations(config: DictConfig) -> Iterator[Heedless]:
    playing = ("sampling", "limits", "slots")
    if config.engine is not None:
        why = f"with engine={config.engine.name} a model's episodes are taken as they are; leave one out"
        yield ("slips", "corrupt", "import_from"), why
    if config.import_from is not None:
        why = "import_from= takes the chats of a file as they are, and plays nothing; leave one out"
        yield ("slips", "corrupt", "seed", "seconds", *playing), why
        return
    yield ("pictures",), "it is of chats that import_from=FILE takes"
    if config.engine is None:
        why = "the world's expert plays. To let a model play: engine=openai, hf or vllm"
        yield playing, why
