/* The only file that fetches. Adds the token, turns problem+json into `ApiError`, tells who listens
   whether the API can be reached. */

const BASE = "/api/v1";
const TOKEN = "tunerl.token";
const TIMEOUT_MS = 20000;
const SLOW_MS = 120000; // what is computed on the way

/** What the API answered instead of what was asked; status 0: it could not be reached. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the same request may well succeed later. */
  get temporary() {
    return this.status === 0 || this.status >= 500;
  }
}

const listeners = new Set();
let reachable = true;
let tokenAsker = null;
let asking = null;

/** `listener(reachable, message)` is called whenever that changes. */
export function onReachable(listener) {
  listeners.add(listener);
}

/** `asker(refused) -> Promise<string>` asks the person for a token. */
export function onTokenNeeded(asker) {
  tokenAsker = asker;
}

function tell(now, message = "") {
  if (now === reachable) return;
  reachable = now;
  for (const listener of listeners) listener(now, message);
}

async function ask(refused) {
  asking ??= tokenAsker(refused).finally(() => {
    asking = null;
  });
  sessionStorage.setItem(TOKEN, await asking);
}

async function problem(response) {
  let message = `${response.status} ${response.statusText}`.trim();
  try {
    const body = await response.json();
    message = body.detail || body.title || message;
    if (body.errors?.length) message = body.errors.map((e) => `${e.path}: ${e.message}`).join("; ");
  } catch {
    // Not problem+json: the status line has to do.
  }
  return new ApiError(response.status, message);
}

async function send(path, options, timeout) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { Accept: "application/json", ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const signal = timeout ? AbortSignal.timeout(timeout) : undefined;
  try {
    return { response: await fetch(`${BASE}${path}`, { ...options, headers, signal }), token };
  } catch (error) {
    const failure = new ApiError(0, error.name === "TimeoutError" ? "it did not answer in time" : "no connection");
    tell(false, failure.message);
    throw failure;
  }
}

async function request(path, options = {}, timeout = TIMEOUT_MS) {
  for (;;) {
    const { response, token } = await send(path, options, timeout);
    if (response.status === 401 && tokenAsker) {
      // Another request may have brought a new token meanwhile: then just try again.
      if (sessionStorage.getItem(TOKEN) === token) await ask(Boolean(token));
      continue;
    }
    if (response.ok) {
      tell(true);
      return response;
    }
    const error = await problem(response);
    if (error.temporary) tell(false, error.message);
    else tell(true);
    throw error;
  }
}

async function json(path, options, timeout) {
  const response = await request(path, options, timeout);
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, "the answer was cut off");
  }
}

function query(values) {
  const given = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const experiment = (id) => `/experiments/${encodeURIComponent(id)}`;

export const listExperiments = (values) => json(`/experiments${query(values)}`);
export const getExperiment = (id) => json(experiment(id));
export const cancelExperiment = (id) => json(`${experiment(id)}:cancel`, { method: "POST" });
export const getTrials = (id, values) => json(`${experiment(id)}/trials${query(values)}`);
export const getTrial = (id, number) => json(`${experiment(id)}/trials/${number}`);
export const getCurve = (id, number, values) => json(`${experiment(id)}/trials/${number}/curve${query(values)}`);
export const getCurves = (id, values) => json(`${experiment(id)}/curves${query(values)}`);
export const getBest = (id) => json(`${experiment(id)}/best`);
export const getIncumbent = (id) => json(`${experiment(id)}/incumbent`);
export const getImportance = (id, values) => json(`${experiment(id)}/importance${query(values)}`, {}, SLOW_MS);
export const getPareto = (id) => json(`${experiment(id)}/pareto`);
export const getRanking = (id) => json(`${experiment(id)}/ranking`);
export const getPolicy = (id) => json(`${experiment(id)}/policy`);
export const getTrialPolicy = (id, number) => json(`${experiment(id)}/trials/${number}/policy`);
export const getRungs = (id) => json(`${experiment(id)}/rungs`);
export const makeBaseline = (id) => json(`${experiment(id)}:baseline`, { method: "POST" });
export const getEvents = (id, values) => json(`${experiment(id)}/events${query(values)}`);

/** Run the leaders again on fresh seeds: `{top_k, seeds}`. */
export const makeConfirmation = (id, body) =>
  json(`${experiment(id)}:confirm`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

/** Every item of a paged listing; `page(after)` fetches one page. `each` sees the items so far. */
export async function all(page, each = () => {}) {
  const items = [];
  let after;
  do {
    const body = await page(after);
    items.push(...body.items);
    after = body.next ?? undefined;
    each(items, after !== undefined);
  } while (after !== undefined);
  return items;
}

/** Download the best trial's checkpoint as a zip, through a fetch because a link carries no token. */
export async function downloadBestCheckpoint(id) {
  const response = await request(`${experiment(id)}/best/checkpoint`, { headers: { Accept: "application/zip" } }, 0);
  const named = /filename="?([^";]+)"?/.exec(response.headers.get("Content-Disposition") ?? "");
  const url = URL.createObjectURL(await response.blob());
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = named?.[1] ?? `${id}-best.zip`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
