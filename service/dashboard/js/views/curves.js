/* The learning curves of an experiment: of the best trials, or of those ticked in the table. */

import * as api from "../api.js";
import { MAX_BANDS, X_TITLES, drawCurves, series } from "../charts/curves.js";
import { purge } from "../charts/plotly.js";
import { debounced, fill, h, select, setOptions, setText } from "../dom.js";
import * as router from "../router.js";
import { ended as over, finished, shortest } from "../trials.js";
import { MAX_SELECTED, selected } from "./selection.js";

const TOPS = ["5", "10", "20", "50"];
const MAX_POINTS = 200;
const PACE_MS = 4000; // while an experiment runs its curves are read at most so often
const TIME = "time_total_s";

export function curvesPart({ onChange }) {
  const controls = makeControls(onChange);
  const chart = h("div", { class: "chart tall", role: "img", "aria-label": "Learning curves" });
  const note = h("p", { class: "muted note" });
  const keys = h("div", { class: "keys" });
  const heading = h("h2", {}, "Learning curves");
  const element = h("section", { class: "panel curves", "aria-label": "Learning curves" },
    h("div", { class: "bar" }, heading, h("span", { class: "grow" }), controls.elements), chart, keys, note);
  const kept = new Map(); // `metric trial` -> curve of a trial that is over
  const slots = new Map(); // trial -> place in the palette
  let shown = { key: "", version: -1, at: 0, curves: [], times: {}, error: "" };
  let latest = null; // the model to show
  let busy = null;
  let timer = 0;

  async function fetchCurves(model, metric, chosen) {
    if (!chosen.length) {
      return (await api.getCurves(model.id, { metric, top: router.get("top", "10"), max_points: MAX_POINTS })).curves;
    }
    const done = new Set(model.trials.filter(finished).map((t) => t.number));
    return Promise.all(chosen.map(async (trial) => {
      const name = `${metric} ${trial}`;
      if (kept.has(name)) return kept.get(name);
      const { points } = await api.getCurve(model.id, trial, { metric, max_points: MAX_POINTS });
      if (done.has(trial)) kept.set(name, { trial, points });
      return { trial, points };
    }));
  }

  async function load(model, key, metric, chosen) {
    const result = { key, version: model.version, at: Date.now(), curves: [], times: {}, error: "" };
    try {
      const wantsTime = router.get("x") === "time";
      const [curves, clocks] = await Promise.all([
        fetchCurves(model, metric, chosen), wantsTime ? fetchCurves(model, TIME, chosen) : [],
      ]);
      result.curves = curves.filter((c) => c.points.length);
      result.times = Object.fromEntries(clocks.map((c) => [c.trial, c.points]));
    } catch (error) {
      if (error.temporary) throw error;
      result.error = error.message;
    }
    shown = result;
  }

  async function run() {
    for (;;) {
      const model = latest;
      const metric = controls.update(model);
      if (!metric) {
        setText(note, "No result has come in yet.");
        return;
      }
      const chosen = selected();
      const key = JSON.stringify([metric, chosen, chosen.length ? "" : router.get("top", "10"), router.get("x") === "time"]);
      const stale = key !== shown.key || model.version !== shown.version;
      const wait = key !== shown.key || over(model.experiment) ? 0 : shown.at + PACE_MS - Date.now();
      if (!stale || wait > 0) {
        clearTimeout(timer);
        if (stale) timer = setTimeout(() => document.hidden || onChange(), wait);
        show(model, metric, chosen);
        return;
      }
      await load(model, key, metric, chosen); // and look again: what is wanted may have changed
    }
  }

  /** Rejects where the API cannot be reached; the page's polling then calls again. */
  function update(model) {
    latest = model;
    busy ??= run().finally(() => {
      busy = null;
    });
    return busy;
  }

  function show(model, metric, chosen) {
    const x = X_TITLES[router.get("x")] ? router.get("x") : "steps";
    const lines = series(shown.curves, { x, smoothing: Number(router.get("smooth", "0")) || 0, times: shown.times });
    assign(slots, lines.map((line) => line.trial));
    const places = Object.fromEntries(slots);
    const logY = router.get("log") === "1";
    const bands = lines.some((line) => line.low);
    setText(heading, chosen.length ? "Learning curves of the selected trials" : "Learning curves");
    setText(note, shown.error || remark(lines, bands, logY));
    showKeys(keys, model.id, lines, places);
    drawCurves(chart, lines, { x, metric, logY, bands, slots: places, revision: `${shown.key} ${x} ${logY}` })
      .catch((error) => setText(note, error.message));
  }

  function close() {
    clearTimeout(timer);
    purge(chart);
  }

  return { element, update, close };
}

