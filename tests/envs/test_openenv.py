"""Worlds over the wire by OpenEnv: ours for its client and validator, and others' for us."""

from pathlib import Path

import gymnasium
import httpx
import numpy as np
import pytest

pytest.importorskip("openenv")

from openenv.cli._validation import validate_running_environment
from openenv.core import GenericEnvClient
from openenv.validation import Level, run_validation

from envs.protocols.openenv_client import RemoteError, _as_kind
from envs.protocols.openenv_server import Answer, Served, WorldServer, make_app
from envs.serve import main as serve
from envs.tools import write_call
from tests.envs.openenv_servers import guessing_app, serving

ROOT = Path(__file__).resolve().parents[2]
GP = "amft/GeneralPoints-v0"


@pytest.fixture(scope="module")
def cards():
    with serving(make_app(Served(GP, {"size": [84, 84]}, sessions=3, tasks=20))) as url:
        yield url


@pytest.fixture(scope="module")
def guessing():
    with serving(guessing_app()) as url:
        yield url


def client(url):
    return GenericEnvClient(base_url=url).sync()


def test_openenvs_own_validator_is_content(cards):
    report = validate_running_environment(cards)
    assert report["passed"], report


def test_the_package_of_the_examples_is_valid():
    report = run_validation(ROOT / "examples" / "openenv", max_level=Level.STATIC)
    assert report.verdict.value == "pass", report


def test_a_policy_plays_over_the_wire(cards):
    """What is played is what the world plays here: texts, rewards and ends."""
    env = gymnasium.make(GP, size=(84, 84), split="id")
    with client(cards) as player:
        for index in range(3):
            shown = player.reset(split="id", index=index)
            observation, _ = env.reset(seed=index)
            assert shown.observation["text"] == observation["text"]
            assert shown.observation["image"]
            for text in ("1+1", env.unwrapped.expert()):
                there, here = player.step({"text": text}), env.step(text)
                assert (there.reward, there.done) == here[1:3]
                assert there.observation["verdict"] == here[4]["verdict"]
                assert there.observation["feedback"] == here[4]["feedback"]
        assert player.state()["step_count"] == 2


def test_objects_that_a_model_wrote_are_answers():
    """Clients that pass a JSON reply on as the action itself."""
    said = {"cards": ["A"], "formula": "1+1"}
    assert Answer.model_validate(said).text == '{"cards": ["A"], "formula": "1+1"}'
    assert Answer.model_validate({"text": "1+1"}).text == "1+1"
    assert Answer.model_validate({"text": "a", "formula": "b"}).text.startswith('{"text"')
    assert Answer.model_validate("1+1").text == "1+1"


def test_tasks_are_listed(cards):
    name = f"{cards}/GeneralPoints-v0"
    splits = {split["name"]: split["type"] for split in httpx.get(f"{name}/splits").json()}
    assert splits["train"] == "train"
    assert splits["ood_fake"] == "test"
    assert "ood_large" not in splits  # it has no pictures
    assert httpx.post(f"{name}/num_tasks", json={"split": "id"}).json()["num_tasks"] == 20
    task = httpx.post(f"{name}/task", json={"split": "id", "index": 3}).json()["task"]
    assert task == {"id": "id-3", "split": "id", "index": 3}
    asked = {"split": "id", "start": 18, "stop": None}
    listed = httpx.post(f"{name}/task_range", json=asked).json()["tasks"]
    assert [task["index"] for task in listed] == [18, 19]
    for wrong in ({"split": "id", "index": 20}, {"split": "nowhere", "index": 0}):
        assert httpx.post(f"{name}/task", json=wrong).status_code == 400


def test_what_is_wrong_is_told_and_the_session_goes_on(cards):
    with client(cards) as player:
        with pytest.raises(Exception, match="reset first"):
            player.step({"text": "1+1"})
        for asked in ({"split": "nowhere"}, {"spilt": "id"}, {"seed": -1}):
            with pytest.raises(Exception, match=r"nowhere|spilt|seed"):
                player.reset(**asked)
        player.reset(seed=0)
        assert player.step({"text": "1+1"}).observation["verdict"] == "wrong_numbers"


def test_sessions_and_sizes_have_limits(cards):
    players = [client(cards) for _ in range(4)]
    for player in players[:3]:
        player.reset(seed=0)
    with pytest.raises(Exception, match=r"(?i)capacity|sessions|1000|closed"):
        players[3].reset(seed=0)
    for player in players[:3]:
        player.close()
    with client(cards) as player:
        player.reset(seed=0)
        with pytest.raises(Exception, match=r"(?i)1009|too big|closed"):
            player.step({"text": "x" * 2_000_000})
    refused = httpx.post(f"{cards}/step", content=b"x" * 2_000_000)
    assert refused.status_code == 413


