"""The page of a comparison: it sorts, fits a phone, leads to runs and episodes, and runs nobody's script."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from agents.columns import COLUMNS, LATER
from amft_mm.compare.page import Links
from amft_mm.compare.replays import LAST, keep_last, replays_in, write_replays
from amft_mm.compare.report import report
from tests.amft_mm.test_compare import grid, result

HOSTILE = "amft<img src=x onerror=document.title='taken'>"
METHODS = {"sft_then_rl": 0.5, "best_fixed": 0.62, HOSTILE: 0.55, "sft": 0.31}
BASELINES = ["sft_then_rl", "best_fixed"]


def results():
    return [
        result(m, seed, share + 0.01 * seed, tries={"id": [(4, 2)] * 5, "ood_hard": [(4, 0)] * 5})
        for m, share in METHODS.items()
        for seed in range(3)
    ]


def column(tab, number):
    """What the cells of the table of success say first."""
    cells = tab.locator(".table").nth(1).locator(f"tbody tr > :nth-child({number})")
    return cells.evaluate_all("cells => cells.map((cell) => cell.firstChild?.textContent ?? '')")


def test_tables_are_sorted_by_a_click_and_names_are_never_markup(show_page):
    tab = show_page(
        report(results(), [], "here", BASELINES).page, viewport={"width": 1400, "height": 900}
    )
    assert tab.title() == "Methods compared"
    assert column(tab, 1) == ["best_fixed", HOSTILE, "sft_then_rl", "sft"]
    head = tab.locator(".table").nth(1).locator("thead button").nth(1)
    head.click()
    told = column(tab, 2)
    assert [text.split(" ")[0] for text in told] == ["+12.0", "+5.0", "baseline", "-19.0"]
    head.click()
    assert column(tab, 2) == told[::-1]
    head.click()
    assert column(tab, 1) == ["best_fixed", HOSTILE, "sft_then_rl", "sft"]
    head.focus()
    tab.keyboard.press("Enter")
    assert tab.locator(".table").nth(1).locator("th[aria-sort=descending]").count() == 1
    assert tab.title() == "Methods compared"


def test_who_searched_nothing_comes_last_whichever_way_a_table_is_sorted(show_page):
    """Defect: where a cell says nothing its first seed was taken for what it says, and came first."""
    rows = [
        result(method, seed, share, choice=choice)
        for method, share, choice in (
            ("sft_then_rl", 0.5, {}),
            ("best_fixed", 0.6, {"method.balance.mu": 0.3}),
            ("amft", 0.7, {"method.balance.start": 0.5}),
        )
        for seed in range(2)
    ]
    tab = show_page(report(rows, [], "here", BASELINES).page)
    head = tab.locator("thead button", has_text="learnt at")
    for _ in range(2):
        head.click()
        assert column(tab, 1)[-1] == "sft_then_rl"


CONTRAST = """(one) => {
  const cell = document.querySelector(one), link = cell.querySelector("a");
  const brush = document.createElement("canvas").getContext("2d");
  const light = (...colours) => {
    for (const colour of colours) { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0.05);
  };
  const of = (element) => getComputedStyle(element), paper = of(cell.closest(".table")).backgroundColor;
  const behind = light(paper, of(cell).backgroundColor);
  brush.globalAlpha = Number(of(link).opacity);
  const seen = light(of(link).color);
  return Math.max(seen, behind) / Math.min(seen, behind);
}"""
"""Of a link and the cell that it is in, as WCAG measures it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_tables_and_never_the_page(show_page, scheme):
    """And what is drawn is drawn in colours that are seen on either paper."""
    options = {"viewport": {"width": 390, "height": 800}, "color_scheme": scheme}
    tab = show_page(report(results(), [], "here", BASELINES).page, **options)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    seen = "(one) => getComputedStyle(document.querySelector(one))"
    paper = tab.evaluate(f"({seen})('body').backgroundColor")
    for drawn, part in (
        (".panels .own", "stroke"),
        (".bar rect", "fill"),
        (".panels text", "fill"),
    ):
        assert tab.evaluate(f"({seen})('{drawn}').{part}") not in (paper, "none"), drawn
    assert tab.evaluate(CONTRAST, "td[style*='--heat:1']") > 4.5
    dashes = tab.locator(".panels path.beside").evaluate_all(
        "all => all.slice(0, 2).map((one) => getComputedStyle(one).strokeDasharray)"
    )
    assert len(set(dashes)) == 2  # of two baselines
    box = tab.locator(".panels figure").first.bounding_box()
    assert 140 < box["width"] < 390


