import assert from "node:assert/strict";
import { test } from "node:test";
import * as curves from "../../../service/dashboard/js/charts/curves.js";
import * as parameters from "../../../service/dashboard/js/charts/parameters.js";
import { plain } from "../../../service/dashboard/js/charts/plotly.js";
import { assign } from "../../../service/dashboard/js/views/curves.js";

const point = (iteration, value, replicas = []) => ({ iteration, steps: iteration * 100, value, replicas });
const COLORS = { series: Array.from({ length: 8 }, (_, i) => `#00000${i}`), muted: "#111111", bad: "#222222", accent: "#333333", surface: "#ffffff" };

test("a line is the mean of the seeds, its band their lowest and highest", () => {
  const [line] = curves.series([{ trial: 3, points: [point(1, 99, [1, 2, 6]), point(2, 99, [4, null, 8])] }]);
  assert.deepEqual(line, { trial: 3, x: [100, 200], y: [3, 6], low: [1, 4], high: [6, 8] });
});

test("without several seeds there is no band, and gaps stay gaps", () => {
  const [line] = curves.series([{ trial: 0, points: [point(1, 5), point(2, null), point(3, 7, [7])] }], { x: "iteration", smoothing: 0.5 });
  assert.deepEqual(line.x, [1, 2, 3]);
  assert.equal(line.low, null);
  assert.equal(line.y[1], null);
});

test("smoothing starts at the first value and weighs as an exponential average", () => {
  assert.deepEqual(curves.smooth([4, 4, 4], 0.9).map((v) => Math.round(v * 1e9) / 1e9), [4, 4, 4]);
  const [, second] = curves.smooth([0, 3], 0.5);
  assert.equal(second, 2);
  assert.deepEqual(curves.smooth([1, 9], 0), [1, 9]);
});

test("time is read off the trial's own clock between its points", () => {
  const times = { 0: [point(1, 10), point(3, 30)] };
  const [line] = curves.series([{ trial: 0, points: [point(1, 0), point(2, 0), point(4, 0)] }], { x: "time", times });
  assert.deepEqual(line.x, [10, 20, 30]);
});

test("a trial keeps its colour while others come and go", () => {
  const slots = new Map();
  assign(slots, [7, 8, 9]);
  assign(slots, [9, 5, 8]);
  assert.deepEqual(Object.fromEntries(slots), { 8: 1, 9: 2, 5: 0 });
});

test("the ninth line differs from the first by its dash, and few bands are drawn", () => {
  const points = [point(1, 1, [0, 2]), point(2, 1, [0, 2])];
  const made = curves.traces(curves.series(Array.from({ length: 9 }, (_, trial) => ({ trial, points }))), COLORS);
  const lines = made.filter((trace) => trace.name);
  const [first, ninth] = [lines.find((l) => l.name === "#0"), lines.find((l) => l.name === "#8")];
  assert.equal(first.line.color, ninth.line.color);
  assert.notEqual(first.line.dash, ninth.line.dash);
  assert.equal(made.length - lines.length, curves.MAX_BANDS);
});

test("a replica's page has a line a seed and the mean", () => {
  const names = curves.replicaTraces([point(1, 2, [1, 3])], [11, 12], COLORS).map((t) => t.name);
  assert.deepEqual(names, ["seed 11", "seed 12", "mean"]);
});

const trial = (number, x, status = "TERMINATED", reason = "done") => ({ number, config: { p: x }, status, reason, best_objective: number });
const pick = (t) => t.best_objective;

test("a searched log space has a log axis, another has not", () => {
  const list = [trial(0, 1e-4), trial(1, 1e-2)];
  assert.equal(parameters.series(list, "p", pick, { name: "loguniform" }).log, true);
  assert.equal(parameters.series(list, "p", pick, { name: "uniform" }).log, false);
  assert.equal(parameters.series([trial(0, 0)], "p", pick, { name: "loguniform" }).log, false);
});

test("choices sit side by side in their order, points beside each other", () => {
  const data = parameters.series([trial(0, 64), trial(1, 8), trial(2, 64)], "p", pick, { name: "choice" });
  assert.deepEqual(data.categories, ["8", "64"]);
  const { x } = data.groups.finished;
  assert.deepEqual(x.map(Math.round), [1, 0, 1]);
  assert.notEqual(x[0], x[2]);
  assert.deepEqual(parameters.series([trial(0, "b"), trial(1, "a")], "p", pick).categories, ["a", "b"]);
});

test("every trial is in the group of how it stands; what has no value is left out", () => {
  const list = [trial(0, 1), trial(1, 2, "TERMINATED", "scheduler"), trial(2, 3, "ERROR"), trial(3, 4, "RUNNING"), trial(4, 5), { ...trial(5, 6), best_objective: null }];
  const { groups } = parameters.series(list, "p", pick, undefined, 4);
  const numbers = Object.fromEntries(Object.entries(groups).map(([key, group]) => [key, group.trials.map((t) => t.number)]));
  assert.deepEqual(numbers, { finished: [0], early: [1], failed: [2], running: [3], best: [4] });
});

test("text for Plotly cannot become markup", () => {
  assert.equal(plain("<b>&lt;</b>"), "&lt;b&gt;&amp;lt;&lt;/b&gt;");
});
