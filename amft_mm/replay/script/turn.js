// One turn: what was said, what was answered, how the expert's answer differs, and what lies behind.

const LONGEST = 20000;

function longText(name, parts, text) {
  const element = make("div", { class: name, dir: "auto" });
  if (text.length <= LONGEST) { element.append(...parts(text)); return element; }
  element.append(...parts(text.slice(0, LONGEST)), make("button", { onclick: (event) => { event.target.remove(); element.append(visible(text.slice(LONGEST))); } }, `\u2026 ${text.length - LONGEST} more characters`));
  return element;
}

// `against` is the same turn of the episode beside, or null where there is none.
function turnBox(episode, number, against) {
  const found = detail(episode), said = found.turns[number];
  if (!said) return make("div", { class: "turn quiet" }, "had ended");
  const here = number === looking.turn;
  return make("article", { class: here ? "turn here" : "turn", "data-turn": number, "aria-label": `turn ${number + 1}`, onclick: () => { if (number !== looking.turn && getSelection().isCollapsed) goTo(number); } },
    guarded("the head", () => turnHead(episode, said, number)), guarded("the turn", () => turnWords(episode, said, number, against)), guarded("what lies behind", () => behind(episode, said, number)));
}

function turnHead(episode, said, number) {
  const t = said.tokens, quiet = [t ? `${t.words.length} tokens` : null, isNumber(said.seconds) && said.seconds > 0 ? `${short(said.seconds, 2)} s` : null, isNumber(said.prompt?.tokens) ? `after ${said.prompt.tokens} read` : null].filter(Boolean);
  return make("h3", {}, make("a", { id: `turn-${episode.key}-${number}`, href: linkTo(episode, number), onclick: (event) => { event.preventDefault(); event.stopPropagation(); open(episode, number); } }, `turn ${number + 1} of ${episode.turns}`),
    said.verdict ? make("span", { class: `chip ${said.reward > 0 ? "good" : said.reward < 0 ? "bad" : ""}`, title: visible(said.verdict) }, visible(said.verdict)) : null,
    isNumber(said.reward) ? make("span", { class: said.reward > 0 ? "good" : said.reward < 0 ? "bad" : "quiet" }, `reward ${short(said.reward)}`) : null,
    said.slip ? make("span", { class: "bad" }, "a slip: shown, not learnt") : null, quiet.length ? make("span", { class: "quiet" }, quiet.join(" \u00b7 ")) : null);
}

const linkTo = (episode, number) => `#e=${episode.key}${number ? `&t=${number + 1}` : ""}`;

function turnWords(episode, said, number, against) {
  const turns = detail(episode).turns, text = searched(), box = make("div", {});
  box.append(make("h4", {}, number ? "the world says" : "the task"), longText("said", (part) => marked(part, text), said.said));
  const steps = said.facts?.instructions;
  if (Array.isArray(steps) && number) box.append(make("details", { open: !looking.other }, make("summary", {}, "instructions"), make("ol", { class: "steps" }, ...steps.slice(0, 60).map((step, i) => make("li", { class: i === said.facts.instruction_index ? "now" : null }, visible(step))))));
  const rival = against ? against.answer : said.expert || null;
  const [mine, theirs] = rival === null ? [[], []] : differences(said.answer.slice(0, LONGEST), rival.slice(0, LONGEST));
  box.append(make("h4", {}, against ? `the answer${mine.length || theirs.length ? ", where it differs marked" : ", the same beside"}` : isDemonstration(episode) ? "the expert's answer" : "the agent's answer"));
  const coloured = said.tokens && said.tokens.words.join("").length <= LONGEST;
  box.append(coloured ? tokenBox(said, episode, turns, mine) : longText(said.slip ? "answer slip" : "answer", (part) => differing(part, mine), said.answer));
  if (said.expert && said.expert === said.answer) box.append(make("div", { class: "good legend" }, "\u2713 as the expert would"));
  else if (said.expert) box.append(make("h4", {}, "the expert would answer"), longText("expert", (part) => differing(part, against ? [] : theirs), said.expert));
  if (said.feedback && !turns[number + 1]) box.append(make("h4", {}, "what came of it"), longText("said", (part) => marked(part, text), said.feedback));
  return box;
}

function behind(episode, said, number) {
  // Drawn when it is opened, and open at the next turn too.
  const drawn = (words, work) => make("details", { open: looking.opened.has(words) && !looking.all, ontoggle: (event) => {
    if (!event.target.isConnected) return;
    looking.opened[event.target.open ? "add" : "delete"](words);
    if (event.target.open && event.target.children.length === 1) event.target.append(guarded(words, work));
  } }, make("summary", {}, words));
  return make("div", { class: "tools" },
    said.tokens ? drawn("tokens, ids, log-probabilities", () => tokenTable(said.tokens)) : null,
    said.prompt ? drawn("raw prompt", () => make("pre", {}, visible(said.prompt.text))) : null,
    said.facts ? drawn("facts", () => make("pre", {}, visible(JSON.stringify(said.facts, null, 1)))) : null,
    make("button", { onclick: (event) => copy(turnText(episode, said, number), event.target) }, "copy turn"));
}

function turnText(episode, said, number) {
  const parts = [`${group(episode)}, ${instance(episode)}, turn ${number + 1}`, `world: ${said.said}`, `agent: ${said.answer}`, said.expert ? `expert: ${said.expert}` : "", said.verdict ? `verdict: ${said.verdict}` : "", isNumber(said.reward) ? `reward: ${said.reward}` : ""];
  return parts.filter(Boolean).join("\n");
}
