"""What MkDocs does with links that GitHub follows and a site cannot: the file's name takes their place."""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Replace each link to a file that is no part of the site, such as a config or a large JSON file.

    A file that does not exist in the checkout stays a link, so that MkDocs refuses it.
    """
    folder = posixpath.dirname(page.file.src_uri)
    pages = {f.src_uri for f in files if f.inclusion.is_included()}

    def plain(found: re.Match[str]) -> str:
        text, target, _ = found.groups()
        within = posixpath.normpath(posixpath.join(folder, target))
        at = posixpath.normpath(posixpath.join("docs", within))
        exists = posixpath.exists(posixpath.join(posixpath.dirname(config.config_file_path), at))
        if within in pages or not exists:
            return found[0]
        return f"`{at}`" if text.strip("`") in (at, target) else f"{text} (`{at}`)"

    return LINK.sub(plain, markdown)
