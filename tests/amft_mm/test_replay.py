"""The page of episodes: it shows what happened, in a real browser, and nothing a model writes acts in it."""

import http.client
import io
import json
import shutil
import socket
import sys
import threading
import urllib.error
import urllib.request
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from omegaconf import OmegaConf
from PIL import Image

from agents.conversation import Limits
from agents.demonstrations import Demonstration, encoded, write_part
from agents.engines.hf import HFEngine
from agents.experts import demonstrate
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from amft_mm.config.command_line import configuration
from amft_mm.evaluation.intervals import wilson
from amft_mm.replay import sketches
from amft_mm.replay.__main__ import main
from amft_mm.replay.film import frames, save
from amft_mm.replay.overview import overview
from amft_mm.replay.page import index, page
from amft_mm.replay.reader import Source, read_source
from amft_mm.replay.server import Pages, serve
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.metrics import read_rows
from envs.guard import GuardedEnv

HOSTILE = [
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "javascript:document.title='taken' ' \" ` ${1} <!-- ]]> &lt;",
    "\u202egnihtemos\u202c \u0000\u0007\u001b[31m \u200b \ufeff \ud83d\ude00",
    "x" * 1_000_000,
]


def png(shade=90):
    return encoded(np.full((56, 56, 3), shade, np.uint8))


def turn(answer, **changes):
    plain = {
        "said": "What now?",
        "pictures": [],
        "answer": answer,
        "reward": 1.0,
        "verdict": "correct",
        "feedback": "",
        "expert": "",
        "facts": None,
        "tokens": None,
        "prompt": None,
        "seconds": None,
        "slip": False,
    }
    return plain | changes


def episode(number=0, answers=("24",), **changes):
    plain = {
        "name": f"world/{number}",
        "env": "my/World-v0",
        "seed": number,
        "instance": f"instance-{number}",
        "phase": "evaluation",
        "label": "id",
        "step": 10,
        "member": 0,
        "success": True,
        "stop": "success",
        "corrupted": "",
        "sketch": {},
        "turns": [turn(answer) for answer in answers],
    }
    return plain | changes


def told(answer="ab", **changes):
    tokens = {
        "ids": [7, 8],
        "words": list(answer),
        "log_probs": [-0.1, -2.0],
        "entropies": [0.3, 1.2],
        "others": [[["a", 0.9], ["<b>", 0.1]]] * 2,
        "given": 0,
        "advantage": 1.0,
    }
    return turn(answer, tokens=tokens | changes)


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A folder as a run leaves it: rollouts of V-IRL and of cards, an evaluation twice, metrics."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text("seed: 0\n")
    recorder = Recorder(folder / "episodes", tiny)
    limits = Limits(max_new_tokens=12, max_turns=3)
    for world, label in (("amft/VIRL-v0", "virl"), ("amft/GeneralPoints-v0", "general_points")):
        known = World(world, {"size": (112, 112), "attempts": 3})
        worlds = Worlds(known, slots=2)
        for step in (1, 2):
            played = play(worlds, tiny, HFEngine(tiny), Plan(group=2, limits=limits))
            credit = [[0.5] * 9, [-0.5] * 9]
            recorder.keep("rollout", step, label, played, known, credit)
        worlds.close()
    rows = [{"step": s, "mu": 0.5 - s / 10, "rollout/success": 0.0} for s in (1, 2)]
    lines = [json.dumps(row) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 3, "mu"')  # cut short
    return folder


def test_a_run_is_read_with_all_that_was_kept(run):
    source = read_source(run)
    assert [e["step"] for e in source.episodes] == [1, 1, 1, 1, 2, 2, 2, 2]
    walk = next(e for e in source.episodes if e["env"] == "amft/VIRL-v0")
    assert walk["sketch"]["kind"] == "map"
    assert walk["turns"][0]["facts"]["heading"] is not None
    assert walk["turns"][0]["tokens"]["advantage"] == 0.5
    assert walk["turns"][0]["expert"]
    assert len(walk["turns"][0]["tokens"]["ids"]) == len(walk["turns"][0]["tokens"]["words"])
    assert "<|image_pad|> x 16" in walk["turns"][0]["prompt"]["text"]
    assert walk["turns"][0]["seconds"] > 0
    hand = next(e for e in source.episodes if e["env"] == "amft/GeneralPoints-v0")
    assert hand["sketch"]["solutions"]
    assert len(source.metrics) == 2
    # The same instance at two steps: its pictures are there once.
    assert len({e["instance"] for e in source.episodes}) == 2
    shown = [key for e in source.episodes for t in e["turns"] for key in t["pictures"]]
    assert len(source.pictures) == len(set(shown)) < len(shown)


def test_the_newest_episodes_are_kept_when_there_are_too_many(run):
    assert [e["step"] for e in read_source(run, limit=4).episodes] == [2] * 4


def test_files_of_which_nothing_is_shown_are_not_read(tmp_path):
    """The newest of thousands of files took as long as all of them."""
    for number in range(2):
        row = Demonstration("a", ["?"], ["!"], [np.zeros((8, 8, 3), np.uint8)], [0])
        write_part(tmp_path, number, [row])
    sorted(tmp_path.glob("data/*.parquet"))[0].write_text("no")
    newest, both = (read_source(tmp_path, limit=n) for n in (1, 2))
    assert (len(newest.episodes), newest.problems) == (1, [])
    assert len(both.problems) == 1


def test_demonstrations_are_read_with_their_slips(tmp_path):
    world = World("amft/VIRL-v0", {"modality": "text"})
    env = GuardedEnv(world.make, seconds=10)
    row = demonstrate(env, world, 3, slips=0.9)
    env.close()
    write_part(tmp_path, 0, [row])
    (found,) = read_source(tmp_path).episodes
    assert found["phase"] == "demonstration"
    assert [i for i, t in enumerate(found["turns"]) if t["slip"]] == row.slips


@pytest.mark.parametrize("kind", ["nothing", "no folder", "not parquet", "other columns"])
def test_folders_that_hold_no_episodes_are_told(tmp_path, kind):
    folder = tmp_path / "here"
    if kind != "no folder":
        folder.mkdir()
    if kind == "not parquet":
        (folder / "a.parquet").write_text("no")
    if kind == "other columns":
        parquet.write_table(pa.table({"a": [1]}), folder / "a.parquet")
    words = {
        "nothing": "there are no episodes here",
        "no folder": "is no folder",
        "not parquet": "cannot be read",
        "other columns": "lacks the columns",
    }
    with pytest.raises((FileNotFoundError, ValueError), match=words[kind]):
        read_source(folder)


def test_one_bad_file_or_row_costs_itself_alone(tmp_path):
    """And the page says what is missing."""
    good = Demonstration("a", ["?"], ["!"], seed=1)
    write_part(tmp_path, 0, [good, good])
    (path,) = tmp_path.glob("data/*.parquet")
    rows = parquet.read_table(path).to_pylist()
    rows[0]["answers"] = []
    rows[1]["rewards"] = [float("nan")]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    path.with_name("part-00001.parquet").write_bytes(b"PAR1 cut short")
    source = read_source(tmp_path)
    (found,) = source.episodes
    assert found["turns"][0]["reward"] is None
    told = overview(source)["problems"]
    assert len(told) == 2
    assert any("part-00001.parquet" in line for line in told)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"seed": float("inf")},
        {"facts": ['{"a": ' + "[" * 800 + "NaN" + "]" * 800 + "}"]},
        {"facts": ['{"a": ' + "[" * 800 + "1e999" + "]" * 800 + "}"]},
        {"facts": ['{"position": [' + "9" * 400 + ", 1.0]}"]},
    ],
    ids=["a seed without end", "no number, deep down", "an infinite one", "a long one"],
)
def test_a_spoilt_number_costs_no_other_episode(tmp_path, spoilt):
    """Defect: one row whose seed is infinite, or with NaN deep in its facts, and there was no page."""
    write_part(tmp_path, 0, [Demonstration("a", ["?"], ["!"], seed=1)])
    (path,) = tmp_path.glob("data/*.parquet")
    (row,) = parquet.read_table(path).to_pylist()
    bad = path.with_name("part-00001.parquet")
    parquet.write_table(pa.Table.from_pylist([row | {"facts": ["{}"]} | spoilt]), bad)
    source = read_source(tmp_path)
    assert "a" in [one["name"] for one in source.episodes]
    assert len(source.episodes) + len(source.problems) == 2
    assert "NaN" not in page([source])
    assert frames(source.episodes[-1], {})


