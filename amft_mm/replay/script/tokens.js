// An answer's tokens, coloured by what an episode has: nothing is offered that it lacks.

const WARM = "213,94,0", COLD = "0,114,178";
const oneWay = (x) => !isNumber(x) || x < 0.03 ? "" : `rgba(${WARM},${(0.08 + 0.5 * Math.min(1, x)).toFixed(3)})`;
const twoWays = (x) => !isNumber(x) || Math.abs(x) < 0.02 ? "" : `rgba(${x > 0 ? COLD : WARM},${(0.06 + 0.36 * Math.min(1, Math.abs(x))).toFixed(3)})`;

// `scale` is what makes the strongest colour, of an episode's own tokens: neither all nor none of them shine.
const COLOURS = {
  probability: {
    has: (t) => t.log_probs.some(isNumber), scale: () => Math.log(1000),
    of: (t, i, scale) => oneWay((-t.log_probs[i] - Math.LN2) / scale), legend: () => ["above 50 %", "0.1 %"],
  },
  entropy: {
    has: (t) => t.entropies.some(isNumber), scale: (all) => Math.max(1, quantile(all.flatMap((t) => t.entropies), 0.98)),
    of: (t, i, scale) => oneWay(t.entropies[i] / scale), legend: (scale) => ["0", `${short(scale, 2)} nats`],
  },
  advantage: {
    has: (t) => isNumber(t.advantage), scale: (all) => Math.max(1e-6, ...all.map((t) => Math.abs(t.advantage) || 0)),
    of: (t, i, scale) => twoWays(t.advantage / scale), legend: (scale) => [`\u2212${short(scale, 2)}`, `+${short(scale, 2)}`], both: true,
  },
  pull: {
    has: (t, said) => isNumber(t.advantage) && Boolean(said.expert), scale: () => 1,
    of: (t, i, scale, pulls) => twoWays(pulls[i]), legend: () => ["away from it", "towards it"], both: true,
  },
};

function quantile(values, share) {
  const known = values.filter(isNumber).sort((a, b) => a - b);
  return known.length ? known[Math.min(known.length - 1, Math.floor(share * known.length))] : 0;
}

const colours = (turns) => Object.keys(COLOURS).filter((name) => turns.some((said) => said.tokens && COLOURS[name].has(said.tokens, said)));
const colourScale = (name, turns) => COLOURS[name].scale(turns.map((said) => said.tokens).filter(Boolean));

function colourLegend(name, turns) {
  const { legend, both } = COLOURS[name], [from, to] = legend(colourScale(name, turns));
  const shades = both ? `rgba(${WARM},.42), transparent, rgba(${COLD},.42)` : `transparent, rgba(${WARM},.58)`;
  return make("span", { class: "legend", id: "colour-legend" }, `${from} `, make("span", { class: "scale", style: `background:linear-gradient(90deg, ${shades})` }), ` ${to}`);
}

// mu times what imitation of the expert asks (its own tokens up, the first other one down), and 1 - mu times the advantage.
function pulls(said, episode) {
  const mu = muAt(episode), t = said.tokens, advantage = clamp((t.advantage || 0) / 2, -1, 1);
  let text = begun(said), agrees = Boolean(said.expert);
  return t.words.map((word, i) => {
    text += word;
    let imitation = 0;
    // The last word is empty where it ends the answer: there all of it has been said.
    const ends = i === t.words.length - 1 && !word;
    if (agrees) { agrees = ends ? said.expert === text : said.expert.startsWith(text); imitation = agrees ? 1 : -1; }
    return mu * imitation + (1 - mu) * advantage;
  });
}

// How an answer begins that was begun for the agent, and is not learnt from: its tokens are those after that.
function begun(said) {
  const words = said.tokens.words.join("");
  return said.answer.endsWith(words) ? said.answer.slice(0, said.answer.length - words.length) : "";
}

function muAt(episode) {
  let mu = 0.5;
  for (const [step, value] of held.sources[episode.s].curves.mu || []) if (step <= episode.step) mu = value;
  return mu;
}

// `differs` are the characters that another answer has not.
function tokenBox(said, episode, turns, differs) {
  const t = said.tokens, known = COLOURS[looking.colour], own = looking.colour === "pull" ? pulls(said, episode) : [];
  const scale = known && colourScale(looking.colour, turns);
  const box = make("div", { class: "answer", dir: "auto" }), before = begun(said), sought = hits(before + t.words.join(""), searched());
  let at = before.length;
  if (before) box.append(make("span", { class: "given" }, ...markedPart(before, sought, 0)));
  t.words.slice(0, 5000).forEach((word, i) => {
    const classes = [i < t.given ? "given" : "", overlaps(differs, at, at + word.length) ? "differs" : ""];
    const span = make("span", { class: classes.join(" ").trim() || null, "data-i": i }, ...markedPart(String(word || "\u200a"), sought, at));
    if (known) span.style.backgroundColor = known.of(t, i, scale, own);
    at += word.length;
    box.append(span);
  });
  if (t.words.length > 5000) box.append(visible(t.words.slice(5000).join("")));
  return explained(box, (event) => {
    const span = event.target.closest?.("[data-i]");
    return span && tokenWords(t, Number(span.dataset.i));
  });
}

const probability = (t, i) => percent(isNumber(t.log_probs[i]) ? Math.exp(t.log_probs[i]) : null, 1);

function tokenWords(t, i) {
  const others = (t.others[i] || []).map(([word, p]) => `  ${JSON.stringify(visible(word))} ${percent(p, 1)}`);
  return [JSON.stringify(visible(t.words[i])), `probability ${probability(t, i)}`, `entropy ${isNumber(t.entropies[i]) ? t.entropies[i].toFixed(3) : "\u2013"}`,
    ...(isNumber(t.advantage) ? [`advantage ${t.advantage}`] : []), ...(i < t.given ? ["given by the expert"] : []), ...(others.length ? ["likeliest:", ...others] : [])].join("\n");
}

// Ids, log-probabilities and the rest, as a table.
function tokenTable(t) {
  const rows = t.words.slice(0, 2000).map((word, i) => make("tr", {}, ...[i + 1, t.ids?.[i] ?? "\u2013", JSON.stringify(visible(word)), isNumber(t.log_probs[i]) ? t.log_probs[i].toFixed(4) : "\u2013",
    probability(t, i), isNumber(t.entropies[i]) ? t.entropies[i].toFixed(3) : "\u2013"].map((cell, k) => make("td", {}, k === 2 ? make("code", {}, String(cell)) : String(cell)))));
  const heads = ["", "id", "token", "log-probability", "probability", "entropy"];
  return make("div", { class: "scroll" }, make("table", { class: "figures" }, make("tr", {}, ...heads.map((h) => make("th", {}, h))), ...rows));
}
