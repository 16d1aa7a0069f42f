"""What the pages of a run and of a comparison have in common: `head(title, style)` begins one.

Such a page is one file that opens without a network: styles and its script are written into it, and its
policy lets nothing else in. No other script runs there, whatever a model has written.
"""

from __future__ import annotations

import base64
import hashlib
import html
from importlib import resources


def head(title: str, style: str, *, script: str = "", connects: bool = False) -> str:
    """From the beginning to `</head>`; `style` beside what all pages have. `script` is what the page's one
    script will say, and `connects` whether it asks its own server for more."""
    common = resources.files("amft_mm.runs").joinpath("base.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    allowed = f"script-src 'sha256-{digest}'" if script else "script-src 'none'"
    allowed += "; connect-src 'self'" if connects else ""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; {allowed}"
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{html.escape(title)}</title>\n<style>{common}\n{style}</style></head>\n"
    )