def test_a_spoilt_line_of_metrics_costs_itself(tmp_path):
    """Defect: a number of 400 digits, or brackets without end, and there was neither page nor `watch`."""
    lines = (
        '{"step": 1, "mu": 0.5}',
        '{"step": 2, "mu": 1e999}',
        '{"step": 3, "mu": %s}' % ("9" * 400),
        '{"step": 4, "mu": %s}' % ("[" * 100_000),
    )
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert [row["mu"] for row in read_rows(tmp_path)] == [0.5, None, None]


@pytest.mark.parametrize(
    ("world", "options"),
    [
        ("amft/Discrete-v0", {"game": "this:X-v0"}),
        ("this:X-v0", {}),
        ("amft/VIRL-v0", {"data": "/etc"}),
        ("amft/VIRL-v0", {"city": "/etc/city.json"}),
        ("amft/GeneralPoints-v0", {"num_cards": 6, "target": 9999, "modality": "text"}),
    ],
)
def test_a_file_of_others_makes_no_world_that_imports_reads_or_hangs(
    world, options, tmp_path, monkeypatch
):
    """Defect: any world was made with any options to draw its sketch, so opening a file imported modules,
    asked addresses, and waited without end."""
    monkeypatch.setattr(sketches, "SECONDS", 0.5)
    sys.modules.pop("this", None)
    row = Demonstration("a", ["?"], ["!"], world=world, options=json.dumps(options), seed=1)
    write_part(tmp_path, 0, [row])
    (found,) = read_source(tmp_path).episodes
    assert found["sketch"] == {}
    assert "this" not in sys.modules


def test_a_sketch_is_of_the_instance_whatever_else_its_world_was_told():
    options = {"city": "newyork", "modality": "text", "prompts": "varied", "data": None}
    env = World("amft/VIRL-v0", options).make()
    env.reset(seed=3)
    drawn = sketches.Sketches().of("amft/VIRL-v0", json.dumps(options), 3)
    assert drawn == json.loads(json.dumps(env.unwrapped.sketch()))
    options = {"face_rule": "varied", "deck": "chalk", "prompts": "varied", "thought": "search"}
    env = World("amft/GeneralPoints-v0", options).make()
    _, info = env.reset(seed=3)
    drawn = sketches.Sketches().of("amft/GeneralPoints-v0", json.dumps(options), 3)
    assert drawn["cards"] == info["cards"]
    assert drawn["numbers"] == info["numbers"]


