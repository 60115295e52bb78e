"""The page in a real browser: every figure drawn, selectors obeyed, no error, no request, no hostile script."""

import json
import shutil
from contextlib import contextmanager
from itertools import pairwise

import pytest
from report_tables import IMAGE, hostile_tables

from personascope.report.page import build_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to draw the page with")

STATE = """graph => ({
  id: graph.id,
  traces: graph.data.map(trace => ({
    meta: trace.meta ?? null, visible: trace.visible !== false, opacity: trace.opacity ?? 1, name: trace.name,
  })),
  title: graph.layout.yaxis.title?.text,
  svg: [...graph.querySelectorAll(".main-svg")].map(svg => svg.innerHTML).join(""),
})"""


class Visit:
    """An open page with everything the browser complained about or asked for."""

    def __init__(self, tab, file):
        self.tab, self.complaints, self.requests = tab, [], []
        tab.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: self.requests.append(request.url))
        self.url = file.as_uri()
        tab.goto(self.url, timeout=180_000)
        tab.wait_for_function("[...document.querySelectorAll('.plotly-graph-div')].every(graph => graph.calcdata)")

    def figures(self, within="body"):
        found = self.tab.query_selector_all(f"{within} .plotly-graph-div")
        return {state["id"]: state for state in (graph.evaluate(STATE) for graph in found)}

    def select(self, element, value):
        self.tab.select_option(f"#{element}", value, timeout=5000)
        self.tab.wait_for_timeout(100)

    def hover(self, graph, point):
        """The text of the box over a point of the figure's first trace."""
        self.tab.evaluate(f"Plotly.Fx.hover('{graph}', [{{curveNumber: 0, pointNumber: {point}}}])")
        return self.tab.wait_for_selector(f"#{graph} .hovertext", timeout=5000).text_content()


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium


@contextmanager
def visiting(chromium, html, folder, **options):
    """Open the page in a browser of its own, with a fresh profile."""
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    context = chromium.launch_persistent_context(
        folder / "profile",
        executable_path=CHROMIUM,
        args=["--no-sandbox"],
        viewport={"width": 1280, "height": 900},
        **options,
    )
    try:
        yield Visit(context.pages[0] if context.pages else context.new_page(), file)
    finally:
        context.close()


@pytest.fixture(scope="module")
def visit(chromium, tables, tmp_path_factory):
    html = build_page(tables, title="A synthetic study", facts={"Model": "none", "Seed": "7"})
    with visiting(chromium, html, tmp_path_factory.mktemp("page")) as opened:
        yield opened


def chosen(visit, section):
    selects = visit.tab.query_selector_all(f"#{section} select")
    return {select.get_attribute("data-key"): select.input_value() for select in selects}


def fits(meta, values):
    return all(value == "*" or key not in meta or str(meta[key]) == value for key, value in values.items())


def sections_with_selects(visit):
    found = visit.tab.query_selector_all("section:has(select)")
    return [section.get_attribute("id") for section in found]


def assert_shown_is_chosen(visit, section):
    """What is visible (or, in profiles, not dimmed) is what the selectors say, and something is visible."""
    values = chosen(visit, section)
    for figure in visit.figures(f"#{section}").values():
        dims = "profile" in figure["id"]
        for trace in figure["traces"]:
            expected = fits(trace["meta"] or {}, values)
            assert (trace["opacity"] == 1 if dims else trace["visible"]) == expected, (figure["id"], trace)
        assert any(trace["visible"] and trace["opacity"] > 0.3 for trace in figure["traces"]), figure["id"]


def test_every_figure_is_drawn(visit):
    figures = visit.figures()
    assert len(figures) == 119
    for graph in visit.tab.query_selector_all(".plotly-graph-div"):
        marks = graph.query_selector_all(".main-svg .trace, .main-svg .hm")
        assert marks, graph.get_attribute("id")
        box = graph.query_selector(".main-svg").bounding_box()
        assert box["width"] > 900
        assert box["height"] >= 200
    assert visit.complaints == []


def test_figures_and_texts_do_not_overlap_and_nothing_is_wider_than_the_page(visit):
    blocks = visit.tab.query_selector_all(".plotly-graph-div, section > p, .selectors")
    boxes = [block.bounding_box() for block in blocks]
    boxes.sort(key=lambda box: box["y"])
    for above, below in pairwise(boxes):
        assert above["y"] + above["height"] <= below["y"] + 0.5
    assert visit.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_asks_for_nothing_but_itself(visit):
    assert visit.requests == [visit.url]
    assert visit.complaints == []


