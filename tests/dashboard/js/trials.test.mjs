import assert from "node:assert/strict";
import { test } from "node:test";
import * as trials from "../../../service/dashboard/js/trials.js";

const trial = (number, config, more = {}) => ({ number, config, status: "TERMINATED", reason: "done", error: null, last: {}, best_objective: null, objective: null, ...more });

test("nested configurations become paths, lists stay values", () => {
  assert.deepEqual(trials.flatten({ a: 1, model: { hiddens: [64, 64], empty: {} } }), { a: 1, "model/hiddens": [64, 64], "model/empty": {} });
});

test("domains are found at their paths, constants are not domains", () => {
  const space = { lr: { loguniform: [1e-5, 1e-2] }, model: { act: { choice: ["tanh"] }, plain: 3 }, fake: { const: { choice: [1] } } };
  assert.deepEqual(Object.keys(trials.domains(space)), ["lr", "model/act"]);
  assert.equal(trials.domains(space).lr.name, "loguniform");
});

test("only what differs or was searched is a hyperparameter column", () => {
  const list = [trial(0, { env: "x", lr: 1, h: [1] }), trial(1, { env: "x", lr: 2, h: [1] })];
  assert.deepEqual(trials.varying(list), ["lr"]);
  assert.deepEqual(trials.varying([list[0]], { lr: {} }), ["lr"]);
});

test("sorting puts what is missing last either way and keeps equals in order", () => {
  const list = [trial(0, {}, { objective: null }), trial(1, {}, { objective: 5 }), trial(2, {}, { objective: 9 }), trial(3, {}, { objective: 5 })];
  const order = (descending) => trials.sorted(list, "objective", descending).map((t) => t.number);
  assert.deepEqual(order(false), [1, 3, 2, 0]);
  assert.deepEqual(order(true), [2, 1, 3, 0]);
});

test("sorting by a hyperparameter compares numbers as numbers and lists by their text", () => {
  const list = [trial(0, { n: 10, h: [64, 64] }), trial(1, { n: 9, h: [8] })];
  assert.deepEqual(trials.sorted(list, "hp:n", false).map((t) => t.number), [1, 0]);
  assert.deepEqual(trials.sorted(list, "hp:h", false).map((t) => t.number), [1, 0]);
});

test("filters take text and comparisons, by the short name too", () => {
  const list = [
    trial(0, { lr: 1e-4, model: { act: "tanh" } }, { objective: 480 }),
    trial(1, { lr: 1e-2, model: { act: "relu" } }, { objective: null, status: "ERROR", error: "ValueError: bad loss" }),
  ];
  const found = (text, status) => trials.filtered(list, text, status).map((t) => t.number);
  assert.deepEqual(found("lr<1e-3"), [0]);
  assert.deepEqual(found("act=relu"), [1]);
  assert.deepEqual(found("objective>=400"), [0]);
  assert.deepEqual(found("bad"), [1]);
  assert.deepEqual(found("tanh lr>1e-3"), []);
  assert.deepEqual(found("", "ERROR"), [1]);
});

test("a configuration as Python", () => {
  const text = trials.python({ lr: 1e-7, on: true, off: false, no: null, name: 'a "b"', h: [64, 64], m: { k: 1 }, e: {} });
  assert.equal(text, '{\n    "lr": 1e-7,\n    "on": True,\n    "off": False,\n    "no": None,\n    "name": "a \\"b\\"",\n    "h": [64, 64],\n    "m": {\n        "k": 1,\n    },\n    "e": {},\n}');
});

test("metrics are the numeric ones, the objective first", () => {
  const list = [trial(0, {}, { last: { b: 1, note: "text", a: null } })];
  assert.deepEqual(trials.metricNames(list, "z"), ["z", "a", "b"]);
});

test("names are short unless two would read alike", () => {
  const label = trials.shortest(["a/x", "b/x", "c/y"]);
  assert.deepEqual(["a/x", "c/y"].map(label), ["a/x", "y"]);
});