def test_a_cell_leads_to_what_its_runs_came_to(show_page, tmp_path):
    kept = tmp_path / "runs" / "math" / "clean" / "best_fixed" / "2.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"name": "it"}))
    links = Links("runs", {("math", "clean", "best_fixed"): "replays/math-clean.html"})
    tab = show_page(report(results(), [], "here", BASELINES, links=links).page)
    row = tab.locator("tr", has_text="best_fixed").first
    assert row.locator("td").first.locator("a").all_text_contents() == ["0", "1", "2", "replay"]
    replay = row.locator("td a", has_text="replay").first.get_attribute("href")
    assert replay == "replays/math-clean.html#at=list&run=best_fixed"
    # A method that the page holds nothing of leads to no empty list.
    assert tab.locator("a[href*='run=sft']").count() == 0
    row.locator("td").first.locator("a", has_text="2").click()
    assert tab.url == f"file://{kept}"


def test_every_cell_that_is_of_runs_leads_to_them():
    """Defect: in most tables the head of a row alone did."""
    rows = results()
    curves = {"success": [(10, 0.2), (20, 0.5)], "rollout": [(k, 0.4) for k in range(20)]}
    rows += [result("amft", s, 0.5) for s in range(2)]
    rows += [result("amft", s, 0.4, condition="wrong", curves=curves) for s in range(2)]
    rows += [result("sft_then_rl", s, 0.3, condition="wrong", curves=curves) for s in range(2)]
    tried = {"id": [(4, 1)], "ood_hard": [(4, 0)]}
    warmups = [
        result("sft", s, 0.3, condition="warm", tries=tried, curves={"success": [(5, 0.3)]})
        for s in range(3)
    ]
    page = report(rows, warmups, "here", BASELINES).page
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    told = [cell for cell in cells if cell and cell != "-"]
    assert [cell for cell in told if "<a " not in cell] == []
    assert "href='warm/math-2.json'" in page
    (as_clean,) = {c.split("<")[0] for c in told if "as clean" in c and "(as" not in c}
    assert as_clean == "as clean"
    # A difference leads to the runs of both.
    both = next(c for c in told if c.startswith("+10.0") and "/wrong/" in c)
    assert {"amft/0", "sft_then_rl/1"} <= set(re.findall(r"/wrong/([^']+?)\.json", both))


def test_what_tables_do_not_tell_is_drawn_in_the_page_itself():
    """Success by minutes, and what conditions change: a page that is sent on has no figures beside it."""
    hard = {"success on ood_hard": [(0, 0.0), (20, 0.4)], "seconds spent": [(20, 9.0)]}
    curves = {"success": [(0, 0.1), (20, 0.5)], "mu": [(0, 0.5), (20, 0.4)], **hard}
    rows = [result("amft", s, 0.5, curves=curves) for s in range(2)]
    rows += [result("amft", s, 0.4, condition="wrong", curves=curves) for s in range(2)]
    page = report(rows, [], "here", BASELINES).page
    drawn = re.findall(r"<img alt='([^']+)'[^>]* src='data:image/svg\+xml;base64,", page)
    assert drawn == ["what conditions change", *["success on each split"] * 2]
    assert "figures/" not in page
    # Seeds of mu are told apart without a pointer.
    assert len(set(re.findall(r"class='own (s\d)'", page))) == 2
    assert "seed 1</span>" in page


# Episodes.


def episodes(folder, fared):
    """A file of episodes such as a run keeps: of the instances 0, 1, ..., each a success or not."""
    rows = [
        {
            **{name: "" for name in COLUMNS if name not in LATER},
            "world": "amft/Math-v0",
            "options": "{}",
            "seed": seed,
            "messages": [f"question {seed}"],
            "pictures": [],
            "picture_of": [-1],
            "answers": [f"answer {right}"],
            "slips": [],
            "rewards": [float(right)],
            "verdicts": ["correct" if right else "wrong_answer"],
            "success": right,
            "stop": "success" if right else "failure",
            "label": "id",
            "phase": "evaluation",
            "step": 20,
        }
        for seed, right in enumerate(fared)
    ]
    (folder / "episodes").mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), folder / "episodes" / LAST)


