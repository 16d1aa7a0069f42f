// The list: filtered, sorted, with a head for each step and split. Rows are drawn as they are scrolled to.

const ROW = 48;
const FILTERS = [
  ["run", "run", (e) => [e.run], several], ["phase", "phase", (e) => [e.phase], true], ["label", "split", (e) => [e.label], true],
  ["outcome", "outcome", (e) => [e.success ? "success" : "failure"], true], ["verdict", "verdict", (e) => e.verdicts, true],
  ["stop", "stop", (e) => [e.stop], true], ["step", "step", (e) => [String(e.step)], true], ["env", "world", (e) => [e.env], true],
];
const byStep = (e, f) => e.s - f.s || e.step - f.step || (e.phase === "evaluation") - (f.phase === "evaluation");
const inGroup = (e, f) => (e.label < f.label ? -1 : e.label > f.label ? 1 : 0) || e.place - f.place;
const SORTS = {
  newest: (e, f) => e.s - f.s || byStep(f, e) || inGroup(e, f), oldest: (e, f) => byStep(e, f) || inGroup(e, f),
  "least return": (e, f) => e.return - f.return || byStep(f, e), "most return": (e, f) => f.return - e.return || byStep(f, e),
  "most turns": (e, f) => f.turns - e.turns || byStep(f, e), "fewest turns": (e, f) => e.turns - f.turns || byStep(f, e),
};
let shown = [], items = [];

function buildFilters() {
  const form = $("filters");
  form.addEventListener("submit", (event) => { event.preventDefault(); if (shown.length) open(shown[0], 0); });
  const said = later(() => choose({ text: form.elements.text.value }));
  form.append(make("input", { type: "search", name: "text", placeholder: "search tasks and answers (/)", "aria-label": "search", oninput: said }));
  for (const [name, label, values, wanted] of FILTERS) {
    const known = [...new Set(all.flatMap(values))].filter((value) => value !== "");
    if (!wanted || known.length < 2) continue;
    known.sort((a, b) => name === "step" ? a - b : a < b ? -1 : 1);
    form.append(make("select", { name, "aria-label": label, onchange: (event) => choose({ [name]: event.target.value }) },
      make("option", { value: "" }, label), ...known.map((value) => make("option", { value }, visible(value)))));
  }
  form.append(make("select", { name: "sort", "aria-label": "order", onchange: (event) => { looking.sort = event.target.value; refresh(); remember(); } },
    ...Object.keys(SORTS).map((name) => make("option", { value: name }, name === "newest" ? "newest first" : name === "oldest" ? "oldest first" : name))));
}

// Filters beside those that are chosen.
function choose(filters) {
  Object.assign(looking.filters, filters);
  if (looking.at === "run" && !wide()) looking.at = "list";
  refresh(); show(); remember();
  if (looking.at === "episode" && "text" in filters) drawEpisode();
}
function clearFilters() { looking.filters = {}; refresh(); remember(); if (looking.at === "episode") drawEpisode(); }

function refresh() {
  const form = $("filters"), wanted = looking.filters, text = searched();
  for (const field of form.elements) {
    const value = field.name === "sort" ? looking.sort : wanted[field.name] || "";
    if (field.value !== value && !(field.name === "text" && field === document.activeElement)) field.value = value;
    field.classList.toggle("set", field.name !== "sort" && Boolean(value));
  }
  shown = all.filter((e) => FILTERS.every(([name, , values]) => !wanted[name] || values(e).includes(wanted[name])) && (!text || named(e).includes(text) || wordsOf(e).low.includes(text)));
  shown.sort(SORTS[looking.sort] || SORTS.newest);
  items = grouped();
  const won = shown.filter((e) => e.success).length, filtered = FILTERS.some(([name]) => wanted[name]) || text;
  $("count").replaceChildren(filtered ? `${shown.length} of ${all.length} episodes` : `${all.length} ${all.length === 1 ? "episode" : "episodes"}`, shown.length ? `, ${won} succeed` : "",
    filtered ? make("button", { id: "clear", onclick: clearFilters }, "clear") : "");
  $("none").hidden = shown.length > 0;
  $("none").replaceChildren(text ? `Nothing matches \u201c${visible(wanted.text)}\u201d${FILTERS.some(([name]) => wanted[name]) ? " among what is chosen" : ""}. ` : "No episode is like that. ", make("button", { onclick: clearFilters }, "show all"));
  $("space").style.height = `${items.length * ROW}px`;
  drawRows();
}
const named = (e) => `${e.name} ${e.env} ${e.seed} ${e.label} ${e.run} ${e.verdicts.join(" ")}`.toLowerCase();

