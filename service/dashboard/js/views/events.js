/* What happened in an experiment, the latest first. */

import * as api from "../api.js";
import { fill, h, setText } from "../dom.js";
import { time } from "../format.js";
import * as router from "../router.js";

const LIMIT = 200;
const SHOWN = 500;
const BAD = /error|fail|lost|corrupt|full/;

/** Reads the events of an experiment, each once, in their order; `items` holds the latest of them. */
export class EventLog {
  constructor(id, keep = 5000) {
    this.id = id;
    this.items = [];
    this.last = 0;
    this.keep = keep;
  }

  async read() {
    for (;;) {
      const body = await api.getEvents(this.id, { after: this.last || undefined, limit: LIMIT });
      const news = body.items.filter((event) => event.id > this.last);
      if (!news.length) return;
      this.items = [...this.items, ...news].slice(-this.keep);
      this.last = news.at(-1).id;
      if (!body.next) return;
    }
  }
}

/** One event as a list item. */
export function eventItem(id, event) {
  const text = event.message || event.kind;
  return h("li", { class: BAD.test(event.kind) ? "bad" : "" },
    h("time", { datetime: event.created_at }, time(event.created_at)),
    h("code", {}, event.kind),
    event.trial === null || event.trial === undefined ? null : h("a", { href: router.link(id, event.trial) }, `#${event.trial}`),
    h("span", { class: "text" }, text.split("\n", 1)[0]));
}

export function eventsPart() {
  const message = h("p", { class: "muted" }, "Loading …");
  const list = h("ol", { class: "events" });
  const element = h("div", {}, message, list);
  let log = null;
  let read = -1;
  let busy = false;

  async function update(model) {
    log ??= new EventLog(model.id);
    if (busy || read === model.version) return;
    busy = true;
    try {
      await log.read();
      read = model.version;
      const latest = log.items.slice(-SHOWN).reverse();
      const hidden = log.items.length - latest.length;
      setText(message, latest.length ? (hidden ? `The latest ${SHOWN} events.` : "") : "Nothing has happened yet.");
      if (list.dataset.last !== String(log.last)) fill(list, latest.map((event) => eventItem(model.id, event)));
      list.dataset.last = String(log.last);
    } catch (error) {
      if (error.temporary) throw error;
      setText(message, error.message);
    } finally {
      busy = false;
    }
  }

  return { element, update };
}
