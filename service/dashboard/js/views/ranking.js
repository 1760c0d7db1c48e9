/* A confirmation: its leaders by what they did on seeds that nobody tuned on. */

import * as api from "../api.js";
import { drawRanking } from "../charts/intervals.js";
import { purge } from "../charts/plotly.js";
import { fill, h, setText } from "../dom.js";
import { Fetched } from "../fetched.js";
import { NONE, number, short, value } from "../format.js";
import { pill } from "../parts.js";
import * as router from "../router.js";
import { ended, flatten, shortest } from "../trials.js";

/** Shows the confirmation `id`; `update(experiment, stamp)` with its record from the API. */
export function rankingPanel() {
  const note = h("p", { class: "muted note", role: "status" }, "Loading …");
  const chart = h("div", { class: "chart", role: "img", "aria-label": "Leaders on fresh seeds, with 95 % intervals" });
  const list = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Ranking" });
  const element = h("div", { class: "ranking" }, note, chart, list);
  let source = null;
  let drawn = "";

  async function update(experiment) {
    source ??= new Fetched(() => api.getRanking(experiment.id));
    await source.update(JSON.stringify([experiment.counts, experiment.steps, experiment.status]), ended(experiment));
    const leaders = source.data ?? [];
    const judged = leaders.filter((l) => typeof l.iqm === "number");
    setText(note, source.error || remark(experiment, leaders, judged));
    chart.hidden = !judged.length;
    list.hidden = !leaders.length;
    const stamp = JSON.stringify(leaders);
    if (stamp === drawn && element.isConnected && (chart.hidden || chart.data)) return;
    drawn = stamp;
    fill(list, tableOf(experiment, leaders));
    if (judged.length) await drawRanking(chart, leaders, { metric: experiment.metric, revision: experiment.id }).catch((error) => setText(note, error.message));
  }

  return { element, update, close: () => purge(chart) };
}

function remark(experiment, leaders, judged) {
  if (!leaders.length) return "No leader to rank.";
  const seeds = leaders[0].values.length;
  const on = `${seeds} fresh seed${seeds === 1 ? "" : "s"} each, none of them tuned on.`;
  if (!judged.length) return ended(experiment) ? `No run gave a number. ${on}` : `No leader has run on all its seeds yet. ${on}`;
  return `${on} The rank goes by the IQM; what tuning showed (◇) is the best of many tries, so expect it to be too good.`;
}

function tableOf(experiment, leaders) {
  const flat = leaders.map((l) => flatten(l.config));
  const paths = [...new Set(flat.flatMap((config) => Object.keys(config)))]
    .filter((path) => new Set(flat.map((config) => JSON.stringify(config[path]))).size > 1);
  const label = shortest(paths);
  const from = experiment.origin?.experiment;
  const heads = ["Rank", "Trial", "IQM", "95 % interval", "While tuning", "Beats the next", "Runs", ...paths.map(label)];
  return h("table", {}, h("caption", { class: "hidden" }, "Ranking on fresh seeds"),
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col", class: "num", title: TITLES[text] }, text)))),
    h("tbody", {}, leaders.map((l, i) => h("tr", { class: i ? "" : "first" }, [
      String(l.rank), from ? h("a", { href: router.link(from, l.trial) }, `#${l.trial}`) : `#${l.trial}`, h("strong", {}, number(l.iqm)), between(l.low, l.high), number(l.tuned),
      typeof l.improvement === "number" ? `${number(l.improvement, 2)} (${between(l.improvement_low, l.improvement_high, 2)})` : NONE,
      `${l.values.filter((v) => typeof v === "number").length} of ${l.values.length}`, ...paths.map((path) => value(flat[i][path])),
    ].map((shown) => h("td", { class: "num" }, shown))))));
}

const TITLES = {
  "While tuning": "the objective that made it a leader: on the seeds it was tuned on",
  "Beats the next": "probability that one run of it beats one of the next in rank (95 % interval)",
  IQM: "interquartile mean of the objective over the fresh seeds",
  Runs: "runs that gave a number",
};

function between(low, high, digits) {
  return typeof low === "number" ? `${number(low, digits)} … ${number(high, digits)}` : NONE;
}

/** The tab of an experiment that is a confirmation itself. */
export function rankingPart() {
  const panel = rankingPanel();
  const heading = h("p", {});
  const element = h("div", {}, h("h2", {}, "Ranking on fresh seeds"), heading, panel.element);

  function update(model) {
    const { origin } = model.experiment;
    if (!heading.firstChild && origin?.experiment) {
      fill(heading, "The leaders of ", h("a", { href: router.link(origin.experiment) }, "the experiment that was tuned"), `, by ${short(model.objective)}.`);
    }
    return panel.update(model.experiment);
  }

  return { element, update, close: panel.close };
}

/** A confirmation within the page of the experiment that was tuned. */
export function confirmationCard(experiment) {
  const status = h("span");
  const panel = rankingPanel();
  const element = h("article", { class: "card" },
    h("div", { class: "bar" }, h("h3", {}, h("a", { href: router.link(experiment.id) }, experiment.name)), status), panel.element);
  return {
    element,
    update(now) {
      pill(now.status, status);
      return panel.update(now);
    },
    close: panel.close,
  };
}
