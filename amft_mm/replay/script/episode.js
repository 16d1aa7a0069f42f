// An episode on a screen: strip of turns, picture and map in sight, the turn beside them; or two episodes side by side.

function drawEpisode() {
  if (!looking.episode) return;
  const focused = $("episode").querySelector(":focus-visible")?.id;
  $("episode").replaceChildren(guarded("the episode", () => make("div", {}, top(), choices(), strips(), stage())));
  hideTip();
  if (focused) $(focused)?.focus({ preventScroll: true }); // who goes by keys goes on from where they are
}

function top() {
  const e = looking.episode;
  return make("div", { class: "bar" }, make("h2", {}, visible(group(e))), make("span", { class: `chip ${e.success ? "good" : "bad"}`, title: visible(ending(e)) }, visible(ending(e))),
    make("span", {}, `return ${short(e.return)}`), make("span", { class: "quiet" }, visible(instance(e))), e.corrupted ? make("span", { class: "bad" }, visible(`corrupted: ${e.corrupted}`)) : null,
    make("span", { class: "push" }, longest() > 1 && make("button", { id: "all-turns", "aria-pressed": String(looking.all), onclick: showAll }, looking.all ? "one turn" : "all turns"), make("button", { id: "previous", title: "k", onclick: () => move(-1) }, "\u2190 previous"), make("button", { id: "next", title: "j", onclick: () => move(1) }, "next \u2192")));
}

// The same task elsewhere, and how tokens are coloured; nothing that this episode does not have.
function choices() {
  const e = looking.episode, turns = turnsShown(), found = colours(turns), others = same(e), place = others.indexOf(e);
  if (found.length && !found.includes(looking.colour) && looking.colour !== "nothing") looking.colour = found[0];
  return make("div", { class: "bar choices" },
    others.length > 1 ? make("label", {}, `this task: ${place + 1} of ${others.length} `, make("input", { type: "range", id: "scrub", min: 0, max: others.length - 1, value: place, "aria-label": "the same task at other steps", onchange: (event) => open(others[event.target.value], looking.turn) })) : null,
    others.length > 1 ? make("label", {}, "beside ", make("select", { id: "beside", onchange: (event) => { looking.other = byKey.get(event.target.value) || null; remember(); drawEpisode(); } }, make("option", { value: "" }, "nothing"),
      ...others.filter((o) => o !== e).map((o) => make("option", { value: o.key, selected: o === looking.other }, visible(`${member(o)}, ${ending(o)}`))))) : null,
    found.length ? make("label", {}, "colour by ", make("select", { id: "colouring", onchange: (event) => { looking.colour = event.target.value; remember(); drawEpisode(); } }, ...[...found, "nothing"].map((name) => make("option", { value: name, selected: name === looking.colour }, name)))) : null,
    found.includes(looking.colour) ? colourLegend(looking.colour, turns) : null);
}

const members = () => [looking.episode, looking.other].filter(Boolean);
const turnsShown = () => members().flatMap((e) => detail(e).turns);
const longest = () => Math.max(1, ...members().map((e) => e.turns));

// Turns in which the two differ; the first is what matters.
function differingTurns() {
  if (!looking.other) return [];
  const [one, two] = members().map((e) => detail(e).turns);
  return Array.from({ length: longest() }, (_, i) => i).filter((i) => !one[i] || !two[i] || one[i].answer !== two[i].answer);
}

function strips() {
  if (longest() === 1 && !looking.other) return null;
  const count = longest(), differ = differingTurns(), pictured = count <= 40 && turnsShown().filter((said) => said.pictures.length).length > members().length, text = searched();
  const scale = Math.max(1e-9, ...members().flatMap((e) => e.rewards).map((r) => Math.abs(r || 0)));
  const grid = make("div", { class: "strip", role: "group", "aria-label": "turns and their rewards", style: `grid-template-columns:repeat(${count}, minmax(var(--least), ${count < 9 ? "92px" : "1fr"}))` });
  for (const e of members()) {
    if (looking.other) grid.append(make("b", {}, visible(`${member(e)}: ${ending(e)}`)));
    for (let i = 0; i < count; i++) grid.append(detail(e).turns[i] ? cell(e, i, { scale, pictured, first: differ[0] === i, text }) : make("span", {}));
  }
  if (!looking.other) return grid;
  return make("div", {}, grid, make("p", { class: "legend" }, differ.length ? make("button", { id: "first-difference", onclick: () => goTo(differ[0]) }, `first difference: turn ${differ[0] + 1} (d)`) : "The two are the same, turn by turn."));
}

