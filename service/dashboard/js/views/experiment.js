/* An experiment's page: polls the experiment, keeps its trials, and hands one model to every part. */

import * as api from "../api.js";
import { h } from "../dom.js";
import { crumbs, failure } from "../parts.js";
import { INTERVAL_MS, poll } from "../poll.js";
import * as router from "../router.js";
import { domains, ended, metricNames, varying } from "../trials.js";
import { TrialSet } from "../trialset.js";
import { bestPart } from "./best.js";
import { curvesPart } from "./curves.js";
import { eventsPart } from "./events.js";
import { headerPart } from "./header.js";
import { parametersPart } from "./parameters.js";
import { specPart } from "./spec.js";
import { trialsPart } from "./trials.js";

const TABS = [["trials", "Trials"], ["parameters", "Hyperparameters"], ["events", "Events"], ["spec", "Spec"]];

/** What the parts show: the experiment, its trials, and what follows from them. */
export function describe(experiment, trials, version) {
  const space = domains(experiment.spec?.param_space);
  return {
    id: experiment.id, experiment, trials, version, space,
    objective: experiment.metric, mode: experiment.mode ?? "max",
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
    trials: trialsPart({ onChange: changed }), parameters: parametersPart({ onChange: changed }),
    events: eventsPart(), spec: specPart(),
  };
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
    await publish();
    return ended(experiment) ? null : INTERVAL_MS;
  }

  function accept(experiment) {
    model = describe(experiment, trials.list, version);
    if (page.hidden) {
      page.hidden = false;
      root.firstElementChild.remove();
      crumbs([experiment.name || id]);
    }
  }

  function publish() {
    const tab = tabs.update();
    const shown = parts[tab];
    if (panel.firstElementChild !== shown.element) panel.replaceChildren(shown.element);
    panel.setAttribute("aria-labelledby", `tab-${tab}`);
    return Promise.all([header, best, curves, shown].map(async (part) => part.update(model)));
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
  const buttons = TABS.map(([key, label]) =>
    h("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "tab-panel", onclick: () => choose(key) }, label));
  const element = h("div", { class: "tabs", role: "tablist", "aria-label": "Sections" }, buttons);
  const current = () => Math.max(0, TABS.findIndex(([key]) => key === router.get("tab")));

  function choose(key) {
    router.set({ tab: key === TABS[0][0] ? null : key });
    onChange();
  }

  element.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const to = (current() + step + TABS.length) % TABS.length;
    choose(TABS[to][0]);
    buttons[to].focus();
  });

  return {
    element,
    update() {
      const now = current();
      buttons.forEach((button, i) => {
        button.setAttribute("aria-selected", String(i === now));
        button.tabIndex = i === now ? 0 : -1;
      });
      return TABS[now][0];
    },
  };
}
