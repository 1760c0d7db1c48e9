/* Whether the sweep was worth it: random search on the same budget beside it, leaders on fresh seeds. */

import * as api from "../api.js";
import { drawIncumbent } from "../charts/incumbent.js";
import { purge } from "../charts/plotly.js";
import { fill, h, setText } from "../dom.js";
import { Fetched } from "../fetched.js";
import { compact, number, short } from "../format.js";
import { confirm, pill } from "../parts.js";
import * as router from "../router.js";
import { ended } from "../trials.js";
import { confirmationCard } from "./ranking.js";

const LEADERS = { top_k: 3, seeds: 10 };

export function evidencePart({ onChange }) {
  const chart = h("div", { class: "chart tall", role: "img", "aria-label": "Best objective so far against the budget" });
  const note = h("p", { class: "muted note", role: "status" }, "Loading …");
  const message = h("p", { class: "bad", role: "alert", hidden: true });
  const list = h("ul", { class: "made" });
  const cards = h("div", { class: "cards" });
  const empty = h("p", { class: "muted" });
  const controls = buttons(message, () => {
    made.key = null;
    onChange();
  });
  const element = h("div", {},
    h("div", { class: "bar" }, h("h2", {}, "Against random search on the same budget"), h("span", { class: "grow" }), controls.baseline), message, chart, note, list,
    h("div", { class: "bar spaced" }, h("h2", {}, "Confirmed on fresh seeds"), h("span", { class: "grow" }), controls.confirmation), empty, cards);
  const own = new Fetched(() => api.getIncumbent(controls.id));
  const made = new Fetched(async () => (await api.listExperiments({ origin: controls.id, limit: 200 })).items);
  const others = new Map(); // id -> {experiment, fetched} of a baseline, or {card} of a confirmation
  let drawn = "";

  async function update(model) {
    controls.show(model.experiment);
    const over = ended(model.experiment);
    // What was made from it may run on after it has ended: then only a fresh look tells.
    const unfinished = (made.data ?? []).some((e) => !ended(e));
    await Promise.all([own.update(model.version, over), made.update(unfinished ? Date.now() : `${model.version}`, over && !unfinished)]);
    await Promise.all((made.data ?? []).map(follow));
    show(model);
    return unfinished || (made.data ?? []).some((e) => !ended(e)) ? true : undefined;
  }

  function follow(experiment) {
    const { kind } = experiment.origin;
    if (!others.has(experiment.id)) {
      others.set(experiment.id, kind === "confirm"
        ? { card: confirmationCard(experiment) } : { fetched: new Fetched(() => api.getIncumbent(experiment.id)) });
    }
    const entry = others.get(experiment.id);
    if (entry.card) {
      if (!entry.card.element.isConnected) cards.append(entry.card.element);
      return entry.card.update(experiment);
    }
    return entry.fetched.update(JSON.stringify([experiment.counts, experiment.steps]), ended(experiment));
  }

  function show(model) {
    const found = made.data ?? [];
    const baselines = found.filter((e) => e.origin.kind === "baseline");
    const confirmations = found.filter((e) => e.origin.kind === "confirm");
    setText(empty, made.error || (confirmations.length ? "" : "No leader has been run on fresh seeds yet. The score of a sweep's best trial is the luckiest of many; what it is worth shows on seeds that were not tuned on."));
    fillMade(list, baselines);
    const runs = baselines.map((e) => ({ name: e.name, baseline: true, data: others.get(e.id)?.fetched?.data }));
    runs.push({ name: model.experiment.name || model.id, baseline: false, data: own.data });
    const shown = runs.filter((run) => run.data?.improvements.length);
    chart.hidden = !shown.length;
    setText(note, own.error || remark(model, shown, baselines));
    const stamp = JSON.stringify(shown);
    if (!shown.length || (stamp === drawn && chart.isConnected && chart.data)) return;
    drawn = stamp;
    drawIncumbent(chart, shown, { metric: short(model.objective), unit: shown.at(-1).data.unit, revision: model.id })
      .catch((error) => setText(note, error.message));
  }

  return {
    element, update,
    close() {
      purge(chart);
      for (const { card } of others.values()) card?.close();
    },
  };
}

function remark(model, shown, baselines) {
  const sweep = shown.find((run) => !run.baseline)?.data;
  if (!sweep) return "No result has come in yet.";
  const said = (run) => `${number(run.improvements.at(-1).value)} after ${compact(run.spent)} ${sweep.unit}`;
  const bands = sweep.improvements.some((p) => typeof p.low === "number") ? " Bands: 95 % over the seeds of the best trial." : "";
  const ready = shown.filter((run) => run.baseline);
  if (!ready.length) return `The sweep's best: ${said(sweep)}. ${baselines.length ? "The baseline has no result yet." : "Without a baseline nobody knows whether that is much."}${bands}`;
  return `The sweep's best: ${said(sweep)}; random search: ${ready.map((run) => said(run.data)).join(", ")}.${bands}`;
}

function fillMade(list, baselines) {
  const stamp = JSON.stringify(baselines.map((e) => [e.id, e.name, e.status, e.counts]));
  if (list.dataset.stamp === stamp) return;
  list.dataset.stamp = stamp;
  fill(list, baselines.map((e) => h("li", {}, h("a", { href: router.link(e.id) }, e.name), " ", pill(e.status), " ",
    h("span", { class: "muted" }, `${Object.values(e.counts).reduce((a, b) => a + b, 0)} trials`))));
}

function buttons(message, done) {
  let experiment = null;
  const act = (button, title, text, action, make) => async () => {
    if (!(await confirm(title, text, action, "Not now"))) return;
    button().disabled = true;
    message.hidden = true;
    try {
      await make();
      done();
    } catch (error) {
      message.hidden = false;
      setText(message, error.message);
    }
    button().disabled = false;
  };
  const baseline = h("button", {
    type: "button",
    onclick: act(() => baseline, "Run a random baseline?", "Random search over the same space, on as many environment steps as this experiment has taken. It is submitted as an experiment of its own.",
      "Submit baseline", () => api.makeBaseline(experiment.id)),
  }, "Run random baseline");
  const confirmation = h("button", {
    type: "button",
    onclick: act(() => confirmation, "Confirm the leaders?", `The best ${LEADERS.top_k} configurations run again to the end on ${LEADERS.seeds} fresh seeds each. It is submitted as an experiment of its own.`,
      "Submit confirmation", () => api.makeConfirmation(experiment.id, LEADERS)),
  }, "Confirm leaders");
  return {
    baseline, confirmation,
    get id() {
      return experiment.id;
    },
    show(now) {
      experiment = now;
      const began = now.best !== null;
      for (const button of [baseline, confirmation]) button.hidden = !began || Boolean(now.origin?.kind);
    },
  };
}
