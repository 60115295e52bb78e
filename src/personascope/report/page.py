"""The HTML page: one file that holds everything it shows and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import plotly.graph_objects as go
import plotly.io
import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from personascope.report.sections import sections
from personascope.report.tables import personas, present
from personascope.report.theme import persona_styles

# Inside <script> only these can end or change the element, or the script: "</", "<!--" and the two line separators that
# JSON allows and old JavaScript does not. In JSON all of them occur in strings alone, where \uXXXX means the same.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def build_page(
    tables: dict[str, pl.DataFrame], *, title: str, facts: dict[str, str], methods: Sequence[str] = ()
) -> str:
    """Render a study's tables as one self-contained HTML page.

    Args:
        tables: by name; the names and columns of `personascope.report.tables.REQUIRED`. Others are ignored, and so are
            tables without rows; a section appears only when its tables are there.
        title: of the page.
        facts: provenance lines (model, layers, seeds, versions, timings), shown in this order.
        methods: paragraphs on how the numbers were made, for a reader who wants to cite them; they end the page.

    Returns:
        HTML text. Everything is inline, all text is escaped, and its content security policy forbids loading anything
        and running any script but the two whose hashes it names.

    Raises:
        DataError: a table lacks a column.
    """
    shown = present(tables)
    environment = Environment(
        loader=PackageLoader("personascope.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    plotly_js, page_js = get_plotlyjs(), _source(environment, "page.js")
    return environment.get_template("template.html.j2").render(
        title=title,
        facts=facts,
        methods=methods,
        sections=sections(shown, persona_styles(personas(shown))),
        figure_json=figure_json,
        styles=Markup(_source(environment, "page.css")),  # noqa: S704
        scripts=[Markup(plotly_js), Markup(page_js)],  # noqa: S704
        script_hashes=[_integrity(plotly_js), _integrity(page_js)],
    )


def figure_json(figure: go.Figure) -> Markup:
    """A figure as JSON that can stand inside a <script> element whatever text it holds."""
    return script_safe(str(plotly.io.to_json(figure, validate=False, engine="json")))


def script_safe(json_text: str) -> Markup:
    """The same JSON without any character that means something to HTML; plotly's own escaping is not relied on."""
    for character, escape in _UNSAFE.items():
        json_text = json_text.replace(character, escape)
    return Markup(json_text)  # noqa: S704


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _integrity(script: str) -> str:
    """The hash by which a content security policy allows an inline script (CSP level 2)."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