def test_no_button_of_a_figure_sends_data_or_leads_away(visit):
    buttons = visit.tab.query_selector_all(".modebar-btn")
    names = {button.get_attribute("data-title") for button in buttons}
    assert names == {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    assert not any(button.get_attribute("href") for button in buttons)
    for graph in visit.tab.query_selector_all(".plotly-graph-div"):
        assert graph.evaluate("graph => [graph._context.showSendToCloud, graph._context.plotlyServerURL]") == [
            False,
            "",
        ]


def test_no_label_or_legend_is_cut_off(visit):
    """Every text of a figure lies inside its drawing."""
    for graph in visit.tab.query_selector_all(".plotly-graph-div"):
        frame = graph.bounding_box()
        for text in graph.query_selector_all(".ytick text, .xtick text, .legendtext, .g-ytitle text, .annotation text"):
            box = text.bounding_box()
            if box is None:
                continue
            inside = frame["x"] - 1 <= box["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
            assert inside, (graph.get_attribute("id"), text.text_content())


def test_selectors_and_figures_agree_at_the_start(visit):
    assert len(sections_with_selects(visit)) == 26
    for section in sections_with_selects(visit):
        assert_shown_is_chosen(visit, section)


def test_each_selector_changes_a_figure_to_what_it_says(visit):
    for section in sections_with_selects(visit):
        for select in visit.tab.query_selector_all(f"#{section} select"):
            before, name = visit.figures(f"#{section}"), select.get_attribute("id")
            options = [option.get_attribute("value") for option in select.query_selector_all("option")]
            value = next(option for option in reversed(options) if option != select.input_value())
            visit.select(name, value)
            assert select.input_value() == value
            after = visit.figures(f"#{section}")
            assert any(before[id]["svg"] != after[id]["svg"] for id in before), name
            assert_shown_is_chosen(visit, section)
    assert visit.complaints == []


def test_a_target_without_the_chosen_persona_moves_the_other_selectors_along(visit):
    visit.select("probes-target", "utility")
    visit.select("probes-persona", "poet")
    visit.select("probes-target", "choice")
    assert chosen(visit, "probes") == {"target": "choice", "persona": "all", "position": "answer"}
    assert_shown_is_chosen(visit, "probes")
    assert visit.figures("#probes")["layer-curves"]["title"] == "accuracy (held out)"
    visit.select("probes-persona", "evil")
    assert chosen(visit, "probes")["target"] == "utility"
    assert_shown_is_chosen(visit, "probes")


def test_all_personas_can_be_chosen_again(visit):
    visit.select("profile-persona", "evil")
    dimmed = [trace["opacity"] for trace in visit.figures("#profile")["facet-profile"]["traces"]]
    assert sorted(set(dimmed)) == [0.14, 1]
    visit.select("profile-persona", "*")
    assert {trace["opacity"] for trace in visit.figures("#profile")["facet-profile"]["traces"]} == {1}


def test_hovering_an_item_shows_its_text(visit):
    visit.select("answers-persona", "self")
    assert "I would say that" in visit.hover("single-items", point=5)


@pytest.mark.parametrize("bypass_csp", [False, True], ids=["with policy", "without policy"])
def test_hostile_texts_stay_texts(chromium, tmp_path, bypass_csp):
    """Escaping holds on its own; the content security policy is a second lock, not the only one."""
    html = build_page(hostile_tables(), title=IMAGE, facts={IMAGE: IMAGE})
    with visiting(chromium, html, tmp_path, bypass_csp=bypass_csp) as visit:
        assert "<img src=x" in visit.hover("single-items", point=5)
        for section in sections_with_selects(visit):
            assert_shown_is_chosen(visit, section)
        assert visit.tab.evaluate("window.hacked") is None
        assert visit.tab.query_selector_all("img, svg a, iframe, object, embed") == []
        assert len(visit.tab.query_selector_all("script:not([type])")) == 2
        assert json.dumps(visit.complaints) == "[]"
        assert visit.requests == [visit.url]


def test_the_policy_stops_a_script_that_gets_in_and_any_request(chromium, tables, tmp_path):
    """The second lock, tried with the first one picked: markup put in behind the back of the template."""
    html = build_page({"steering": tables["steering"]}, title="x", facts={})
    broken = html.replace("<footer>", "<script>window.hacked = 1</script><img src='http://127.0.0.1:9/x'><footer>")
    assert broken != html
    with visiting(chromium, broken, tmp_path) as visit:
        assert visit.tab.evaluate("window.hacked") is None
        assert visit.figures()["steering-curves"]["traces"]
        assert len([complaint for complaint in visit.complaints if "Content Security Policy" in complaint]) == 2
