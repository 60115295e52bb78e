"use strict";
// Draws every figure and lets the <select> elements of a section choose among its traces by their `meta`.
(() => {
  const ALL = "*";
  // An explicit list of buttons: by default plotly.js 4 also offers one that uploads the figure's data to its makers.
  const CONFIG = {
    responsive: true,
    displaylogo: false,
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };
  const DIMMED = 0.14;

  const metaOf = (trace) => trace.meta || {};

  const fits = (meta, chosen) =>
    Object.entries(chosen).every(([key, value]) => value === ALL || !(key in meta) || String(meta[key]) === value);

  // A combination that no trace has (a target that was probed at another position) moves the other selectors to the
  // nearest one that exists.
  function settle(metas, chosen, changed) {
    const described = metas.filter((meta) => changed in meta);
    if (chosen[changed] === ALL || described.some((meta) => fits(meta, chosen))) return;
    const agreement = (meta) => Object.keys(chosen).filter((key) => String(meta[key]) === chosen[key]).length;
    const candidates = described.filter((meta) => String(meta[changed]) === chosen[changed]);
    const nearest = candidates.reduce((best, meta) => (agreement(meta) > agreement(best) ? meta : best));
    for (const key of Object.keys(chosen)) if (key in nearest) chosen[key] = String(nearest[key]);
  }

  function show(graph, chosen) {
    const fitting = graph.data.map((trace) => fits(metaOf(trace), chosen));
    if (metaOf(graph.layout).emphasis) {
      Plotly.restyle(graph, { opacity: fitting.map((fit) => (fit ? 1 : DIMMED)) });
      return;
    }
    const titled = graph.data.find((trace, index) => fitting[index] && metaOf(trace).y_title);
    const titles = titled ? { "yaxis.title.text": metaOf(titled).y_title } : {};
    Plotly.update(graph, { visible: fitting }, titles);
  }

  function connect(section) {
    const selects = [...section.querySelectorAll("select")];
    const graphs = [...section.querySelectorAll(".plotly-graph-div")];
    for (const select of selects) {
      select.addEventListener("change", () => {
        const chosen = Object.fromEntries(selects.map((each) => [each.dataset.key, each.value]));
        settle(graphs.flatMap((graph) => graph.data.map(metaOf)), chosen, select.dataset.key);
        for (const each of selects) each.value = chosen[each.dataset.key];
        for (const graph of graphs) show(graph, chosen);
      });
    }
  }

  for (const script of document.querySelectorAll("script.figure")) {
    const { data, layout } = JSON.parse(script.textContent);
    Plotly.newPlot(script.dataset.for, data, layout, CONFIG);
  }
  document.querySelectorAll("section").forEach(connect);
})();
