"""Run by .ci/run inside an environment that holds nothing but the wheel, outside the checkout."""

from importlib.resources import files
from pathlib import Path

import gymnasium

checkout = Path(__file__).resolve().parent.parent
for name in ("amft/GeneralPoints-v0", "amft/VIRL-v0", "amft/Math-v0"):
    env = gymnasium.make(name)  # no import of this project: the wheel alone makes it known
    observation, info = env.reset(seed=0)
    _, reward, *_, info = env.step(env.unwrapped.expert())
    assert reward > 0, (name, info)
    print(f"{name}: the expert's first answer earns {reward}")

import amft_mm  # noqa: E402
import envs  # noqa: E402

for package in (amft_mm, envs):
    assert checkout not in Path(package.__file__).resolve().parents, package.__file__
assert files("configs").joinpath("train.yaml").is_file()

from hydra import compose, initialize_config_module  # noqa: E402

with initialize_config_module("configs", version_base="1.3"):
    assert compose("train", ["env=general_points"]).env.id == "amft/GeneralPoints-v0"
from agents.policy import Policy  # noqa: E402

policy = Policy.load("tiny", device="cpu")
assert policy.chat_format.text(policy.chat_format.answer("forward()")) == "forward()"
print("the wheel works outside the checkout")
