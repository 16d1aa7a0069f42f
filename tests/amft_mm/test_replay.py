"""The page of episodes: it shows what happened, in a real browser, and nothing a model writes acts in it."""

import io
import json
import shutil
import threading
import urllib.error
import urllib.request

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from agents.conversation import Limits
from agents.demonstrations import Demonstration, encoded, write_part
from agents.engines.hf import HFEngine
from agents.experts import demonstrate
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from amft_mm.replay.__main__ import main
from amft_mm.replay.film import frames, save
from amft_mm.replay.page import page
from amft_mm.replay.reader import Source, read_source
from amft_mm.replay.server import serve
from amft_mm.runs.episodes import Recorder
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
    hand = next(e for e in source.episodes if e["env"] == "amft/GeneralPoints-v0")
    assert hand["sketch"]["solutions"]
    assert len(source.metrics) == 2
    # The same instance at two steps: its pictures are there once.
    assert len({e["instance"] for e in source.episodes}) == 2
    shown = [key for e in source.episodes for t in e["turns"] for key in t["pictures"]]
    assert len(source.pictures) == len(set(shown)) < len(shown)


def test_the_newest_episodes_are_kept_when_there_are_too_many(run):
    assert [e["step"] for e in read_source(run, limit=4).episodes] == [2] * 4


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
        assert film.n_frames == len(read_source(run).episodes[2]["turns"])
    main([str(run), "--frames", str(tmp_path / "frames")])
    assert len(list((tmp_path / "frames").glob("turn-*.png"))) >= 1
    with pytest.raises(SystemExit, match="counted from 0"):
        main([str(run), "--gif", str(tmp_path / "no.gif"), "--episode", "99"])


def test_slides_of_hostile_words_are_pictures_like_any_others(tmp_path):
    images = frames(episode(0, HOSTILE), {})
    assert {image.size for image in images} == {images[0].size}
    save(images, tmp_path / "a.gif")


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
    assert '"live":true' in text
    newest = sorted((folder / "episodes").glob("*.parquet"))[-1]
    shutil.copy(newest, newest.with_name(newest.name.replace("000002", "000003")))
    assert get("/version") != first
    assert len(get("/")) > len(text)
    with pytest.raises(urllib.error.HTTPError):
        get("/../config.yaml")
    server.shutdown()


# In a browser.


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Debian's chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens sources as a page; the test fails if the page has an error or calls the network."""
    wrong = []

    def opened(*sources, at="", **options):
        path = tmp_path / "replay.html"
        path.write_text(page(list(sources)), encoding="utf-8")
        tab = browser.new_page(**options)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        tab.on("request", lambda r: wrong.append(r.url) if r.url.startswith("http") else None)
        tab.goto(f"file://{path}{at}")
        return tab

    yield opened
    assert not wrong


@pytest.mark.slow
def test_episodes_are_listed_filtered_and_sorted(show):
    many = [
        episode(
            i,
            success=i % 3 == 0,
            label="id" if i % 2 else "ood",
            stop="lost" if i % 3 else "success",
        )
        for i in range(60)
    ]
    tab = show(Source("run", many, {}))
    assert "60 of 60 episodes, 33 %" in tab.inner_text("#count")
    tab.select_option("select[name=success]", "success")
    tab.select_option("select[name=label]", "ood")
    assert "10 of 60 episodes, 100 %" in tab.inner_text("#count")
    tab.select_option("select[name=success]", "")
    tab.select_option("select[name=label]", "")
    tab.fill("input[type=search]", "world/7")
    tab.locator("#count", has_text="1 of").wait_for()
    tab.fill("input[type=search]", "")
    tab.click("#head button >> nth=2")
    tab.click("#head button >> nth=2")
    assert "yes" in tab.inner_text(".row >> nth=0")


@pytest.mark.slow
def test_an_episode_is_walked_through_by_keys_and_has_a_link(show):
    walk = episode(0, ["one", "two", "three"])
    tab = show(Source("run", [walk, episode(1, ["four"])], {}))
    tab.keyboard.press("j")
    assert tab.inner_text(".turn.here .answer") == "one"
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text(".turn.here .answer") == "two"
    assert tab.url.endswith("#e=0-0&t=1")
    tab.keyboard.press("j")
    assert tab.inner_text(".turn.here .answer") == "four"
    again = show(Source("run", [walk], {}), at="#e=0-0&t=2")
    assert again.inner_text(".turn.here .answer") == "three"


