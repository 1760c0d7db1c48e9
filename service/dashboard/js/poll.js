/* Runs a task again and again, never twice at once, never while the tab is hidden. */

export const INTERVAL_MS = 2000;
const SLOWEST_MS = 10000;

/**
 * `task()` resolves to the milliseconds until the next run, or null for no more. A rejection with
 * `temporary` is tried again, more slowly each time; any other goes to `fail` and ends the polling.
 */
export function poll(task, fail) {
  let timer = 0;
  let state = "idle"; // idle, running, ended, closed
  let again = false;
  let misses = 0;

  async function run() {
    clearTimeout(timer);
    if (state === "closed" || document.hidden) return;
    if (state === "running") {
      again = true;
      return;
    }
    state = "running";
    let delay = null;
    try {
      delay = await task();
      misses = 0;
    } catch (error) {
      if (error.temporary) {
        misses += 1;
        delay = Math.min(SLOWEST_MS, INTERVAL_MS * misses);
      } else if (state !== "closed") fail(error);
    }
    if (state === "closed") return;
    state = delay === null ? "ended" : "idle";
    if (again) delay = 0;
    again = false;
    if (delay !== null) timer = setTimeout(run, delay);
  }

  const onVisible = () => {
    if (!document.hidden && state === "idle") run();
  };
  document.addEventListener("visibilitychange", onVisible);
  run();
  return {
    /** Run at once, also after the end. */
    now: run,
    close() {
      state = "closed";
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    },
  };
}
