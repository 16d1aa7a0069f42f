// Makers of elements. Words of models and worlds become text nodes, never markup.

const $ = (id) => document.getElementById(id);

function fill(element, options, children) {
  for (const [name, value] of Object.entries(options)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
const make = (tag, options = {}, ...children) => fill(document.createElement(tag), options, children);
const draw = (tag, options = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), options, children);

// What cannot be seen, or would move other text about, is written as its number.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u061c]/g;
const visible = (words) => String(words ?? "").replace(HIDDEN, (c) =>
  `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);

// A part that fails says so in its place; the rest of the page stays.
function guarded(what, work) {
  try { return work(); } catch (error) { return make("p", { class: "broken" }, `${what} cannot be drawn: ${visible(error.message)}`); }
}

// Where a text holds what is searched for, as ranges of characters.
function hits(text, wanted) {
  const found = [], low = wanted ? text.toLowerCase() : "";
  for (let at = wanted ? low.indexOf(wanted) : -1; at >= 0 && found.length < 400; at = low.indexOf(wanted, at + wanted.length)) found.push([at, at + wanted.length]);
  return found;
}

// A part of a text, which begins there at `start`, with the ranges of the text marked.
function markedPart(part, found, start) {
  const shown = [];
  let from = 0;
  for (const [a, b] of found) {
    const first = clamp(a - start, from, part.length), last = clamp(b - start, from, part.length);
    if (first === last) continue;
    shown.push(visible(part.slice(from, first)), make("mark", {}, visible(part.slice(first, last))));
    from = last;
  }
  return [...shown, visible(part.slice(from))];
}
function marked(words, wanted) {
  const text = String(words ?? "");
  return markedPart(text, hits(text, wanted), 0);
}

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const short = (x, digits = 3) => isNumber(x) ? String(Number(x.toPrecision(digits))) : "\u2013";
const percent = (x, digits = 0) => isNumber(x) ? `${(100 * x).toFixed(digits)} %` : "\u2013";
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
function later(work) { let timer; return () => { clearTimeout(timer); timer = setTimeout(work, 120); }; }

// What is told beside the pointer. It goes away with whatever happens next.
function tip(event, text) {
  const box = $("tip"); box.textContent = text; box.hidden = false;
  box.style.left = `${clamp(event.clientX + 14, 4, Math.max(4, innerWidth - box.offsetWidth - 8))}px`;
  const below = event.clientY + 18;
  box.style.top = `${Math.max(4, below + box.offsetHeight > innerHeight - 6 ? event.clientY - box.offsetHeight - 10 : below)}px`;
}
const hideTip = () => { $("tip").hidden = true; };
function explained(element, words) {
  // What a click has led away from tells nothing any more.
  const tell = (event) => { const text = element.getClientRects().length && words(event); if (text) tip(event, text); else hideTip(); };
  element.addEventListener("pointermove", tell); element.addEventListener("click", tell); element.addEventListener("pointerleave", hideTip);
  return element;
}

async function copy(text, button) {
  let done = true;
  try { await navigator.clipboard.writeText(text); } catch {
    const box = make("textarea", {}, text); document.body.append(box); box.select();
    done = document.execCommand("copy"); box.remove();
  }
  const before = button.dataset.label || button.textContent;
  button.dataset.label = before; button.textContent = done ? "copied" : "could not copy";
  setTimeout(() => { button.textContent = before; }, 1200);
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  const link = make("a", { href: address, download: name.replace(/[^\w.-]+/g, "-") });
  document.body.append(link); link.click(); link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
