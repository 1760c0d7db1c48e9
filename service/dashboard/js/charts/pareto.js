/* Two objectives of all trials, and the front: those that no other trial beats in every objective. */

import { number, short } from "../format.js";
import { axis, draw, openOnClick, plain } from "./plotly.js";

/** The points to draw: `{others, front}` of `{trial, x, y}` each, the front from left to right. */
export function series(trials, members, [xName, yName]) {
  const groups = { others: [], front: [] };
  for (const trial of trials) {
    const [x, y] = [trial.last?.[xName], trial.last?.[yName]];
    if (typeof x !== "number" || typeof y !== "number") continue;
    groups[members.has(trial.number) ? "front" : "others"].push({ trial: trial.number, x, y });
  }
  groups.front.sort((a, b) => a.x - b.x || a.y - b.y);
  return groups;
}

/** Plotly's shape of the line around what the front dominates; null where it has no such line. */
export function outline(modes) {
  if (modes.length !== 2) return null; // a front of three objectives is no line in two
  // From left to right: where more of x is better, the front holds until its own x.
  return modes[0] === "max" ? "vh" : "hv";
}

export function traces({ others, front }, names, modes, colors) {
  const dots = (points, label, marker) => ({
    type: "scatter", mode: "markers", name: label, x: points.map((p) => p.x), y: points.map((p) => p.y),
    customdata: points.map((p) => p.trial), marker,
    text: points.map((p) => `<b>#${p.trial}</b> ${label}<br>${plain(short(names[0]))} ${number(p.x)}<br>${plain(short(names[1]))} ${number(p.y)}`),
    hovertemplate: "%{text}<extra></extra>",
  });
  const shape = outline(modes);
  const line = {
    type: "scatter", mode: "lines", hoverinfo: "skip", name: "outline", x: front.map((p) => p.x), y: front.map((p) => p.y),
    line: { color: colors.series[1], width: 1.5, shape: shape ?? "linear" },
  };
  return [
    dots(others, "beaten", { symbol: "circle-open", color: colors.muted, size: others.length > 300 ? 5 : 7 }),
    ...(shape && front.length > 1 ? [line] : []),
    dots(front, "on the front", { symbol: "diamond", color: colors.series[1], size: 10, line: { color: colors.surface, width: 1 } }),
  ];
}

/** Draw two of the objectives (`{name: mode}`); `open(number)` when a point is clicked. */
export async function drawPareto(element, trials, members, names, objectives, { revision, open }) {
  const modes = Object.values(objectives).length === 2 ? names.map((name) => objectives[name]) : [];
  await draw(
    element,
    (colors) => ({
      data: traces(series(trials, members, names), names, modes, colors),
      layout: {
        xaxis: axis(colors, { title: `${names[0]} (${objectives[names[0]]})` }),
        yaxis: axis(colors, { title: `${names[1]} (${objectives[names[1]]})` }),
      },
    }),
    revision,
  );
  openOnClick(element, open);
}