function remark(lines, bands, logY) {
  if (!lines.length) return "No result with this metric yet.";
  const positive = logY ? " A log axis leaves out values that are not positive." : "";
  return (bands ? `Lines are means over seeds; bands${lines.length > MAX_BANDS ? ` of the first ${MAX_BANDS}` : ""} reach from the lowest seed to the highest.` : "") + positive;
}

/** Keep the places of trials still shown; newcomers take the lowest free ones. */
export function assign(slots, trials) {
  const wanted = new Set(trials);
  for (const trial of [...slots.keys()]) if (!wanted.has(trial)) slots.delete(trial);
  const used = new Set(slots.values());
  let free = 0;
  for (const trial of trials) {
    if (slots.has(trial)) continue;
    while (used.has(free)) free += 1;
    slots.set(trial, free);
    used.add(free);
  }
}

const SVG = "http://www.w3.org/2000/svg";
const DASH = [null, "5 3", "2 2", "6 2 2 2"];

function swatch(slot) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 8");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "line");
  const dash = DASH[Math.floor(slot / 8) % DASH.length];
  for (const [name, value] of Object.entries({ x1: 0, x2: 20, y1: 4, y2: 4, class: `line c${(slot % 8) + 1}` })) line.setAttribute(name, value);
  if (dash) line.setAttribute("stroke-dasharray", dash);
  svg.append(line);
  return svg;
}

function showKeys(keys, id, lines, places) {
  const stamp = JSON.stringify(lines.map((l) => [l.trial, places[l.trial]]));
  if (keys.dataset.stamp === stamp) return;
  keys.dataset.stamp = stamp;
  fill(keys, lines.map((l) => h("a", { href: router.link(id, l.trial) }, swatch(places[l.trial]), `#${l.trial}`)));
}

function makeControls(onChange) {
  const write = (patch) => {
    router.set(patch);
    onChange();
  };
  const metric = select("Metric", [], "", (value) => write({ metric: value }));
  const top = select("Show", TOPS.map((n) => [n, `best ${n}`]), "10", (value) => write({ top: value === "10" ? null : value, sel: null }));
  const x = select("x", Object.entries(X_TITLES), "steps", (value) => write({ x: value === "steps" ? null : value }));
  const smooth = h("input", { type: "range", min: 0, max: 0.95, step: 0.05, value: router.get("smooth", "0") });
  smooth.addEventListener("input", debounced(() => write({ smooth: smooth.value === "0" ? null : smooth.value }), 40));
  const log = h("input", { type: "checkbox", onchange: () => write({ log: log.checked ? "1" : null }) });
  const elements = [
    metric.label, top.label, x.label,
    h("label", { class: "field" }, h("span", {}, "Smoothing"), smooth),
    h("label", { class: "field check" }, log, h("span", {}, "log y")),
  ];

  function update(model) {
    const wanted = router.get("metric", model.objective ?? model.metrics[0] ?? "");
    const names = model.metrics.includes(wanted) || !wanted ? model.metrics : [wanted, ...model.metrics];
    const labels = shortest(names);
    setOptions(metric.element, names.map((name) => [name, labels(name)]), wanted);
    const count = selected().length;
    const tops = TOPS.map((n) => [n, `best ${n}`]);
    const chosen = [["sel", `${count} selected${count === MAX_SELECTED ? " (the most)" : ""}`]];
    setOptions(top.element, count ? [...chosen, ...tops] : tops, count ? "sel" : router.get("top", "10"));
    setOptions(x.element, Object.entries(X_TITLES), X_TITLES[router.get("x")] ? router.get("x") : "steps");
    if (document.activeElement !== smooth) smooth.value = router.get("smooth", "0");
    log.checked = router.get("log") === "1";
    return wanted;
  }

  return { elements, update };
}
