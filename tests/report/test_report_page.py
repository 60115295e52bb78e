"""The page as text: what is in it, and that no text of the study can become markup or script."""

import json
import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs
from report_tables import IMAGE, SCRIPT, hostile_tables, of_two_models

from personascope.report.page import build_page, figure_json, script_safe

FACTS = {"Model": "smollm2", "Layers": "0 to 29", "Seed": "0"}


class Outline(HTMLParser):
    """Collects start tags with attributes, and the text inside <script>, <title> and everywhere."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.scripts, self._open = [], [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append((dict(attrs), []))

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open == "script":
            self.scripts[-1][1].append(data)
        else:
            self.texts.append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(tables):
    return build_page(tables, title="A study", facts=FACTS)


@pytest.fixture(scope="module")
def hostile():
    return build_page(hostile_tables(), title=SCRIPT, facts={IMAGE: SCRIPT})


def specs(outline):
    return [json.loads("".join(parts)) for attrs, parts in outline.scripts if attrs.get("type") == "application/json"]


def test_the_page_has_title_facts_and_a_contents_bar(page):
    outline = Outline(page)
    text = " ".join(outline.texts)
    assert "A study" in text
    assert all(name in text and value in text for name, value in FACTS.items())
    links = {attrs["href"].removeprefix("#") for attrs in outline.named("a")}
    assert links == {attrs["id"] for attrs in outline.named("section")}
    assert len(links) == 48


def test_plotly_is_inlined_once_and_nothing_points_outside(page):
    assert page.count(get_plotlyjs()) == 1
    outline = Outline(page.replace(get_plotlyjs(), ""))
    for tag, attrs in outline.tags:
        for name, value in attrs.items():
            if name in ("src", "href", "action", "srcset", "data"):
                assert value.startswith(("#", "data:,")), (tag, name, value)


def test_every_select_has_an_id_and_a_label(page):
    outline = Outline(page)
    selects = [attrs["id"] for attrs in outline.named("select")]
    assert len(selects) == 38
    assert [attrs["for"] for attrs in outline.named("label")] == selects


def test_all_ids_are_unique_and_each_figure_has_its_data(page):
    outline = Outline(page)
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    drawn = [attrs["id"] for attrs in outline.named("div") if attrs.get("class") == "plotly-graph-div"]
    assert drawn == [attrs["data-for"] for attrs, _ in outline.scripts if "data-for" in attrs]
    assert len(drawn) == 119


def test_tables_name_their_rows_and_columns_and_examples_mark_what_is_taught(page):
    outline = Outline(page)
    assert len(outline.named("table")) == len(outline.named("caption")) == 2
    assert {attrs["scope"] for attrs in outline.named("th")} == {"col", "row"}
    marked = [attrs for attrs in outline.named("p") if attrs.get("class") == "lines"]
    assert len(outline.named("mark")) == len(marked) == 2


def test_only_the_two_scripts_of_the_policy_can_run(hostile):
    outline = Outline(hostile)
    running = [parts for attrs, parts in outline.scripts if attrs.get("type") != "application/json"]
    assert len(running) == 2
    policy = next(attrs["content"] for attrs in outline.named("meta") if "http-equiv" in attrs)
    assert re.search(r"script-src( 'sha256-[A-Za-z0-9+/]{43}='){2};", policy)
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_hostile_text_adds_no_element_and_no_attribute(page, hostile):
    kinds = {tag for tag, _ in Outline(hostile).tags}
    assert kinds <= {tag for tag, _ in Outline(page).tags}
    for _, attrs in Outline(hostile).tags:
        assert not any(name.startswith("on") for name in attrs)


def test_hostile_text_is_shown_literally(hostile):
    text = " ".join(Outline(hostile).texts)
    assert SCRIPT in text
    assert IMAGE in text


def test_hostile_names_reach_the_figures_escaped(hostile):
    for spec in specs(Outline(hostile)):
        for trace in spec["data"]:
            shown = json.dumps({key: value for key, value in trace.items() if key != "meta"})
            assert "<img" not in shown
            assert "<script" not in shown
            assert "</script" not in shown


def test_json_survives_anything_that_could_end_a_script():
    text = '</script><!--<script>]]>&\u2028\u2029 back\\slash "quoted" é'
    escaped = script_safe(json.dumps({"text": text}, ensure_ascii=False))
    assert not set("<>&\u2028\u2029") & set(escaped)
    assert json.loads(escaped) == {"text": text}
    figure = go.Figure(go.Scatter(text=[text], x=[1], y=[1]))
    assert json.loads(figure_json(figure))["data"][0]["text"] == [text]


def test_methods_end_the_page_as_text_and_have_a_link(tables):
    page = build_page({"hexaco_bias": tables["hexaco_bias"]}, title="A study", facts=FACTS, methods=[SCRIPT, IMAGE])
    outline = Outline(page)
    assert [attrs["id"] for attrs in outline.named("section")] == ["bias", "methods"]
    assert [attrs["href"] for attrs in outline.named("a")] == ["#bias", "#methods"]
    assert not outline.named("img")
    body = page[: page.index(get_plotlyjs())]
    ending = body[body.index('<section id="methods">') :]
    assert SCRIPT not in ending
    assert "&lt;/script&gt;&lt;script&gt;window.hacked = 1; alert(1)&lt;/script&gt;" in ending
    assert "&lt;img src=x onerror=" in ending
    text = " ".join(outline.texts)
    assert text.index("Read these numbers with care.") < text.index(SCRIPT) < text.index(IMAGE)


def test_without_methods_there_is_no_section_of_them(page):
    assert "methods" not in {attrs["id"] for attrs in Outline(page).named("section")}


def test_methods_are_shown_even_where_no_table_has_rows():
    outline = Outline(build_page({}, title="Empty", facts={}, methods=["How it was done."]))
    assert [attrs["id"] for attrs in outline.named("section")] == ["methods"]
    assert "How it was done." in " ".join(outline.texts)


def test_two_models_with_hostile_names_give_unique_ids_and_no_element(page):
    two = build_page(of_two_models(hostile_tables(), (SCRIPT, IMAGE)), title="Two", facts={})
    outline = Outline(two)
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {tag for tag, _ in outline.tags} <= {tag for tag, _ in Outline(page).tags}
    assert f"Bias apart: {SCRIPT}" in outline.texts
    assert f"Bias apart: {IMAGE}" in outline.texts


def test_the_same_tables_give_the_same_page(tables, page):
    assert build_page(tables, title="A study", facts=FACTS) == page


def test_no_tables_give_a_page_that_says_so():
    text = " ".join(Outline(build_page({}, title="Empty", facts={})).texts)
    assert "There is nothing to show" in text
