"""What people expect around a run: a card, the hub, trackers, a program of ten lines, quiet libraries."""

import json
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import yaml

import amft_mm
from amft_mm import configuration
from amft_mm.commands import main
from amft_mm.config.command_line import quoted
from amft_mm.config.difference import words_of
from amft_mm.runs.card import command, model_card
from amft_mm.runs.dotted import MAY_DIFFER, WHERE, flat, without
from amft_mm.runs.hub import Hub, HubError
from amft_mm.runs.progress import Progress
from amft_mm.runs.trackers import has_logged_in, trackers, wandb_mode
from amft_mm.train import train
from amft_mm.trainer import Stopped, Trainer
from tests.amft_mm.test_train import ROOT, TINY

SUMMARY = {
    "weights": "step_000003",
    "splits": ["id", "ood_hard"],
    "episodes": 50,
    "tries": 1,
    "seed": 0,
    "eval/id/success": 0.5,
    "eval/id/low": 0.366,
    "eval/id/high": 0.634,
    "eval/ood_hard/success": None,
}


@pytest.mark.parametrize(
    "words",
    [
        ["env=math", "method=grpo", "train.steps=7"],
        ["env=own", "env.id=a:b/C-v0", "env.splits=[x,y]", "model.name=tiny-random"],
        ["env=virl", "model=qwen2_5_vl_3b", "method=luffy", "model.lora={r: 8}"],
        ["env=math", "method.exploration.name=grpo", "method.exploration.clip=0.1"],
        [
            "env=math",
            "method.exploration={name: dapo, dual: 2}",
            "+method.exploration.clip_low=0.1",
        ],
        ["env=math", "method.overlong={band:0.2,penalty:1.0}", "out=runs/a", "seed=3"],
        # defects: the command of each trained another model, or by another method
        ["env=math", "model=smollm2", "model.lora=null"],
        ["env=virl", "model=qwen2_5_vl_7b", "machine=eight_80gb"],
        ["env=math", "method=dapo", "method.overlong=null"],
        ["env=math", "method=amft", "~method.exploration.dual"],
    ],
)
def test_the_command_of_a_card_makes_the_same_run(words):
    config = configuration("train", words)
    again = configuration("train", words_of("train", config))
    assert without(flat(again), WHERE) == without(flat(config), WHERE)


@pytest.mark.parametrize("name", ["it's", "a#b", "a=b", "ä", "my (1)", "a\\b c", "end\\"])
def test_what_a_command_says_goes_through_a_shell(tmp_path, monkeypatch, name):
    """Defect: that of a card, and that which goes on with a run, were quoted for Hydra or the shell alone."""
    words = ["env=own", "env.id=a:b/C-v0", f"+env.note={quoted(name)}"]
    config = configuration("train", words)
    said = shlex.split(command(words_of("train", config)).replace("\\\n", ""), comments=True)
    assert configuration("train", said[2:]).env.note == name

    def stops(self):
        raise Stopped(2)

    told = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trainer, "train", stops)
    monkeypatch.setattr(Progress, "say", lambda self, words: told.append(words))
    short = ["env=math", "method=grpo", "model.name=tiny-random", "demos.n=0"]
    own = configuration("train", [*short, "train.warmup_steps=0", f"out={quoted(name)}"])
    with pytest.raises(Stopped):
        train(own)
    _, again = told[-1].split("\n")
    assert configuration("train", [*short, shlex.split(again)[3]]).out == name


def test_what_says_where_a_run_is_made_may_differ_and_a_name_is_no_beginning_of_another():
    """Defect: three lists of the same, of which one forgot trackers and checkpoints."""
    given = flat({"wandb": {"mode": "offline"}, "play": {"slots": 4}, "seed": 3, "outer": {}})
    assert given == {"wandb.mode": "offline", "play.slots": 4, "seed": 3, "outer": {}}
    assert without(given, WHERE) == {"play.slots": 4, "seed": 3, "outer": {}}
    assert without(given, MAY_DIFFER) == {"seed": 3, "outer": {}}
    assert flat({}) == {}


