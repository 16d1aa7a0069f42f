"""Every setting of every command: type, range, allowed values and a sentence. Defaults are in configs/*.yaml.

    SCHEMAS["train"]    what configs/train.yaml is checked by, and what `amft-mm train --help` is made of

Sections with `others=True` hold what their own parts check: a method's options, an environment's keyword
arguments, an engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amft_mm.config.fields import MANY, setting

MOST = MANY
SEEDS = {"least": 0, "most": 2**30 - 1}
"""Of a run: evaluations draw above."""
LARGEST_RATE = 1.0


# Parts that several commands have.


@dataclass
class Corrupt:
    share: float = setting("of the demonstrations that are spoilt on purpose", least=0, most=1)
    kind: str = setting(
        "how they are spoilt", among=("wrong_actions", "wrong_answers", "shuffled_pictures")
    )


@dataclass
class Sampling:
    temperature: float = setting("of what is written; 0 is greedy", least=0, most=2)
    top_p: float = setting("the most likely tokens of this share of probability", above=0, most=1)
    top_k: int = setting("the so many most likely tokens; 0 is all", least=0, most=MOST)


@dataclass
class Limits:
    max_tokens: int = setting("of a whole episode, pictures included", least=1, most=MOST)
    max_new_tokens: int = setting("of one answer", least=1, most=10**6)
    max_turns: int = setting("of an episode", least=1, most=10**6)
    history: int | None = setting("turns before that are shown; null is all", least=0, most=10**6)
    thoughts: str = setting(
        "of earlier turns, where the chat template drops them",
        among=("keep", "strip"),
        may_miss=True,
    )


@dataclass
class Play:
    slots: int = setting("episodes at once in a process", least=1, most=100_000)
    workers: int = setting("threads or processes that they are divided among", least=1, most=1024)
    kind: str = setting("what environments run in", among=("threads", "processes"))
    seconds: float | None = setting(
        "a call of the environment that takes longer costs its episode; null is no limit", above=0
    )
    replacements: int = setting("tries after a failure", least=0, most=1000)


@dataclass
class PlayWhileTraining(Play):
    failing: float = setting("share of a step's tries that may fail", least=0, most=1)
    failing_steps: int = setting("steps in a row with more of them end the run", least=1, most=MOST)


@dataclass
class Model:
    name: str = setting("tiny, tiny-random, a folder in the Hugging Face layout, or a hub id")
    device: str | None = setting("null is the GPU where there is one")
    dtype: str | None = setting(
        "null is float32 on CPUs, bfloat16 on GPUs", among=("float32", "bfloat16", "float16")
    )
    lora: dict[str, Any] | None = setting(
        "an adapter, as {r: 64, lora_alpha: 128}; null trains all weights"
    )
    freeze_vision: bool = setting("only the language model learns")
    gradient_checkpointing: bool = setting("recompute activations, which takes less memory")
    attention: str | None = setting(
        "transformers' word for its implementation, as sdpa or eager; null is its own choice",
        may_miss=True,
    )
    system: str | None = setting(
        "system prompt; null is the chat format's own, '' an empty one", may_miss=True
    )
    min_pixels: int | None = setting("pictures are scaled up to", least=1, most=MOST)
    max_pixels: int | None = setting("pictures are scaled down to", least=1, most=MOST)
    sizes: dict[str, Any] | None = setting(
        "for train.dry_run=true; null reads the model's config.json"
    )


@dataclass
class Named:
    name: str = setting("which; one of your own is MODULE:NAME")


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


# Environments.


@dataclass
class Env:
    name: str = setting("how figures, folders and the run call it")
    id: str | None = setting("MODULE:ID; the module is imported and has to register the ID")
    splits: list[str] = setting("that it is evaluated on; none: as it is")


@dataclass
class Picture(Env):
    modality: str = setting("what is seen", among=("visual", "text"))
    size: list[int] = setting("height and width of the picture", length=2, least=28, most=4096)


@dataclass
class GeneralPoints(Picture):
    target: int = setting("what the formula must make", least=1, most=10_000)
    num_cards: int = setting("that are dealt", least=3, most=6)
    face_rule: str = setting("J, Q, K count ten, or by their rank", among=("ten", "rank"))
    colors: str = setting("suits that are dealt", among=("black", "red", "all"))
    deck: str = setting("classic, flat, chalk, or a folder of 52 pictures")
    attempts: int = setting("answers allowed", least=1, most=1000)
    prompts: str = setting("wording", among=("fixed", "varied"))
    thought: str = setting(
        "what the expert writes before the formula", among=("none", "steps", "search")
    )
    split: str = setting("that is trained on")


@dataclass
class Streets(Picture):
    mode: str = setting("along the true route, or on the whole graph", among=("rail", "free"))
    actions: str = setting(
        "directions by compass, or left and right", among=("absolute", "relative")
    )
    city: str = setting("an embedded one, or the path of a city file")
    data: str | None = setting("a folder of published data, instead of a city")
    strict: bool = setting("with false, broken routes of `data` are skipped")
    split: str | None = setting("that is trained on")
    attempts: int = setting("answers allowed at each position", least=1, most=1000)
    out_of_attempts: str = setting("what then happens", among=("end", "move_on"))
    scoring: str = setting("of a wrong action", among=("suite", "published"))
    order: list[str] = setting("of the four views", length=4)
    prompts: str = setting("wording", among=("fixed", "varied"))
    distances: bool = setting("instructions say how far to walk")
    answer: str = setting("form of the answers", among=("json", "short"))
    thought: str = setting("what the expert says before it acts", among=("none", "steps"))
    instruction_as: str = setting("how the instruction is named", among=("number", "sentence"))
    success_radius: float = setting("mode=free: metres from the goal", above=0)
    shaping: float = setting("mode=free: weight of the reward for getting nearer", least=0)
    max_steps: int | None = setting(
        "mode=free: null is three times what the expert needs", least=1, most=MOST
    )


@dataclass
class Sums(Env):
    source: str = setting(
        "chain_sum, countdown, gsm_symbolic, a file of questions, or hf:owner/name"
    )
    split: str = setting("that is trained on")
    attempts: int = setting("answers allowed", least=1, most=1000)
    prompts: str = setting("wording", among=("fixed", "varied"))
    thought: str = setting("what the expert writes before the answer", among=("none", "steps"))


WORLDS = {
    "amft/GeneralPoints-v0": GeneralPoints,
    "amft/VIRL-v0": Streets,
    "amft/Math-v0": Sums,
}


def world(env: Any) -> type:
    """The schema of an environment's settings, by what they hold."""
    if not isinstance(env, Mapping):
        return Env
    return Mix if "parts" in env else WORLDS.get(str(env.get("id")), Env)


