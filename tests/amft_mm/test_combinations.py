"""What does not go together is refused before anything starts, and what the suite ships is not."""

import json

import pytest
from omegaconf import OmegaConf

from agents.demonstrations import Demonstration, write_part
from amft_mm.compare.grid import Grid
from amft_mm.config.choices import config_groups
from amft_mm.config.composition import composition
from amft_mm.methods.combinations import refuse_contradictions
from amft_mm.methods.presets import methods
from tests.agents.families import build_family

ENVS = [env for env in config_groups("train")["env"] if env != "own"]
"""One's own is a world that is named beside it."""
SUMS, GREEDY = "env=math", "sampling.temperature=0"


def config_of(words, name="train"):
    return composition(name, words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # numbers that would do nothing
        ("train.steps=0 train.warmup_steps=0", "nothing would be trained.*amft_mm.evaluate"),
        ("limits.max_new_tokens=5000", "max_new_tokens=5000 leaves no room for an answer.*max_tokens=4096"),
        # options that no part takes
        ("method=grpo +method.exploration.size=3", r"method\.exploration\.size: grpo takes clip"),
        ("method=sdpo +method.imitation.size=3", r"sdpo takes alpha, siblings, feedback"),
        ("method=sdpo method.entropy=0.1", "method.entropy=0.1 would do nothing"),
        ("+method.imitation.size=3", r"method\.imitation\.size: sft takes no options"),
        ("method=grpo +method.credit.lam=1", r"credit\.lam: episode takes credit, baseline, gamma"),
        ("method=grpo +method.credit.states=[]", r"credit\.states: episode takes credit, baseline, gamma"),
        ("method=grpo method.credit.credit=gae", r"baseline: gae takes.*~method\.credit\.baseline"),
        ("method=bridge +method.rival.size=3", r"method\.rival\.size: it takes rank, pace"),
        # values that a loss does not take: told when exploration began, after the whole warm-up
        ("method.exploration.clip=-1", r"method\.exploration: clip range -1, -1 must not be negative"),
        ("method.exploration.dual=1", r"method\.exploration: dual=1 must be above 1, or null"),
        ("method.exploration.clip=null", "dual=3 needs clip bounds beside it"), # it bounded nothing
        ("method.exploration.clip=wide", r"method\.exploration\.clip=wide must be a number or null"),
        ("method.exploration.clip=true", r"clip=true must be a number or null"),
        ("method=nft method.exploration.weight=none", "weight='none' is not one of 'mean', 'std'"),
        ("+method.imitation={name:trsft,alpha:3}", r"method\.imitation: trsft: alpha=3 must be from 0 to 1"),
        ("method=ppo method.credit.gamma=5", "gamma=5 and lam=.* must be from 0 to 1"),
        ("method=ppo ++method.credit.minibatches=7", r"credit\.minibatches: gae takes"),  # overwritten
        ("method=hpt ++method.guidance.gamma=abc", r"guidance\.gamma=abc must be a number"),
        ("method=sft_then_rl ++method.balance.switch=abc", r"switch=abc must be a whole number or null"),
        ("method.exploration.name=dppo +method.exploration.most=-1", "dppo: most=-1 must be above 0"),
        ("method.credit.gamma=x", r"method\.credit\.gamma=x must be a number"),
        ("method.exploration.name=nft method.exploration.clip=0.1", "clip: nft takes weight, lowest"),
        # what was told only when all demonstrations were played
        ("method.utility.name=next_rolout", "next_rolout.*next_rollout"),
        # weights in shards
        ("method=bridge train.shard=true", "train.shard with method.rival.*train.shard=false"),
        ("method=grpo train.shard=true train.ahead=1", "engine=hf: rollouts and learning would"),
        ("train.offload=true", "train.offload=true would do nothing without train.shard=true"),
        # engines
        ("engine.name=openai +engine.model=x", "engine.name=openai.*engine=hf or engine=vllm"),
        # an oracle tries whole steps
        ("method=mu_oracle train.epochs=2", "train.epochs=2: .*mu_oracle tries whole steps"),
        ("env=mix method=mu_oracle method.mu_per=env", "mu_per=env: .*tries whole steps"),
        ("method=mu_oracle demos.n=0 train.warmup_steps=0", "demos.n=0, but method.balance.name"),
        # guidance, rivals, mu per environment
        ("method=luffy method.mu_per=env", "method.guidance.name=joined goes neither with"),
        ("method=ppo method.guidance.name=joined", "nor with credit by gae"),
        ("method=amft method.guidance.name=hpt", "hpt says by itself.*balance.name=rl"),
        ("method=balanced method.guidance.name=relift", "relift says by itself.*balance.name=rl"),
        ("method=luffy train.group=1", "train.group=1: .*at least 2"),
        ("method=trapo train.group=3", "train.group=3 must be at least 4"),
        ("method=bridge method.guidance.name=joined", "method.rival goes neither with guidance"),
        ("env=mix method=bridge method.mu_per=env", "method.rival goes neither"),
        ("method=bridge model.lora={r:4}", "method.rival.*model.lora=null"),
        ("method.mu_per=env", "method.mu_per=env is for several.*leave it out"),
        ("method.mu_per=difficulty", "guidance.name=none does not say.*guidance.name=shown"),
        ("method.mu_per=difficulty method.guidance.name=failing", "failing goes neither with"),
        # settings of what does not happen
        ("method=sft method.kl=0.1", "method.kl=0.1 would do nothing.*never explores"),
        ("method=sft method.entropy=0.1", "method.entropy=0.1 would do nothing"),
        ("method=sft train.reward_noise=0.1", "train.reward_noise=0.1 would do nothing"),
        ("method=sft method.guidance.name=joined", "guidance.name=joined would do nothing"),
        ("method=sft method.rival={rank:4} train.minibatches=1", "method.rival=.* would do nothing"),
        ("method=balanced method.horizon=0.5", "method.horizon=0.5 would do nothing.*method=amft"),
        ("method=grpo method.utility.name=heldout", "method.utility.name=heldout would do nothing"),
        ("method=grpo method.tangent=last_step", "method.tangent=last_step would do nothing"),
        ("method=sft method.balanced=true", "method.balanced=true brings .*sft mixes nothing"),
        ("method=grpo method.balanced=true", "method.balanced=true brings .*rl mixes nothing"),
        ("method=mgda method.balanced=true", "a half of each whatever they are"),
        ("method=sasr method.balanced=true", "goes by the size of one of them"),
        ("method=grpo method.imitation.name=dft", "imitation.name=dft would do nothing.*warm-up is sft"),
        ("method=sft method.exploration={name:gspo}", "exploration.name=gspo would do nothing"),
        ("method.utility.name=heldout train.steps=12", r"looks every 20 steps.*utility\.every=1"),
        ("method=sed method.imitation.k=0", "sed's lam=1 must be from 0 up, and k=0 from 1 up"),
        # an engine that tells no log-probabilities
        ("method=grpo engine=vllm sampling.temperature=0.8", "no log-probabilities .*train.minibatches=4"),
        (
            "method=grpo engine=vllm sampling.temperature=0.8 train.minibatches=1 train.ahead=1",
            "train.ahead=1 compares what was sampled",
        ),
        ("method=sft train.ahead=1", "train.ahead=1 would do nothing.*never explores"),
        ("env=mix method=sft train.curriculum={name:sec}", "name=sec would do nothing.*never explores"),
        ("method=sft train.curriculum={name:variance}", "name=variance would do nothing"),
        ("method=nft method.credit.credit=turn", "credit=turn would do nothing. Take episode"),
        ("method=relift method.balanced=true", "method.balanced=true brings .*rl mixes nothing"),
        ("method=grpo method.guidance={name:failing}", "rl imitates nothing.*method=failing"),
        (
            "method=amft_paper method.tangent=last_step train.minibatches=1",
            "one update a step there is nothing else.*horizon",
        ),
        # groups whose members can not differ
        ("method=grpo train.group=1", "train.group=1 leaves nobody.*train.group=2 or more"),
        ("method=grpo sampling.temperature=0", "all write the same.*sampling.temperature=1"),
        ("method=amft sampling.top_k=1", "all write the same"),
        ("method=nft method.credit.baseline=none train.group=1", "train.group=1 leaves nobody"),
        ("method=nft ~method.credit.baseline method.credit.credit=gae", "nft learns.*Take episode"),
        (
            "method=grpo ~method.credit.baseline method.credit.credit=gae method.exploration={name:srft}",
            "srft learns from whether.*Take episode",
        ),
        ("method=nft method.overlong={band:0.2}", "and not from rewards: method.overlong=.*Leave it out"),
        ("method=amft method.guidance.name=joined train.group=2", "one at most.*Take train.group=3"),
        ("env=mix method=ppo method.mu_per=env", "method.mu_per=env learns from a step part by part"),
        # demonstrations
        ("demos.n=0", "demos.n=0, but train.warmup_steps wants.*method=grpo"),
        ("demos.n=0 train.warmup_steps=0", "demos.n=0, but method.balance.name=amft wants"),
        ("method=luffy demos.n=0 train.warmup_steps=0", "demos.n=0, but method.guidance wants"),
        ("demos.folder=here demos.slips=0.3", "demos.folder=here are taken as they are"),
        ("eval.passes={tries:4,episodes:2} eval.tries=2", "leave one of the two out"),
        ("eval.tries=4 eval.temperature=0", "eval.temperature=0 makes all tries"),
        ("eval.passes={tries:4,episodes:2} eval.temperature=0", "eval.temperature=0 makes all tries"),
        ("method=sft_peak eval.every=0", "eval.validation=ood .*shows it the last alone"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told_with_what_to_do(words, told):
    words = words.split()
    envs = [] if any(word.startswith("env=") for word in words) else [SUMS]
    with pytest.raises(ValueError, match=f"(?s){told}"):
        refuse_contradictions(config_of([*envs, *words]))


@pytest.mark.parametrize(
    "words",
    [
        "method=reinforce train.group=1",
        "method=ppo train.group=1",
        "method=sft train.group=1",
        "method=sft sampling.temperature=0",
        "method=grpo demos.n=0 train.warmup_steps=0",
        "method=amft method.guidance.name=joined",
        "method=amft method.mu_per=difficulty method.guidance.name=shown",
        "method=amft method.horizon=1",
        "method=sdpo demos.n=0 train.warmup_steps=0",
        "method=sdpo train.minibatches=2",
        "method=sdpo train.ahead=1",
        "method=hpt method.balanced=true",
        "method=amft_paper method.tangent=last_step train.minibatches=2",
        "train.steps=0",
        # another loss comes without the options of the preset's; these were refused
        *[
            f"method.exploration.name={name}"
            for name in ("dapo", "gspo", "gmpo", "sapo", "cispo", "lco")
        ],
        "method.exploration={name:dppo}",
        "method.exploration.name=grpo method.exploration.clip=0.3",
    ],
)
def test_what_goes_together_passes(words):
    words = words.split()
    envs = [] if any(word.startswith("env=") for word in words) else [SUMS]
    refuse_contradictions(config_of([*envs, *words]))


@pytest.mark.parametrize("env", ENVS)
def test_every_preset_passes_on_every_environment(env):
    for name in methods():
        refuse_contradictions(config_of([f"env={env}", f"method={name}"]))


@pytest.mark.parametrize(
    "study", [None, "robustness", "ablation", "conditions", "generalises", "generalises_streets"]
)
def test_what_is_compared_passes(study):
    """Variants, budgets and conditions of a comparison that takes days."""
    words = [] if study is None else [f"study={study}"]
    variants = list(config_of(words, "compare").variants)
    envs = "envs=[math,general_points,virl]"
    if study is None:
        words = [envs, f"methods=[{','.join(variants)}]"]
    grid, seen = Grid(config_of(words, "compare")), set()
    for run in [*grid.warm(grid.runs({})), *grid.trials(), *grid.runs({})]:
        settings = tuple(w for w in run.settings if "seed=" not in w and "demos.folder" not in w)
        settings = tuple(w for w in settings if not w.startswith("train.warm_from"))
        if settings not in seen:
            seen.add(settings)
            refuse_contradictions(config_of(list(settings)))
    assert len(seen) > len(grid.variants)


def test_engines_of_several_processes(monkeypatch):
    """Servers may be several processes'; a model that is divided among GPUs may not, in their own."""
    words = ["env=math", "engine=vllm", "engine.servers=[http://localhost:8000]"]
    with pytest.raises(ValueError, match=r"engine\.weights_folder"):
        refuse_contradictions(config_of(words))
    monkeypatch.setenv("WORLD_SIZE", "2")
    refuse_contradictions(config_of([*words, "engine.weights_folder=/dev/shm/weights"]))
    with pytest.raises(ValueError, match=r"engine\.tensor_parallel=2 with several processes"):
        refuse_contradictions(config_of(["env=math", "engine=vllm", "engine.tensor_parallel=2"]))


def test_a_model_of_text_is_not_shown_pictures(tmp_path):
    build_family("qwen2", tmp_path)
    words = [f"model.name={tmp_path}", "env=virl"]
    with pytest.raises(ValueError, match=r"reads text alone.*env\.modality=text"):
        refuse_contradictions(config_of(words))
    refuse_contradictions(config_of([*words, "env.modality=text"]))


def test_a_look_at_an_expert_that_is_not_there_is_refused(tmp_path, monkeypatch):
    """Defect: with demos.folder the world needs none, and mu stayed where it began without a word."""
    (tmp_path / "mute.py").write_text(
        "import gymnasium\nfrom envs import World\n"
        "class Mute(World): pass\n"
        "gymnasium.register('my/Mute-v0', entry_point=Mute)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    row = Demonstration("one", ["1 + 1?"], ["2"], picture_of=[-1], world="mute:my/Mute-v0")
    write_part(tmp_path / "demos", 0, [row])
    words = ["env=own", "env.name=mute", "env.id=mute:my/Mute-v0", f"demos.folder={tmp_path}/demos"]
    refuse_contradictions(config_of(words))
    with pytest.raises(ValueError, match=r"mute has none.*utility\.name=next_rollout"):
        refuse_contradictions(config_of([*words, "method.utility.name=demo_nll"]))
    refuse_contradictions(config_of(["env=math", "method.utility.name=demo_nll"]))


def test_demonstrations_of_another_world_are_told_before_the_warm_up(tmp_path):
    row = Demonstration("one", ["1 + 1?"], ["2"], picture_of=[-1], world="amft/VIRL-v0")
    write_part(tmp_path, 0, [row])
    words = ["env=math", f"demos.folder={tmp_path}"]
    with pytest.raises(ValueError, match=r"holds demonstrations of amft/VIRL-v0, and env=math"):
        refuse_contradictions(config_of([*words, "method=amft"]))
    with pytest.raises(ValueError, match=r"is of amft/VIRL-v0, not of amft/Math-v0"):
        refuse_contradictions(config_of([*words, "method=luffy"]))


def demonstrated(folder, world, **options):
    row = Demonstration("one", ["?"], ["2"], picture_of=[-1], world=world)
    row.options = options.pop("text", json.dumps(options))
    write_part(folder, 0, [row])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"answer": "json", "thought": "none", "instruction_as": "sentence"},
            r"answer=json and not short, thought=none and not steps, instruction_as=sentence and not number.*"
            r"by env\.answer=json env\.thought=none env\.instruction_as=sentence",
        ),
        ({"modality": "text"}, r"modality=text and not visual"),
        ({"mode": "free", "actions": "relative"}, r"env\.mode=free env\.actions=relative"),
        ({"answer": "short", "split": "id", "prompts": "varied", "city": "helsinki"}, None),
        ({"size": [28, 28], "unknown": 1}, None),
        ({"text": "[" * 100_000}, None),
    ],
)
def test_demonstrations_in_another_form_are_told_with_what_to_say(tmp_path, options, told):
    """Defect: the world's id alone was compared, and the model was taught JSON and played short answers."""
    demonstrated(tmp_path, "amft/VIRL-v0", **options)
    config = config_of(["env=virl", f"demos.folder={tmp_path}"])
    if told is None:
        refuse_contradictions(config)
    else:
        with pytest.raises(ValueError, match=told):
            refuse_contradictions(config)