def test_no_number_that_is_none_reaches_the_page():
    """JSON knows no NaN: one would blank the page."""
    bad = float("nan"), float("inf")
    one = episode(turns=[turn("x", reward=bad[0]), told(log_probs=[bad[0], bad[1]])])
    one["sketch"] = {"kind": "map", "way": [[bad[0], 1.0]]}
    rows = [{"step": 1, "phase": "mix", "mu": bad[0], "rollout/success": bad[1]}]
    text = page([Source("run", [one], {}, rows)])
    for block in text.split("<script type='application/json'")[1:]:
        json.loads(
            block.split(">", 1)[1].split("</script>")[0],
            parse_constant=lambda name: pytest.fail(f"{name} in the page"),
        )


def settings(folder, *words):
    folder.mkdir(exist_ok=True)
    OmegaConf.save(configuration("train", words), folder / "config.yaml", resolve=True)
    return folder


def evaluated(step, share):
    own = {"success": share, "low": share - 0.1, "high": share + 0.1, "verdict/correct": 1.0}
    return {"step": step, "phase": "evaluation"} | {f"eval/id/{k}": v for k, v in own.items()}


def test_a_run_is_told_before_its_episodes(tmp_path):
    elsewhere = "wandb.mode=disabled", "checkpoint.every=3", "threads=1"
    folder = settings(tmp_path, "env=math", "method=grpo", "train.steps=7", "demos.n=0", *elsewhere)
    (folder / "failures.jsonl").write_text('{"step": 2, "kind": "hang", "message": "x"}\nno\n')
    rows = [evaluated(2, 0.2), {"step": 3, "phase": "mix", "time/step": 90.0}, evaluated(4, 0.5)]
    found = overview(Source("run", [episode()], {}, rows, path=folder))
    assert found["problems"] == []
    assert ("method", "grpo") in found["facts"]
    assert {name: value for name, value, _ in found["changed"]} == {
        "train.steps": "7",
        "demos.n": "0",
    }
    (split,) = found["splits"]
    assert (split["success"], split["low"], split["first"]) == (0.5, 0.4, [2, 0.2])
    assert [crash["kind"] for crash in found["crashes"]] == ["hang"]


def test_a_broken_configuration_costs_the_settings_alone(tmp_path):
    (tmp_path / "config.yaml").write_text("a: [")
    found = overview(Source("run", [episode()], {}, path=tmp_path))
    assert found["splits"][0]["success"] == 1.0
    assert "cannot be read" in found["problems"][0]


def test_failures_are_chosen_that_are_worth_a_look():
    """What was solved before comes first, then each way of failing once, the most frequent first."""

    def lost(number, step=20, verdict="wrong", **more):
        return episode(
            number,
            step=step,
            success=False,
            stop="lost",
            turns=[turn("x", reward=-1.0, verdict=verdict)],
            **more,
        )

    before = episode(0, step=10)
    now = [lost(1), lost(2), lost(3, verdict="other"), lost(0), episode(4, step=20)]
    worth = overview(Source("run", [before, *now], {}))["worth"]
    assert worth == [
        (4, "solved at step 10, not any more"),
        (1, "3 of 5 end so: wrong, lost"),
        (3, "1 of 5 end so: other, lost"),
    ]


def test_members_of_a_group_are_no_tasks_of_their_own():
    """Defect: of two tasks, eight rollouts each, success had the interval of sixteen tasks."""
    told = {"phase": "rollout", "label": "math"}

    def interval(*groups):
        played = [
            episode(task, success=won, member=m, **told)
            for task, (won, count) in enumerate(groups)
            for m in range(count)
        ]
        (split,) = overview(Source("run", played, {}))["splits"]
        return split["low"], split["high"]

    assert interval((True, 8), (False, 8)) == interval((True, 1), (False, 1))
    assert interval((True, 1), (False, 1)) == wilson(1, 2)


def test_an_episode_has_the_same_key_when_others_are_added():
    """So that a link to it, and a note on it, stay good while a run goes on."""
    some = [episode(i) for i in range(3)]
    keys = [
        [e["key"] for e in index([Source("run", found, {})])["sources"][0]["episodes"]]
        for found in (some, [episode(9), *some, some[0]])
    ]
    assert keys[1][1:4] == keys[0]
    assert len(set(keys[1])) == 5
    # Two runs may have one name.
    one, two = index([Source("run", some, {}), Source("run", some, {})])["sources"]
    assert one["name"] != two["name"]
    assert not {e["key"] for e in one["episodes"]} & {e["key"] for e in two["episodes"]}


def test_files_that_are_no_pictures_are_left_out(tmp_path):
    """A picture's bytes are data of others: what claims to be huge, or is no PNG, is not shown."""
    write_part(
        tmp_path, 0, [Demonstration("a", ["?"], ["!"], [np.zeros((8, 8, 3), np.uint8)], [0])]
    )
    (path,) = tmp_path.glob("data/*.parquet")
    rows = parquet.read_table(path).to_pylist()
    huge = bytearray(png())
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    for data in (b"<svg onload='x'>", b"", bytes(huge)):
        rows[0]["pictures"] = [{"bytes": data, "path": None}]
        parquet.write_table(pa.Table.from_pylist(rows), path)
        source = read_source(tmp_path)
        assert source.pictures == {}
        assert source.episodes[0]["turns"][0]["pictures"] == []


