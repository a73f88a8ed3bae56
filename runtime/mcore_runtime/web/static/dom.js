// Building the page: every text is set as text, never as markup, because names come from anywhere.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** Make an element; `attributes` with `class`, `on…` functions, booleans; children are elements or texts. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Replace what is in `parent`, but only if `facts` differ from last time; keeps the keyboard's focus by data-key. */
export function rebuild(parent, facts, make) {
  const text = JSON.stringify(facts);
  if (parent.dataset.facts === text) return false;
  parent.dataset.facts = text;
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...[make()].flat());
  if (key !== undefined) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  return true;
}

/** Set an element's text, only if it is another. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const points = (value, digits = 1) => minus(value.toFixed(digits));

export const signed = (value) => {
  const text = Math.abs(value).toFixed(1);
  return text === "0.0" ? "±0.0" : (value < 0 ? "−" : "+") + text;
};

/** The interval around a score in words that say of which kind it is; of a dive's row or of its result. */
export function intervalWords({ low, high, interval_level: level }) {
  if (low === null) return "how sure this is cannot be said";
  const ends = `${points(low)} to ${points(high)}`;
  return (level ?? null) === null ? `exemplars say ${ends}` : `${Math.round(100 * level)} % interval: ${ends}`;
}

/** What such an interval promises. */
export const intervalMeaning = ({ interval_level: level }) => (level ?? null) === null
  ? "From the 10th to the 90th percentile of what the exemplars predict: their disagreement, not a conformal interval."
  : `Conformal interval: it holds the judges' score for ${Math.round(100 * level)} % of dives like those it was measured on.`;

/** What must stand beside a score of a network that is not known to have seen a real dive; null: it has. */
export const cautionOf = ({ caution }) => (caution ? el("p", { class: "caution" }, sentence(caution)) : null);

const minus = (text) => text.replace("-", "−");

/** "inward 3 1/2 somersaults tuck" with a real half. */
export const inWords = (words) => (words || "").replace(/(\d) 1\/2/g, "$1½").replace(/1\/2/g, "½");

export const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A text as a sentence: a capital at its beginning, unless that is an address, and a stop at its end. */
export function sentence(text) {
  const begun = /^[a-z]+([ ,;]|$)/.test(text) ? capital(text) : text;
  return begun === "" || /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/** Seconds as "12 s" or "3 min". */
export function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export const clock = (when) =>
  new Date(when).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
