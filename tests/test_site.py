"""The documentation as a site: it builds, every link in it leads somewhere, and a dead one is an error."""

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

pytest.importorskip("mkdocs", reason="the group docs is not installed: uv sync --group docs")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def build(root, site):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


class Page(HTMLParser):
    """What a page links to, and what may be linked to in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.places = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name"):
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)
                if tag != "a":
                    self.loads.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_link_of_every_page_leads_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 20
    dead = []
    for path, page in pages.items():
        for link in page.links:
            target, place = urldefrag(unquote(link))
            if "://" in target or target.startswith(("mailto:", "data:")):
                continue
            there = (path.parent / target).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file() or (place and place not in pages[there].places | {"__top"}):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_a_page_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        assert not [what for what in Page(path).loads if what.startswith(("http", "//"))]


def test_the_reference_tells_what_users_plug_in(site):
    text = "".join(path.read_text() for path in (site / "reference").glob("*.html"))
    for name in ("envs.contract.World", "agents.policy.Policy", "agents.rollout.play"):
        assert f'id="{name}"' in text
    for name in ("Tokens", "Balance", "Guidance", "Utility"):
        assert f'.{name}"' in text


def test_a_dead_link_is_an_error(tmp_path):
    dead = ["docs/nowhere.md", "docs/training.md#nowhere"]
    for name in ("docs", "scripts", "envs", "agents", "amft_mm", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    results = shutil.ignore_patterns("*.json", "index.html")
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=results)
    (tmp_path / "assets" / "tiny-vlm").mkdir(parents=True)
    for name in ("assets/tiny-vlm/README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(
        readme + "".join(f"\n[where?]({link})\n" for link in dead), encoding="utf-8"
    )
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    assert "docs/nowhere.md" in built.stderr
    assert "#nowhere" in built.stderr
