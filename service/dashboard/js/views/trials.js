/* The table of trials: any column sorts, words and comparisons filter, ticks choose curves. */

import { debounced, fill, h, select, setOptions, setText } from "../dom.js";
import { NONE, compact, duration, errorLine, number, reason, short, value } from "../format.js";
import { TRIAL_STATUSES, pill } from "../parts.js";
import * as router from "../router.js";
import { table } from "../table.js";
import { cell, filtered, shortest, sorted } from "../trials.js";
import { MAX_SELECTED, selected, toggle } from "./selection.js";

const DEFAULT_SORT = "number";

export function trialsPart({ onChange }) {
  let page = 0;
  let model = null;
  const write = (patch) => {
    router.set(patch);
    page = 0;
    onChange();
  };
  const filter = h("input", { type: "search", class: "wide", placeholder: "Filter: text, lr<1e-3, objective>=400", value: router.get("q"), "aria-label": "Filter trials" });
  filter.addEventListener("input", debounced(() => write({ q: filter.value })));
  const statuses = [["", "any"], ...TRIAL_STATUSES.map((s) => [s, s.toLowerCase()])];
  const status = select("Status", statuses, router.get("status"), (v) => write({ status: v }));
  const chooser = columnChooser(write);
  const clear = h("button", { type: "button", hidden: true, onclick: () => write({ sel: null }) }, "Clear selection");
  const count = h("span", { class: "muted", role: "status" });
  const trials = table({
    caption: "Trials", key: (t) => t.number,
    mark: (tr, t) => tr.classList.toggle("failed", t.status === "ERROR"),
    onSort: (key) => write(nextOrder(key)),
    onPage: (to) => {
      page = to;
      update(model);
    },
  });
  const element = h("div", {}, h("div", { class: "bar" }, filter, status.label, chooser.element, clear, h("span", { class: "grow" }), count), trials.element);

  function update(now) {
    model = now;
    if (document.activeElement !== filter && filter.value !== router.get("q")) filter.value = router.get("q");
    setOptions(status.element, statuses, router.get("status"));
    const [sort, descending] = order();
    const found = filtered(model.trials, router.get("q"), router.get("status"));
    const rows = sort === "front" ? byFront(found, model.front, descending) : sorted(found, sort, descending);
    trials.update({ columns: columns(model, chooser.update(model), onChange), rows, sort, descending, page });
    clear.hidden = !selected().length;
    const [some, all] = [rows.length, model.trials.length].map((n) => n.toLocaleString("en-US"));
    setText(count, some === all ? `${all} trials` : `${some} of ${all} trials`);
  }

  return { element, update };
}

function byFront(trials, front, descending) {
  const on = (t) => Number(front?.members.has(t.number) ?? false);
  return [...trials].sort((a, b) => (descending ? on(b) - on(a) : on(a) - on(b)) || a.number - b.number);
}

function order() {
  const text = router.get("sort", DEFAULT_SORT);
  return text.startsWith("-") ? [text.slice(1), true] : [text, false];
}

function nextOrder(key) {
  const [sort, descending] = order();
  // What people look for first is the largest value, save in columns of words and settings.
  const first = key === "number" || key === "status" || key === "reason" || key.startsWith("hp:") ? key : `-${key}`;
  const other = descending ? key : `-${key}`;
  const next = sort === key ? other : first;
  return { sort: next === DEFAULT_SORT ? null : next };
}

