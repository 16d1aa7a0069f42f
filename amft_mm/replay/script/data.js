// What the page holds, and what is being looked at.

const read = (id) => JSON.parse($(id).textContent);
const held = read("index");
const all = held.sources.flatMap((source, s) => source.episodes.map((episode, place) => ({ ...episode, s, place, run: source.name })));
const byKey = new Map(all.map((episode) => [episode.key, episode]));
const several = held.sources.length > 1;

const looking = { at: "run", episode: null, turn: 0, other: null, all: false, colour: "probability", filters: {}, sort: "newest", notes: new Map(), opened: new Set() };

const details = new Map();
function detail(episode) {
  const id = `${episode.s}-${episode.place}`;
  if (!details.has(id)) {
    if (details.size > 60) details.clear();
    const found = read(`e-${id}`);
    details.set(id, { ...found, sketch: found.sketch ? read(`s-${found.sketch}`) : {} });
  }
  return details.get(id);
}

// All that is said in an episode, as it is and in small letters. It is read when it is first searched.
const spoken = new Map();
function wordsOf(episode) {
  if (!spoken.has(episode)) {
    let words = "";
    try { words = read(`e-${episode.s}-${episode.place}`).turns.map((said) => `${said.said} ${said.answer}`).join(" "); } catch { /* a spoilt one says nothing */ }
    spoken.set(episode, { words, low: words.toLowerCase() });
  }
  return spoken.get(episode);
}

function source(key) {
  const block = key && $(`p-${key}`);
  return block ? `data:image/png;base64,${block.textContent}` : null;
}
const thumbnail = (key) => source(key) && make("img", { src: source(key), alt: "", loading: "lazy", decoding: "async" });

// How episodes are named.
const kind = (e) => e.label || e.phase;
const isDemonstration = (e) => e.phase === "demonstration";
function group(e) {
  const named = isDemonstration(e) ? [kind(e)] : [`step ${e.step}`, e.phase === e.label || !e.label ? e.phase : `${e.phase} ${e.label}`];
  return [...(several ? [e.run] : []), ...named].join(" \u00b7 ");
}
const worlds = new Set(all.map((e) => e.env));
const instance = (e) => `${worlds.size > 1 && e.env ? e.env.replace(/^amft\/|-v\d+$/g, "") : "task"} ${e.seed}${e.member ? ` #${e.member}` : ""}`;
const ending = (e) => e.success ? "success" : e.stop && e.stop !== "failure" ? `failure: ${e.stop}` : "failure";
const member = (e) => `${group(e)}${e.member ? ` \u00b7 #${e.member}` : ""}`;
const same = (episode) => all.filter((e) => e.instance === episode.instance).sort((a, b) => a.step - b.step || a.s - b.s || a.member - b.member);

// The address: what is looked at, what is chosen in the list, notes.
const STANDARD = { at: "run", sort: "newest", colour: "probability" };
function address() {
  const words = new URLSearchParams();
  if (looking.at === "list") words.set("at", "list");
  if (looking.at === "episode" && looking.episode) {
    words.set("e", looking.episode.key);
    if (looking.turn) words.set("t", looking.turn + 1);
    if (looking.other) words.set("with", looking.other.key);
    if (looking.all) words.set("turns", "all");
    if (looking.colour !== STANDARD.colour) words.set("colour", looking.colour);
  }
  if (looking.sort !== STANDARD.sort) words.set("sort", looking.sort);
  for (const [name, value] of Object.entries(looking.filters)) if (value) words.set(name, value);
  for (const [key, note] of looking.notes) words.set(`note-${key}`, note);
  return words.size ? `#${words}` : "";
}
const remember = () => history.replaceState(null, "", address() || location.pathname + location.search);

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  looking.episode = byKey.get(words.get("e")) || null;
  looking.other = byKey.get(words.get("with")) || null;
  looking.turn = clamp(Math.floor(Number(words.get("t")) || 1) - 1, 0, Math.max(0, (looking.episode?.turns || 1) - 1));
  looking.at = looking.episode ? "episode" : words.get("at") === "list" ? "list" : "run";
  looking.all = words.get("turns") === "all";
  looking.colour = words.get("colour") || STANDARD.colour;
  looking.sort = words.get("sort") || STANDARD.sort;
  looking.filters = {};
  for (const [name, value] of words) {
    if (name.startsWith("note-")) looking.notes.set(name.slice(5), value);
    else if (FILTERED.has(name)) looking.filters[name] = value;
  }
}
const FILTERED = new Set(["text", "run", "env", "phase", "label", "outcome", "stop", "verdict", "step"]);
const searched = () => (looking.filters.text || "").trim().toLowerCase();