def test_each_environment_of_a_mix_has_its_own_form(tmp_path):
    for name, world in (("virl", "VIRL"), ("general_points", "GeneralPoints"), ("math", "Math")):
        demonstrated(tmp_path / name, f"amft/{world}-v0")
    words = ["env=mix", f"demos.folder={tmp_path}"]
    refuse_contradictions(config_of(words))  # what tells nothing is left alone
    demonstrated(tmp_path / "math", "amft/Math-v0", source="gsm_symbolic")
    with pytest.raises(ValueError, match=r"env\.parts\.math\.source=gsm_symbolic"):
        refuse_contradictions(config_of(words))
    refuse_contradictions(config_of([*words, "env.parts.math.source=gsm_symbolic"]))


def test_who_plays_the_instances_of_demonstrations_has_to_draw_the_same(tmp_path):
    """By the same seed another city has other routes."""
    demonstrated(tmp_path, "amft/VIRL-v0", city="helsinki")
    words = ["env=virl", f"demos.folder={tmp_path}"]
    refuse_contradictions(config_of([*words, "method=amft"]))
    with pytest.raises(ValueError, match=r"city=helsinki and not gridtown"):
        refuse_contradictions(config_of([*words, "method=luffy"]))


def test_no_setting_is_changed_by_looking_at_it():
    config = config_of(["env=mix"])
    before = OmegaConf.to_yaml(config)
    refuse_contradictions(config)
    assert OmegaConf.to_yaml(config) == before
