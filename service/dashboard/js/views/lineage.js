/* Population-based training: who took over from whom, when, and with which mutation. */

import * as api from "../api.js";
import { drawLineage, mutationText } from "../charts/lineage.js";
import { purge } from "../charts/plotly.js";
import { h, setText } from "../dom.js";
import { Fetched } from "../fetched.js";
import { number, time } from "../format.js";
import * as router from "../router.js";
import { table } from "../table.js";
import { ended, ranked } from "../trials.js";

const MOST_ROWS = 200;

export function lineagePart() {
  const chart = h("div", { class: "chart", role: "img", "aria-label": "Who took over from whom" });
  const note = h("p", { class: "muted note", role: "status" }, "Loading …");
  let page = 0;
  let latest = null;
  const log = table({
    caption: "Exploits", key: (row) => row.key, onSort: () => {},
    onPage: (to) => {
      page = to;
      list(latest);
    },
  });
  const element = h("div", {}, h("h2", {}, "Who took over from whom"), chart, note, log.element);
  let source = null;
  let drawn = "";

  async function update(model) {
    latest = model;
    source ??= new Fetched(() => api.getPolicy(model.id));
    await source.update(model.version, ended(model.experiment));
    const exploits = source.data ?? [];
    setText(note, source.error || remark(model, exploits));
    chart.hidden = log.element.hidden = !exploits.length;
    list(model);
    const stamp = JSON.stringify([exploits.length, model.version]);
    if (!exploits.length || (stamp === drawn && chart.isConnected && chart.data)) return;
    drawn = stamp;
    drawLineage(chart, rows(model, exploits), exploits, { revision: model.id }).catch((error) => setText(note, error.message));
  }

  function list(model) {
    const exploits = (source.data ?? []).map((exploit, key) => ({ ...exploit, key })).reverse();
    log.update({ columns: columns(model), rows: exploits, page });
  }

  return { element, update, close: () => purge(chart) };
}

/** Trials from the worst to the best; of very many only those that took part. */
function rows(model, exploits) {
  const best = ranked(model.trials, model.mode);
  const judged = new Set(best);
  const all = [...best, ...model.trials.filter((t) => !judged.has(t))].reverse();
  if (all.length <= MOST_ROWS) return all;
  const took = new Set(exploits.flatMap((e) => [e.source, e.target]));
  return all.filter((t) => took.has(t.number)).slice(-MOST_ROWS);
}

function remark(model, exploits) {
  if (!exploits.length) return ended(model.experiment) ? "No trial took over from another one." : "No trial has taken over from another one yet.";
  const sources = new Set(exploits.filter((e) => e.source !== e.target).map((e) => e.source));
  const many = model.trials.length > MOST_ROWS ? ` Drawn: at most ${MOST_ROWS} trials that took part.` : "";
  return `${exploits.length.toLocaleString("en-US")} exploits, from ${sources.size} different trials. A line leads from the source to the trial that went on with its state.${many}`;
}

function columns(model) {
  const trial = (name) => (td, row) => {
    const link = td.firstElementChild ?? td.appendChild(h("a"));
    link.href = router.link(model.id, row[name]);
    setText(link, `#${row[name]}`);
  };
  return [
    { key: "created_at", label: "When", text: (row) => time(row.created_at) },
    { key: "target", label: "Trial", numeric: true, draw: trial("target") },
    { key: "iteration", label: "at iteration", numeric: true, text: (row) => number(row.iteration) },
    { key: "source", label: "took over from", numeric: true, draw: trial("source") },
    { key: "source_iteration", label: "as it was at", numeric: true, text: (row) => number(row.source_iteration) },
    { key: "mutations", label: "Mutation of the source's settings", class: "wraps", text: (row) => mutationText(row.mutations) },
  ].map((column) => ({ ...column, sortable: false }));
}
