/* The list of experiments, newest first. */

import * as api from "../api.js";
import { debounced, fill, h, select, setOptions } from "../dom.js";
import { compact, duration, elapsed, instant, number, short, time } from "../format.js";
import { EXPERIMENT_STATUSES, countsBar, crumbs, failure, pill, progressBar } from "../parts.js";
import { INTERVAL_MS, poll } from "../poll.js";
import * as router from "../router.js";
import { table } from "../table.js";
import { ended } from "../trials.js";

const PAGE = 50;
const QUIET_MS = 10000; // how often to look for new experiments while none is running
const SUBMIT = "tunerl submit examples/cartpole_ppo.yaml";

const rate = (experiment) => {
  const seconds = elapsed(experiment.started_at, experiment.ended_at);
  return seconds ? experiment.steps / seconds : null;
};

const COLUMNS = [
  { key: "name", label: "Experiment", draw: drawName },
  { key: "status", label: "Status", draw: drawStatus },
  { key: "progress", label: "Progress", draw: (td, e) => redraw(td, [e.progress], () => progressBar(e.progress)) },
  { key: "trials", label: "Trials", draw: (td, e) => redraw(td, [e.counts, e.num_samples], () => trialsCell(e)) },
  { key: "best", label: "Best", numeric: true, draw: drawBest },
  { key: "steps", label: "Steps", title: "environment steps", numeric: true, text: (e) => compact(e.steps) },
  { key: "rate", label: "Steps/s", numeric: true, text: (e) => compact(rate(e)) },
  { key: "started", label: "Started", numeric: true, text: (e) => time(e.started_at ?? e.created_at) },
  { key: "duration", label: "Duration", numeric: true, text: (e) => duration(elapsed(e.started_at, e.ended_at)) },
].map((column) => ({ ...column, sortable: false }));

function redraw(td, stamp, make) {
  const text = JSON.stringify(stamp);
  if (td.dataset.stamp === text) return;
  td.dataset.stamp = text;
  fill(td, make());
}

function drawName(td, experiment) {
  const made = { confirm: "confirmation", baseline: "random baseline" }[experiment.origin?.kind];
  const what = [made, experiment.trainable, experiment.environment].filter(Boolean).join(" · ");
  redraw(td, [experiment.name, what], () => [
    h("a", { href: router.link(experiment.id), class: "name" }, experiment.name || experiment.id),
    h("small", {}, what),
  ]);
}

function drawStatus(td, experiment) {
  redraw(td, [experiment.status, experiment.reason, experiment.request], () => [
    pill(experiment.status),
    h("small", { class: experiment.status === "ERROR" ? "bad" : "" }, experiment.reason ?? (experiment.request ? `${experiment.request} asked` : "")),
  ]);
}

function trialsCell(experiment) {
  const sum = Object.values(experiment.counts).reduce((a, b) => a + b, 0);
  const done = (experiment.counts.TERMINATED ?? 0) + (experiment.counts.ERROR ?? 0) + (experiment.counts.CANCELED ?? 0);
  const failed = experiment.counts.ERROR ? h("span", { class: "bad" }, ` · ${experiment.counts.ERROR} failed`) : null;
  return [countsBar(experiment.counts, experiment.num_samples), h("small", {}, `${done} of ${Math.max(sum, experiment.num_samples ?? 0)}`, failed)];
}

function drawBest(td, experiment) {
  redraw(td, [experiment.best, experiment.metric], () => (experiment.best
    ? [h("a", { href: router.link(experiment.id, experiment.best.trial) }, number(experiment.best.objective)), h("small", {}, short(experiment.metric))]
    : "–"));
}

export function experimentsView(root) {
  crumbs();
  const byId = new Map();
  let next = null;
  let ready = false;
  let shownPage = 0;

  const status = select("Status", [["", "any"], ...EXPERIMENT_STATUSES.map((s) => [s, s.toLowerCase()])], router.get("status"), (value) => {
    router.set({ status: value });
    byId.clear();
    ready = false;
    poller.now();
  });
  const name = h("input", { type: "search", placeholder: "Name, trainable or environment", value: router.get("q"), "aria-label": "Filter by name" });
  name.addEventListener("input", debounced(() => {
    router.set({ q: name.value });
    show();
    poller.now();
  }));
  const more = h("button", { type: "button", hidden: true, onclick: () => loadMore().catch(report) }, "Load more");
  const list = table({
    caption: "Experiments",
    key: (e) => e.id,
    onPage: (to) => {
      shownPage = to;
      show();
    },
  });
  const empty = h("section", { class: "panel empty", hidden: true });
  const message = h("p", { class: "bad", role: "alert", hidden: true });
  root.append(h("div", { class: "bar" }, h("h1", {}, "Experiments"), h("span", { class: "grow" }), name, status.label), message, list.element, empty, more);
  list.element.hidden = true;

  const report = (error) => {
    message.hidden = false;
    message.textContent = error.message;
  };

  async function page(after) {
    const body = await api.listExperiments({ status: router.get("status"), limit: PAGE, after });
    for (const experiment of body.items) byId.set(experiment.id, experiment);
    return body;
  }

  async function loadMore() {
    next = (await page(next)).next;
    show();
  }

  async function tick() {
    const asked = router.get("status");
    const before = [...byId.values()].filter((e) => !ended(e));
    const body = await page();
    if (router.get("status") !== asked) return 0;
    const seen = new Set(body.items.map((e) => e.id));
    for (const old of before.filter((e) => !seen.has(e.id))) {
      // It left the first page, or the status that is filtered for.
      const now = await api.getExperiment(old.id).catch((error) => {
        if (error.status === 404) return null;
        throw error;
      });
      if (!now || (asked && now.status !== asked)) byId.delete(old.id);
      else byId.set(old.id, now);
    }
    if (!ready) next = body.next;
    ready = true;
    while (router.get("q") && next) next = (await page(next)).next;
    message.hidden = true;
    show();
    return [...byId.values()].some((e) => !ended(e)) ? INTERVAL_MS : QUIET_MS;
  }

  function show() {
    const wanted = router.get("q").toLowerCase();
    const rows = [...byId.values()]
      .filter((e) => [e.name, e.id, e.trainable, e.environment].some((text) => (text ?? "").toLowerCase().includes(wanted)))
      .sort((a, b) => instant(b.created_at) - instant(a.created_at));
    list.update({ columns: COLUMNS, rows, page: shownPage });
    list.element.hidden = !rows.length;
    more.hidden = !next;
    empty.hidden = !ready || rows.length > 0;
    const narrowed = router.get("q") || router.get("status");
    if (!empty.hidden) fill(empty, narrowed ? h("p", {}, "No experiment matches this filter.") : hint());
  }

  const poller = poll(tick, (error) => (byId.size ? report(error) : failure(root, error)));
  return {
    refresh() {
      name.value = router.get("q");
      setOptions(status.element, [["", "any"], ...EXPERIMENT_STATUSES.map((s) => [s, s.toLowerCase()])], router.get("status"));
      byId.clear();
      ready = false;
      poller.now();
    },
    close: () => poller.close(),
  };
}

function hint() {
  return [
    h("h2", {}, "No experiment yet"),
    h("p", {}, "Submit a sweep and it appears here by itself:"),
    h("pre", {}, h("code", {}, SUBMIT)),
    h("p", { class: "muted" }, "What you start from Python with Tuner(...).fit() appears here too when it uses the same store."),
  ];
}
