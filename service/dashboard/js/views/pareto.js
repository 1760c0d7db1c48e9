/* Several objectives: a scatter of two of them with the front, and its members as a table. */

import { drawPareto } from "../charts/pareto.js";
import { purge } from "../charts/plotly.js";
import { h, select, setOptions, setText } from "../dom.js";
import { number, short, value } from "../format.js";
import * as router from "../router.js";
import { table } from "../table.js";
import { cell, shortest, sorted } from "../trials.js";

export function paretoPart({ onChange }) {
  const write = (patch) => {
    router.set(patch);
    onChange();
  };
  const x = select("x", [], "", (name) => write({ ox: name }));
  const y = select("y", [], "", (name) => write({ oy: name }));
  const chart = h("div", { class: "chart tall", role: "img", "aria-label": "Objectives of all trials, with the Pareto front" });
  const note = h("p", { class: "muted note", role: "status" });
  const title = h("h3", {}, "On the front");
  const members = table({ caption: "Trials on the Pareto front", key: (t) => t.number, onSort: (key) => write({ fsort: nextOrder(key) }), onPage: () => {} });
  const element = h("div", {}, h("div", { class: "bar" }, h("h2", {}, "Pareto front"), h("span", { class: "grow" }), x.label, y.label), chart, note, title, members.element);
  let drawn = "";

  function update(model) {
    const names = Object.keys(model.objectives);
    const labels = shortest(names);
    const options = names.map((name) => [name, labels(name)]);
    const chosenX = names.includes(router.get("ox")) ? router.get("ox") : names[0];
    const chosenY = names.includes(router.get("oy")) ? router.get("oy") : names.find((name) => name !== chosenX);
    setOptions(x.element, options, chosenX);
    setOptions(y.element, options, chosenY);
    const front = model.front ?? { members: new Set(), error: "" };
    const stamp = JSON.stringify([model.version, chosenX, chosenY, [...front.members]]);
    setText(note, remark(model, front));
    title.hidden = members.element.hidden = !front.members.size;
    const [sort, descending] = order();
    const rows = sorted(model.trials.filter((t) => front.members.has(t.number)), sort, descending);
    members.update({ columns: columns(model, names, labels), rows, sort, descending });
    if (stamp === drawn && chart.isConnected && chart.data) return;
    drawn = stamp;
    drawPareto(chart, model.trials, front.members, [chosenX, chosenY], model.objectives, {
      revision: `${chosenX} ${chosenY}`, open: (trial) => { location.hash = router.link(model.id, trial); },
    }).catch((error) => setText(note, error.message));
  }

  return { element, update, close: () => purge(chart) };
}

function remark(model, front) {
  if (front.error) return front.error;
  if (!model.front) return "Loading …";
  if (!front.members.size) return "No trial has a number for every objective yet.";
  const kept = model.experiment.spec?.searcher?.constraints ? " that keeps the constraints" : "";
  const count = front.members.size;
  return `${count} of ${model.trials.length.toLocaleString("en-US")} trials that no other${kept} beats in every objective at once.`;
}

function order() {
  const text = router.get("fsort", "number");
  return text.startsWith("-") ? [text.slice(1), true] : [text, false];
}

function nextOrder(key) {
  const [sort, descending] = order();
  return sort === key && !descending ? `-${key}` : key;
}

function columns(model, names, labels) {
  const parameter = shortest(model.hyperparameters);
  return [
    {
      key: "number", label: "#", title: "number of the trial", numeric: true,
      draw: (td, t) => td.firstElementChild ?? td.append(h("a", { href: router.link(model.id, t.number), "aria-label": `Trial ${t.number}` }, t.number)),
    },
    ...names.map((name) => ({
      key: `metric:${name}`, label: labels(name), title: `${model.objectives[name]} ${name}`, numeric: true, text: (t) => number(t.last?.[name]),
    })),
    ...model.hyperparameters.map((path) => ({
      key: `hp:${path}`, label: short(parameter(path)) === path ? path : parameter(path), title: `hyperparameter ${path}`, numeric: true, text: (t) => value(cell(t, `hp:${path}`)),
    })),
  ];
}
