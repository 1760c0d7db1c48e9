import assert from "node:assert/strict";
import { test } from "node:test";
import { TrialSet } from "../../../service/dashboard/js/trialset.js";

function server(statuses) {
  const requests = [];
  const trials = statuses.map((status, number) => ({ number, status }));
  return {
    trials, requests,
    getTrials: async (id, { status, limit, after = 0 }) => {
      requests.push(status ?? "all");
      const items = trials.filter((t) => !status || t.status === status).slice(Number(after), Number(after) + limit).map((t) => ({ ...t }));
      return { items, next: items.length === limit ? String(Number(after) + limit) : null };
    },
    getTrial: async (id, number) => {
      requests.push(number);
      return { ...trials[number] };
    },
    counts: () => Object.fromEntries(Object.entries(Object.groupBy?.(trials, (t) => t.status) ?? group(trials)).map(([s, g]) => [s, g.length])),
  };
}

function group(trials) {
  const groups = {};
  for (const trial of trials) (groups[trial.status] ??= []).push(trial);
  return groups;
}

test("the first reading takes every page", async () => {
  const api = server(Array(1200).fill("TERMINATED"));
  const set = new TrialSet("e", api);
  let pages = 0;
  await set.refresh(api.counts(), () => { pages += 1; });
  assert.equal(set.list.length, 1200);
  assert.equal(pages, 3);
});

test("later only what can have changed is fetched", async () => {
  const api = server([...Array(1000).fill("TERMINATED"), "RUNNING", "RUNNING", "PENDING"]);
  const set = new TrialSet("e", api);
  await set.refresh(api.counts());
  api.requests.length = 0;
  api.trials[1000].status = "TERMINATED";
  api.trials[1002].status = "RUNNING";
  await set.refresh(api.counts());
  assert.deepEqual(api.requests, ["RUNNING", 1000]);
  assert.deepEqual(set.list.map((t) => t.status), api.trials.map((t) => t.status));
});

test("new trials are found, and many changes at once are read together", async () => {
  const api = server(Array(20).fill("RUNNING"));
  const set = new TrialSet("e", api);
  await set.refresh(api.counts());
  api.requests.length = 0;
  api.trials.forEach((t) => { t.status = "TERMINATED"; });
  api.trials.push({ number: 20, status: "PENDING" });
  await set.refresh(api.counts());
  assert.deepEqual(set.list.map((t) => t.status), api.trials.map((t) => t.status));
  assert.ok(api.requests.length <= 3, String(api.requests));
});