def test_no_words_leave_their_block():
    text = page([Source("run", [episode(0, HOSTILE)], {})])
    assert text.count("<script>") == 1  # the page's own
    assert text.count("</script>") == 3  # that, the index, the episode
    assert 'onerror="document' not in text


def test_slides_are_made_of_an_episode(run, tmp_path):
    main([str(run), "--gif", str(tmp_path / "walk.gif"), "--episode", "2"])
    with Image.open(tmp_path / "walk.gif") as film:
        # The task comes first.
        assert film.n_frames == len(read_source(run).episodes[2]["turns"]) + 1
    main([str(run), "--frames", str(tmp_path / "frames")])
    assert len(list((tmp_path / "frames").glob("turn-*.png"))) >= 1
    with pytest.raises(SystemExit, match="counted from 0"):
        main([str(run), "--gif", str(tmp_path / "no.gif"), "--episode", "99"])


def test_slides_of_a_broken_picture_are_an_error_in_words():
    """Defect: Pillow says SyntaxError of some, which ended in a traceback."""
    whole = png()
    data = bytes([*whole[:36], 1, *whole[37:]])  # how long its pixels are
    shown = episode(turns=[turn("24", pictures=["one"])])
    with pytest.raises(OSError, match="a picture cannot be read"):
        frames(shown, {"one": data})


def test_an_episode_without_turns_has_no_slides_and_it_is_said(tmp_path):
    """Defect: 'not enough values to unpack'."""
    write_part(
        tmp_path / "demos", 0, [Demonstration("one", [], [], picture_of=[], world="my/World-v0")]
    )
    with pytest.raises(SystemExit, match=r"my/World-v0.*this episode has no turn.*--episode"):
        main([str(tmp_path / "demos"), "--gif", str(tmp_path / "no.gif")])
    assert not (tmp_path / "no.gif").exists()


def test_slides_of_hostile_words_are_pictures_like_any_others(tmp_path):
    images = frames(episode(0, HOSTILE), {})
    assert {image.size for image in images} == {images[0].size}
    save(images, tmp_path / "a.gif")


@pytest.mark.parametrize("success", [True, False])
def test_slides_tell_what_came_of_it_however_long_an_answer_is(success):
    """Defect: reward, verdict and end were left out of the last one."""
    long = "many words " * 60
    said = turn(long, expert=long[1:], verdict=long, reward=1.0 if success else -1.0)
    last = np.asarray(frames(episode(turns=[said], success=success, stop="lost"), {})[-1])
    colour = (0, 114, 178) if success else (200, 85, 0)
    rows = np.flatnonzero((last[:500] == colour).all(-1).any(1))  # above the rewards
    assert np.count_nonzero(np.diff(rows) > 3) == 2  # between two lines of a verdict, and the end


