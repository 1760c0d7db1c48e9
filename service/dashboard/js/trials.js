/* What the views derive from trials. Pure: no page, no network. */

import { errorLine, reason, short } from "./format.js";

const DOMAINS = new Set([
  "uniform", "quniform", "loguniform", "qloguniform", "randn", "qrandn", "randint", "qrandint",
  "lograndint", "qlograndint", "choice", "grid_search", "sample_from",
]);
const FINISHED = new Set(["TERMINATED", "ERROR", "CANCELED"]);
const ENDED = new Set(["COMPLETED", "CANCELED", "ERROR"]);

const POPULATION = new Set(["pbt", "pb2", "pbt_replay"]);

/** Whether the trials of an experiment take over from one another. */
export const population = (experiment) => POPULATION.has(experiment.spec?.scheduler?.type);
export const finished = (trial) => FINISHED.has(trial.status);
export const ended = (experiment) => ENDED.has(experiment.status);
export const stoppedEarly = (trial) => trial.status === "TERMINATED" && trial.reason === "scheduler";

function isTree(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** A nested configuration as `{path: value}`, paths joined by "/". Lists are values. */
export function flatten(config, prefix = "", into = {}) {
  for (const [key, value] of Object.entries(config ?? {})) {
    if (isTree(value) && Object.keys(value).length) flatten(value, `${prefix}${key}/`, into);
    else into[prefix + key] = value;
  }
  return into;
}

/** The domains of a search space in JSON: `{path: {name, options}}`. */
export function domains(space, prefix = "", into = {}) {
  for (const [key, value] of Object.entries(space ?? {})) {
    if (!isTree(value)) continue;
    const names = Object.keys(value);
    if (names.length === 1 && DOMAINS.has(names[0])) {
      into[prefix + key] = { name: names[0], options: value[names[0]] };
    } else if (!(names.length === 1 && names[0] === "const")) {
      domains(value, `${prefix}${key}/`, into);
    }
  }
  return into;
}

const flat = new WeakMap();

/** A trial's flat configuration, remembered for as long as the trial is. */
export function configOf(trial) {
  if (!flat.has(trial)) flat.set(trial, flatten(trial.config));
  return flat.get(trial);
}

/** Paths of the hyperparameters that were searched or that differ between trials, in their order. */
export function varying(trials, space = {}) {
  const first = new Map();
  const differs = new Set();
  for (const trial of trials) {
    for (const [path, value] of Object.entries(configOf(trial))) {
      const text = JSON.stringify(value);
      if (!first.has(path)) first.set(path, text);
      else if (first.get(path) !== text) differs.add(path);
    }
  }
  return [...first.keys()].filter((path) => differs.has(path) || path in space);
}

/** Names of the numeric metrics that any trial has reported, the objective first. */
export function metricNames(trials, objective) {
  const names = new Set();
  for (const trial of trials) {
    for (const [name, value] of Object.entries(trial.last ?? {})) {
      if (typeof value === "number" || value === null) names.add(name);
    }
  }
  names.delete(objective);
  return [...(objective ? [objective] : []), ...[...names].sort()];
}

/** A function from one of `paths` to its last part, or to the whole where two would read alike. */
export function shortest(paths) {
  const taken = new Map();
  for (const path of paths) taken.set(short(path), (taken.get(short(path)) ?? 0) + 1);
  return (path) => (taken.get(short(path)) > 1 ? path : short(path));
}

/** What a column shows of a trial: `objective`, `hp:<path>`, `metric:<name>` or a field. */
export function cell(trial, column) {
  if (column.startsWith("hp:")) return configOf(trial)[column.slice(3)];
  if (column.startsWith("metric:")) return trial.last?.[column.slice(7)];
  if (column === "reason") return trial.error && trial.status === "ERROR" ? errorLine(trial.error) : reason(trial.reason);
  return trial[column];
}

function missing(value) {
  return value === null || value === undefined || Number.isNaN(value) || value === "";
}

function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [x, y] = [a, b].map((v) => (typeof v === "string" ? v : JSON.stringify(v)));
  return x.localeCompare(y, "en", { numeric: true });
}

/** Sorted copy; what is missing comes last either way, equals stay in order of number. */
export function sorted(trials, column, descending) {
  const keyed = trials.map((trial) => ({ trial, key: cell(trial, column) }));
  keyed.sort((a, b) => {
    const [noA, noB] = [missing(a.key), missing(b.key)];
    if (noA || noB) return noA - noB || a.trial.number - b.trial.number;
    const order = compareValues(a.key, b.key);
    return (descending ? -order : order) || a.trial.number - b.trial.number;
  });
  return keyed.map((entry) => entry.trial);
}

/** Trials by the objective, the best first; without one they are left out. */
export function ranked(trials, mode) {
  return sorted(trials.filter((t) => !missing(t.best_objective)), "best_objective", mode !== "min");
}

const COMPARE = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
};

function lookup(trial, name) {
  for (const source of [trial, configOf(trial), trial.last ?? {}]) {
    if (Object.hasOwn(source, name)) return source[name];
  }
  for (const source of [configOf(trial), trial.last ?? {}]) {
    const path = Object.keys(source).find((key) => short(key) === name);
    if (path) return source[path];
  }
  return undefined;
}

function condition(word) {
  const match = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(word);
  if (!match) {
    const text = word.toLowerCase();
    return (trial) => words(trial).includes(text);
  }
  const [, name, operator, given] = match;
  const wanted = Number(given);
  return (trial) => {
    const found = lookup(trial, name);
    if (missing(found)) return false;
    if (typeof found === "number" && !Number.isNaN(wanted)) return COMPARE[operator](found, wanted);
    return operator === "=" && String(found).toLowerCase() === given.toLowerCase();
  };
}

function words(trial) {
  const text = `#${trial.number} ${trial.status} ${reason(trial.reason)} ${errorLine(trial.error)}`;
  return `${text} ${Object.entries(configOf(trial)).map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(" ")}`.toLowerCase();
}

/** Trials that meet every word of a filter: text found anywhere, or `lr<1e-3`, `objective>=400`. */
export function filtered(trials, text, status = "") {
  const conditions = text.split(/\s+/).filter(Boolean).map(condition);
  return trials.filter((t) => (!status || t.status === status) && conditions.every((meets) => meets(t)));
}

/** A value as a Python literal. */
export function python(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return pythonNumber(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((v) => python(v, indent)).join(", ")}]`;
  const inner = `${indent}    `;
  const lines = Object.entries(value).map(([k, v]) => `${inner}${JSON.stringify(k)}: ${python(v, inner)},\n`);
  return lines.length ? `{\n${lines.join("")}${indent}}` : "{}";
}

function pythonNumber(value) {
  // Python reads 1e21 as a float too, and JavaScript writes 1e-7 as it does.
  return Object.is(value, -0) ? "-0.0" : String(value);
}
