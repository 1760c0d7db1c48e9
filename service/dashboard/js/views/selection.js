/* The trials that were ticked to be compared; kept in the address. */

import * as router from "../router.js";

export const MAX_SELECTED = 20;

/** Numbers of the ticked trials, in the order of ticking. */
export function selected() {
  const numbers = router.get("sel").split(",").filter((text) => /^\d+$/.test(text)).map(Number);
  return [...new Set(numbers)].slice(0, MAX_SELECTED);
}

/** Tick a trial or take the tick away; false if there are too many already. */
export function toggle(number, on) {
  const others = selected().filter((n) => n !== number);
  if (on && others.length >= MAX_SELECTED) return false;
  router.set({ sel: (on ? [...others, number] : others).join(",") });
  return true;
}
