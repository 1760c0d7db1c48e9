/* Learning curves: one line a trial, the mean over its seeds, in a band from their lowest to highest. */

import { number } from "../format.js";
import { axis, draw, faded, plain } from "./plotly.js";

const DASHES = ["solid", "dash", "dot", "dashdot"];
export const MAX_BANDS = 5; // more of them hide each other
export const X_TITLES = { steps: "environment steps", iteration: "iteration", time: "time (s)" };

/** Exponential moving average without the pull towards zero at the start; gaps stay gaps. */
export function smooth(values, weight) {
  if (!weight) return values;
  let sum = 0;
  let total = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

/** `y` at `x` on the line through `points` ([x, y], ascending), the ends continued flat. */
export function interpolate(points, x) {
  if (!points.length) return null;
  const at = points.findIndex(([px]) => px >= x);
  if (at < 0) return points.at(-1)[1];
  if (at === 0 || points[at][0] === x) return points[at][1];
  const [[x0, y0], [x1, y1]] = [points[at - 1], points[at]];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

function spread(point) {
  const values = (point.replicas ?? []).filter((v) => typeof v === "number");
  if (values.length < 2) return { mean: point.value, low: point.value, high: point.value, many: false };
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return { mean, low: Math.min(...values), high: Math.max(...values), many: true };
}

/**
 * What to draw of `curves` ([{trial, points}]): `{trial, x, y, low, high}` each; `low` and `high` are
 * null where no point has several replicas. `x`: steps, iteration, or time by `times` ({trial: points}).
 */
export function series(curves, { x = "steps", smoothing = 0, times = {} } = {}) {
  return curves.map(({ trial, points }) => {
    const clock = (times[trial] ?? []).filter((p) => typeof p.value === "number").map((p) => [p.iteration, p.value]);
    const spreads = points.map(spread);
    const banded = spreads.some((s) => s.many);
    const smoothed = (key) => smooth(spreads.map((s) => s[key]), smoothing);
    return {
      trial,
      x: points.map((p) => (x === "time" ? interpolate(clock, p.iteration) : p[x])),
      y: smoothed("mean"),
      low: banded ? smoothed("low") : null,
      high: banded ? smoothed("high") : null,
    };
  });
}

function band(line, color) {
  // A band is one closed outline; a gap in the values would tear it, so gaps are left out.
  const at = line.x.map((_, i) => i).filter((i) => line.low[i] !== null && line.high[i] !== null);
  const back = [...at].reverse();
  return {
    type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", fill: "toself",
    fillcolor: color, x: [...at, ...back].map((i) => line.x[i]),
    y: [...at.map((i) => line.high[i]), ...back.map((i) => line.low[i])],
  };
}

/** Plotly's traces; the first line is on top. `slots`: {trial: n}, so that a trial keeps its colour. */
export function traces(lines, colors, { slots = {}, bands = true, logY = false } = {}) {
  const under = [];
  const over = [];
  lines.forEach((line, index) => {
    const slot = slots[line.trial] ?? index;
    const color = colors.series[slot % colors.series.length];
    const dash = DASHES[Math.floor(slot / colors.series.length) % DASHES.length];
    const usable = bands && index < MAX_BANDS && line.low && !(logY && line.low.some((v) => v !== null && v <= 0));
    if (usable) under.unshift(band(line, faded(color, 0.13)));
    over.unshift({
      type: "scatter", mode: line.x.length === 1 ? "markers" : "lines", name: `#${line.trial}`,
      x: line.x, y: line.y, line: { color, dash, width: index === 0 ? 2.5 : 1.5 }, marker: { color, size: 6 },
      connectgaps: false, text: line.x.map((_, i) => hover(line, i)), hovertemplate: "%{text}<extra></extra>",
    });
  });
  return [...under, ...over];
}

function hover(line, i) {
  const range = line.low ? `<br>seeds ${number(line.low[i])} … ${number(line.high[i])}` : "";
  return `<b>#${line.trial}</b>  ${number(line.y[i])}${range}<br>at ${number(line.x[i])}`;
}

/** Draw lines in `element`. */
export function drawCurves(element, lines, { x, metric, logY, bands, slots, revision }) {
  return draw(
    element,
    (colors) => ({
      data: traces(lines, colors, { bands, logY, slots }),
      layout: {
        xaxis: axis(colors, { title: X_TITLES[x], visible: lines.length > 0 }),
        yaxis: axis(colors, { title: plainEnd(metric), type: logY ? "log" : "linear", visible: lines.length > 0 }),
      },
    }),
    revision,
  );
}

function plainEnd(metric) {
  return (metric ?? "").split("/").slice(-2).join("/");
}

/** One thin line a replica beside their mean; for a trial's own page. */
export function drawReplicas(element, points, seeds, { metric, logY, revision }) {
  return draw(
    element,
    (colors) => ({
      data: replicaTraces(points, seeds, colors),
      layout: {
        xaxis: axis(colors, { title: X_TITLES.steps }),
        yaxis: axis(colors, { title: plainEnd(metric), type: logY ? "log" : "linear" }),
        showlegend: seeds.length > 1,
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { color: colors.muted } },
      },
    }),
    revision,
  );
}

export function replicaTraces(points, seeds, colors) {
  const x = points.map((p) => p.steps);
  const [mean] = series([{ trial: 0, points }]);
  const line = (name, y, color, width) => ({
    type: "scatter", mode: x.length === 1 ? "markers" : "lines", name: plain(name), x, y, line: { color, width },
    text: y.map((v, i) => `<b>${plain(name)}</b>  ${number(v)}<br>at ${number(x[i])}`),
    hovertemplate: "%{text}<extra></extra>", marker: { color },
  });
  if (seeds.length < 2) return [line("value", mean.y, colors.series[0], 2)];
  const each = seeds.map((seed, i) =>
    line(`seed ${seed}`, points.map((p) => p.replicas?.[i] ?? null), colors.series[(i + 1) % 8], 1));
  return [...each, line("mean", mean.y, colors.series[0], 2.5)];
}
