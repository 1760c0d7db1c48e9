/* A metric against one hyperparameter: one point a trial, its shape telling how the trial stands. */

import { number, short, value as text } from "../format.js";
import { configOf, stoppedEarly } from "../trials.js";
import { axis, draw, openOnClick, plain } from "./plotly.js";

const LOG = new Set(["loguniform", "qloguniform", "lograndint", "qlograndint"]);
const CHOICES = new Set(["choice", "grid_search"]);
const MAX_CHOICES = 8;
const JITTER = 0.22;
const MANY = 300; // so many points are drawn smaller

/** The groups of points, in order of drawing: `symbol` as Plotly names it, `color` a name of the theme. */
export const GROUPS = [
  { key: "failed", label: "failed", symbol: "x-thin", color: "bad" },
  { key: "early", label: "stopped early", symbol: "triangle-down-open", color: "muted" },
  { key: "running", label: "unfinished", symbol: "circle-open", color: "accent" },
  { key: "finished", label: "finished", symbol: "circle", color: "accent" },
  { key: "best", label: "best", symbol: "star", color: "best" },
];

function groupOf(trial, best) {
  if (trial.number === best) return "best";
  if (trial.status === "ERROR") return "failed";
  if (stoppedEarly(trial) || trial.status === "CANCELED") return "early";
  return trial.status === "TERMINATED" ? "finished" : "running";
}

/** Where a point sits beside its category: the same for a trial every time. */
export function jitter(trial) {
  return ((((trial * 0.6180339887) % 1) + 1) % 1) * 2 * JITTER - JITTER;
}

function ordered(values) {
  const unique = [...new Map(values.map((v) => [JSON.stringify(v), v])).values()];
  if (unique.every((v) => typeof v === "number")) return unique.sort((a, b) => a - b);
  return unique.sort((a, b) => text(a).localeCompare(text(b), "en", { numeric: true }));
}

/**
 * The points of `trials` for hyperparameter `path`: `{log, decades, categories, groups: {key: {x, y, trials}}}`.
 * `pick(trial)` gives y. `categories` is null for a numeric axis, else the texts at 0, 1, 2, ...
 */
export function series(trials, path, pick, domain, best = null) {
  const points = trials
    .map((trial) => ({ trial, x: configOf(trial)[path], y: pick(trial) }))
    .filter(({ x, y }) => x !== undefined && typeof y === "number" && Number.isFinite(y));
  const values = ordered(points.map((p) => p.x));
  const numeric = values.every((v) => typeof v === "number");
  const categorical = !numeric || (values.length <= MAX_CHOICES && CHOICES.has(domain?.name));
  const log = !categorical && LOG.has(domain?.name) && values.every((v) => v > 0);
  const index = new Map(values.map((v, i) => [JSON.stringify(v), i]));
  const groups = Object.fromEntries(GROUPS.map(({ key }) => [key, { x: [], y: [], trials: [] }]));
  for (const { trial, x, y } of points) {
    const group = groups[groupOf(trial, best)];
    group.x.push(categorical ? index.get(JSON.stringify(x)) + jitter(trial.number) : x);
    group.y.push(y);
    group.trials.push(trial);
  }
  const decades = log && values.length ? Math.log10(values.at(-1) / values[0]) : 0;
  return { log, decades, categories: categorical ? values.map(text) : null, groups };
}

export function traces({ groups }, path, colors) {
  const size = Object.values(groups).reduce((sum, group) => sum + group.x.length, 0) > MANY ? 5 : 7;
  const named = { ...colors, best: colors.series[1] };
  return GROUPS.filter(({ key }) => groups[key].x.length).map(({ key, label, symbol, color }) => ({
    type: "scatter", mode: "markers", name: label, x: groups[key].x, y: groups[key].y,
    customdata: groups[key].trials.map((t) => t.number),
    marker: {
      symbol, color: named[color], size: key === "best" ? 12 : size, opacity: key === "finished" ? 0.8 : 1,
      line: { color: key === "best" ? colors.surface : named[color], width: key === "finished" ? 0 : 1.2 },
    },
    text: groups[key].trials.map((t, i) =>
      `<b>#${t.number}</b>  ${number(groups[key].y[i])}<br>${plain(short(path))} ${plain(text(configOf(t)[path]))}<br>${label}`),
    hovertemplate: "%{text}<extra></extra>",
  }));
}

/** Draw one scatter; `open(number)` when a point is clicked. */
export async function drawParameter(element, data, path, { logY, revision, open }) {
  await draw(
    element,
    (colors) => ({
      data: traces(data, path, colors),
      layout: {
        margin: { l: 44, r: 8, t: 6, b: 36 },
        xaxis: axis(colors, {
          title: path,
          ...(data.log ? { type: "log", dtick: data.decades > 1 ? 1 : undefined, exponentformat: "power" } : {}),
          ...(data.categories
            ? { tickvals: data.categories.map((_, i) => i), ticktext: data.categories.map(plain), range: [-0.5, data.categories.length - 0.5] }
            : {}),
        }),
        yaxis: axis(colors, { type: logY ? "log" : "linear" }),
      },
    }),
    revision,
  );
  openOnClick(element, open);
}
