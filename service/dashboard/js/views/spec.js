/* The experiment as it was submitted. */

import { h, setText } from "../dom.js";
import { copyButton } from "../parts.js";

export function specPart() {
  const code = h("code");
  const element = h("div", {}, h("div", { class: "bar" }, h("span", { class: "grow" }), copyButton("Copy", () => code.textContent)), h("pre", {}, code));
  return { element, update: (model) => setText(code, JSON.stringify(model.experiment.spec ?? {}, null, 2)) };
}
