/* The best objective so far against the budget: of a sweep, and of random search beside it. */

import { compact, number } from "../format.js";
import { axis, draw, faded, plain } from "./plotly.js";

const DASHES = ["dash", "dot", "dashdot"];

/** `{x, y, low, high, text}` of one experiment's improvements, held until all was spent. */
export function series({ improvements, spent }) {
  const points = improvements.map((p) => ({ ...p, x: p.spent }));
  if (points.length) points.push({ ...points.at(-1), x: Math.max(spent, points.at(-1).spent) });
  const banded = points.some((p) => typeof p.low === "number");
  return {
    x: points.map((p) => p.x), y: points.map((p) => p.value),
    low: banded ? points.map((p) => p.low ?? p.value) : null, high: banded ? points.map((p) => p.high ?? p.value) : null,
    text: points.map((p) => {
      const interval = typeof p.low === "number" ? `<br>95 % over seeds ${number(p.low)} … ${number(p.high)}` : "";
      return `#${p.trial} at iteration ${p.iteration}${interval}<br>after ${compact(p.x)}`;
    }),
  };
}

/** Corners of a staircase through `xs` with the heights `ys`. */
export function stairs(xs, ys) {
  const corners = { x: [], y: [] };
  xs.forEach((x, i) => {
    if (i) {
      corners.x.push(x);
      corners.y.push(ys[i - 1]);
    }
    corners.x.push(x);
    corners.y.push(ys[i]);
  });
  return corners;
}

function band({ x, low, high }, color) {
  const [under, over] = [stairs(x, low), stairs(x, high)];
  return {
    type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, fill: "toself", fillcolor: color,
    x: [...over.x, ...under.x.reverse()], y: [...over.y, ...under.y.reverse()],
  };
}

/** Plotly's traces of `runs` ([{name, baseline, data}]); the sweep itself is drawn last, on top. */
export function traces(runs, colors) {
  const under = [];
  const over = [];
  let baselines = 0;
  for (const { name, baseline, data } of runs) {
    const line = series(data);
    const color = baseline ? colors.muted : colors.series[0];
    if (line.low) under.push(band(line, faded(color, 0.15)));
    over.push({
      type: "scatter", mode: line.x.length > 1 ? "lines" : "markers", name: plain(name), x: line.x, y: line.y,
      line: { color, width: 2, shape: "hv", dash: baseline ? DASHES[baselines % DASHES.length] : "solid" }, marker: { color },
      text: line.text.map((text, i) => `<b>${plain(name)}</b>  ${number(line.y[i])}<br>${text}`), hovertemplate: "%{text}<extra></extra>",
    });
    if (baseline) baselines += 1;
  }
  return [...under, ...over];
}

/** Draw `runs`, the sweep last. */
export function drawIncumbent(element, runs, { metric, unit, revision }) {
  return draw(
    element,
    (colors) => ({
      data: traces(runs, colors),
      layout: {
        showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { color: colors.muted } },
        xaxis: axis(colors, { title: unit === "steps" ? "environment steps of all trials and seeds" : "iterations of all trials", rangemode: "tozero" }),
        yaxis: axis(colors, { title: `best ${metric} so far` }),
      },
    }),
    revision,
  );
}
