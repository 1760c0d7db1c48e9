/* A trial's page: its configuration, its seeds and their values, its curve, its error. */

import * as api from "../api.js";
import { drawReplicas } from "../charts/curves.js";
import { drawSchedule, schedule } from "../charts/lineage.js";
import { purge } from "../charts/plotly.js";
import { fill, h, select, setOptions, setText } from "../dom.js";
import { NONE, compact, duration, errorLine, number, reason, short, time, value } from "../format.js";
import { copyButton, crumbs, facts, failure, pill } from "../parts.js";
import { INTERVAL_MS, poll } from "../poll.js";
import * as router from "../router.js";
import { configOf, domains, ended, finished, flatten, metricNames, population, python, shortest } from "../trials.js";
import { EventLog, eventItem } from "./events.js";



export function trialView(root, id, trialNumber) {
  const view = parts();
  const log = new EventLog(id);
  const metric = select("Metric", [], "", (name) => {
    router.set({ metric: name });
    stamp = "";
    poller.now();
  });
  view.controls.append(metric.label);
  root.append(view.element);
  crumbs([id, router.link(id)], [`Trial #${trialNumber}`]);
  let stamp = "";

  async function tick() {
    const [experiment, trial] = await Promise.all([api.getExperiment(id), api.getTrial(id, trialNumber)]);
    const now = JSON.stringify(trial);
    if (now !== stamp) {
      const objective = experiment.metric;
      const names = metricNames([trial], objective);
      const wanted = router.get("metric", names[0] ?? "");
      const shown = names.includes(wanted) ? names : [wanted, ...names];
      const labels = shortest(shown);
      setOptions(metric.element, shown.map((name) => [name, labels(name)]), wanted);
      const [curve, policy] = await Promise.all([wanted ? api.getCurve(id, trialNumber, { metric: wanted, max_points: 500 }) : { points: [] },
        population(experiment) ? api.getTrialPolicy(id, trialNumber) : [], log.read()]);
      stamp = now;
      crumbs([experiment.name || id, router.link(id)], [`Trial #${trialNumber}`]);
      show(view, { id, experiment, trial, points: curve.points, metric: wanted, policy, events: log.items });
    }
    return finished(trial) && ended(experiment) ? null : INTERVAL_MS;
  }

  const poller = poll(tick, (error) => failure(root, error));
  return {
    refresh() {
      stamp = "";
      poller.now();
    },
    close() {
      poller.close();
      purge(view.chart);
      view.charts.forEach((chart) => purge(chart));
    },
  };
}

function parts() {
  const view = {
    title: h("h1"), status: h("span"), reason: h("span", { class: "reason" }), facts: facts(), error: h("section", { class: "panel failure", hidden: true }),
    config: h("div"), seeds: h("div"), chart: h("div", { class: "chart tall", role: "img", "aria-label": "Learning curve" }),
    controls: h("div", { class: "bar" }, h("h2", {}, "Learning curve"), h("span", { class: "grow" })), note: h("p", { class: "muted note" }),
    metrics: h("div"), events: h("ol", { class: "events" }), schedules: h("section", { class: "panel", hidden: true }), charts: new Map(),
  };
  view.element = h("div", { class: "trial" },
    h("section", { class: "panel head" }, h("div", { class: "bar" }, view.title, view.status, view.reason), view.facts.element),
    view.error,
    h("div", { class: "overview" },
      h("section", { class: "panel" }, h("h2", {}, "Configuration"), view.config),
      h("section", { class: "panel curves" }, view.controls, view.chart, view.note)),
    view.schedules,
    h("div", { class: "columns" },
      h("section", { class: "panel" }, h("h2", {}, "Replicas"), view.seeds),
      h("section", { class: "panel" }, h("h2", {}, "Last metrics"), view.metrics),
      h("section", { class: "panel" }, h("h2", {}, "Events"), view.events)));
  return view;
}

