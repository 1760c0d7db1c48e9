/* Who copied whom: each trial a line over its iterations, each exploit a step from source to target. */

import { number, short, value } from "../format.js";
import { axis, draw, plain } from "./plotly.js";

/** Mutations as text: `lr 1e-3 → 8e-4`. */
export function mutationText(mutations) {
  const parts = Object.entries(mutations).map(([path, [before, after]]) => `${short(path)} ${value(before)} → ${value(after)}`);
  return parts.join(", ") || "nothing changed";
}

/** Iterations, lines and marks to draw; `trials` in the order of their rows, from the bottom. */
export function series(trials, exploits) {
  const row = new Map(trials.map((trial, i) => [trial.number, i]));
  const lives = { x: [], y: [] };
  for (const trial of trials) {
    lives.x.push(0, trial.iteration, null);
    lives.y.push(row.get(trial.number), row.get(trial.number), null);
  }
  const copies = { x: [], y: [] };
  const marks = { x: [], y: [], text: [], trials: [] };
  for (const exploit of exploits) {
    const [from, to] = [row.get(exploit.source), row.get(exploit.target)];
    if (from === undefined || to === undefined) continue;
    copies.x.push(exploit.source_iteration, exploit.iteration, null);
    copies.y.push(from, to, null);
    marks.x.push(exploit.iteration);
    marks.y.push(to);
    marks.trials.push(exploit.target);
    const how = exploit.source === exploit.target ? "went on by itself" : `took over from #${exploit.source}`;
    marks.text.push(`<b>#${exploit.target}</b> ${how} at ${number(exploit.iteration)}<br>${plain(mutationText(exploit.mutations))}`);
  }
  return { lives, copies, marks };
}

export function drawLineage(element, trials, exploits, { revision }) {
  element.style.height = `${Math.min(640, 80 + 18 * Math.max(4, trials.length))}px`;
  const { lives, copies, marks } = series(trials, exploits);
  const every = Math.ceil(trials.length / 30);
  const labelled = trials.map((_, i) => i).filter((i) => (trials.length - 1 - i) % every === 0);
  return draw(
    element,
    (colors) => ({
      data: [
        { type: "scatter", mode: "lines", hoverinfo: "skip", ...lives, line: { color: colors.grid, width: 3 } },
        { type: "scatter", mode: "lines", hoverinfo: "skip", ...copies, line: { color: colors.series[0], width: 1 }, opacity: 0.55 },
        {
          type: "scatter", mode: "markers", x: marks.x, y: marks.y, text: marks.text, customdata: marks.trials,
          marker: { color: colors.series[1], size: 6 }, hovertemplate: "%{text}<extra></extra>",
        },
      ],
      layout: {
        xaxis: axis(colors, { title: "iteration", rangemode: "tozero" }),
        yaxis: axis(colors, {
          title: "trial, the best on top", tickvals: labelled, ticktext: labelled.map((i) => `#${trials[i].number}`), range: [-0.8, trials.length - 0.2], showgrid: false,
        }),
      },
    }),
    revision,
  );
}

/** One hyperparameter over the iterations behind a trial's state: `[{iteration, value}]`, up to `until`. */
export function schedule(settings, pick, until) {
  const points = settings.map(({ iteration, config }) => ({ x: iteration, y: pick(config) })).filter((p) => p.y !== undefined);
  if (points.length) points.push({ x: Math.max(until, points.at(-1).x), y: points.at(-1).y });
  return points;
}

export function drawSchedule(element, points, path, { log, revision }) {
  const numeric = points.every((p) => typeof p.y === "number");
  return draw(
    element,
    (colors) => ({
      data: [{
        type: "scatter", mode: "lines+markers", x: points.map((p) => p.x), y: points.map((p) => (numeric ? p.y : value(p.y))),
        line: { shape: "hv", color: colors.series[0], width: 2 }, marker: { color: colors.series[0], size: 5 },
        text: points.map((p) => `<b>${plain(value(p.y))}</b> from ${number(p.x)}`), hovertemplate: "%{text}<extra></extra>",
      }],
      layout: {
        xaxis: axis(colors, { title: "iterations behind its state", rangemode: "tozero" }),
        yaxis: axis(colors, { title: short(path), type: !numeric ? "category" : log && points.every((p) => p.y > 0) ? "log" : "linear" }),
      },
    }),
    revision,
  );
}
