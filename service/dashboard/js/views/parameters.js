/* A metric against each hyperparameter that varies: one scatter each. */

import { GROUPS, drawParameter, series } from "../charts/parameters.js";
import { purge } from "../charts/plotly.js";
import { fill, h, setText } from "../dom.js";
import { short } from "../format.js";
import * as router from "../router.js";
import { importancePart } from "./importance.js";

const SIGNS = { failed: "✕", early: "▽", running: "○", finished: "●", best: "★" };

export function parametersPart({ onChange }) {
  const importance = importancePart({ onChange });
  const legend = h("div", { class: "legend" }, GROUPS.map(({ key, label }) =>
    h("span", {}, h("b", { class: `sign g-${key}`, "aria-hidden": "true" }, SIGNS[key]), label)));
  const title = h("span", { class: "muted" });
  const grid = h("div", { class: "grid" });
  const message = h("p", { class: "muted" });
  const element = h("div", {}, importance.element, h("div", { class: "bar" }, title, h("span", { class: "grow" }), legend), message, grid);
  let charts = new Map(); // path -> element
  let drawn = "";

  function update(model) {
    const metric = router.get("metric", model.objective ?? model.metrics[0] ?? "");
    const logY = router.get("log") === "1";
    const stamp = JSON.stringify([model.version, metric, logY, model.trials.length]);
    importance.update(model);
    if (stamp === drawn && grid.isConnected) return;
    drawn = stamp;
    const objective = metric === model.objective;
    setText(title, metric ? `${objective ? "best" : "last"} ${short(metric)} of each trial` : "");
    setText(message, model.hyperparameters.length ? "" : "No hyperparameter differs between the trials.");
    place(model.hyperparameters);
    const pick = objective ? (t) => t.best_objective : (t) => t.last?.[metric];
    for (const [path, chart] of charts) {
      const data = series(model.trials, path, pick, model.space[path], model.experiment.best?.trial);
      drawParameter(chart, data, path, {
        logY, revision: `${metric} ${logY}`, open: (number) => { location.hash = router.link(model.id, number); },
      }).catch((error) => setText(message, error.message));
    }
  }

  function place(paths) {
    if (paths.join("\n") === [...charts.keys()].join("\n")) return;
    const next = new Map(paths.map((path) => [path,
      charts.get(path) ?? h("div", { class: "chart", role: "img", "aria-label": `Metric against ${path}` })]));
    for (const [path, chart] of charts) if (!next.has(path)) purge(chart);
    charts = next;
    fill(grid, [...charts.values()]);
  }

  function close() {
    importance.close();
    charts.forEach((chart) => purge(chart));
  }

  return { element, update, close };
}