@pytest.mark.parametrize(
    "words",
    [["--gif", "walk"], ["--gif", "walk.mp4"], ["--mp4", "walk.avi"], ["--frames", "walk.gif"]],
)
def test_a_film_of_another_kind_than_its_name_is_refused(words, tmp_path, capsys):
    """`--gif walk` made a folder of that name, and said nothing."""
    with pytest.raises(SystemExit):
        main([str(tmp_path), *words])
    assert f"'{words[1]}': give a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--episode", "0"], "--episode goes with --gif, --mp4 or --frames"),
        (["--episode", "0", "--serve"], "--episode goes with"),
        (["--port", "0"], "--port goes with --serve"),
        (["--out", "page.html", "--gif", "walk.gif"], "--out names the page"),
        (["--out", "page.html", "--serve"], "--out names the page"),
        (["--serve", "--gif", "walk.gif"], "not both"),
        (["another", "--frames", "frames"], "one RUN, and 2 are given"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words, told, tmp_path, monkeypatch):
    """Defect: it was ignored, and of several runs but the first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("amft_mm.replay.__main__.serve", None)  # which would go on for ever
    write_part(tmp_path / "demos", 0, [Demonstration("a", ["?"], ["!"])])
    with pytest.raises(SystemExit, match=told):
        main(["demos", *words])
    assert [path.name for path in tmp_path.iterdir()] == ["demos"]


@pytest.mark.skipif(shutil.which("ffmpeg") is not None, reason="this machine has ffmpeg")
def test_a_film_without_its_program_is_told(run, tmp_path):
    with pytest.raises(SystemExit, match="ffmpeg"):
        main([str(run), "--mp4", str(tmp_path / "walk.mp4")])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_film_is_made(run, tmp_path):
    main([str(run), "--mp4", str(tmp_path / "walk.mp4")])
    assert (tmp_path / "walk.mp4").stat().st_size > 1000


def test_a_live_run_is_followed(run, tmp_path):
    folder = tmp_path / "live"
    shutil.copytree(run, folder)
    server = serve([folder], 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"

    def get(path):
        with urllib.request.urlopen(here + path) as answer:
            return answer.read().decode()

    first, text = get("/version"), get("/")
    assert f'"live":"{first}"' in text  # what the page is of, whenever it asks for the first time
    newest = sorted((folder / "episodes").glob("*.parquet"))[-1]
    shutil.copy(newest, newest.with_name(newest.name.replace("000002", "000003")))
    assert get("/version") != first
    assert len(get("/")) > len(text)
    with pytest.raises(urllib.error.HTTPError):
        get("/../config.yaml")
    server.shutdown()


def test_a_page_of_somebody_elses_reads_no_run(run):
    """Defect: a name that was made to lead to this machine is of one origin with what a browser has open
    there, and was answered; then it was told to ask at port 0."""
    server = serve([run], 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, status in (("evil.example", 403), ("evil.example:80", 403), ("localhost:1", 200)):
        asked = http.client.HTTPConnection("127.0.0.1", server.server_port)
        asked.request("GET", "/version", headers={"Host": name})
        answer = asked.getresponse()
        assert answer.status == status
        assert status == 200 or answer.reason.endswith(f":{server.server_port}/")
        asked.close()
    server.shutdown()


def test_a_browser_that_hangs_up_is_no_error(tmp_path, capsys):
    """Defect: each left a traceback in the terminal."""
    path = write_part(tmp_path, 0, [Demonstration("a", ["?" * 20_000_000], ["!"])])
    server = serve([path], 0)
    server.daemon_threads = False  # so that closing it waits for its answers
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.create_connection(("127.0.0.1", server.server_port)) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert browser.recv(8) == b"HTTP/1.0"  # and the rest is not read
    server.shutdown()
    server.server_close()
    assert capsys.readouterr().err == ""


def test_a_file_is_followed_as_a_folder_is(tmp_path):
    """Defect: the page of a single file was never made anew."""
    path = write_part(tmp_path, 0, [Demonstration("a", ["?"], ["!"])])
    pages = Pages([path], 10)
    before = pages.version(), pages.page()
    write_part(tmp_path, 0, [Demonstration("a", ["?"], ["!"]), Demonstration("b", ["?"], ["!"])])
    assert pages.version() != before[0]
    assert pages.page() != before[1]


# In a browser.


@pytest.fixture
def show(show_page):
    """Opens sources as a page."""
    return lambda *sources, at="", **options: show_page(page(list(sources)), at, **options)


def first(*sources):
    """The address of the first episode."""
    return f"#e={index(list(sources))['sources'][0]['episodes'][0]['key']}"


def address(tab):
    return tab.evaluate("location.hash")


MAP = {
    "kind": "map",
    "way": [[52.0, 4.0], [52.001, 4.0], [52.001, 4.001]],
    "streets": [[[52.0, 4.0], [52.001, 4.0]]],
    "landmarks": [{"name": "Red Star Cafe", "at": [52.0005, 4.0002]}],
}


def walk(turns=8, **changes):
    """As long as one of street views, with all that an episode may have."""
    steps = ["Forward until the next intersection.", "Turn right.", "Stop."]
    said = [
        told()
        | {
            "pictures": ["a" * 16],
            "said": "Follow the instructions. " * 9 if i == 0 else "Right.",
            "expert": "ab" if i % 2 else "cd",
            "reward": 1.0 if i % 3 else -1.5,
            "prompt": {"text": "<|im_start|>user", "tokens": 12},
            "facts": {
                "position": [52.0 + i / 8000, 4.0],
                "heading": 45,
                "instructions": steps,
                "instruction_index": 0,
            },
        }
        for i in range(turns)
    ]
    return episode(**({"turns": said, "sketch": MAP} | changes))


@pytest.mark.slow
def test_the_page_opens_with_the_run(show, tmp_path):
    folder = settings(tmp_path / "r", "env=math", "train.steps=7")
    rows = [evaluated(2, 0.2), evaluated(4, 0.5)]
    lost = episode(3, ["a", "b"], success=False, stop="lost")
    tab = show(Source("run", [episode(), lost], {}, rows, path=folder))
    told = tab.inner_text("#run")
    for words in ("amft", "train.steps=7", "50.0 %", "40 % to 60 %", "+30.0 points since step 2"):
        assert words in told
    tab.click("button.card")
    assert tab.inner_text(".turn.here .answer") == "b"
    tab.keyboard.press("r")
    assert tab.locator("#run h2").is_visible()


@pytest.mark.slow
def test_episodes_are_filtered_and_searched_and_the_address_says_how(show):
    many = [
        episode(
            i,
            [f"{'so many words ' * 30}the answer {i}"],
            success=i % 3 == 0,
            label="id" if i % 2 else "ood",
            stop="lost" if i % 3 else "success",
        )
        for i in range(60)
    ]
    tab = show(Source("run", many, {}))
    tab.click("#to-list")
    assert "60 episodes, 20 succeed" in tab.inner_text("#count")
    assert "10 of 30" in tab.inner_text(".group >> nth=0")
    tab.select_option("select[name=outcome]", "success")
    tab.select_option("select[name=label]", "ood")
    assert "10 of 60 episodes, 10 succeed" in tab.inner_text("#count")
    again = show(Source("run", many, {}), at=address(tab))
    assert "10 of 60" in again.inner_text("#count")
    again.click("#clear")
    again.fill("input[type=search]", "words the answer 17")
    again.locator("#count", has_text="1 of 60").wait_for()
    assert again.inner_text(".row mark") == "words the answer 17"
    again.keyboard.press("Enter")
    assert again.inner_text(".turn mark") == "words the answer 17"
    # It is the end of a long answer, and is seen in the narrow row.
    row, mark = (
        again.locator(f".row {part}").first.bounding_box() for part in ("div >> nth=2", "mark")
    )
    assert mark["x"] + mark["width"] <= row["x"] + row["width"]
    again.fill("input[type=search]", "nowhere")
    again.locator("#none", has_text="Nothing matches").wait_for()
    again.click("#none button")
    assert "60 episodes" in again.inner_text("#count")
    again.select_option("select[name=sort]", "least return")
    assert again.locator(".group").count() == 0


@pytest.mark.slow
def test_an_episode_is_walked_through_by_keys_and_has_a_link(show):
    one = Source("run", [episode(0, ["one", "two", "three"]), episode(1, ["four"])], {})
    tab = show(one)
    tab.keyboard.press("j")
    assert tab.inner_text(".turn.here .answer") == "one"
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text(".turn.here .answer") == "two"
    assert address(tab) == first(one) + "&t=2"
    tab.keyboard.press("a")
    assert tab.locator(".turn").count() == 3
    tab.keyboard.press("j")
    assert tab.inner_text(".turn.here .answer") == "four"
    tab.focus("#rows")
    tab.keyboard.press("ArrowUp")
    assert tab.inner_text(".turn.here .answer") == "one"
    tab.keyboard.press("Escape")
    tab.keyboard.press("Escape")
    assert tab.locator("#run h2").is_visible()
    again = show(one, at=f"{first(one)}&t=3")
    assert again.inner_text(".turn.here .answer") == "three"


@pytest.mark.slow
def test_tokens_are_coloured_and_explained(show):
    turns = [
        told() | {"expert": "ab"},
        told(given=1, advantage=-1.0, log_probs=[None, -2.0]) | {"expert": "ax"},
    ]
    one = Source("run", [episode(turns=turns)], {})
    tab = show(one, at=first(one))
    tab.hover(".answer span >> nth=1")
    words = tab.inner_text("#tip")
    assert "probability 13.5 %" in words
    assert "entropy 1.200" in words
    assert '"<b>" 10.0 %' in words
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#tip").is_hidden()
    colour = "getComputedStyle(document.querySelectorAll('.answer span')[1]).backgroundColor"
    seen = set()
    for name in ("probability", "entropy", "advantage", "pull", "nothing"):
        tab.select_option("#colouring", name)
        assert tab.locator("#colour-legend").count() == (name != "nothing")
        seen.add(tab.evaluate(colour))
    assert len(seen) >= 4
    assert tab.locator(".given").count() == 1
    assert "".join(tab.locator(".answer .differs").all_inner_texts()) == "ab"
    assert tab.inner_text(".expert .differs") == "ax"
    tab.hover(".answer span >> nth=0")
    assert "probability \u2013" in tab.inner_text("#tip")  # and not 100 %
    # What is searched for may be of several tokens.
    tab.fill("input[type=search]", "AB")
    tab.locator(".answer mark").first.wait_for()
    assert tab.locator(".answer mark").all_inner_texts() == ["a", "b"]


@pytest.mark.slow
def test_an_answer_that_was_begun_for_the_agent_is_shown_whole(show):
    """Defect: half of it was shown as the agent's, and what differs was marked elsewhere."""
    said = told("one two", words=[" two", ""]) | {"expert": "one ten"}
    tab = show(one := Source("run", [episode(turns=[said])], {}), at=first(one))
    assert tab.inner_text(".turn.here .answer").strip() == "one two"
    assert tab.inner_text(".answer .given") == "one"
    assert tab.locator(".answer .differs").all_inner_texts() == [" two"]