function cell(e, i, { scale, pictured, first, text }) {
  const said = detail(e).turns[i], reward = said.reward || 0, found = text && `${said.said} ${said.answer}`.toLowerCase().includes(text);
  const classes = ["cell", reward > 0 ? "up" : reward < 0 ? "down" : "", first ? "differs" : "", found ? "found" : ""].filter(Boolean).join(" ");
  const button = make("button", { id: `cell-${e.key}-${i}`, class: classes, "aria-current": String(i === looking.turn && e === looking.episode), "aria-label": `turn ${i + 1}, reward ${short(said.reward)}`, onclick: () => goTo(i) },
    pictured ? thumbnail(said.pictures[0]) : null, make("i", { style: `opacity:${reward ? 0.45 + 0.55 * Math.abs(reward) / scale : 1}` }), make("b", {}, String(i + 1)));
  return explained(button, () => [`turn ${i + 1}`, isNumber(said.reward) ? `reward ${short(said.reward)}` : "", visible(said.verdict)].filter(Boolean).join(", "));
}

function stage() {
  const numbers = looking.all ? Array.from({ length: longest() }, (_, i) => i) : [looking.turn];
  if (looking.other) {
    const rows = numbers.flatMap((i) => members().map((e, k) => { const box = turnBox(e, i, detail(members()[1 - k]).turns[i] || null); if (looking.all) return box; return make("div", {}, scene(e, i), box); }));
    return make("div", {}, make("div", { class: "beside" }, ...members().map((e) => make("h3", {}, visible(`${member(e)}: ${ending(e)}`))), ...rows), noteBox(looking.episode));
  }
  const seen = scene(looking.episode, looking.turn), turns = make("div", {}, ...numbers.map((i) => turnBox(looking.episode, i, null)), noteBox(looking.episode));
  return make("div", { class: seen.children.length ? "stage" : "stage wordy" }, seen.children.length ? seen : null, turns);
}

// The pictures of a turn, or the last before it, and the map or hand.
function scene(e, number) {
  const found = detail(e), keys = found.turns.slice(0, number + 1).map((said) => said.pictures).filter((some) => some.length).pop() || [];
  return make("div", { class: "scene" }, ...keys.map(source).filter(Boolean).map((address) => make("button", { class: "picture", "aria-label": "the picture, large", onclick: () => enlarge(address) }, make("img", { src: address, alt: `what the agent saw at turn ${number + 1}` }))), sketch(found, number));
}

function enlarge(address) {
  const box = $("large");
  box.replaceChildren(make("img", { src: address, alt: "the picture, large" }));
  box.showModal();
}

// The large picture goes along, and goes away where there is none.
function renewLarge() {
  const box = $("large"), image = $("episode").querySelector(".picture img");
  if (box.open && image) box.firstChild.src = image.src; else box.close();
}

function open(episode, number) {
  looking.at = "episode"; looking.episode = episode; looking.turn = clamp(number, 0, Math.max(0, episode.turns - 1));
  if (looking.other && (looking.other.instance !== episode.instance || looking.other === episode)) looking.other = null;
  show(); inSight(episode); drawRows(); drawEpisode(); remember(); renewLarge();
  $("episode").scrollTop = 0;
  if (looking.all && number) $("episode").querySelector(".turn.here")?.scrollIntoView({ block: "nearest" });
}

function goTo(number) {
  const before = $("episode").scrollTop, strip = document.querySelector(".strip"), across = strip ? strip.scrollLeft : 0;
  looking.turn = clamp(number, 0, Math.max(0, looking.episode.turns - 1));
  drawEpisode(); remember();
  $("episode").scrollTop = before;
  const now = document.querySelector(".strip");
  if (now) now.scrollLeft = across;
  document.querySelector(".cell[aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (looking.all) $("episode").querySelector(".turn.here")?.scrollIntoView({ block: "nearest" });
  renewLarge();
}

function showAll() { looking.all = !looking.all; remember(); drawEpisode(); }
