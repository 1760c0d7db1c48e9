/* A sortable, paged table. Rows are keyed: a refresh changes the cells that differ and nothing else. */

import { fill, h, setText } from "./dom.js";

export const PAGE_ROWS = 100;

/**
 * `columns`: [{key, label, title?, numeric?, sortable?, text(row), draw?(td, row)}]; `key(row)` names a
 * row; `mark(tr, row)` sets its classes; `onSort(key)`, `onPage(n)` ask for another order or page.
 */
export function table({ caption, key, mark = () => {}, onSort, onPage }) {
  const head = h("tr");
  const body = h("tbody");
  const pager = h("nav", { class: "pager", "aria-label": `Pages of ${caption}`, hidden: true });
  const element = h("div", { class: "table-wrap" },
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
      h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, head), body)),
    pager);
  let layout = "";
  let cells = new Map(); // row key -> {tr, tds}

  function update({ columns, rows, sort, descending, page = 0 }) {
    drawHead(columns, sort, descending);
    const pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS));
    const now = Math.min(page, pages - 1);
    drawRows(columns, rows.slice(now * PAGE_ROWS, (now + 1) * PAGE_ROWS));
    drawPager(rows.length, now, pages);
  }

  function drawHead(columns, sort, descending) {
    const wanted = JSON.stringify(columns.map((c) => [c.key, c.label]));
    if (wanted !== layout) {
      layout = wanted;
      cells = new Map();
      body.replaceChildren();
      fill(head, columns.map(header));
    }
    columns.forEach((column, i) => {
      if (column.sortable === false) return;
      const direction = column.key === sort ? (descending ? "descending" : "ascending") : "none";
      head.children[i].setAttribute("aria-sort", direction);
    });
  }

  function header(column) {
    const props = { scope: "col", class: column.numeric ? "num" : undefined, title: column.title };
    if (column.sortable === false) return h("th", props, h("span", { class: column.label ? "" : "hidden" }, column.label || column.title));
    return h("th", props, h("button", { type: "button", class: "sort", onclick: () => onSort(column.key) }, column.label));
  }

  function drawRows(columns, rows) {
    const kept = new Map();
    const order = rows.map((row) => {
      const entry = cells.get(key(row)) ?? fresh(columns);
      kept.set(key(row), entry);
      mark(entry.tr, row);
      columns.forEach((column, i) => {
        if (column.draw) column.draw(entry.tds[i], row);
        else setText(entry.tds[i], column.text(row));
      });
      return entry.tr;
    });
    cells = kept;
    const same = body.children.length === order.length && order.every((tr, i) => body.children[i] === tr);
    if (same) return;
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    body.replaceChildren(...order);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  function fresh(columns) {
    const tds = columns.map((column) => h("td", { class: column.numeric ? "num" : column.class }));
    return { tr: h("tr", {}, tds), tds };
  }

  function drawPager(count, page, pages) {
    pager.hidden = pages < 2;
    const stamp = `${count} ${page}`;
    if (pager.hidden || pager.dataset.stamp === stamp) return;
    pager.dataset.stamp = stamp;
    const step = (label, to, off) => h("button", { type: "button", disabled: off, onclick: () => onPage(to) }, label);
    const last = Math.min(count, (page + 1) * PAGE_ROWS);
    fill(pager,
      step("« First", 0, page === 0), step("‹ Previous", page - 1, page === 0),
      h("span", {}, `${(page * PAGE_ROWS + 1).toLocaleString("en-US")}–${last.toLocaleString("en-US")} of ${count.toLocaleString("en-US")}`),
      step("Next ›", page + 1, page === pages - 1), step("Last »", pages - 1, page === pages - 1));
  }

  return { element, update };
}
