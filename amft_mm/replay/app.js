"use strict";
// Reads what the page holds and draws it. Words of models and worlds become text nodes, never markup.

const ROW = 42, LONGEST = 20000;
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999"];
const $ = (id) => document.getElementById(id);
const read = (id) => JSON.parse($(id).textContent);
const held = read("index");
const all = [];
held.sources.forEach((source, s) => source.episodes.forEach((episode, place) =>
  all.push({ ...episode, s, place, run: source.name, id: `${s}-${place}` })));
const byId = new Map(all.map((episode) => [episode.id, episode]));
const several = held.sources.length > 1;
let shown = all, sort = { key: "step", down: false }, now = null, turn = 0, other = null;

// Small makers of elements.

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(tag, options = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(options)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// What cannot be seen, or would move other text about, is written as its number.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u061c]/g;
const visible = (words) => String(words).replace(HIDDEN, (c) =>
  `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);

function words(name, text) {
  const long = text.length > LONGEST;
  const element = make("div", { class: name, dir: "auto" }, visible(long ? text.slice(0, LONGEST) : text));
  if (long) element.append(make("button", { onclick: (event) => { event.target.remove(); element.append(visible(text.slice(LONGEST))); } },
    `\u2026 ${text.length - LONGEST} more characters`));
  return element;
}

// The list.

const FILTERS = [
  ["run", "run", (e) => [e.run], several],
  ["env", "environment", (e) => [e.env], true],
  ["phase", "phase", (e) => [e.phase], true],
  ["label", "split", (e) => [e.label], true],
  ["success", "outcome", (e) => [e.success ? "success" : "failure"], true],
  ["stop", "stop reason", (e) => [e.stop], true],
  ["verdict", "verdict", (e) => e.verdicts, true],
  ["step", "step", (e) => [String(e.step)], true],
];

function buildFilters() {
  const form = $("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(make("input", { type: "search", name: "text", placeholder: "search (/)", "aria-label": "search", oninput: later(refresh) }));
  for (const [name, label, values, wanted] of FILTERS) {
    const known = [...new Set(all.flatMap(values))].filter((value) => value !== "");
    if (!wanted || known.length < 2) continue;
    known.sort((a, b) => name === "step" ? a - b : a < b ? -1 : 1);
    form.append(make("select", { name, "aria-label": label, onchange: refresh },
      make("option", { value: "" }, label), ...known.map((value) => make("option", { value }, visible(value)))));
  }
}

const COLUMNS = [["step", "step"], ["label", "episode"], ["success", "outcome"], ["return", "return"], ["turns", "turns"]];

function buildHead() {
  $("head").replaceChildren(...COLUMNS.map(([key, label]) => make("button", {
    "aria-label": `sort by ${label}`, onclick: () => { sort = { key, down: sort.key === key && !sort.down }; refresh(); },
  }, label + (sort.key === key ? (sort.down ? " \u2193" : " \u2191") : ""))));
}

function chosen() {
  const found = {};
  for (const field of $("filters").elements) if (field.name && field.value) found[field.name] = field.value;
  return found;
}

function refresh() {
  const wanted = chosen(), text = (wanted.text || "").toLowerCase();
  shown = all.filter((episode) =>
    FILTERS.every(([name, , values]) => !wanted[name] || values(episode).includes(wanted[name])) &&
    (!text || `${episode.name} ${episode.words} ${episode.run}`.toLowerCase().includes(text)));
  const sign = sort.down ? -1 : 1, key = sort.key;
  shown.sort((a, b) => sign * (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : a.place - b.place));
  const won = shown.filter((episode) => episode.success).length;
  $("count").textContent = `${shown.length} of ${all.length} episodes, ${shown.length ? Math.round(100 * won / shown.length) : 0} % succeed`;
  $("space").style.height = `${shown.length * ROW}px`;
  buildHead();
  drawRows();
}

function drawRows() {
  const box = $("rows"), first = Math.max(0, Math.floor(box.scrollTop / ROW) - 5);
  const last = Math.min(shown.length, first + Math.ceil(box.clientHeight / ROW) + 10);
  const rows = [];
  for (let place = first; place < last; place++) {
    const e = shown[place];
    rows.push(make("div", { class: "row", role: "option", id: `row-${e.id}`, style: `top:${place * ROW}px`, "aria-selected": String(e === now), onclick: () => open(e, 0) },
      make("div", {}, String(e.step)),
      make("div", {}, visible(e.label || e.phase), make("br"), make("small", {}, visible(`${several ? e.run + " \u00b7 " : ""}${e.env} ${e.seed}${e.member ? " #" + e.member : ""}`))),
      make("div", { class: e.success ? "good" : "bad" }, e.success ? "\u2713 yes" : "\u2717 no", make("br"), make("small", {}, visible(e.success ? "" : e.stop))),
      make("div", {}, e.return.toFixed(2)), make("div", {}, String(e.turns))));
  }
  $("space").replaceChildren(...rows);
}

// An episode.

const details = new Map();
function detail(episode) {
  if (!details.has(episode.id)) {
    if (details.size > 40) details.clear();
    details.set(episode.id, read(`e-${episode.id}`));
  }
  return details.get(episode.id);
}

function picture(key) {
  const block = $(`p-${key}`);
  return block && make("img", { class: "picture", alt: "what the agent saw", src: `data:image/png;base64,${block.textContent}` });
}

function open(episode, at, quiet) {
  now = episode; turn = Math.max(0, Math.min(at, episode.turns - 1));
  document.body.classList.add("reading");
  if (!quiet) history.replaceState(null, "", `#e=${episode.id}&t=${turn}${other ? `&with=${other.id}` : ""}`);
  drawRows(); drawEpisode();
  const here = $("episode").querySelector(".turn.here");
  if (here && turn) here.scrollIntoView({ block: "nearest" }); else $("episode").scrollTop = 0;
}

let colouring = "probability";
function drawEpisode() {
  const same = all.filter((e) => e.instance === now.instance).sort((a, b) => a.step - b.step || a.s - b.s || a.member - b.member);
  const bar = make("div", { class: "bar" },
    make("h2", {}, visible(`${now.label || now.phase} \u00b7 step ${now.step}`)),
    make("span", { class: now.success ? "good" : "bad" }, visible(now.success ? "success" : `failure: ${now.stop}`)),
    make("span", {}, `return ${now.return.toFixed(2)}`),
    now.corrupted ? make("span", { class: "bad" }, visible(`corrupted: ${now.corrupted}`)) : null,
    make("label", {}, "colour tokens by ", make("select", { id: "colouring", onchange: (event) => { colouring = event.target.value; drawEpisode(); } },
      ...["probability", "entropy", "advantage", "pull", "nothing"].map((name) => make("option", { value: name, selected: name === colouring }, name)))));
  if (same.length > 1) {
    const place = same.indexOf(now);
    bar.append(make("label", {}, `this instance, ${place + 1} of ${same.length} `,
      make("input", { type: "range", id: "scrub", min: 0, max: same.length - 1, value: place, "aria-label": "the same instance at other steps", oninput: (event) => open(same[event.target.value], turn) })),
      make("label", {}, "beside ", make("select", { id: "beside", onchange: (event) => { other = byId.get(event.target.value) || null; open(now, turn); } },
        make("option", { value: "" }, "nothing"), ...same.filter((e) => e !== now).map((e) => make("option", { value: e.id, selected: e === other }, visible(`${several ? e.run + " " : ""}step ${e.step} ${e.phase}${e.member ? " #" + e.member : ""}`))))));
  }
  if (other && other.instance !== now.instance) other = null;
  const columns = make("div", { class: "columns" }, column(now), other ? column(other) : null);
  $("episode").replaceChildren(bar, sketch(detail(now)), columns);
}

function column(episode) {
  const box = make("div", {});
  if (other) box.append(make("p", {}, visible(`${episode.run}, step ${episode.step}: ${episode.success ? "success" : episode.stop}`)));
  detail(episode).turns.forEach((said, number) => box.append(turnBox(episode, said, number)));
  return box;
}

function turnBox(episode, said, number) {
  const here = episode === now && number === turn;
  const link = make("a", { href: `#e=${episode.id}&t=${number}` }, `turn ${number + 1}`);
  const top = make("h3", {}, link,
    said.reward === null ? null : make("span", { class: said.reward > 0 ? "good" : "bad" }, `reward ${said.reward}`),
    make("span", {}, visible(said.verdict)), said.slip ? make("span", { class: "bad" }, "a slip: shown, not learnt") : null);
  const box = make("div", { class: here ? "turn here" : "turn", id: `t-${episode.id}-${number}` }, top, words("said", said.said));
  said.pictures.forEach((key) => box.append(picture(key)));
  box.append(said.tokens ? tokens(said, episode) : words(said.slip ? "answer slip" : "answer", said.answer));
  if (said.expert && said.expert !== said.answer) box.append(words("expert", said.expert));
  return box;
}

// Colours: one scale for what is from none to all, one for what goes two ways; both safe for the colour-blind.
const MEANING = {
  probability: (t, i) => oneWay(1 - Math.exp(t.log_probs[i])),
  entropy: (t, i) => oneWay(Math.min(1, t.entropies[i] / 1.5)),
  advantage: (t) => twoWays(t.advantage === null ? 0 : t.advantage / 2),
  pull: (t, i, pulls) => twoWays(pulls[i]),
  nothing: () => "",
};
const oneWay = (x) => x < 0.02 ? "" : `rgba(213,94,0,${(0.12 + 0.6 * x).toFixed(3)})`;
const twoWays = (x) => { const y = Math.max(-1, Math.min(1, x)); return Math.abs(y) < 0.02 ? "" : `rgba(${y > 0 ? "0,114,178" : "213,94,0"},${(0.1 + 0.6 * Math.abs(y)).toFixed(3)})`; };

// mu times what imitation of the expert asks (its own tokens up, the first other one down), and 1 - mu times the advantage.
function pulls(said, episode) {
  const mu = muAt(episode), t = said.tokens, advantage = Math.max(-1, Math.min(1, (t.advantage || 0) / 2));
  let text = "", agrees = Boolean(said.expert);
  return t.words.map((word) => {
    text += word;
    let imitation = 0;
    if (agrees) { agrees = said.expert.startsWith(text); imitation = agrees ? 1 : -1; }
    return mu * imitation + (1 - mu) * advantage;
  });
}

function muAt(episode) {
  const points = held.sources[episode.s].curves.mu || [];
  let mu = 0.5;
  for (const [step, value] of points) if (step <= episode.step) mu = value;
  return mu;
}

function tokens(said, episode) {
  const t = said.tokens, own = colouring === "pull" ? pulls(said, episode) : [];
  const box = make("div", { class: "answer", dir: "auto" });
  t.words.slice(0, 5000).forEach((word, i) => {
    const span = make("span", { class: i < t.given ? "given" : "" }, visible(word || "\u200a"));
    span.style.background = MEANING[colouring](t, i, own);
    span.dataset.i = i;
    box.append(span);
  });
  if (t.words.length > 5000) box.append(visible(t.words.slice(5000).join("")));
  const tell = (event) => {
    const i = event.target.dataset && event.target.dataset.i;
    if (i === undefined) return hideTip();
    const others = (t.others[i] || []).map(([word, p]) => `  ${JSON.stringify(visible(word))} ${(100 * p).toFixed(1)} %`).join("\n");
    tip(event, `${JSON.stringify(visible(t.words[i]))}\nprobability ${(100 * Math.exp(t.log_probs[i])).toFixed(1)} %\nentropy ${t.entropies[i].toFixed(3)}` +
      (t.advantage === null ? "" : `\nadvantage ${t.advantage}`) + (i < t.given ? "\ngiven by the expert" : "") + (others ? `\nlikeliest:\n${others}` : ""));
  };
  box.addEventListener("mousemove", tell); box.addEventListener("click", tell); box.addEventListener("mouseleave", hideTip);
  return box;
}

function tip(event, text) {
  const box = $("tip"); box.textContent = text; box.hidden = false;
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${Math.max(4, Math.min(event.clientY + 16, innerHeight - box.offsetHeight - 8))}px`;
}
const hideTip = () => { $("tip").hidden = true; };

// A map or a hand.

function sketch(found) {
  const box = make("div", { class: "sketch" });
  if (found.sketch.kind === "map") box.append(map(found));
  if (found.sketch.kind === "hand") {
    const { cards, numbers, solutions } = found.sketch;
    box.append(make("div", {}, `cards ${cards.join(" ")}`, make("br"), `numbers ${numbers.join(", ")}`),
      make("details", {}, make("summary", {}, `${solutions.length}${solutions.length === 20 ? " or more" : ""} solutions`), make("div", {}, solutions.join("\n")))); 
  }
  return box;
}

function map(found) {
  const { way, streets = [], landmarks = [] } = found.sketch, lat0 = way[0][0];
  const flat = ([lat, lng]) => [lng * Math.cos(lat0 * Math.PI / 180), -lat];
  const places = found.turns.map((t) => t.facts && t.facts.position).filter(Array.isArray);
  const known = [...way, ...places].map(flat), xs = known.map((p) => p[0]), ys = known.map((p) => p[1]);
  const margin = 4e-4, x0 = Math.min(...xs) - margin, y0 = Math.min(...ys) - margin;
  const span = Math.max(Math.max(...xs) - x0, Math.max(...ys) - y0) + margin, size = 300;
  const at = (p) => { const [x, y] = flat(p); return [(x - x0) / span * size, (y - y0) / span * size]; };
  const line = (points, options) => draw("polyline", { points: points.map((p) => at(p).map((v) => v.toFixed(1)).join(",")).join(" "), fill: "none", ...options });
  const svg = draw("svg", { viewBox: `0 0 ${size} ${size}`, width: size, height: size, role: "img", "aria-label": "map of the way" });
  streets.forEach((pair) => svg.append(line(pair, { stroke: "#8886", "stroke-width": 6, "stroke-linecap": "round" })));
  svg.append(line(way, { stroke: "#0072b2", "stroke-width": 4, opacity: 0.55 }));
  landmarks.forEach((mark) => { const [x, y] = at(mark.at); const dot = draw("circle", { cx: x, cy: y, r: 3, fill: "#999" }); dot.append(title(mark.name)); svg.append(dot); });
  if (places.length) svg.append(line(places.slice(0, turn + 1), { stroke: "#d55e00", "stroke-width": 2.5 }));
  const facts = found.turns[turn] && found.turns[turn].facts;
  if (facts && Array.isArray(facts.position)) {
    const [x, y] = at(facts.position);
    svg.append(draw("path", { d: "M0,-9 L6,7 L0,3 L-6,7 Z", fill: "#d55e00", transform: `translate(${x},${y}) rotate(${Number(facts.heading) || 0})` }));
  }
  return svg;
}
const title = (text) => { const t = draw("title"); t.textContent = visible(text); return t; };

// The run's curves.

function buildCurves() {
  const names = [...new Set(held.sources.flatMap((source) => Object.keys(source.curves)))];
  if (!names.length) { $("run").remove(); return; }
  const panels = new Map();
  for (const name of names) {
    const label = name.startsWith("rollout/stop/") ? "stop reasons" : name.endsWith("/success") ? "success" : name.startsWith("loss/") ? "losses" : name.startsWith("grad/") ? "gradients" : name;
    panels.set(label, [...(panels.get(label) || []), name]);
  }
  for (const [label, keys] of panels) $("curves").append(panel(label, keys));
}

function panel(label, keys) {
  const lines = held.sources.flatMap((source) => keys.filter((key) => source.curves[key]).map((key) => ({ name: `${several ? source.name + " " : ""}${key}`, points: source.curves[key], dots: key.startsWith("eval/") })));
  const points = lines.flatMap((line) => line.points), width = 280, height = 130;
  const x0 = Math.min(...points.map((p) => p[0])), x1 = Math.max(...points.map((p) => p[0]), x0 + 1);
  const unit = ["success", "mu", "stop reasons"].includes(label);
  const y0 = unit ? 0 : Math.min(...points.map((p) => p[1])), y1 = unit ? 1 : Math.max(...points.map((p) => p[1]), y0 + 1e-9);
  const at = ([x, y]) => [30 + (x - x0) / (x1 - x0) * (width - 36), 6 + (1 - (y - y0) / (y1 - y0)) * (height - 24)];
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `curve of ${label}` });
  const word = (text, x, y, anchor) => { const t = draw("text", { x, y, "font-size": 10, fill: "currentColor", "text-anchor": anchor }); t.textContent = text; svg.append(t); };
  word(Number(y0.toPrecision(2)), 0, height - 20, "start"); word(Number(y1.toPrecision(2)), 0, 10, "start");
  word(`step ${x0}`, 30, height - 4, "start"); word(`${x1}`, width - 6, height - 4, "end");
  lines.forEach((line, number) => {
    const colour = COLOURS[number % COLOURS.length], where = line.points.map(at);
    svg.append(draw("polyline", { points: where.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "), fill: "none", stroke: colour, "stroke-width": 1.5, opacity: 0.9 }));
    if (line.dots) where.forEach(([x, y]) => svg.append(draw("circle", { cx: x, cy: y, r: 2.5, fill: colour })));
  });
  const stepAt = (event) => { const box = svg.getBoundingClientRect(); return x0 + ((event.clientX - box.left) * width / box.width - 30) / (width - 36) * (x1 - x0); };
  const nearest = (list, step) => list.reduce((best, p) => Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best);
  svg.addEventListener("mousemove", (event) => tip(event, lines.map((line) => { const p = nearest(line.points, stepAt(event)); return `${visible(line.name)}: ${Number(p[1].toPrecision(3))} at step ${p[0]}`; }).join("\n")));
  svg.addEventListener("mouseleave", hideTip);
  svg.addEventListener("click", (event) => {
    const steps = all.map((e) => [e.step]); if (!steps.length) return;
    const field = $("filters").elements.step; if (!field) return;
    field.value = String(nearest(steps, stepAt(event))[0]); refresh();
  });
  const legend = lines.length < 2 ? [] : lines.map((line, number) => make("span", { class: "key", style: `--key:${COLOURS[number % COLOURS.length]}` }, visible(line.name)));
  return make("figure", {}, make("figcaption", {}, visible(label), ...legend), svg);
}

// Keys, links, and what comes later.

function move(by) {
  if (!shown.length) return;
  const place = Math.max(0, Math.min(shown.length - 1, (now ? shown.indexOf(now) : -1) + by));
  const box = $("rows"), top = place * ROW;
  if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - ROW) box.scrollTop = top - box.clientHeight / 2;
  open(shown[place], 0);
}

function scrub(by) {
  const range = $("scrub"); if (!range) return;
  range.value = Number(range.value) + by; range.dispatchEvent(new Event("input"));
}

function onKey(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range";
  if (event.key === "Escape") { event.target.blur(); document.body.classList.remove("reading"); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    j: () => move(1), k: () => move(-1), ArrowRight: () => now && open(now, turn + 1), ArrowLeft: () => now && open(now, turn - 1),
    "]": () => scrub(1), "[": () => scrub(-1), "/": () => $("filters").elements.text.focus(),
    c: () => $("beside") && $("beside").focus(),
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
}

function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1)), episode = byId.get(wanted.get("e"));
  other = byId.get(wanted.get("with")) || null;
  if (episode) open(episode, Number(wanted.get("t")) || 0, true);
}

function later(work) { let timer; return () => { clearTimeout(timer); timer = setTimeout(work, 120); }; }

$("title").textContent = held.sources.map((source) => visible(source.name)).join(", ");
$("back").addEventListener("click", () => document.body.classList.remove("reading"));
$("help-button").addEventListener("click", (event) => { $("help").hidden = !$("help").hidden; event.target.setAttribute("aria-expanded", String(!$("help").hidden)); });
$("rows").addEventListener("scroll", drawRows);
addEventListener("resize", drawRows); addEventListener("keydown", onKey); addEventListener("hashchange", follow);
buildFilters(); buildCurves(); refresh(); follow();
if (held.live) {
  $("fresh").addEventListener("click", () => location.reload());
  let first = null;
  setInterval(async () => {
    try { const version = await (await fetch("version")).text(); first = first || version; $("fresh").hidden = version === first; } catch { /* the server has gone */ }
  }, 3000);
}
