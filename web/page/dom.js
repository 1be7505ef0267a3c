// Making and finding elements. Text is always set as text: names of files come from strangers.

export const find = (selector, root = document) => root.querySelector(selector);

/** An element: properties that start with "on" are listeners, data-* and aria-* and others attributes or properties. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** `kind`: further classes, such as "primary compact". */
export const button = (kind, onclick, ...children) =>
  make("button", { type: "button", className: `button ${kind}`, onclick }, ...children);

const SVG = "http://www.w3.org/2000/svg";

/** One of the pictures in icons.svg, for eyes only. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/page/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Say something to everybody: shown for a while, and read out by screen readers. */
export function toast(text, action) {
  const place = find(".toasts");
  const shown = make("div", { className: "toast" }, make("span", {}, text));
  if (action) {
    shown.append(button("compact", () => { shown.remove(); action.run(); }, action.label));
  }
  place.append(shown);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => shown.remove(), action ? 10000 : 5000);
}

export const bytes = (count) =>
  count < 1000 ? `${count} B` : count < 1e6 ? `${(count / 1e3).toFixed(0)} kB` : `${(count / 1e6).toFixed(1)} MB`;

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds < 1) return "under a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
