/* The trials of one experiment, kept up to date with few requests: after the first full reading only
   those that can have changed are fetched. */

import * as api from "./api.js";
import { finished } from "./trials.js";

const PAGE = 500;
const SINGLES = 8; // up to so many trials are fetched one by one, more by reading all again

export class TrialSet {
  constructor(id, source = api) {
    this.id = id;
    this.source = source;
    this.byNumber = new Map();
    this.complete = false;
  }

  get list() {
    return [...this.byNumber.values()].sort((a, b) => a.number - b.number);
  }

  /** Bring the set up to date with an experiment's `counts`; `shown()` after each page that came. */
  async refresh(counts, shown = () => {}) {
    if (!this.complete) {
      await this.#readAll({}, shown);
      this.complete = true;
      return;
    }
    const before = [...this.byNumber.values()].filter((trial) => !finished(trial));
    const seen = new Set();
    if (counts.RUNNING || before.some((trial) => trial.status === "RUNNING")) {
      await this.#readAll({ status: "RUNNING" }, () => {}, seen);
    }
    const strayed = before.filter((trial) => trial.status === "RUNNING" && !seen.has(trial.number));
    if (strayed.length <= SINGLES) {
      const fetched = await Promise.all(strayed.map((t) => this.source.getTrial(this.id, t.number)));
      fetched.forEach((trial) => this.#put(trial));
    }
    for (const status of ["PENDING", "PAUSED"]) {
      if ((counts[status] ?? 0) !== this.#count(status)) await this.#readAll({ status }, () => {});
    }
    if (Object.keys(counts).some((status) => (counts[status] ?? 0) !== this.#count(status))) {
      await this.#readAll({}, () => {});
    }
  }

  #count(status) {
    let count = 0;
    for (const trial of this.byNumber.values()) count += trial.status === status;
    return count;
  }

  #put(trial) {
    this.byNumber.set(trial.number, trial);
  }

  async #readAll(values, shown, seen = new Set()) {
    let used = 0;
    await api.all(
      (after) => this.source.getTrials(this.id, { ...values, limit: PAGE, after }),
      (items) => {
        for (; used < items.length; used += 1) {
          this.#put(items[used]);
          seen.add(items[used].number);
        }
        shown();
      },
    );
  }
}