@pytest.mark.slow
def test_the_end_of_an_answer_that_is_too_short_is_pulled_away_from_it(show):
    """Defect: a stop token says nothing, and what said nothing agreed with the expert."""
    short = told("a", words=["a", ""], advantage=0.0) | {"expert": "ab"}
    right = told("a", words=["a", ""], advantage=0.0) | {"expert": "a"}
    tab = show(one := Source("run", [episode(turns=[short, right])], {}), at=first(one))
    tab.select_option("#colouring", "pull")
    last = (
        "getComputedStyle(document.querySelectorAll('.turn.here .answer span')[1]).backgroundColor"
    )
    away = tab.evaluate(last)
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(last) != away


@pytest.mark.slow
def test_nothing_is_offered_that_an_episode_has_not(show):
    one = Source("run", [episode()], {})
    tab = show(one, at=first(one))
    for name in (
        *("#colouring", "#scrub", "#beside", "#all-turns"),
        *(".strip", ".scene", ".expert", "details"),
    ):
        assert tab.locator(f"#episode {name}").count() == 0


@pytest.mark.slow
def test_what_lies_behind_a_turn_is_there(show):
    one = Source("run", [walk(), episode(1)], {"a" * 16: png()})
    tab = show(one, at=first(one))
    tab.click("text=raw prompt")
    assert "<|im_start|>user" in tab.inner_text(".turn pre")
    tab.click("text=tokens, ids, log-probabilities")
    assert "-2.0000" in tab.inner_text(".figures")
    tab.click(".picture")
    assert tab.locator("#large img").is_visible()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Escape")
    assert tab.locator("#large").is_hidden()
    assert "turn 2 of 8" in tab.inner_text(".turn h3")
    tab.click(".picture")
    tab.keyboard.press("j")  # to an episode without a picture
    assert tab.locator("#large").is_hidden()
    tab.keyboard.press("k")
    tab.click(".cell >> nth=6")
    assert "turn 7 of 8" in tab.inner_text(".turn h3")
    with tab.expect_download() as waiting:
        tab.click("text=download episode")
    found = json.loads(waiting.value.path().read_text())
    assert len(found["turns"]) == 8


