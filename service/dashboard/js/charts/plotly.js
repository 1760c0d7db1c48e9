/* Loads Plotly when the first chart is drawn and gives every chart the colours of the page. */

let loading = null;

/** Plotly, from the installed package by way of the service. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.querySelector('meta[name="plotly"]').content;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("plotly.min.js could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

/** Colours and fonts of the present scheme, read from the style sheet. */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    text: read("--text"), muted: read("--muted"), grid: read("--grid"), surface: read("--surface"),
    accent: read("--accent"), bad: read("--bad"), font: read("--font"),
    series: Array.from({ length: 8 }, (_, i) => read(`--c${i + 1}`)),
  };
}

/** Text that Plotly shows as it is: it would read tags and entities as markup. */
export function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A `#rrggbb` colour with an opacity. */
export function faded(color, opacity) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

export function axis(colors, more = {}) {
  const { title, ...rest } = more;
  return {
    gridcolor: colors.grid, linecolor: colors.grid, zerolinecolor: colors.grid, tickcolor: colors.grid,
    tickfont: { color: colors.muted, size: 11 }, automargin: true, zeroline: false,
    title: { text: plain(title ?? ""), font: { color: colors.muted, size: 11 }, standoff: 6 },
    ...rest,
  };
}

const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
};

const drawn = new Map();

/**
 * Draw `make(colors) -> {data, layout}` in `element`, or change what it shows without flicker. Zoom
 * is kept until `revision` changes. Drawn again when the colour scheme changes.
 */
export async function draw(element, make, revision) {
  drawn.set(element, { make, revision });
  const Plotly = await plotly();
  if (drawn.get(element)?.make !== make) return; // overtaken while loading
  if (!element.isConnected) {
    drawn.delete(element);
    return;
  }
  const colors = theme();
  const { data, layout } = make(colors);
  const base = {
    autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 48, r: 10, t: 8, b: 38 }, showlegend: false, hovermode: "closest", uirevision: revision,
    font: { family: colors.font, size: 11, color: colors.text },
    hoverlabel: { bgcolor: colors.surface, bordercolor: colors.grid, font: { color: colors.text, size: 11 }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colors.muted, activecolor: colors.accent },
  };
  await Plotly.react(element, data, { ...base, ...layout }, CONFIG);
}

/** Call `open(number)` for the trial of a point that is clicked; to be called after each drawing. */
export function openOnClick(element, open) {
  element.openTrial = open;
  if (!element.on || element.dataset.clickable) return;
  element.dataset.clickable = "yes";
  element.on("plotly_click", (event) => {
    const { customdata } = event.points[0];
    if (typeof customdata === "number") element.openTrial(customdata);
  });
}

/** Forget a chart and free what it holds. */
export function purge(element) {
  drawn.delete(element);
  window.Plotly?.purge(element);
}

globalThis.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [element, { make, revision }] of drawn) draw(element, make, revision);
});
