/* Numbers with their uncertainty, one row each: importances as bars, confirmed leaders as points. */

import { number } from "../format.js";
import { axis, draw, plain } from "./plotly.js";

const ROW = 26;

function reach(rows) {
  const side = (row, end, sign) => (typeof row[end] === "number" && typeof row.value === "number" ? sign * (row[end] - row.value) : 0);
  return {
    type: "data", symmetric: false, array: rows.map((r) => Math.max(0, side(r, "high", 1))),
    arrayminus: rows.map((r) => Math.max(0, side(r, "low", -1))),
  };
}

const interval = (row) => (typeof row.low === "number" ? `<br>95 % ${number(row.low)} … ${number(row.high)}` : "");

/** Traces of importances ([{parameter, importance, low, high}], the greatest first). */
export function bars(entries, colors) {
  const rows = entries.map((e) => ({ ...e, value: e.importance })).reverse();
  return [{
    type: "bar", orientation: "h", x: rows.map((r) => r.value), y: rows.map((_, i) => i), marker: { color: colors.series[0], opacity: 0.75 },
    error_x: { ...reach(rows), color: colors.text, thickness: 1.2, width: 4 },
    text: rows.map((r) => `<b>${plain(r.parameter)}</b>  ${number(r.value, 3)}${interval(r)}`), textposition: "none", hovertemplate: "%{text}<extra></extra>",
  }];
}

/** Traces of a ranking: the IQM on fresh seeds with its interval, and what tuning had promised. */
export function points(leaders, colors) {
  const rows = leaders.map((l) => ({ ...l, value: l.iqm })).reverse();
  const at = rows.map((_, i) => i);
  return [
    {
      type: "scatter", mode: "markers", name: "while tuning", x: rows.map((r) => r.tuned), y: at,
      marker: { symbol: "diamond-open", color: colors.muted, size: 9, line: { width: 1.5 } },
      text: rows.map((r) => `<b>#${r.trial}</b> while tuning ${number(r.tuned)}`), hovertemplate: "%{text}<extra></extra>",
    },
    {
      type: "scatter", mode: "markers", name: "IQM on fresh seeds, 95 %", x: rows.map((r) => r.value), y: at,
      marker: { symbol: "circle", color: colors.series[0], size: 9 }, error_x: { ...reach(rows), color: colors.series[0], thickness: 1.6, width: 5 },
      text: rows.map((r) => `<b>#${r.trial}</b> on fresh seeds ${number(r.value)}${interval(r)}`), hovertemplate: "%{text}<extra></extra>",
    },
  ];
}

function rowsLayout(colors, labels, x) {
  return {
    xaxis: axis(colors, x),
    yaxis: axis(colors, { tickvals: labels.map((_, i) => i), ticktext: labels.map(plain), range: [-0.6, labels.length - 0.4], showgrid: false, fixedrange: true }),
  };
}

const height = (element, rows, more) => {
  element.style.height = `${more + ROW * Math.max(rows, 2)}px`;
};

export function drawImportance(element, entries, revision) {
  height(element, entries.length, 60);
  const labels = entries.map((e) => e.parameter).reverse();
  return draw(element, (colors) => ({
    data: bars(entries, colors), layout: { ...rowsLayout(colors, labels, { title: "share of what differs between trials", range: [0, 1.02] }), bargap: 0.35 },
  }), revision);
}

export function drawRanking(element, leaders, { metric, revision }) {
  height(element, leaders.length, 96);
  const labels = leaders.map((l) => `${l.rank}.  #${l.trial}`).reverse();
  return draw(element, (colors) => ({
    data: points(leaders, colors),
    layout: {
      ...rowsLayout(colors, labels, { title: metric }), showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { color: colors.muted }, traceorder: "reversed" },
    },
  }), revision);
}