def test_of_each_method_a_success_a_failure_and_where_it_is_apart_are_shown(tmp_path):
    """The baseline shows the instances on which others differ, and what nobody kept is left out."""
    fared = {
        "sft_then_rl": [True, True, False, False, False],
        "best_fixed": [True, False, False, True, True],
        "sft": [False, False, False, True, False],
    }
    for method, each in fared.items():
        episodes(tmp_path / "runs" / "math" / "clean" / method / "0", each)
    rows = [result(m, seed, 0.5) for m in (*fared, "amft") for seed in range(2)]
    write_replays(rows, BASELINES, tmp_path / "runs", tmp_path)
    assert replays_in(rows, tmp_path) == {
        ("math", "clean", method): "replays/math-clean.html" for method in fared
    }
    text = (tmp_path / "replays" / "math-clean.html").read_text(encoding="utf-8")
    index = re.search(r"<script type='application/json' id='index'>(.*?)</script>", text)
    sources = json.loads(index[1])["sources"]
    assert all(s["chosen"] for s in sources)
    # Labels say why an episode is there, so that nothing is counted by them.
    told = [why for s in sources for _, why in s["overview"]["worth"]]
    assert set(told) == {"ends so: wrong_answer, failure"}
    shown = {s["name"]: {e["seed"]: e["label"] for e in s["episodes"]} for s in sources}
    assert shown == {
        "sft_then_rl": {0: "id, a success", 1: "id, where others are apart", 2: "id, a failure"},
        "best_fixed": {0: "id, a success", 1: "id, a failure, apart from sft_then_rl"},
        "sft": {0: "id, a failure", 1: "id, apart from sft_then_rl", 3: "id, a success"},
    }
    write_replays(rows, BASELINES, tmp_path / "runs", tmp_path)
    assert (tmp_path / "replays" / "math-clean.html").read_text(encoding="utf-8") == text


def test_a_method_that_comes_later_is_shown_where_it_is_apart(tmp_path):
    """Defect: of each run the first report left what it showed alone, in which later ones found nothing."""
    index = re.compile(r"<script type='application/json' id='index'>(.*?)</script>")
    rows = []
    for method, each in {
        "sft": [True, True, True, False],
        "amft": [True, False, True, False],
    }.items():
        episodes(tmp_path / "runs" / "math" / "clean" / method / "0", each)
        rows += [result(method, 0, 0.5)]
        write_replays(rows, ["sft"], tmp_path / "runs", tmp_path)
    page = (tmp_path / "replays" / "math-clean.html").read_text(encoding="utf-8")
    shown = {s["name"]: s["episodes"] for s in json.loads(index.search(page)[1])["sources"]}
    assert "apart from sft" in {e["seed"]: e["label"] for e in shown["amft"]}[1]
    assert "where others are apart" in {e["seed"]: e["label"] for e in shown["sft"]}[1]


@pytest.mark.parametrize("told", ["{}", '{"sources": [{}]}', "[" * 5000, '{"sources'])
def test_a_page_of_episodes_that_is_of_something_else_costs_its_links_alone(tmp_path, told):
    """Defect: what its index did not say ended the report by a traceback."""
    page = tmp_path / "replays" / "math-clean.html"
    page.parent.mkdir()
    page.write_text(f"<script type='application/json' id='index'>{told}</script>\n")
    assert replays_in([result("amft", 0, 0.5)], tmp_path) == {}


def test_of_a_run_only_its_last_episodes_are_left(tmp_path):
    """Of the first split, and nothing where they are not shown: hundreds of runs fill a disk."""
    folder = tmp_path / "episodes"
    folder.mkdir()
    names = [
        f"{step:06d}-{what}.parquet"
        for step in (20, 140)
        for what in ("rollout-math", "evaluation-id")
    ]
    for name in [*names, "000140-evaluation-ood_hard.parquet"]:
        (folder / name).write_text(name)
    keep_last(tmp_path, "id")
    assert [path.name for path in folder.iterdir()] == [LAST]
    assert (folder / LAST).read_text() == "000140-evaluation-id.parquet"
    runs = grid("methods=[sft]", "seeds=2", "envs=[math]").runs({})
    assert [run.shown for run in runs] == [True, False]
    # Where methods differ is known when all have ended: until then each instance is kept.
    assert [w for run in runs for w in run.settings if "record" in w] == ["record.evaluation=300"]
    fewer = grid("methods=[sft]", "envs=[math]", "++budgets.math.record.evaluation=30").runs({})
    assert "record.evaluation=30" in fewer[0].settings
