import assert from "node:assert/strict";
import test from "node:test";

import { series as best, stairs, traces as lines } from "../../../service/dashboard/js/charts/incumbent.js";
import { bars, points } from "../../../service/dashboard/js/charts/intervals.js";
import { mutationText, schedule, series as lineage } from "../../../service/dashboard/js/charts/lineage.js";
import { outline, series as pareto, traces } from "../../../service/dashboard/js/charts/pareto.js";
import { Fetched } from "../../../service/dashboard/js/fetched.js";

const COLORS = { series: Array(8).fill("#101010"), muted: "#202020", text: "#303030", surface: "#ffffff", grid: "#eeeeee" };

test("the front is sorted and trials without both numbers are left out", () => {
  const trials = [{ number: 0, last: { a: 3, b: 1 } }, { number: 1, last: { a: 1, b: 0 } }, { number: 2, last: { a: 2 } }, { number: 3, last: { a: 2, b: 9 } }];
  const found = pareto(trials, new Set([0, 1]), ["a", "b"]);
  assert.deepEqual(found.front.map((p) => p.trial), [1, 0]);
  assert.deepEqual(found.others.map((p) => p.trial), [3]);
});

test("of three objectives no line is drawn through the front", () => {
  assert.equal(outline(["max", "min", "max"]), null);
  const data = traces({ others: [], front: [{ trial: 0, x: 1, y: 1 }, { trial: 1, x: 2, y: 2 }] }, ["a", "b"], [], COLORS);
  assert.deepEqual(data.map((t) => t.name), ["beaten", "on the front"]);
});

test("the best so far holds until all was spent", () => {
  const run = { spent: 100, improvements: [{ spent: 10, value: 1, trial: 0, iteration: 1, low: null, high: null }, { spent: 40, value: 5, trial: 2, iteration: 2, low: 4, high: 6 }] };
  const line = best(run);
  assert.deepEqual([line.x, line.y], [[10, 40, 100], [1, 5, 5]]);
  assert.deepEqual(line.low, [1, 4, 4]); // where there is no interval the band has no width
  assert.deepEqual(stairs([10, 40], [1, 5]), { x: [10, 40, 40], y: [1, 1, 5] });
  assert.deepEqual(lines([{ name: "random", baseline: true, data: run }, { name: "sweep", baseline: false, data: run }], COLORS)
    .filter((t) => t.name).map((t) => t.line.dash), ["dash", "solid"]);
});

test("whiskers reach to the ends of the interval and never backwards", () => {
  const [bar] = bars([{ parameter: "<b>", importance: 0.6, low: 0.5, high: 0.9 }, { parameter: "x", importance: 0.1, low: 0.2, high: null }], COLORS);
  assert.deepEqual(bar.x, [0.1, 0.6]);
  assert.ok(Math.abs(bar.error_x.array[1] - 0.3) < 1e-9);
  assert.deepEqual([bar.error_x.arrayminus[0], bar.error_x.array[0]], [0, 0]);
  assert.ok(bar.text[1].includes("&lt;b&gt;"));
});

test("a leader without a number has a row and no whisker", () => {
  const [tuned, fresh] = points([{ trial: 4, iqm: 7, low: 6, high: 9, tuned: 8 }, { trial: 1, iqm: null, low: null, high: null, tuned: 9 }], COLORS);
  assert.deepEqual([tuned.x, fresh.x], [[9, 8], [null, 7]]);
  assert.deepEqual(fresh.error_x.array, [0, 2]);
});

test("an exploit leads from the source's row to the target's", () => {
  const exploit = { target: 5, source: 3, iteration: 9, source_iteration: 10, mutations: { "model/lr": [1, 2] } };
  const found = lineage([{ number: 5, iteration: 20 }, { number: 3, iteration: 18 }], [exploit, { ...exploit, source: 77 }]);
  assert.deepEqual(found.copies, { x: [10, 9, null], y: [1, 0, null] });
  assert.deepEqual([found.marks.x, found.marks.y], [[9], [0]]);
  assert.equal(mutationText(exploit.mutations), "lr 1 → 2");
  assert.equal(mutationText({}), "nothing changed");
});

test("a schedule is held until the trial's end", () => {
  const settings = [{ iteration: 0, config: { lr: 1 } }, { iteration: 5, config: { lr: 2 } }];
  assert.deepEqual(schedule(settings, (c) => c.lr, 9), [{ x: 0, y: 1 }, { x: 5, y: 2 }, { x: 9, y: 2 }]);
  assert.deepEqual(schedule([], (c) => c.lr, 9), []);
});

test("what is fetched is fetched once for a key, and not too often while a sweep runs", async () => {
  let reads = 0;
  const fetched = new Fetched(async () => ++reads, 60000);
  await Promise.all([fetched.update(1, false), fetched.update(1, false)]);
  assert.equal(fetched.data, 1);
  await fetched.update(2, false);
  assert.equal(reads, 1);
  await fetched.update(2, true);
  assert.equal(fetched.data, 2);
});

test("an error that stays is told, one that passes is thrown and tried again", async () => {
  let error = Object.assign(new Error("no such thing"), { temporary: false });
  const fetched = new Fetched(async () => {
    throw error;
  });
  await fetched.update(1, true);
  assert.equal(fetched.error, "no such thing");
  error = Object.assign(new Error("away"), { temporary: true });
  await assert.rejects(fetched.update(2, true));
  await assert.rejects(fetched.update(2, true));
});
