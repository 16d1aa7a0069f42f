"""Settings of a method: losses, credit, balance, and what goes with them."""

from __future__ import annotations

from dataclasses import dataclass

from amft_mm.config.fields import setting
from amft_mm.config.schema.parts import Named


@dataclass
class Credit:
    credit: str = setting("what returns are credited to", among=("episode", "turn", "gigpo", "gae"))


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
    credit: Credit = setting("from rewards to advantages", others=True)
    balance: Named = setting("what sets mu, the weight of imitation", others=True)
    guidance: Named = setting(
        "none, shown, joined, prefix, micro_groups, uft, hpt, superrl, relift, failing", others=True
    )
    rival: Rival | None = setting("a second model that explores alone, or null")
    balanced: bool = setting("make both gradients equally large before they are mixed")
    mu_per: str | None = setting(
        "each environment of a mix, or each third of success rates, has its own mu",
        among=("env", "difficulty"),
    )
    utility: Named = setting("what a balance that learns climbs", others=True)
    validation: str | None = setting("what eval.validation is by default")
    tangent: str = setting(
        "how the effect of mu on the weights is followed",
        among=("curved", "exact", "last_step", "plain_descent"),
    )
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
    overlong: Overlong | None = setting("what answers near their limit cost, or null")
    cut: str = setting("what is done with what limits ended", among=("learn", "mask", "bootstrap"))


@dataclass
class Preset(Method):
    about: str = setting("what it does", may_miss=True, told=False)
    source: str = setting("where it comes from", may_miss=True, told=False)
    status: str = setting(
        "how well it is known to be what its authors mean", may_miss=True, told=False
    )
    identities: list[str] = setting("tests that hold what it has to be", may_miss=True, told=False)
