"""Engines and parts of a method from a file of one's own."""

import pytest
import torch

from agents.engines import make_engine
from amft_mm.config.composition import composition
from amft_mm.data.curriculum import curriculum
from amft_mm.learning.objective import Objective
from amft_mm.methods.balance import balance
from amft_mm.methods.combinations import refuse_contradictions
from amft_mm.methods.exploration import exploration
from amft_mm.methods.guidance import guidance
from amft_mm.methods.imitation import imitation
from amft_mm.methods.utility import utility


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_balance_of_ones_own(folder):
    (folder / "my_balance.py").write_text(
        "from amft_mm.methods.balance import Balance\n"
        "class Half(Balance):\n    def __init__(self, steps, mu=0.5): self.value = mu\n"
        "    def mu(self, step): return self.value\n"
    )
    assert balance("my_balance:Half", 10, {"mu": 0.25}).mu(3) == 0.25
    with pytest.raises(ValueError, match=r"my_balance:Half: .*unexpected keyword.*'start'"):
        balance("my_balance:Half", 10, {"start": 0.25})
    (folder / "no_balance.py").write_text("class Other:\n    def __init__(self, steps): pass\n")
    with pytest.raises(ValueError, match=r"no_balance:Other: .*subclass of amft_mm.*Other is not"):
        balance("no_balance:Other", 10, {})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def mu(self, step): return 1.7", r"Mine\.mu\(0\)=1\.7 must be from 0 to 1"),
        ("def mu(self, step): return float('nan')", r"Mine\.mu\(0\)=nan must be from 0 to 1"),
        ("def mu(self, step): return 'half'", r"Mine\.mu\(0\)='half' must be a number"),
        ("pass", r"the balance Mine has to define mu\(step\)"),
    ],
)
def test_a_mix_that_is_none_is_refused(folder, body, told, request):
    """Defect: a balance of one's own went on with a mu of 1.7, or of NaN, and learnt what that made of it; a
    word was a TypeError, and without `mu` the command said "NotImplementedError" alone."""
    file = f"mixes_{request.node.callspec.indices['body']}"
    (folder / f"{file}.py").write_text(
        "from amft_mm.methods.balance import Balance\n"
        f"class Mine(Balance):\n    def __init__(self, steps): pass\n    {body}\n"
    )
    words = ["env=math", "method=balanced", f"method.balance.name={file}:Mine"]
    with pytest.raises((ValueError, RuntimeError), match=told):
        refuse_contradictions(composition("train", words))


def test_a_loss_of_ones_own_brings_its_needs(folder):
    (folder / "my_loss.py").write_text(
        "NEEDS = ('reference',)\ndef loss(tokens, totals): return 0.0\ndef other(): pass\n"
    )
    assert imitation("my_loss:loss").NEEDS == ("reference",)
    assert exploration("my_loss:loss").loss(None, None) == 0.0
    with pytest.raises(ValueError, match="MODULE:loss"):
        imitation("my_loss:other")


def test_an_engine_of_ones_own_gets_the_policy_and_its_options(folder):
    (folder / "my_engine.py").write_text(
        "class Mine:\n    together = True\n    def __init__(self, policy, pace=1): self.got = policy, pace\n"
        "    def ask(self, *_): pass\n    answers = release = refresh = rest = ask\n"
    )
    assert make_engine("my_engine:Mine", "a policy", pace=3).got == ("a policy", 3)
    with pytest.raises(ValueError, match=r"engine my_engine:Mine: .*'speed'"):
        make_engine("my_engine:Mine", None, speed=3)


def test_a_part_that_is_of_another_kind_is_told_at_once(folder):
    """Defect: an AttributeError, of a utility only when the warm-up was over."""
    (folder / "my_parts.py").write_text(
        "class Other:\n    def __init__(self, **settings): pass\nclass Bare:\n    pass\n"
    )
    with pytest.raises(ValueError, match=r"my_parts:Other: .*Guidance; Other is not"):
        guidance("my_parts:Other", {})
    with pytest.raises(ValueError, match=r"my_parts:Other: .*Curriculum; Other is not"):
        curriculum("my_parts:Other", [1.0], None, 0, {})
    with pytest.raises(ValueError, match=r"my_parts:Other: .*look\(view\); Other has none"):
        utility("my_parts:Other", {})
    with pytest.raises(ValueError, match=r"my_parts:Bare: .*; it is called with steps, start"):
        balance("my_parts:Bare", 10, {"start": 0.5})


def test_an_engine_without_one_of_its_parts_is_told_when_it_is_made(folder):
    """Defect: an AttributeError when the warm-up was over, of one that the guide did not name."""
    (folder / "my_partial.py").write_text(
        "class Mine:\n    def __init__(self, policy): pass\n"
        "    def ask(self): pass\n    answers = release = refresh = ask\n"
    )
    with pytest.raises(
        ValueError, match=r"my_partial:Mine: Mine has no together, rest; .*base\.py"
    ):
        make_engine("my_partial:Mine", None)


@pytest.mark.parametrize(
    ("given", "told"), [(torch.zeros(3), r"a tensor of shape \[3\]"), (None, "None"), (0.5, "0.5")]
)
def test_a_loss_that_is_no_number_is_told(given, told):
    """Defect: "grad can be implicitly created only for scalar outputs", or an AttributeError."""
    objective = Objective(lambda tokens, totals: given)
    with pytest.raises(ValueError, match=f"a loss gave {told}, .*totals.tokens"):
        objective.value(None, None)
    assert Objective(lambda tokens, totals: torch.tensor(0.5)).value(None, None) == 0.5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("amtf", "Did you mean 'amft'"),
        ("not_there:Mine", "no module 'not_there'.*my_file:Mine"),
        ("my_empty:Mine", "my_empty has no 'Mine'"),
        ("./my_empty:Mine", "'./my_empty' is no name of a module.*my_file:Mine"),
    ],
)
def test_what_is_not_there_is_told(folder, name, words):
    (folder / "my_empty.py").write_text("")
    with pytest.raises(ValueError, match=words):
        balance(name, 10, {})


def test_what_a_file_itself_misses_is_not_hidden(folder):
    (folder / "my_broken.py").write_text("import not_installed_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_at_all"):
        balance("my_broken:Mine", 10, {})