@pytest.mark.slow
def test_tokens_are_coloured_and_explained(show):
    tab = show(
        Source("run", [episode(turns=[told(), told(given=1, advantage=-1.0)])], {}), at="#e=0-0"
    )
    tab.hover(".turn >> nth=0 >> .answer span >> nth=1")
    words = tab.inner_text("#tip")
    assert "probability 13.5 %" in words
    assert "entropy 1.200" in words
    assert '"<b>" 10.0 %' in words
    second = "document.querySelectorAll('.turn')[1].querySelectorAll('.answer span')[1]"
    colour = f"getComputedStyle({second}).backgroundColor"
    seen = set()
    for name in ("probability", "entropy", "advantage", "pull", "nothing"):
        tab.select_option("#colouring", name)
        seen.add(tab.evaluate(colour))
    assert len(seen) >= 4
    assert tab.locator(".given").count() == 1


@pytest.mark.slow
def test_the_same_instance_is_compared_and_followed_through_training(show):
    one = [episode(0, [f"at {step}"], step=step) for step in (10, 20, 30)]
    two = [episode(0, ["the other"], step=30, success=False, stop="lost")]
    tab = show(Source("mine", one, {}), Source("theirs", two, {}), at="#e=0-0")
    assert "1 of 4" in tab.inner_text("#episode .bar")
    tab.keyboard.press("]")
    assert tab.inner_text(".turn.here .answer") == "at 20"
    tab.select_option("#beside", "1-0")
    assert tab.locator(".columns > div").count() == 2
    assert "the other" in tab.inner_text(".columns")
    assert "with=1-0" in tab.url


@pytest.mark.slow
def test_nothing_a_model_writes_acts(show):
    bad = episode(0, HOSTILE, label=HOSTILE[0], stop=HOSTILE[1], name=HOSTILE[2], success=False)
    bad["turns"][0] |= {"said": HOSTILE[1], "verdict": HOSTILE[0], "expert": HOSTILE[1]}
    bad["turns"][1] |= told(HOSTILE[1][:2]) | {"facts": {"position": HOSTILE[0]}}
    tab = show(Source(HOSTILE[0], [bad], {}), at="#e=0-0")
    assert tab.title() != "taken"
    assert tab.locator("#episode img").count() == 0
    assert HOSTILE[0] in tab.inner_text("#episode")
    assert "\u27e8U+202E\u27e9" in tab.inner_text("#episode")
    assert "\u202e" not in tab.inner_text("#episode")
    tab.click("text=980000 more characters")
    assert tab.title() != "taken"


@pytest.mark.slow
def test_two_thousand_episodes_stay_responsive(show):
    """Rows are drawn as they are scrolled to, episodes and pictures read when they are looked at."""
    data = {f"{i:016x}": png(i % 250) for i in range(500)}
    many = [
        episode(i, turns=[turn("x" * 300, picture=f"{(i + k) % 500:016x}") for k in range(10)])
        for i in range(2000)
    ]
    tab = show(Source("run", many, data))
    assert "2000 of 2000" in tab.inner_text("#count")
    assert tab.locator(".row").count() < 60
    tab.evaluate("document.getElementById('rows').scrollTop = 1000 * 42")
    tab.locator("#row-0-1000").wait_for()
    tab.click("#row-0-1000")
    assert tab.locator("#episode img").count() == 10
    assert tab.evaluate("document.querySelector('#episode img').naturalWidth") == 56


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_run_is_drawn_on_a_phone_too(run, show, scheme):
    tab = show(read_source(run), viewport={"width": 390, "height": 800}, color_scheme=scheme)
    assert tab.locator("#episode").is_hidden()
    tab.click(".row >> nth=0")
    assert tab.locator("#list").is_hidden()
    assert tab.locator("#episode img").count() >= 1
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.click("#back")
    assert tab.locator("#list").is_visible()
    picture = Image.open(io.BytesIO(tab.screenshot()))
    light = np.asarray(picture.convert("L")).mean()
    assert (light > 128) == (scheme == "light")


@pytest.mark.slow
def test_curves_lead_to_the_episodes_of_a_step(run, show):
    tab = show(read_source(run))
    tab.click("summary")
    box = tab.locator("#curves svg").first.bounding_box()
    tab.mouse.click(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    assert tab.input_value("select[name=step]") == "2"
    assert "4 of 8" in tab.inner_text("#count")


@pytest.mark.slow
def test_maps_and_hands_are_drawn(run, show):
    tab = show(read_source(run))
    tab.fill("input[type=search]", "VIRL")
    tab.locator("#count", has_text="4 of").wait_for()
    tab.keyboard.press("Escape")
    tab.keyboard.press("j")
    assert tab.locator("#episode svg path").count() == 1
    tab.fill("input[type=search]", "GeneralPoints")
    tab.locator(".row >> nth=0", has_text="GeneralPoints").wait_for()
    tab.click(".row >> nth=0")
    assert "solutions" in tab.inner_text(".sketch")