@dataclass
class Mix:
    name: str = setting("how figures, folders and the run call it")
    shares: dict[str, float] = setting(
        "of task instances and demonstrations, by environment", least=0
    )
    parts: Any = setting("the environments", schema=world, each=True)


# Training.


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
    lr: float = setting("learning rate after it", least=0, most=LARGEST_RATE)
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
class Rival:
    rank: int = setting("of the adapter", least=1, most=10**4, may_miss=True)
    pace: float = setting("with which it climbs", least=0, may_miss=True)


@dataclass
class Overlong:
    band: float = setting("of an answer's limit in which it costs", above=0, most=1)
    penalty: float = setting("at the limit", least=0, may_miss=True)


@dataclass
class Correction:
    name: str = setting(
        "where engine and learner differ", among=("none", "token", "sequence", "mask")
    )
    cap: float = setting("of token and sequence", above=0)
    low: float = setting("of mask", above=0)
    high: float = setting("of mask", above=0)


@dataclass
class Method:
    name: str = setting("how figures, folders and the run call it")
    imitation: Named = setting("the loss of demonstrations", others=True)
    exploration: Named = setting("the loss of rollouts", others=True)
    credit: Any = setting("from rewards to advantages", schema=lambda _: Credit, others=True)
    balance: Named = setting("what sets mu, the weight of imitation", others=True)
    guidance: Named = setting(
        "none, joined, prefix, micro_groups, uft, hpt, superrl, relift, failing", others=True
    )
    rival: Any = setting("a second model that explores alone, or null", schema=lambda _: Rival)
    balanced: bool = setting("make both gradients equally large before they are mixed")
    mu_per: str | None = setting(
        "each environment of a mix, or each third of success rates, has its own mu",
        among=("env", "difficulty"),
    )
    utility: Named = setting("what a balance that learns climbs", others=True)
    validation: str | None = setting("what eval.validation is by default")
    tangent: str = setting("how the effect of mu on the weights is followed")
    horizon: float = setting("what a mix's effect still counts a step later", least=0, most=1)
    kl: float = setting("weight of the penalty for leaving the first weights", least=0)
    minibatches: int = setting("as the method's authors have it", least=1, most=10_000)
    epochs: int = setting("as the method's authors have it", least=1, most=10_000)
    entropy: float = setting("weight of the bonus for distributions that stay open", least=0)
    correction: Correction = setting("of what the engine's probabilities are not the learner's")
    resample: int = setting(
        "how often a step draws again instead of groups whose members all fare alike",
        least=0,
        most=1000,
    )
    overlong: Any = setting(
        "what answers near their limit cost, or null", schema=lambda _: Overlong
    )
    cut: str = setting("what is done with what limits ended", among=("learn", "mask", "bootstrap"))