function show(view, { id, experiment, trial, points, metric, policy, events }) {
  setText(view.title, `Trial #${trial.number}`);
  pill(trial.status, view.status);
  const verdict = events.findLast((event) => event.kind === "trial.stopped" && event.trial === trial.number);
  setText(view.reason, verdict && trial.reason === "scheduler" ? `${reason(trial.reason)}: ${verdict.message}` : reason(trial.reason));
  view.facts.update([
    ["Best", trial.best_objective === null ? NONE : `${number(trial.best_objective)} at iteration ${trial.best_iteration}`],
    ["Last", number(trial.objective)], ["Iterations", number(trial.iteration)], ["Environment steps", compact(trial.steps)],
    ["Time in training", duration(trial.time_total_s)], ["Attempts", String(trial.attempt)], ["Failures", String(trial.failures)],
    ["Started", time(trial.started_at)], ["Ended", time(trial.ended_at)],
  ]);
  showError(view.error, trial);
  fill(view.config, pairs(Object.entries(configOf(trial)).map(([path, v]) => [path, value(v)])),
    h("div", { class: "buttons" }, copyButton("Copy as Python config", () => `config = ${python(trial.config)}\n`)));
  fill(view.seeds, replicas(trial, points, metric));
  const last = Object.entries(trial.last ?? {}).filter(([, v]) => typeof v !== "object" || v === null);
  fill(view.metrics, last.length ? pairs(last.map(([name, v]) => [name, number(v)]), "numbers") : h("p", { class: "muted" }, "No result yet."));
  const own = events.filter((event) => event.trial === trial.number);
  fill(view.events, own.length ? own.reverse().map((event) => eventItem(id, event)) : h("li", { class: "muted" }, "No event names this trial."));
  const taken = events.findLast((event) => event.kind === "trial.exploit" && event.trial === trial.number);
  const age = taken ? policy.at(-1).iteration + trial.iteration - taken.data.iteration : trial.iteration;
  showSchedules(view, experiment, age, policy);
  setText(view.note, points.length ? "" : "No result with this metric yet.");
  drawReplicas(view.chart, points, trial.seeds, { metric, logY: false, revision: `${experiment.id} ${metric}` })
    .catch((error) => setText(view.note, error.message));
}

/** How the settings behind a trial's state changed, one small chart each; nothing where they did not. */
function showSchedules(view, experiment, age, policy) {
  const space = domains(experiment.spec?.param_space);
  const flat = policy.map(({ iteration, config }) => ({ iteration, config: flatten(config) }));
  const changed = Object.keys(flat.at(-1)?.config ?? {}).filter((path) => new Set(flat.map((s) => JSON.stringify(s.config[path]))).size > 1);
  view.schedules.hidden = !changed.length;
  if (!changed.length) return;
  if (changed.join() !== [...view.charts.keys()].join()) {
    view.charts = new Map(changed.map((path) => [path, h("div", { class: "chart small", role: "img", "aria-label": `${path} over the iterations` })]));
    fill(view.schedules, h("h2", {}, "Hyperparameter schedule"),
      h("p", { class: "muted" }, "The settings under which its state came to be, from its first ancestor on."), h("div", { class: "grid" }, [...view.charts.values()]));
  }
  for (const [path, chart] of view.charts) {
    const log = (space[path]?.name ?? "").includes("log");
    drawSchedule(chart, schedule(flat, (config) => config[path], age), path, { log, revision: path })
      .catch((error) => setText(view.note, error.message));
  }
}

function pairs(entries, more = "") {
  return h("table", { class: `pairs ${more}` }, h("tbody", {}, entries.map(([name, text]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "num" }, text)))));
}

function replicas(trial, points, metric) {
  const last = points.at(-1);
  const single = trial.seeds.length === 1 ? last?.value : undefined;
  const best = (i) => points.map((p) => p.replicas?.[i]).filter((v) => typeof v === "number");
  return [
    h("p", { class: "muted" }, `${short(metric) || "value"} of each seed at iteration ${last?.iteration ?? 0}`),
    h("table", { class: "pairs" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Replica"), ["Seed", "Last", "Lowest", "Highest"].map((t) => h("th", { scope: "col", class: "num" }, t)))),
      h("tbody", {}, trial.seeds.map((seed, i) => {
        const values = trial.seeds.length === 1 ? points.map((p) => p.value).filter((v) => v !== null) : best(i);
        return h("tr", {}, h("td", {}, String(i)), [String(seed), number(single ?? last?.replicas?.[i]),
          number(values.length ? Math.min(...values) : null), number(values.length ? Math.max(...values) : null)].map((t) => h("td", { class: "num" }, t)));
      }))),
  ];
}

function showError(section, trial) {
  section.hidden = !trial.error;
  if (trial.error) fill(section, h("h2", { class: "bad" }, errorLine(trial.error)), h("pre", { tabindex: 0 }, trial.error));
}
