"""Hooks of mkdocs: what the site shows beside the pages of docs/.

Notes and concept pages are as the app shows them, README and changelog are pages, anchors are as GitHub has them, and a
page of the Python interface is made from its signatures and docstrings.

``mkdocs build --strict`` loads this file (mkdocs.yml). The package has to be installed: `pip install -e '.[docs]'`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cnn_explorer import api
from cnn_explorer.models.catalogue import notes, registry
from cnn_explorer.tui.networks import catalogue_list
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
COPIES = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages of the site that lie in the root of the repository."""
INTERFACE = "interface.md"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchor(heading: str, separator: str = "-") -> str:
    """Turn a heading into its anchor by GitHub's rule: lower case, spaces to hyphens, other marks dropped."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the headings the anchors that the links in the pages use."""
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": anchor}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for target, source in COPIES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=LINK.sub(_from_docs, text)))
    files.append(File.generated(config, INTERFACE, content=interface()))
    return files


def interface() -> str:
    """Write the page that lists every public name; mkdocstrings puts signatures and docstrings in."""
    head = (
        "# Names and signatures\n\n"
        "Every name of `import cnn_explorer as cx`, with its types. [Python](api.md) explains them with examples.\n"
    )
    return head + "".join(f"\n::: cnn_explorer.api.{name}\n" for name in sorted(api.__all__, key=str.lower))


def _from_docs(match: re.Match[str]) -> str:
    """Rewrite a link that starts in the root of the repository as one that starts in docs/."""
    target = match[1]
    path, mark, heading = target.partition("#")
    page = next((page for page, source in COPIES.items() if source == path), path.removeprefix("docs/"))
    return f"]({page}{mark}{heading})"


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Drop the roles of Sphinx (``:class:`Run```) that the docstrings have: mkdocstrings shows them as they are."""
    return re.sub(r":(?:attr|class|func|meth|mod):(?=<code)", "", html) if page.file.src_uri == INTERFACE else html


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill the figures of notes and concept pages by the renderer of the app."""
    path = Path(page.file.src_uri)
    folder = path.parent.name
    if folder == "architectures":
        return catalogue_list.note(registry.family(path.stem))
    return notes.fill(markdown, page.file.src_uri, None) if folder == "concepts" else markdown