def test_an_idle_session_that_was_closed_says_so():
    session = WorldServer(Served(GP, {"modality": "text"}), ("train",))
    session.reset(seed=0)
    session.close()
    with pytest.raises(RuntimeError, match="connect anew"):
        session.step(Answer(text="1+1"))


def test_a_world_that_can_not_be_made_is_told_before_it_is_served(capsys):
    assert serve(["amft/GeneralPoint-v0", "--port", "1"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: amft/GeneralPoint-v0")


def test_the_command_serves_what_it_is_told(monkeypatch, capsys):
    """Each option arrives where it belongs: two that were swapped would serve all the same."""
    made, served_by = [], []

    class Server:
        def run(self):
            served_by.append("run")

    def server_of(app, host, port, most_bytes):
        served_by.append((app, host, port, most_bytes))
        return Server()

    def noted(served):
        made.append((served, make_app(served)))
        return made[-1][1]

    monkeypatch.setattr("envs.serve.server_of", server_of)
    monkeypatch.setattr("envs.protocols.openenv_server.make_app", noted)
    words = f"{GP} --host 0.0.0.0 --port 8123 --sessions 5 --idle 7.5 --tasks 11 --bytes 4321"
    assert serve([*words.split(), "-k", "size=[84,84]"]) == 0
    [(served, app)] = made
    assert served == Served(GP, {"size": [84, 84]}, sessions=5, idle=7.5, tasks=11, bytes_=4321)
    assert served_by == [(app, "0.0.0.0", 8123, 4321), "run"]
    assert capsys.readouterr().out.startswith(f"{GP} is served as GeneralPoints-v0 on http://0.0")


# Others' servers as a world.


def test_a_server_of_ours_is_the_same_world_again(cards):
    there = gymnasium.make(
        "amft/OpenEnv-v0", url=cards, split="id", modality="visual", size=(84, 84)
    )
    here = gymnasium.make(GP, size=(84, 84), split="id")
    for seed in (0, 1):
        shown, _ = there.reset(seed=5, options={"seed": seed})
        expected, _ = here.reset(seed=seed)
        assert shown["text"] == expected["text"]
        assert np.array_equal(shown["image"], expected["image"])
        answer = here.unwrapped.expert()
        shown, reward, terminated, _, info = there.step("1+1")
        assert (reward, terminated, info["server"]["verdict"]) == (-2.0, False, "wrong_numbers")
        assert np.array_equal(shown["image"], expected["image"])  # it was not sent again
        _, reward, terminated, _, info = there.step(answer)
        assert (reward, terminated, info["success"], info["ended_by"]) == (
            5.0,
            True,
            True,
            "success",
        )
    there.close()


def test_somebody_elses_server_is_played_by_its_schema(guessing):
    """An action that is a number, an observation without `text`, no `success`."""
    env = gymnasium.make("amft/OpenEnv-v0", url=guessing, text_field="hint", goal="Find it.")
    observation, info = env.reset(seed=0)
    assert observation["text"] == "Find it.\nGuess a number from 0 to 9."
    observation, reward, terminated, _, info = env.step("I do not know.")
    assert (info["verdict"], reward, terminated) == ("not_an_action", 0.0, False)
    for guess in range(10):
        observation, reward, terminated, _, info = env.step(f"I say 100, no: {guess}")
        assert info["server"]["tries"] == guess + 1
        if terminated:
            break
    assert (observation["text"], reward, info["ended_by"]) == ("Right.", 1.0, "success")
    env.close()


@pytest.mark.parametrize(
    ("said", "guess"),
    [
        ("1,000", 1000),
        ("between 1-7", 7),
        ("-7.", -7),
        ("1e5", None),
        ("9" * 20, None),
        ("v1.2.3", None),
    ],
)
def test_a_number_is_taken_whole_or_not(said, guess):
    """Defect: of a number in another form its last digits were sent, 0 for 1,000."""
    assert _as_kind(said, "integer") == guess


@pytest.mark.parametrize(
    "schema",
    [
        b"[" * 100_000,
        b'{"action": {"properties": {"a": 5}}}',
        b'{"action": {"properties": {"a": {}}, "required": 5}}',
    ],
)
def test_a_schema_that_is_none_is_told(monkeypatch, schema):
    """Defects: RecursionError, AttributeError and TypeError of what any server may reply."""
    replies = httpx.MockTransport(lambda request: httpx.Response(200, content=schema))
    monkeypatch.setattr(httpx, "get", httpx.Client(transport=replies).get)
    with pytest.raises(ValueError, match="no OpenEnv server answers there with a schema"):
        gymnasium.make("amft/OpenEnv-v0", url="http://somewhere")


def test_all_fields_are_shown_where_none_is_chosen_and_episodes_have_an_end(guessing):
    env = gymnasium.make("amft/OpenEnv-v0", url=guessing, max_steps=2)
    assert env.reset(seed=0)[0]["text"] == '{"hint": "Guess a number from 0 to 9.", "tries": 0}'
    assert env.step("100")[3] is False
    assert env.step("100")[4]["ended_by"] == "out_of_steps"
    env.close()


def test_an_error_of_the_server_costs_one_episode(guessing):
    env = gymnasium.make("amft/OpenEnv-v0", url=guessing)
    env.reset(seed=0)
    with pytest.raises(RemoteError, match="unlucky"):
        env.step("13")
    assert "Guess" in env.reset(seed=0)[0]["text"]
    env.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"action_field": "numbr"}, "Did you mean 'number'"),
        ({"modality": "video"}, "modality"),
        ({"success": "always"}, "success"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_a_bad_argument_is_named(guessing, arguments, words):
    with pytest.raises(ValueError, match=words):
        gymnasium.make("amft/OpenEnv-v0", url=guessing, **arguments)


def test_a_field_that_is_not_there_is_named(guessing):
    env = gymnasium.make("amft/OpenEnv-v0", url=guessing, text_field="hnt")
    with pytest.raises(RemoteError, match="hint, tries"):
        env.reset(seed=0)
    env.close()


def test_no_server_is_told_at_once():
    with pytest.raises(ValueError, match="no OpenEnv server answers there"):
        gymnasium.make("amft/OpenEnv-v0", url="http://127.0.0.1:1")


@pytest.mark.slow
def test_a_model_plays_many_episodes_over_the_wire(guessing):
    """As training plays: several sessions at once, and an episode that the server breaks fails alone."""
    from agents.policy import Policy
    from agents.rollout import Plan, play
    from agents.worlds import World, Worlds
    from tests.agents.test_rollout import LIMITS, Scripted

    policy = Policy.load("tiny-random", device="cpu")
    world = World("amft/OpenEnv-v0", {"url": guessing, "text_field": "hint"})
    worlds = Worlds(world, slots=4)

    def answer(request):
        turn = len(request.conversation.answers)
        return "13" if request.seed % 3 == 0 and turn else str(turn)

    plan = Plan(tasks=4, group=2, replacements=0, limits=LIMITS)
    played = play(worlds, policy, Scripted(policy, answer), plan)
    worlds.close()
    assert len(played) == 8
    for trajectory in played:
        lucky = trajectory.stop in ("success", "out_of_turns", "out_of_tokens")
        assert lucky or "unlucky" in str(trajectory.error)
    assert any(trajectory.stop == "success" for trajectory in played)
    assert any(trajectory.failed for trajectory in played)


def test_several_pictures_a_system_prompt_and_tools_go_over_the_wire(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "two_drawers"))
    world = "two_drawers:examples/TwoDrawers-v0"
    here = gymnasium.make(world)
    with serving(make_app(Served(world))) as url:
        settings = {"modality": "visual", "size": None}
        there = gymnasium.make("amft/OpenEnv-v0", url=url, **settings)
        shown, info = there.reset(seed=0)
        assert [picture.shape for picture in shown["images"]] == [(56, 56, 3), (56, 112, 3)]
        assert info["system"] == here.unwrapped.system
        assert info["tools"] == [tool.declared() for tool in here.unwrapped.tools]
        shown, *_, info = there.step(write_call("open_drawer", drawer="left"))
        assert (len(shown["images"]), info["tool"], info["new_image"]) == (1, "open_drawer", True)
        shown, *_, info = there.step("nonsense")
        assert (len(shown["images"]), info["new_image"]) == (1, False)
        assert info["server"]["verdict"] == "no_call"
        there.close()
        one = gymnasium.make("amft/OpenEnv-v0", url=url, modality="visual")
        with pytest.raises(RemoteError, match="size=None"):
            one.reset(seed=0)
        one.close()