function columns(model, metrics, onChange) {
  const metric = (name) => ({ key: `metric:${name}`, label: short(name), title: name, numeric: true, text: (t) => number(t.last?.[name]) });
  const objective = model.objective
    ? [
        { key: "best_objective", label: "Best", title: `best ${model.objective}`, numeric: true, text: (t) => number(t.best_objective) },
        { key: "objective", label: "Last", title: `last ${model.objective}`, numeric: true, text: (t) => number(t.objective) },
      ]
    : [];
  const labels = shortest(model.hyperparameters);
  return [
    { key: "select", label: "", title: "Show the curve", sortable: false, class: "tick", draw: (td, t) => tick(td, t, onChange) },
    { key: "number", label: "#", title: "number of the trial", numeric: true, draw: (td, t) => trialLink(td, model.id, t) },
    { key: "status", label: "Status", draw: (td, t) => pill(t.status, td.firstElementChild ?? td.appendChild(h("span"))) },
    { key: "reason", label: "Reason", class: "why", draw: why },
    ...frontColumn(model),
    ...objective,
    ...Object.keys(model.objectives).slice(1).map(metric),
    ...model.hyperparameters.map((path) => ({
      key: `hp:${path}`, label: labels(path), title: `hyperparameter ${path}`, numeric: isNumeric(model, path), text: (t) => value(cell(t, `hp:${path}`)),
    })),
    ...metrics.filter((name) => !(name in model.objectives)).map(metric),
    { key: "iteration", label: "Iter.", title: "training iterations", numeric: true, text: (t) => number(t.iteration) },
    { key: "steps", label: "Steps", title: "environment steps", numeric: true, text: (t) => compact(t.steps) },
    { key: "time_total_s", label: "Time", title: "time in training", numeric: true, text: (t) => duration(t.time_total_s) },
  ];
}

/** Of several objectives: a mark for who is on the Pareto front. */
function frontColumn(model) {
  if (!model.front) return [];
  return [{ key: "front", label: "Front", title: "on the Pareto front", class: "on-front", text: (t) => (model.front.members.has(t.number) ? "◆" : "") }];
}

function isNumeric(model, path) {
  return typeof model.trials.map((t) => cell(t, `hp:${path}`)).find((v) => v !== undefined && v !== null) === "number";
}

function tick(td, trial, onChange) {
  const box = td.firstElementChild ?? td.appendChild(h("input", {
    type: "checkbox", "aria-label": `Show the curve of trial ${trial.number}`,
    onchange: () => {
      if (!toggle(trial.number, box.checked)) box.title = `At most ${MAX_SELECTED} trials can be compared`;
      onChange();
    },
  }));
  box.checked = selected().includes(trial.number);
}

function trialLink(td, id, trial) {
  if (!td.firstElementChild) td.append(h("a", { href: router.link(id, trial.number), "aria-label": `Trial ${trial.number}` }, trial.number));
}

function why(td, trial) {
  const failed = trial.status === "ERROR";
  const text = failed ? errorLine(trial.error) || "failed" : reason(trial.reason);
  setText(td, text || NONE);
  td.classList.toggle("bad", failed);
  td.title = failed ? text : "";
}

function columnChooser(write) {
  const list = h("div", { class: "choices" });
  const find = h("input", { type: "search", placeholder: "Find a metric", "aria-label": "Find a metric", oninput: () => narrow() });
  const element = h("details", { class: "menu" }, h("summary", {}, "Columns"), h("div", { class: "popover" }, find, list));
  const chosen = () => router.get("cols").split(",").filter(Boolean);

  const narrow = () => {
    for (const label of list.children) label.hidden = !label.textContent.includes(find.value);
  };
  document.addEventListener("click", (event) => {
    if (!element.contains(event.target)) element.open = false;
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    element.open = false;
    element.firstElementChild.focus();
  });

  function box(name) {
    const input = h("input", {
      type: "checkbox", value: name,
      onchange: () => {
        const others = chosen().filter((each) => each !== name);
        write({ cols: (input.checked ? [...others, name] : others).join(",") });
      },
    });
    return h("label", {}, input, name);
  }

  function update(model) {
    const names = model.metrics.filter((name) => name !== model.objective);
    const stamp = JSON.stringify(names);
    if (list.dataset.stamp !== stamp) {
      list.dataset.stamp = stamp;
      fill(list, names.length ? names.map(box) : h("p", { class: "muted" }, "No metric has been reported yet."));
      narrow();
    }
    const now = chosen();
    for (const input of list.querySelectorAll("input")) input.checked = now.includes(input.value);
    return now;
  }

  return { element, update };
}
