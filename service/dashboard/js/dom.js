/* Makes elements. Text only ever becomes a text node, so that no name or error can turn into markup. */

/** An element: `class`, `on<event>`, properties that the element has, else attributes; then children. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (typeof value === "boolean" && name in element) element[name] = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Change the text only where it differs: no flicker, and a selection in it stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replace the children. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Calls `action` once the calls have paused for `delay` milliseconds. */
export function debounced(action, delay = 150) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), delay);
  };
}

/** A labelled select; `options` are [value, text] pairs. */
export function select(label, options, value, onchange) {
  const element = h("select", { "aria-label": label, onchange: () => onchange(element.value) });
  setOptions(element, options, value);
  return { element, label: h("label", { class: "field" }, h("span", {}, label), element) };
}

/** Give a select its options, only if they changed (an open list must not close). */
export function setOptions(element, options, value) {
  const key = JSON.stringify(options);
  if (element.dataset.options !== key) {
    element.replaceChildren(...options.map(([v, text]) => new Option(text, v)));
    element.dataset.options = key;
  }
  if (element.value !== value) element.value = value;
}
