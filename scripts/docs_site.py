"""What mkdocs.yml leaves to code: which files are pages, the reference, and the colours of examples.

The pages are the repository's own Markdown files under their own paths, so that a link works alike
in a checkout and on the site. The reference is made from docstrings while the site is built, without
importing anything; modules are named by their last part, wherever in a package they lie.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "*.md",
    "docs/*",
    "examples/*.md",
    "examples/*.ipynb",
    "results/**/*.md",
    "results/**/*.svg",
    "assets/**/*.md",
)

REFERENCE = {
    "Worlds": (
        "envs",
        "What every world promises, the worlds, and what makes others fit.",
        ["contract", "general_points/env", "virl/env", "math_tasks/env", "adapters", "guard"],
    ),
    "Players": (
        "agents",
        "Models, the conversations they have with worlds, the engines that write their answers.",
        [
            *("policy", "conversation", "engines", "engines/base", "engines/sampling", "worlds"),
            *("rollout", "trajectory", "demonstrations", "experts", "importers"),
        ],
    ),
    "Losses": (
        "amft_mm",
        "What losses are made of, and those that there are, for demonstrations and for rollouts.",
        ["tokens", "imitation/", "exploration/"],
    ),
    "Balances": ("amft_mm", "What sets the share of imitation.", ["balance/"]),
    "Guidance, utilities": (
        "amft_mm",
        "How demonstrations enter exploration, and what a learnt balance climbs.",
        ["guidance/", "utility/"],
    ),
}
"""By title: package, introduction, modules; those that end with a slash with all that is in them."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills in the parts of the navigation that are found rather than listed."""
    found: dict[str, list[Any]] = {
        "reference": [{title: _page_of(title)} for title in REFERENCE],
        "results": [{"Overview": "results/README.md"}, {"The tiny model": "results/tiny.md"}]
        + [
            {" / ".join(path.parts[-3:-1]): path.relative_to(ROOT).as_posix()}
            for path in sorted(ROOT.glob("results/*/**/README.md"))
        ],
    }
    for section in config.nav or ():
        for title, what in section.items():
            if isinstance(what, str) and what in found:
                section[title] = found[what]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The repository's pages in place of those of a documentation folder."""
    for file in list(files.documentation_pages()) + list(files.media_files()):
        if Path(file.src_dir or "") == Path(config.docs_dir):
            files.remove(file)
    for path in sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}):
        place = path.relative_to(ROOT).as_posix()
        files.append(File(place, str(ROOT), config.site_dir, config.use_directory_urls))
    for title, (package, about, modules) in REFERENCE.items():
        text = "\n\n".join([f"# {title}", about, *(_entry(package, name) for name in modules)])
        files.append(File.generated(config, _page_of(title), content=text))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Colours for indented examples, which do not name their language."""
    return re.sub(
        r'(<div class="highlight"><pre><span></span><code>)(.*?)(</code></pre></div>)',
        lambda found: found[1] + _coloured(html.unescape(found[2])) + found[3],
        content,
        flags=re.DOTALL,
    )


def _page_of(title: str) -> str:
    return f"reference/{title.split(',')[0].lower()}.md"


def _entry(package: str, name: str) -> str:
    """The directive that has a module documented."""
    module = module_of(package, name.rstrip("/"))
    options = {"toc_label": module.removeprefix(f"{package}.")}
    if name.endswith("/"):  # signatures of losses and balances are their settings
        options |= {"show_submodules": "true", "show_if_no_docstring": "true"}
        options["filters"] = '["!^_", "!^base$"]'  # what is in `base` is the package's own
    lines = [f"::: {module}", "    options:", *(f"      {key}: {options[key]}" for key in options)]
    return "\n".join(lines)


def module_of(package: str, name: str) -> str:
    """The full name of a module by the end of its path; there must be one alone."""
    places = [
        place
        for pattern in (f"{name}.py", f"{name}/__init__.py")
        for place in (ROOT / package).rglob(pattern)
    ]
    if len(places) != 1:
        raise ValueError(f"{name} of {package} is to be documented, and there are {len(places)}")
    parts = places[0].relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


_SHELL = re.compile(r"(python|pip|uv|cd|cp|sbatch|torchrun|accelerate|vllm|git|[A-Z_]+=\S+) ")
_PYTHON = re.compile(
    r"(?m)^\s*(import |from \w+.* import |def |class |gymnasium\.|\w+ = \w+\.\w+\()"
)


def _coloured(code: str) -> str:
    first = code.lstrip().split("\n", 1)[0]
    language = "bash" if _SHELL.match(first) else "python" if _PYTHON.search(code) else "text"
    return str(highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True)))
