/* The head of an experiment's page: what it is, how it stands, and the button that ends it. */

import * as api from "../api.js";
import { fill, h, setText } from "../dom.js";
import { NONE, compact, duration, elapsed, short, time } from "../format.js";
import { TRIAL_STATUSES, confirm, countsBar, facts, pill, progressBar } from "../parts.js";
import { link } from "../router.js";
import { ended } from "../trials.js";

export function headerPart({ onCancel }) {
  const title = h("h1");
  const status = h("span");
  const reason = h("span", { class: "reason" });
  const cancel = h("button", { type: "button", class: "danger-quiet", onclick: ask }, "Cancel");
  const message = h("p", { class: "bad", role: "alert", hidden: true });
  const what = facts();
  const progress = h("div", { class: "progress-row" });
  let experiment = null;
  let objectives = {};
  let drawn = "";

  async function ask() {
    const sure = await confirm("Cancel this experiment?",
      `Running trials of “${experiment.name || experiment.id}” end now. Results and checkpoints so far are kept.`, "Cancel experiment");
    if (!sure) return;
    try {
      await api.cancelExperiment(experiment.id);
      message.hidden = true;
    } catch (error) {
      message.hidden = false;
      setText(message, error.message);
    }
    onCancel();
  }

  function update(model) {
    experiment = model.experiment;
    objectives = model.objectives;
    setText(title, experiment.name || experiment.id);
    pill(experiment.status, status);
    setText(reason, experiment.reason ?? (experiment.request ? `${experiment.request} was asked for` : ""));
    reason.classList.toggle("bad", experiment.status === "ERROR");
    const over = ended(experiment);
    cancel.hidden = over;
    cancel.disabled = experiment.status === "CANCELING" || experiment.request === "cancel";
    const stamp = JSON.stringify([experiment.counts, experiment.starting, experiment.progress, experiment.num_samples]);
    if (stamp !== drawn) fill(progress, progressBar(experiment.progress), countsBar(experiment.counts, experiment.num_samples), legend(experiment));
    drawn = stamp;
    showFacts();
  }

  function showFacts() {
    const seconds = elapsed(experiment.started_at, experiment.ended_at);
    what.update([
      ["Trainable", experiment.trainable ?? NONE],
      ["Environment", experiment.environment ?? NONE],
      [Object.keys(objectives).length > 1 ? "Objectives" : "Objective", Object.entries(objectives).map(([name, mode]) => `${mode} ${short(name)}`).join(", ") || NONE],
      ...origin(experiment),
      ["Seeds per trial", String(experiment.num_seeds ?? 1)],
      ["Environment steps", compact(experiment.steps)],
      ["Steps/s", seconds ? compact(experiment.steps / seconds) : NONE],
      ["Started", time(experiment.started_at)],
      ["Elapsed", duration(seconds)],
    ]);
  }

  const clock = setInterval(() => {
    if (experiment && !ended(experiment) && !document.hidden) showFacts();
  }, 1000);

  const element = h("section", { class: "panel head" },
    h("div", { class: "bar" }, title, status, reason, h("span", { class: "grow" }), cancel), message, what.element, progress);
  return { element, update, close: () => clearInterval(clock) };
}

const ORIGINS = { confirm: "Confirmation of", baseline: "Random baseline of" };

function origin({ origin: made }) {
  if (!made?.experiment) return [];
  return [[ORIGINS[made.kind] ?? "Made from", h("a", { href: link(made.experiment) }, made.experiment)]];
}

function legend(experiment) {
  const sum = Object.values(experiment.counts).reduce((a, b) => a + b, 0);
  const total = Math.max(sum, experiment.num_samples ?? 0);
  const entries = TRIAL_STATUSES.filter((s) => experiment.counts[s])
    .map((s) => h("span", {}, h("i", { class: `s-${s.toLowerCase()}` }), `${experiment.counts[s]} ${s.toLowerCase()}`));
  if (experiment.starting) entries.push(h("span", {}, `${experiment.starting} of them starting, no result yet`));
  return h("div", { class: "legend" }, h("span", {}, `${total.toLocaleString("en-US")} trials`), entries);
}
