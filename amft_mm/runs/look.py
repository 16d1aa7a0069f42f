"""What the pages of a run and of a comparison have in common: `head(title, style)` begins one.

Such a page is one file that opens without a network: styles and scripts are written into it, and its policy
lets nothing else in.
"""

from __future__ import annotations

import html
from importlib import resources


def head(title: str, style: str, *, scripted: bool = False) -> str:
    """From the beginning to `</head>`; `style` beside what all pages have."""
    common = resources.files("amft_mm.runs").joinpath("base.css").read_text("utf-8")
    allowed = "script-src 'unsafe-inline'; connect-src 'self'" if scripted else "script-src 'none'"
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; {allowed}"
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{html.escape(title)}</title>\n<style>{common}\n{style}</style></head>\n"
    )