def test_a_card_tells_method_data_figures_with_intervals_and_the_command():
    config = configuration("train", ["env=math", "method=grpo", "env.name=a|b", "train.steps=7"])
    rows = [{"step": 9, "phase": "mix", "tokens/demo": 1000, "tokens/generated": 2000}]
    card = model_card(config, words_of("train", config), SUMMARY, rows)
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "transformers"
    assert head["tags"][0] == "amft_mm"
    for told in ("50.0% | 36.6% to 63.4%", "every episode crashed", "`a\\|b`", "train.steps=7"):
        assert told in card
    assert "256 episodes of the world's expert" in card
    assert "1,000 of demonstrations learnt from, 2,000 of answers written" in card
    assert "ended early, after 9 of 157 steps" in card


class Endpoint(BaseHTTPRequestHandler):
    """As much of the hub as takes a folder."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, body))
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.answer(401, {"error": "Invalid username or password."})
        if self.path.endswith("/repos/create"):
            return self.answer(200, {"url": "https://huggingface.co/me/agent"})
        if "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if "/commit/" in self.path:
            made = "https://huggingface.co/me/agent/commit/1"
            return self.answer(200, {"commitUrl": made, "commitOid": "1"})
        return self.answer(200, {"errors": [], "warnings": []})

    def do_GET(self):
        self.answer(200, {"sha": "0", "id": "me/agent", "siblings": [], "tags": []})

    def answer(self, status, found):
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture
def endpoint(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    yield server
    server.shutdown()
    server.server_close()


def test_a_folder_goes_to_the_hub_without_what_is_of_this_machine(endpoint, tmp_path):
    (tmp_path / "README.md").write_text("# A card")
    (tmp_path / "progress.json").write_text("{}")
    hub = Hub("me/agent", private=True, endpoint=f"http://127.0.0.1:{endpoint.server_port}")
    hub.open()
    created = json.loads(endpoint.asked[0][1])
    assert created.get("private") is True or created["visibility"] == "private"
    assert "me/agent" in hub.push(tmp_path)
    (commit,) = [body for path, body in endpoint.asked if "/commit/" in path]
    assert b"README.md" in commit
    assert b"progress.json" not in commit
    hub.beside("demos-math").push(tmp_path)
    assert endpoint.asked[-1][0] == "/api/datasets/me/agent-demos-math/commit/main"


def test_what_the_hub_refuses_is_told_in_a_sentence(endpoint, monkeypatch):
    address = f"http://127.0.0.1:{endpoint.server_port}"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="the hub did not take it"):
        Hub("me/agent", private=True, endpoint=address).open()
    with pytest.raises(HubError, match="give USER/NAME"):
        Hub("agent", private=True, endpoint=address).open()
    monkeypatch.setattr("amft_mm.runs.hub.get_token", lambda: None)
    with pytest.raises(HubError, match="hf auth login"):
        Hub("me/agent", private=True, endpoint=address).open()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        Hub("me/agent", private=True, endpoint=address).open()


def test_the_key_of_a_login_is_taken_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not has_logged_in()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    (tmp_path / "netrc").chmod(0o600)
    assert wandb_mode("online") == "online"
    assert wandb_mode(None) == "disabled"  # a key alone asks for nothing


def test_any_folder_is_tracked_and_a_key_that_is_none_is_told(tmp_path, monkeypatch):
    """Defect: both were a traceback of wandb's, the former for a : in the folder's name."""
    pytest.importorskip("wandb")
    path = tmp_path / "math: a#b?"
    path.mkdir()
    config = configuration("train", ["env=math", "wandb.mode=offline"])
    [tracker] = trackers(config, path, lambda *where: ())
    tracker({"step": 1, "phase": "mix", "mu": 0.5})
    tracker.close()
    assert list(path.glob("wandb/offline-run-*math--a-b-*"))
    monkeypatch.setenv("WANDB_API_KEY", "short")
    config.wandb.mode = "online"
    with pytest.raises(
        ValueError, match=r"wandb\.mode=online: it was not taken .*offline asks for"
    ):
        trackers(config, path, lambda *where: ())


def test_the_suite_says_its_version_and_is_imported_in_a_moment():
    code = "import sys, amft_mm; print(amft_mm.__version__, 'torch' in sys.modules); amft_mm.configuration"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [amft_mm.__version__, "False"], done.stderr
    with pytest.raises(AttributeError, match="no attribute"):
        amft_mm.nothing  # noqa: B018


@pytest.mark.slow
def test_the_notebook_runs_as_it_stands(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "examples" / "first_run.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # nobody's machine is in it
    done = nbclient.NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    texts = [json.dumps(output) for cell in done.cells for output in cell.get("outputs", [])]
    assert "eval/id/low" in "".join(texts)
    noise = ("it/s", "FutureWarning")  # of libraries that load, save or complain
    assert [text for text in texts if any(word in text for word in noise)] == []
    assert (tmp_path / "runs" / "first" / "model" / "README.md").is_file()


def test_tensorboard_shows_a_step_that_was_made_again_once(tmp_path):
    """Defect: a run that is gone on with drew the steps since its checkpoint over those of before."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = configuration("train", ["env=math", "tensorboard=true", "wandb.mode=disabled"])
    for first, mu in ((1, 0.5), (3, 0.7)):
        [tracker] = trackers(config, tmp_path, lambda *where: ())
        for step in range(first, 5):
            tracker({"step": step, "phase": "mix", "mu": mu})
        tracker.close()
    [tracker] = trackers(config, tmp_path, lambda *where: ())
    tracker({"step": 4, "phase": "evaluation", "eval/id/success": 0.5})  # its last one broke off
    tracker.close()
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    told = [(event.step, round(event.value, 1)) for event in read.Scalars("mu")]
    assert told == [(1, 0.5), (2, 0.5), (3, 0.7), (4, 0.7)]
    assert [event.step for event in read.Scalars("eval/id/success")] == [4]