function grouped() {
  if (looking.sort !== "newest" && looking.sort !== "oldest") return shown.map((episode) => ({ episode }));
  const found = [];
  let head = null;
  for (const episode of shown) {
    const name = group(episode);
    if (!head || head.name !== name) found.push(head = { name, won: 0, count: 0, chosen: held.sources[episode.s].chosen });
    head.count += 1; head.won += episode.success ? 1 : 0;
    found.push({ episode });
  }
  return found;
}

function sparks(e) {
  return make("span", { class: e.rewards.length > 8 ? "sparks many" : "sparks" }, ...e.rewards.slice(0, 16).map((reward) => make("i", { class: reward > 0 ? "up" : reward < 0 ? "down" : null })), e.rewards.length > 16 ? "\u2026" : null);
}

function drawRows() {
  const box = $("rows"), first = Math.max(0, Math.floor(box.scrollTop / ROW) - 5);
  const last = Math.min(items.length, first + Math.ceil(box.clientHeight / ROW) + 10), text = searched(), rows = [];
  for (let place = first; place < last; place++) rows.push(guarded("a row", () => row(items[place], place, text)));
  $("space").replaceChildren(...rows);
  if (looking.episode) $("rows").setAttribute("aria-activedescendant", `row-${looking.episode.key}`);
}

function row({ episode: e, name, won, count, chosen }, place, text) {
  const style = `top:${place * ROW}px`;
  if (!e) return make("div", { class: "group", style, role: "presentation" }, make("b", { title: visible(name) }, visible(name)), chosen ? null : make("span", { class: "quiet" }, `${won} of ${count}`));
  const image = thumbnail(e.picture), said = text ? excerpt(e, text) : "";
  const told = said ? marked(said, text) : [sparks(e), make("small", {}, visible(e.last))];
  const heads = looking.sort === "newest" || looking.sort === "oldest";
  return make("div", { class: image ? "row" : "row plain", role: "option", id: `row-${e.key}`, style, "aria-selected": String(e === looking.episode && looking.at === "episode"), onclick: () => open(e, 0) }, image,
    make("div", {}, ...marked(heads ? instance(e) : `${several ? `${e.run} \u00b7 ` : ""}${kind(e)}${isDemonstration(e) ? "" : ` \u00b7 step ${e.step}`} \u00b7 ${instance(e)}`, text), looking.notes.has(e.key) ? " \u270e" : null), make("div", { class: `right ${e.success ? "good" : "bad"}` }, e.success ? "\u2713 success" : `\u2717 ${visible(e.stop || "failure")}`),
    make("div", {}, ...told), make("div", { class: "right" }, make("small", {}, `${short(e.return)} in ${e.turns} ${e.turns === 1 ? "turn" : "turns"}`)));
}

// It begins shortly before what is searched for, so that this is seen in a narrow row.
function excerpt(e, text) {
  const { words, low } = wordsOf(e), at = low.indexOf(text);
  return at < 0 ? "" : `${at > 8 ? "\u2026" : ""}${words.slice(Math.max(0, at - 8), at + 80)}`;
}

function inSight(episode) {
  const place = items.findIndex((item) => item.episode === episode), box = $("rows"), top = place * ROW;
  if (place >= 0 && (top < box.scrollTop + ROW || top > box.scrollTop + box.clientHeight - ROW)) box.scrollTop = top - box.clientHeight / 2;
}
