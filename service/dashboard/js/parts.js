/* Small pieces that several views show: status words, progress, dialogs, messages. */

import { fill, h, setText } from "./dom.js";

const SIGNS = {
  PENDING: "○", RUNNING: "●", PAUSED: "‖", CANCELING: "◌", TERMINATED: "✓", COMPLETED: "✓", CANCELED: "–", ERROR: "✕",
};
export const TRIAL_STATUSES = ["TERMINATED", "RUNNING", "PAUSED", "PENDING", "CANCELED", "ERROR"];
export const EXPERIMENT_STATUSES = ["PENDING", "RUNNING", "PAUSED", "CANCELING", "COMPLETED", "CANCELED", "ERROR"];

/** A status as a word with a sign, so that colour is never all. Changes `element` only if it differs. */
export function pill(status, element = h("span")) {
  if (element.dataset.status !== status) {
    element.dataset.status = status;
    element.className = `pill s-${status.toLowerCase()}`;
    fill(element, h("span", { "aria-hidden": "true" }, SIGNS[status] ?? "?"), ` ${status.toLowerCase()}`);
  }
  return element;
}

/** A bar of the trials by status, of `total` (more are to come where it is larger than their sum). */
export function countsBar(counts, total) {
  const known = TRIAL_STATUSES.filter((status) => counts[status]);
  const sum = known.reduce((all, status) => all + counts[status], 0);
  const whole = Math.max(total ?? 0, sum, 1);
  const words = known.map((status) => `${counts[status]} ${status.toLowerCase()}`).join(", ");
  return h("div", { class: "counts", role: "img", title: words, "aria-label": `Trials: ${words || "none yet"}` },
    known.map((status) => h("i", { class: `s-${status.toLowerCase()}`, style: { width: `${(100 * counts[status]) / whole}%` } })));
}

/** A progress bar with its number. */
export function progressBar(fraction) {
  const percent = Math.floor(100 * (fraction ?? 0));
  return h("div", { class: "progress" },
    h("progress", { max: 100, value: percent, "aria-label": "Progress" }), h("span", { class: "num" }, `${percent} %`));
}

/** A list of terms; `update([[term, text or node]])`. */
export function facts() {
  const element = h("dl", { class: "facts" });
  return {
    element,
    update(pairs) {
      const terms = pairs.map(([term]) => term).join("\n");
      if (element.dataset.terms !== terms) {
        element.dataset.terms = terms;
        fill(element, pairs.map(([term]) => h("div", {}, h("dt", {}, term), h("dd"))));
      }
      pairs.forEach(([, shown], i) => {
        const dd = element.children[i].lastChild;
        if (shown instanceof Node) fill(dd, shown);
        else setText(dd, String(shown));
      });
    },
  };
}

/** A question with two answers; resolves to whether it was confirmed. */
export function confirm(title, text, action, dismiss = "Keep running") {
  return new Promise((resolve) => {
    const close = (answer) => {
      dialog.remove();
      resolve(answer);
    };
    const dialog = h("dialog", { "aria-labelledby": "confirm-title", oncancel: () => close(false) },
      h("h2", { id: "confirm-title" }, title), h("p", {}, text),
      h("div", { class: "buttons" },
        h("button", { type: "button", autofocus: true, onclick: () => close(false) }, dismiss),
        h("button", { type: "button", class: "danger", onclick: () => close(true) }, action)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for the API's token; resolves to it. There is no way around it: nothing works without. */
export function askToken(refused) {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", name: "token", required: true, autocomplete: "current-password", autofocus: true });
    const dialog = h("dialog", { "aria-labelledby": "token-title", oncancel: (event) => event.preventDefault() },
      h("form", {
        onsubmit: (event) => {
          event.preventDefault();
          const token = input.value.trim();
          if (!token) return;
          dialog.remove();
          resolve(token);
        },
      },
      h("h2", { id: "token-title" }, "Token needed"),
      refused && h("p", { class: "bad", role: "alert" }, "The API refused that token."),
      h("p", {}, "This API asks for a token: the value of TUNERL_API_TOKEN where it runs. It is kept until this tab is closed."),
      h("label", { class: "field" }, h("span", {}, "Token"), input),
      h("div", { class: "buttons" }, h("button", { class: "primary" }, "Continue"))));
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}

/** Say in place of a view why it cannot be shown. */
export function failure(root, error) {
  const title = error.status === 404 ? "Not found" : "This cannot be shown";
  fill(root, h("section", { class: "panel empty", role: "alert" },
    h("h1", {}, title), h("p", {}, error.message), h("p", {}, h("a", { href: "#/" }, "All experiments"))));
}

/** The path at the top: [text, address] pairs, the last without an address. */
export function crumbs(...pairs) {
  const items = pairs.map(([text, href]) => (href ? h("a", { href }, text) : h("span", { "aria-current": "page" }, text)));
  fill(document.getElementById("crumbs"), items.flatMap((item) => [h("span", { class: "slash", "aria-hidden": "true" }, "/"), item]));
  document.title = [...pairs.map(([text]) => text).reverse(), "TuneRL"].join(" · ");
}

/** A button that copies what `text()` gives and says so. */
export function copyButton(label, text) {
  const button = h("button", {
    type: "button",
    onclick: async () => {
      await copy(text());
      setText(button, "Copied");
      setTimeout(() => setText(button, label), 1500);
    },
  }, label);
  return button;
}

async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Plain http on another machine has no clipboard object; the old command still works there.
  const area = h("textarea", { class: "hidden" });
  document.body.append(area);
  area.value = text;
  area.select();
  document.execCommand("copy");
  area.remove();
}
