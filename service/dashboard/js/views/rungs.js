/* Early stopping: brackets and rungs where the scheduler has them, and why it stopped whom. */

import * as api from "../api.js";
import { fill, h, setText } from "../dom.js";
import { Fetched } from "../fetched.js";
import { NONE, compact, number, short } from "../format.js";
import * as router from "../router.js";
import { table } from "../table.js";
import { ended } from "../trials.js";

export function rungsPart() {
  const note = h("p", { class: "muted note", role: "status" }, "Loading …");
  const brackets = h("div", { class: "brackets" });
  const title = h("h2", {}, "Stopped, and why");
  let page = 0;
  let latest = null;
  const stopped = table({
    caption: "Stopped trials", key: (row) => row.trial, onSort: () => {},
    onPage: (to) => {
      page = to;
      list(latest);
    },
  });
  const element = h("div", {}, h("h2", {}, "Rungs"), note, brackets, h("div", { class: "bar spaced" }, title), stopped.element);
  let source = null;

  async function update(model) {
    latest = model;
    source ??= new Fetched(() => api.getRungs(model.id));
    await source.update(model.version, ended(model.experiment));
    const found = source.data;
    setText(note, source.error || remark(found, model));
    const stamp = JSON.stringify(found?.brackets ?? []);
    if (brackets.dataset.stamp !== stamp) fill(brackets, (found?.brackets ?? []).map((bracket) => bracketTable(bracket, found.time_attr)));
    brackets.dataset.stamp = stamp;
    title.parentElement.hidden = stopped.element.hidden = !found?.stopped.length;
    list(model);
  }

  function list(model) {
    stopped.update({ columns: columns(model, source.data), rows: [...(source.data?.stopped ?? [])].reverse(), page });
  }

  return { element, update };
}

function remark(found, model) {
  if (!found) return "";
  const early = model.trials.filter((t) => t.status === "TERMINATED" && t.reason === "scheduler").length;
  if (!found.brackets.length) return early ? "This scheduler has no rungs; below is why it stopped whom." : "This scheduler has stopped no trial yet.";
  const told = found.stopped.length;
  const missing = early > told ? ` Of ${early - told} more the reason was not recorded.` : "";
  return `At each rung, in ${short(found.time_attr)}, trials are compared and the worse ones stopped. So far ${told} ${told === 1 ? "was" : "were"} stopped.${missing}`;
}

function bracketTable(bracket, unit) {
  const most = Math.max(1, bracket.trials);
  const head = ["Rung", "Reached", "Went on / stopped", "Stopped there", "Waiting", "Last needed"];
  return h("section", { class: "card", "aria-label": `Bracket ${bracket.number}` },
    h("h3", {}, `Bracket ${bracket.number} · ${bracket.trials} trials`),
    h("table", {}, h("caption", { class: "hidden" }, `Rungs of bracket ${bracket.number}`),
      h("thead", {}, h("tr", {}, head.map((text, i) => h("th", { scope: "col", class: i === 2 ? "" : "num", title: i === 0 ? unit : undefined }, text)))),
      h("tbody", {}, bracket.rungs.map((rung) => h("tr", {},
        h("th", { scope: "row", class: "num" }, compact(rung.time)), h("td", { class: "num" }, String(rung.reached)),
        h("td", {}, h("div", { class: "counts", role: "presentation" }, h("i", { class: "s-terminated", style: { width: `${(100 * (rung.reached - rung.stopped)) / most}%` } }),
          h("i", { class: "s-paused", style: { width: `${(100 * rung.stopped) / most}%` } }))),
        [String(rung.stopped), rung.waiting ? String(rung.waiting) : NONE, number(rung.needed)].map((text) => h("td", { class: "num" }, text)))))));
}

function columns(model, found) {
  const unit = short(found?.time_attr ?? "");
  return [
    {
      key: "trial", label: "Trial", numeric: true,
      draw: (td, row) => td.firstElementChild ?? td.append(h("a", { href: router.link(model.id, row.trial) }, `#${row.trial}`)),
    },
    ...(found?.brackets.length ? [{ key: "bracket", label: "Bracket", numeric: true, text: (row) => number(row.bracket) }] : []),
    { key: "time", label: "Stopped at", title: unit, numeric: true, text: (row) => number(row.time) },
    { key: "value", label: "It had", title: model.objective, numeric: true, text: (row) => number(row.value) },
    { key: "needed", label: "Needed", title: "what the others had set as the bar, or who judged", numeric: true, text: (row) => row.by ?? number(row.needed) },
    { key: "rivals", label: "Against", numeric: true, text: (row) => `${row.rivals} other${row.rivals === 1 ? "" : "s"}` },
  ].map((column) => ({ ...column, sortable: false }));
}
