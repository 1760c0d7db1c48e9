/* How much each hyperparameter mattered, with how sure that is. */

import * as api from "../api.js";
import { drawImportance } from "../charts/intervals.js";
import { purge } from "../charts/plotly.js";
import { h, select, setText } from "../dom.js";
import { Fetched } from "../fetched.js";
import { short } from "../format.js";
import * as router from "../router.js";
import { ended } from "../trials.js";

const EVALUATORS = [["ped-anova", "PED-ANOVA"], ["fanova", "fANOVA"]];
const MOST = 15;
const PACE_MS = 20000; // it is computed anew each time
const RETRY_MS = 5000;

export function importancePart({ onChange }) {
  const evaluator = select("Method", EVALUATORS, router.get("imp", "ped-anova"), (value) => {
    router.set({ imp: value === "ped-anova" ? null : value });
    onChange();
  });
  const chart = h("div", { class: "chart", role: "img", "aria-label": "Importance of hyperparameters, with 95 % intervals" });
  const note = h("p", { class: "muted note", role: "status" });
  const element = h("div", { class: "importance" },
    h("div", { class: "bar" }, h("h2", {}, "Importance"), h("span", { class: "grow" }), evaluator.label), chart, note);
  let sources = new Map(); // metric and evaluator -> Fetched
  let drawn = "";
  let closed = false;

  /** Does not wait for the answer, which may take its time: the page goes on meanwhile. */
  function update(model) {
    const metric = router.get("metric", model.objective ?? "");
    const method = EVALUATORS.some(([key]) => key === router.get("imp")) ? router.get("imp") : "ped-anova";
    evaluator.element.value = method;
    // The few configurations of a confirmation tell nothing about hyperparameters.
    element.hidden = !metric || !model.hyperparameters.length || model.experiment.origin?.kind === "confirm";
    if (element.hidden) return;
    const name = JSON.stringify([method, metric]);
    if (!sources.has(name)) sources.set(name, new Fetched(() => api.getImportance(model.id, { metric, evaluator: method }), PACE_MS));
    const source = sources.get(name);
    const done = model.trials.filter((t) => t.status === "TERMINATED").length;
    const shown = () => evaluator.element.value === method && !closed && show(source, name, metric, done);
    shown();
    if (!source.busy) source.update(done, ended(model.experiment)).then(shown, retry);
  }

  function retry(error) {
    setText(note, `Not computed: ${error.message}. Trying again …`);
    setTimeout(() => closed || !element.isConnected || onChange(), RETRY_MS);
  }

  function show(source, name, metric, done) {
    const entries = (source.data ?? []).slice(0, MOST);
    chart.hidden = !entries.length;
    setText(note, source.error || (source.waiting ? "Computing …" : remark(metric, source.data, done)));
    const stamp = JSON.stringify([name, entries]);
    if (!entries.length || (stamp === drawn && chart.isConnected && chart.data)) return;
    drawn = stamp;
    drawImportance(chart, entries, name).catch((error) => setText(note, error.message));
  }

  return {
    element, update,
    close() {
      closed = true;
      sources = new Map();
      purge(chart);
    },
  };
}

function remark(metric, entries, done) {
  if (!entries.length) return "No hyperparameter was searched.";
  const more = entries.length > MOST ? ` The greatest ${MOST} of ${entries.length}.` : "";
  return `Shares of what makes ${short(metric)} differ between the ${done.toLocaleString("en-US")} finished trials (those stopped early with what they had reached); whiskers: 95 % by bootstrap over trials. Wide ones mean that the trials do not tell.${more}`;
}