@pytest.mark.slow
def test_notes_are_kept_in_the_address(show):
    one = Source("run", [episode(), episode(1)], {})
    tab = show(one, at=first(one))
    tab.fill("#note", "look & see <b>")
    again = show(one, at=address(tab))
    assert again.input_value("#note") == "look & see <b>"
    with again.expect_download() as waiting:
        again.click("#notes")
    assert "look & see <b>" in waiting.value.path().read_text()


@pytest.mark.slow
def test_the_same_instance_is_compared_turn_by_turn(show):
    one = [episode(0, ["same", f"at {step}"], step=step) for step in (10, 20, 30)]
    two = [episode(0, ["same"], step=30, success=False, stop="lost", member=2)]
    both = Source("mine", one, {}), Source("theirs", two, {})
    tab = show(*both, at=first(*both))
    assert "1 of 4" in tab.inner_text("#episode .choices")
    tab.keyboard.press("]")
    assert "step 20" in tab.inner_text("#episode h2")
    tab.select_option(
        "#beside", label="theirs \u00b7 step 30 \u00b7 evaluation id \u00b7 #2, failure: lost"
    )
    names = tab.inner_text(".beside")
    assert "mine" in names
    assert "theirs" in names
    tab.keyboard.press("d")
    assert "first difference: turn 2" in tab.inner_text("#first-difference")
    assert tab.locator(".cell.differs").count() == 1
    assert "had ended" in tab.inner_text(".beside")
    tab.keyboard.press("a")
    boxes = [tab.locator(".beside .turn").nth(i).bounding_box() for i in range(4)]
    assert [round(b["y"]) for b in boxes[::2]] == [round(b["y"]) for b in boxes[1::2]]
    assert "with=" in address(tab)


@pytest.mark.slow
def test_who_goes_by_keys_stays_where_they_are(show):
    """Defect: each redrawing took the focus away, so that nothing could be chosen by keys."""
    steps = [episode(0, ["same", f"at {step}"], step=step) for step in (10, 20, 30, 40)]
    one = Source("run", steps, {})
    tab = show(one, at=first(one))
    focused = "document.activeElement.id"
    tab.keyboard.press("c")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(focused) == "beside"
    assert "step 30" in tab.inner_text(".beside")
    tab.keyboard.press("Shift+Tab")
    assert tab.evaluate(focused) == "scrub"
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert "step 30" in tab.inner_text("#episode h2")
    assert tab.evaluate(focused) == "scrub"
    tab.locator(".cell").nth(1).focus()
    tab.keyboard.press("Enter")
    assert "turn 2 of 2" in tab.inner_text(".turn.here h3")
    assert "cell" in tab.evaluate(focused)
    # What is dragged over to be copied stays chosen.
    tab.keyboard.press("a")
    box = tab.locator(".turn .answer").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + 8, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 60, middle, steps=3)
    tab.mouse.up()
    assert tab.evaluate("getSelection().toString()").strip() == "same"


@pytest.mark.slow
def test_a_phone_shows_what_is_long_and_what_is_many(show):
    """Defects: turns lay over each other, tables and verdicts made the page wider than the screen, a tap on a
    curve left a box with wrong figures, and lines of one colour could not be told apart."""
    rows = [{"step": s} | {f"eval/{k}/success": k / 10 for k in range(9)} for s in (10, 20)]
    long = "no_white_space_" * 20
    one = walk(12, success=False, stop=long)
    one["turns"][0]["verdict"] = long
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    tab = show(Source("run", [one], {}, rows), **phone)
    lines = tab.locator("#curves figure >> nth=0 >> polyline")
    drawn = lines.evaluate_all(
        "all => all.map(one => one.getAttribute('stroke') + one.getAttribute('stroke-dasharray'))"
    )
    assert len(set(drawn)) == 9
    assert tab.locator("#curves .key line[stroke-dasharray]").count() == 1
    tab.locator("#curves svg").first.tap()
    assert tab.locator("#list").is_visible()
    assert tab.locator("#tip").is_hidden()
    name = tab.locator(".row div").first.bounding_box()
    assert name["width"] > 100
    tab.locator(".row").first.tap()
    cells = [tab.locator(".cell").nth(i).bounding_box() for i in range(12)]
    assert all(a["x"] + a["width"] <= b["x"] for a, b in pairwise(cells))
    tab.locator("summary", has_text="tokens, ids").tap()
    tab.locator(".figures").wait_for()
    assert tab.evaluate("document.getElementById('episode').scrollWidth") <= 390