class Recorded:
    """Weights & Biases, or Trackio, as a run meets them."""

    def __init__(self):
        self.began, self.rows = {}, []

    def init(self, **how):
        self.began = how
        return self

    def log(self, row, step):
        self.rows.append((step, row))

    def finish(self):
        self.rows.append("finished")


def test_what_is_told_of_wandb_reaches_it(tmp_path, monkeypatch):
    wandb, seen = pytest.importorskip("wandb"), Recorded()
    monkeypatch.setattr(wandb, "init", seen.init)
    own = ["wandb.project=streets", "wandb.entity=us", "wandb.group=new", "wandb.tags=[a,b]"]
    config = configuration("train", ["env=math", "wandb.mode=offline", "wandb.name=first", *own])
    (tracker,) = trackers(config, tmp_path, lambda *_: ())
    told = {"project": "streets", "entity": "us", "group": "new", "tags": ["a", "b"]}
    assert told.items() <= seen.began.items()
    assert seen.began["name"] == "first"
    tracker({"step": 3, "phase": "mix", "mu": 0.5})
    tracker.close()
    assert seen.rows == [(3, {"step": 3, "phase": "mix", "mu": 0.5}), "finished"]


def test_trackio_gets_the_figures_of_each_step(tmp_path, monkeypatch):
    seen = Recorded()
    monkeypatch.setitem(sys.modules, "trackio", seen)
    config = configuration("train", ["env=math", "trackio=streets", "method=grpo"])
    (tracker,) = trackers(config, tmp_path / "one", lambda *_: ())
    assert (seen.began["project"], seen.began["name"]) == ("streets", "one")
    assert seen.began["group"] == "grpo"
    tracker({"step": 3, "phase": "mix", "mu": 0.5})
    tracker.close()
    assert seen.rows == [(3, {"mu": 0.5}), "finished"]


def test_the_model_and_the_demonstrations_of_a_run_are_pushed(tmp_path, monkeypatch, capsys):
    """Also of a run that is over, whose model is written and pushed again by resume=true."""
    pushed = []

    def push(hub, folder):
        pushed.append((hub.name, hub._kind, {path.name for path in folder.iterdir()}))
        return f"https://the.hub/{hub.name}"

    monkeypatch.setattr(Hub, "open", lambda hub: pushed.append("may be pushed"))
    monkeypatch.setattr(Hub, "push", push)
    monkeypatch.chdir(tmp_path)
    main(["train", *TINY, "env=math", "train.steps=1", "out=here", "push_to_hub=me/agent"])
    (model, demos) = pushed[1:]
    assert pushed[0] == "may be pushed"
    assert model[:2] == ("me/agent", "model")
    assert {"config.json", "README.md"} <= model[2]
    assert demos[:2] == ("me/agent-demos-math", "dataset")
    assert "pushed to https://the.hub/me/agent-demos-math" in capsys.readouterr().out
    first, pushed[:] = list(pushed), []
    main(["train", "resume=true", "out=here", "push_to_hub=me/agent"])
    assert pushed == first
