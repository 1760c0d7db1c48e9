/* Starts the dashboard: which address shows which view. */

import { onReachable, onTokenNeeded } from "./api.js";
import { setText } from "./dom.js";
import { askToken, failure } from "./parts.js";
import { start } from "./router.js";
import { experimentView } from "./views/experiment.js";
import { experimentsView } from "./views/experiments.js";
import { trialView } from "./views/trial.js";

const banner = document.getElementById("banner");
const main = document.getElementById("main");

onTokenNeeded(askToken);
onReachable((reachable, message) => {
  banner.hidden = reachable;
  setText(banner, reachable ? "" : `The API cannot be reached (${message}). What you see may be old; trying again …`);
});
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

start(main, (root, { path }) => {
  if (!path.length) return experimentsView(root);
  if (path[0] === "experiments" && path.length === 2) return experimentView(root, path[1]);
  if (path[0] === "experiments" && path[2] === "trials" && /^\d+$/.test(path[3] ?? "") && path.length === 4) {
    return trialView(root, path[1], Number(path[3]));
  }
  failure(root, { status: 404, message: "There is no page at this address." });
  return { refresh() {}, close() {} };
});