@dataclass
class Credit:
    credit: str = setting("by episode, turn, gigpo or gae")


@dataclass
class Evaluation:
    episodes: int = setting("of each split", least=1, most=10**7)
    splits: list[str] | None = setting("null is the first of the environment's")
    tries: int = setting("1 is greedy; more are sampled, for pass@k", least=1, most=10**5)
    temperature: float = setting("of several tries", least=0, most=2)
    seed: int = setting("of the task instances", **SEEDS)


@dataclass
class EvaluationAlone(Evaluation):
    in_order: bool = setting("instances are those of the seeds 0, 1, 2, ..., each once")


@dataclass
class Quick:
    minutes: float | None = setting("of the warm-up before the first; null: none", above=0)
    episodes: int = setting("of each split, greedy", least=1, most=10**6)
    share: float = setting("of the time that they may take", above=0, most=0.5)


@dataclass
class Passes:
    tries: int = setting("of a task instance, sampled", least=2, most=1000)
    episodes: int = setting("task instances of each split", least=1, most=10**6)


@dataclass
class EvaluationWhileTraining(Evaluation):
    every: int = setting("steps; 0: at the end alone", least=0, most=MOST)
    quick: Quick = setting("small evaluations by the clock while it warms up")
    validation: str | None = setting(
        "a split, or ood for the first such, that tells the weights a run ends with and is not reported"
    )
    passes: Passes | None = setting(
        "sampled tries at the end for pass@k, as {tries:16,episodes:50}; null: none"
    )


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
        "and where the last is so long ago, or twenty times what it takes to write one", above=0
    )
    keep: int = setting("the newest; the best stays too", least=1, most=MOST)


@dataclass
class Train:
    """Trains an agent by imitation and exploration, mixed as `method=` says, into the folder `out=`."""

    seed: int = setting("of everything random", **SEEDS)
    out: str | None = setting("the run's folder; null makes runs/<env>-<method>-<seed>-<time>/")
    resume: bool = setting("go on with the run in `out`")
    threads: int | None = setting(
        "of a process; null: what the machine has for it", least=1, most=4096
    )
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


@dataclass
class Preset(Method):
    about: str = setting("what it does", may_miss=True, told=False)
    source: str = setting("where it comes from", may_miss=True, told=False)
    status: str = setting(
        "how well it is known to be what its authors mean", may_miss=True, told=False
    )
    identities: list[str] = setting("tests that hold what it has to be", may_miss=True, told=False)


# Other commands.


@dataclass
class Evaluate:
    """Evaluates an agent on every split, with intervals: of a run, or of any model on any environment."""

    run: str | None = setting(
        "the folder of a training run: its model, environment and settings are taken"
    )
    checkpoint: Any = setting("of the run: last, best or a step")
    out: str | None = setting(
        "the folder to write; null is <run>/evaluation, or evaluation-<env>-<model>"
    )
    threads: int | None = setting(
        "of a process; null: what the machine has for it", least=1, most=4096
    )
    debug: bool = setting("show where an error came from")
    env: Any = setting("what is played", schema=world, others=True)
    model: Model = setting("who plays")
    engine: Named = setting("what writes the answers: hf, vllm, openai", others=True)
    eval: EvaluationAlone = setting("how much is played")
    record: int = setting(
        "episodes of each split that are kept, with their pictures", least=0, most=10**6
    )
    table: bool = setting("print a row of figures to paste beside others'")
    sampling: Sampling = setting("of answers")
    limits: Limits = setting("of episodes")
    play: Play = setting("how episodes are played")


@dataclass
class Keep:
    success: bool = setting("those that succeed alone")
    min_return: float | None = setting("those of at least this return")
    max_turns: int | None = setting("those of at most so many turns", least=1, most=MOST)


@dataclass
class Demos:
    """Writes demonstrations: episodes of an expert or a model, or chats of a file, as a folder that
    `datasets` opens."""

    env: Any = setting("what is played", schema=world, others=True)
    engine: Any = setting(
        "who plays: null is the world's expert; openai, hf or vllm a model, whose successes are kept",
        schema=lambda _: Named,
        others=True,
    )
    model: Model = setting("of engine hf and vllm")
    sampling: Sampling = setting("of a model's answers")
    limits: Limits = setting("of a model's episodes")
    slots: int = setting("episodes at once, where a model plays", least=1, most=100_000)
    threads: int | None = setting(
        "of a process; null: what the machine has for it", least=1, most=4096
    )
    debug: bool = setting("show where an error came from")
    n: int = setting("demonstrations that are kept", least=1, most=10**7)
    seed: int = setting("of the task instances", **SEEDS)
    out: str | None = setting("the folder; null makes demos/<env>-<n>")
    part: int = setting("demonstrations in one file", least=1, most=10**5)
    seconds: float | None = setting(
        "a call of the environment that takes longer costs its episode", above=0
    )
    keep: Keep = setting("which demonstrations are kept")
    slips: float = setting(
        "how often the expert makes a mistake first and mends it", least=0, most=1
    )
    corrupt: Corrupt = setting("bad demonstrations, for studies")
    import_from: str | None = setting("a JSON or JSONL file of chats, instead of playing")
    pictures: str | None = setting(
        "the folder that its picture paths are relative to; null is the file's own"
    )
    push_to_hub: str | None = setting("USER/NAME of a data set on the hub that gets them too")
    hub_private: bool = setting("what is pushed is for you alone")


