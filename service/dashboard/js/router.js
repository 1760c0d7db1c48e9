/* The address is the state: `#/path?query`. Views read it and write it; nothing else remembers. */

/** `{path: ["experiments", id], query: URLSearchParams}` of a hash. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { path: parts, query: new URLSearchParams(query) };
}

/** The address of an experiment, or of one of its trials. */
export function link(id, trial) {
  const base = `#/experiments/${encodeURIComponent(id)}`;
  return trial === undefined ? base : `${base}/trials/${trial}`;
}

/** One value of the present query, or `fallback`. */
export function get(name, fallback = "") {
  return parse(location.hash).query.get(name) ?? fallback;
}

/** Change the present query without a new history entry; null, undefined and "" remove a name. */
export function set(patch) {
  const [path] = location.hash.split("?", 1);
  const { query } = parse(location.hash);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
  history.replaceState(history.state, "", `${path || "#/"}${text ? `?${text}` : ""}`);
}

/** Shows the view of the present address in `root`, now and whenever it changes. */
export function start(root, choose) {
  let current = null;
  const show = () => {
    const route = parse(location.hash);
    const key = route.path.join("/");
    if (current?.key === key) {
      current.view.refresh();
      return;
    }
    const moved = current !== null;
    current?.view.close();
    root.replaceChildren();
    current = { key, view: choose(root, route) };
    if (moved) {
      scrollTo(0, 0);
      root.focus({ preventScroll: true });
    }
  };
  addEventListener("hashchange", show);
  show();
}
