/* The best trial: its value, what it says over its seeds, its hyperparameters, its checkpoint. */

import * as api from "../api.js";
import { fill, h, setText } from "../dom.js";
import { compact, number, short, value } from "../format.js";
import { copyButton, facts } from "../parts.js";
import * as router from "../router.js";
import { configOf, python } from "../trials.js";

const SHOWN = ["mean", "iqm", "std", "min", "max"];
const NAMES = { iqm: "IQM" };

export function bestPart() {
  const body = h("div");
  const element = h("section", { class: "panel best", "aria-label": "Best trial" }, h("h2", {}, "Best trial"), body);
  let fetched = "";

  async function update(model) {
    const { best } = model.experiment;
    if (!best) {
      fetched = "";
      fill(body, h("p", { class: "muted" }, model.objective ? "No trial has reported the objective yet." : "This experiment has no objective: no trial is the best."));
      return;
    }
    const record = model.trials.find((t) => t.number === best.trial);
    const stamp = JSON.stringify([best, record?.iteration, model.hyperparameters]);
    if (stamp === fetched) return;
    fetched = stamp;
    try {
      const trial = await api.getBest(model.id);
      if (stamp === fetched) fill(body, card(model, trial));
    } catch (error) {
      fetched = "";
      if (error.temporary) throw error;
      fill(body, h("p", { class: "bad" }, error.message));
    }
  }

  return { element, update };
}

function card(model, trial) {
  const config = configOf(trial);
  const searched = model.hyperparameters.filter((path) => path in config);
  const shown = searched.length ? searched : Object.keys(config);
  const parameters = facts();
  parameters.update(shown.map((path) => [path, value(config[path])]));
  parameters.element.classList.add("stacked");
  return [
    h("p", { class: "value" }, h("strong", {}, number(trial.best_objective ?? trial.objective)), h("span", {}, short(model.objective))),
    h("p", { class: "muted" },
      h("a", { href: router.link(model.id, trial.number) }, `Trial #${trial.number}`),
      ` · best at iteration ${trial.best_iteration ?? trial.iteration} · ${compact(trial.steps)}\u00a0steps`),
    statistics(trial),
    h("h3", {}, "Hyperparameters"),
    parameters.element,
    h("div", { class: "buttons" }, download(model.id), copyButton("Copy as Python config", () => `config = ${python(trial.config)}\n`)),
  ];
}

function statistics(trial) {
  const given = Object.entries(trial.statistics ?? {}).filter(([name, v]) => SHOWN.includes(name) && v !== null);
  if (!given.length || (trial.seeds?.length ?? 1) < 2) return null;
  given.sort(([a], [b]) => SHOWN.indexOf(a) - SHOWN.indexOf(b));
  const list = facts();
  list.update(given.map(([name, v]) => [NAMES[name] ?? name, number(v)]));
  const { low, high } = trial.statistics;
  const interval = typeof low === "number" && typeof high === "number" && h("p", { class: "muted" }, `IQM lies in ${number(low)} … ${number(high)} (bootstrap)`);
  return [h("h3", {}, `Over ${trial.seeds.length} seeds`), list.element, interval];
}

function download(id) {
  const message = h("p", { class: "bad", role: "alert", hidden: true });
  const button = h("button", {
    type: "button", class: "primary",
    onclick: async () => {
      button.disabled = true;
      message.hidden = true;
      try {
        await api.downloadBestCheckpoint(id);
      } catch (error) {
        message.hidden = false;
        setText(message, error.message);
      }
      button.disabled = false;
    },
  }, "Download best checkpoint");
  return [button, message];
}