@dataclass
class Budget:
    every: int = setting("steps between evaluations; 0: at the end alone", least=0, most=MOST)
    episodes: int = setting("of each split", least=1, most=10**7)


@dataclass
class Compare:
    """Compares methods: warm-ups, a search for learning rates, runs of several seeds, and a report."""

    out: str = setting("the folder; what is there is not made again")
    report: str = setting("the folder in `out` that the report is written to")
    envs: list[str] = setting("environments, each with a budget below")
    methods: list[str] = setting("methods, or variants below")
    baselines: list[str] = setting("methods that the report compares the others with")
    seeds: int = setting("runs of each method", least=1, most=10_000)
    more_seeds: dict[str, int] = setting("runs of some methods", least=1, most=10_000)
    max_seeds: int | None = setting(
        "where a method and a baseline are not told apart, both get seeds up to so many; null: no more",
        least=1,
        most=10_000,
    )
    worth: float = setting(
        "a difference of success that is worth knowing: what is within it needs no more seeds",
        above=0,
        most=1,
    )
    pilot: str | None = setting(
        "the folder of another comparison, whose runs say beforehand what this one can tell; null: `out`"
    )
    tune_seed: int = setting("of the trials", **SEEDS)
    trial_length: float = setting("the steps of a trial, as a share of a run's", above=0, most=1)
    jobs: int | None = setting(
        "processes at once; null: one for each GPU or core", least=1, most=4096
    )
    shard: str = setting("which part of how many, as 2/8")
    search: dict[str, Any] = setting(
        "what is tried for every method, as {train.lr: [0.0001, 0.001]}"
    )
    variants: dict[str, Any] = setting("methods that are no presets, by their names")
    conditions: dict[str, Any] = setting(
        "settings that are changed after the warm-up, by their names"
    )
    eval: Budget = setting("unless a budget says otherwise")
    passes: Passes | None = setting(
        "sampled tries of warm-ups and runs at their end, for pass@k; null: none"
    )
    replay: bool = setting(
        "keep what the first seed's runs played at the end, for a page with episodes of each method"
    )
    budgets: dict[str, Any] = setting("settings of each environment")


@dataclass
class Stage:
    steps: int = setting("of the stage", least=0, most=MOST)
    fall: int = setting("steps at its end in which the learning rate falls", least=0, most=MOST)
    batch: dict[str, int] = setting("exercises a step, by their kinds", least=0, most=MOST)
    lr: float = setting("learning rate", least=0, most=LARGEST_RATE)
    muon: float = setting("Muon's learning rate in AdamW's; 0 leaves all to AdamW", least=0)


@dataclass
class Pretrain:
    """Remakes the tiny model from nothing, in stages."""

    seed: int = setting("of everything random", **SEEDS)
    out: str = setting("the folder of the model")
    start: str | None = setting("a model to go on from; only the last two stages are then made")
    only: list[str] | None = setting("some of the stages below")
    seeing: Stage = setting("the vision tower alone learns what is where in scenes")
    copying: Stage = setting("the language model alone learns to say again what was said")
    reading: Stage = setting("and from all exercises in words")
    together: Stage = setting("the whole model")
    settling: Stage = setting("the whole model again, while the learning rate falls")
    warmup: int = setting(
        "steps in which the learning rate rises, in each stage", least=0, most=MOST
    )
    weight_decay: float = setting("of AdamW", least=0, most=10)
    clip: float = setting("of the gradient's norm", above=0)
    threads: int = setting("of a process", least=1, most=4096)
    log_every: int = setting("steps; a checkpoint is written too", least=1, most=MOST)
    exam: int = setting("exercises of each kind at every log line", least=0, most=MOST)
    exam_at_the_end: int = setting(
        "questions of each kind, episodes of each world", least=1, most=MOST
    )


SCHEMAS: dict[str, type] = {
    "train": Train,
    "evaluate": Evaluate,
    "demos": Demos,
    "compare": Compare,
    "pretrain": Pretrain,
}