@pytest.mark.slow
def test_what_comes_right_after_a_page_is_announced(browser, tmp_path):
    """Defect: the page took what was there when it first asked for what it shows itself."""
    path = write_part(tmp_path, 0, [Demonstration("a", ["?"], ["!"])])
    server = serve([path], 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tab = browser.new_page()
    tab.goto(f"http://127.0.0.1:{server.server_port}/")
    assert tab.locator("#fresh").is_hidden()
    write_part(tmp_path, 0, [Demonstration("b", ["?"], ["!"])])
    tab.locator("#fresh").wait_for()
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_nothing_a_model_writes_acts(show):
    bad = episode(0, HOSTILE, label=HOSTILE[0], stop=HOSTILE[1], name=HOSTILE[2], success=False)
    bad["turns"][0] |= {"said": HOSTILE[1], "verdict": HOSTILE[0], "expert": HOSTILE[1]}
    bad["turns"][1] |= told(HOSTILE[1][:2]) | {"facts": {"position": HOSTILE[0]}}
    one = Source(HOSTILE[0], [bad], {})
    tab = show(one)
    tab.keyboard.press("j")
    tab.keyboard.press("a")
    assert tab.title() != "taken"
    assert tab.locator("#episode img").count() == 0
    assert HOSTILE[0] in tab.inner_text("#episode")
    assert "\u27e8U+202E\u27e9" in tab.inner_text("#episode")
    assert "\u202e" not in tab.inner_text("#episode")
    tab.click("text=980000 more characters")
    assert tab.title() != "taken"


@pytest.mark.slow
def test_a_spoilt_part_leaves_the_rest(show):
    """Figures of another form than they should have, and a block that cannot be read."""
    nan = float("nan")
    bad = walk(2, sketch={"kind": "map", "way": "no", "streets": 3})
    bad["turns"][0]["tokens"] |= {
        "log_probs": [nan, None],
        "entropies": [nan, "x"],
        "others": [3, 4],
    }
    bad["turns"][1]["facts"] = {"position": [nan, 1], "instructions": 5}
    rows = [{"step": i, "mu": nan if i % 2 else 0.5, "loss/imitation": 1e300} for i in range(9)]
    one = Source("run", [bad, episode(1, ["fine"])], {}, rows)
    tab = show(one, at=first(one))
    assert tab.locator(".turn .answer").is_visible()
    tab.keyboard.press("ArrowRight")
    assert "turn 2 of 2" in tab.inner_text(".turn h3")
    tab.evaluate("document.getElementById('e-0-1').textContent = '{'")
    tab.keyboard.press("j")
    assert "cannot be drawn" in tab.inner_text("#episode")
    tab.keyboard.press("k")
    assert "turn 1 of 2" in tab.inner_text(".turn h3")


@pytest.mark.slow
def test_two_thousand_episodes_stay_responsive(show):
    """Rows are drawn as they are scrolled to, episodes and pictures read when they are looked at."""
    data = {f"{i:016x}": png(i % 250) for i in range(500)}
    many = [
        episode(i, turns=[turn("x" * 300, pictures=[f"{(i + k) % 500:016x}"]) for k in range(10)])
        for i in range(2000)
    ]
    tab = show(Source("run", many, data))
    tab.click("#to-list")
    assert "2000 episodes" in tab.inner_text("#count")
    assert tab.locator(".row").count() < 60
    tab.evaluate("document.getElementById('rows').scrollTop = 1001 * 48")
    tab.locator(".row", has_text="task 1000").wait_for()
    tab.click("text=task 1000")
    assert tab.locator(".cell img").count() == 10
    assert tab.evaluate("document.querySelector('.picture img').naturalWidth") == 56


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1400, 900), (820, 1100), (390, 844)])
def test_an_episode_fits_a_screen(show, width, height, scheme):
    """Picture, map, answer and the strip of turns at once, on a phone all but the answer;
    nothing is wider than the screen."""
    sees = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    one = Source("run", [walk(), walk(3, name="b", step=9)], {"a" * 16: png()})
    tab = show(one, **sees)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    light = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L")).mean()
    assert (light > 128) == (scheme == "light")
    assert tab.locator("#list").is_visible() == (width > 1000)
    tab.evaluate(f"location.hash = '{first(one)}'")
    tab.locator(".map").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    wanted = (
        (".strip", ".picture", ".map", ".answer") if width > 400 else (".strip", ".picture", ".map")
    )
    for part in wanted:
        box = tab.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= height, part
    if width == 390:
        tab.click("#thumb-right")
        assert "turn 2 of 8" in tab.inner_text(".turn h3")
        tab.click("#thumb-j")
        assert "turn 1 of 3" in tab.inner_text(".turn h3")
    tab.select_option("#beside", index=1)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_curves_are_zoomed_smoothed_and_lead_to_episodes(show):
    rows = [
        {"step": i, "phase": "mix", "mu": i % 2, "rollout/success": i / 50} for i in range(1, 51)
    ]
    rows[20]["loss/imitation"], rows[30]["loss/imitation"] = 1e9, None
    tab = show(Source("run", [episode(i, step=10 * i) for i in (1, 3, 5)], {}, rows))
    figure = tab.locator("#curves svg").first
    drawn = tab.locator("#curves").inner_html()
    tab.locator("#smooth").fill("0.9")
    assert tab.locator("#curves").inner_html() != drawn
    box = figure.bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + 0.5 * box["width"], middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=4)
    tab.mouse.up()
    words = tab.locator("#curves svg >> nth=0 >> text").all_text_contents()
    assert "step 1" not in words
    assert "50" not in words
    tab.click("#unzoom")
    tab.mouse.click(box["x"] + box["width"] - 10, middle)
    assert tab.input_value("select[name=step]") == "50"
    assert "1 of 3" in tab.inner_text("#count")


@pytest.mark.slow
def test_a_real_run_is_drawn(run, show):
    tab = show(read_source(run))
    assert "cannot be drawn" not in tab.inner_text("#run")
    tab.fill("input[type=search]", "VIRL")
    tab.locator("#count", has_text="4 of").wait_for()
    tab.keyboard.press("Enter")
    assert tab.locator("#episode .map path").count() == 1
    assert "goal" in tab.text_content("#episode .map")
    tab.fill("input[type=search]", "GeneralPoints")
    tab.wait_for_url(lambda url: "GeneralPoints" in url)  # the count is as it was
    tab.keyboard.press("Enter")
    assert "solution" in tab.inner_text(".scene")
    assert "cannot be drawn" not in tab.inner_text("#episode")
