/* An experiment's page: polls the experiment, keeps its trials, and hands one model to every part. */

import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { Fetched } from "../fetched.js";
import { crumbs, failure } from "../parts.js";
import { INTERVAL_MS, poll } from "../poll.js";
import * as router from "../router.js";
import { domains, ended, metricNames, population, varying } from "../trials.js";
import { TrialSet } from "../trialset.js";
import { bestPart } from "./best.js";
import { curvesPart } from "./curves.js";
import { evidencePart } from "./evidence.js";
import { eventsPart } from "./events.js";
import { headerPart } from "./header.js";
import { lineagePart } from "./lineage.js";
import { parametersPart } from "./parameters.js";
import { paretoPart } from "./pareto.js";
import { rankingPart } from "./ranking.js";
import { rungsPart } from "./rungs.js";
import { specPart } from "./spec.js";
import { trialsPart } from "./trials.js";


const STOPPING = new Set(["asha", "hyperband", "seed_halving", "median", "optuna_pruner"]);

/** The sections of an experiment: those that have something to say about it. The first is shown. */
export function sections({ experiment, objective, objectives }) {
  const scheduler = experiment.spec?.scheduler?.type;
  return [
    experiment.origin?.kind === "confirm" && ["ranking", "Ranking"],
    ["trials", "Trials"],
    ["parameters", "Hyperparameters"],
    objective && !experiment.origin?.kind && ["evidence", "Evidence"],
    Object.keys(objectives).length > 1 && ["pareto", "Pareto front"],
    population(experiment) && ["lineage", "Lineage"],
    STOPPING.has(scheduler) && ["rungs", "Early stopping"],
    ["events", "Events"],
    ["spec", "Spec"],
  ].filter(Boolean);
}

/** All objectives of an experiment, name to mode, in order. */
function objectivesOf({ metric, mode, spec }) {
  return metric ? { [metric]: mode ?? "max", ...spec?.more_objectives } : {};
}

/** What the parts show: the experiment, its trials, and what follows from them. */
export function describe(experiment, trials, version) {
  const space = domains(experiment.spec?.param_space);
  return {
    id: experiment.id, experiment, trials, version, space,
    objective: experiment.metric, mode: experiment.mode ?? "max", objectives: objectivesOf(experiment), front: null,
    metrics: metricNames(trials, experiment.metric), hyperparameters: varying(trials, space),
  };
}

export function experimentView(root, id) {
  const trials = new TrialSet(id);
  let model = null;
  let stamp = "";
  let version = 0;

  // A part that could not reach the API is shown again by the polling, also after its end.
  const changed = () => model && publish().catch(() => poller.now());
  const header = headerPart({ onCancel: () => poller.now() });
  const best = bestPart();
  const curves = curvesPart({ onChange: changed });
  const parts = {
    ranking: rankingPart(), trials: trialsPart({ onChange: changed }), parameters: parametersPart({ onChange: changed }),
    evidence: evidencePart({ onChange: changed }), pareto: paretoPart({ onChange: changed }), lineage: lineagePart(), rungs: rungsPart(),
    events: eventsPart(), spec: specPart(),
  };
  const front = new Fetched(() => api.getPareto(id));
  const tabs = tabBar(changed);
  const panel = h("section", { id: "tab-panel", class: "panel", role: "tabpanel", tabindex: -1 });
  const page = h("div", { class: "experiment", hidden: true },
    header.element, h("div", { class: "overview" }, best.element, curves.element), tabs.element, panel);
  root.append(h("p", { class: "loading", role: "status" }, "Loading …"), page);
  crumbs([id]);

  async function tick() {
    const experiment = await api.getExperiment(id);
    const now = JSON.stringify(experiment);
    if (now !== stamp) {
      version += 1;
      await trials.refresh(experiment.counts, () => {
        accept(experiment);
        changed();
      });
      stamp = now;
      accept(experiment);
    }
    const more = await publish();
    return ended(experiment) && !more ? null : INTERVAL_MS;
  }

  function accept(experiment) {
    model = describe(experiment, trials.list, version);
    if (page.hidden) {
      page.hidden = false;
      root.firstElementChild.remove();
      crumbs([experiment.name || id]);
    }
  }

  /** Shows the model; resolves to whether a part waits for something that still runs. */
  async function publish() {
    const tab = tabs.update(sections(model));
    await findFront();
    const shown = parts[tab];
    if (panel.firstElementChild !== shown.element) panel.replaceChildren(shown.element);
    panel.setAttribute("aria-labelledby", `tab-${tab}`);
    const found = await Promise.all([header, best, curves, shown].map(async (part) => part.update(model)));
    return found.includes(true);
  }

  /** Of several objectives: which trials are on the front. */
  async function findFront() {
    if (Object.keys(model.objectives).length < 2) return;
    await front.update(model.version, ended(model.experiment));
    model.front = { members: new Set((front.data?.points ?? []).map((p) => p.trial)), error: front.error };
  }

  const poller = poll(tick, (error) => failure(root, error));
  return {
    refresh: changed,
    close() {
      poller.close();
      for (const part of [header, curves, ...Object.values(parts)]) part.close?.();
    },
  };
}

function tabBar(onChange) {
  const element = h("div", { class: "tabs", role: "tablist", "aria-label": "Sections" });
  let tabs = [];
  const current = () => Math.max(0, tabs.findIndex(([key]) => key === router.get("tab")));

  function choose(key) {
    router.set({ tab: key === tabs[0][0] ? null : key });
    onChange();
  }

  function show(wanted) {
    if (JSON.stringify(wanted) === JSON.stringify(tabs)) return;
    tabs = wanted;
    fill(element, tabs.map(([key, label]) =>
      h("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "tab-panel", onclick: () => choose(key) }, label)));
  }

  element.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const to = (current() + step + tabs.length) % tabs.length;
    choose(tabs[to][0]);
    element.children[to].focus();
  });

  return {
    element,
    update(wanted) {
      show(wanted);
      const now = current();
      [...element.children].forEach((button, i) => {
        button.setAttribute("aria-selected", String(i === now));
        button.tabIndex = i === now ? 0 : -1;
      });
      return tabs[now][0];
    },
  };
}
