"""What the pages of a run and of a comparison have in common: `head(title, *styles)` begins one.

Such a page is one file that opens without a network: styles and scripts are written into it, and its policy
lets nothing else in.
"""

from __future__ import annotations

import html
from importlib import resources

HERE = "amft_mm.replay"
SCRIPTS = (
    *("elements", "data", "tokens", "difference", "sketch", "curves", "run"),
    *("list", "turn", "episode", "notes", "keys", "main"),
)
"""Of the page of episodes, in the order in which they are joined: each knows those before it."""


def head(title: str, *styles: str, scripted: bool = False) -> str:
    """From the beginning to `</head>`; `styles` beside what all pages have."""
    style = "\n".join(text_of(name) for name in ("base.css", *styles))
    allowed = "script-src 'unsafe-inline'; connect-src 'self'" if scripted else "script-src 'none'"
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; {allowed}"
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style></head>\n"
    )


def scripts() -> str:
    """As one, in a function of its own."""
    joined = "\n".join(text_of(f"script/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{joined}\n}})();\n'


def text_of(name: str) -> str:
    return resources.files(HERE).joinpath(name).read_text("utf-8")
