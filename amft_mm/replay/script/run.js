// The run, before its episodes: what it is, how it fares, what to look at first.

// A verdict has its colour wherever it occurs; what is right is blue.
const VERDICTS = ["#e0a100", "#d55e00", "#c05a93", "#009e73", "#8a8f9c", "#7a5bd0"];
const verdictNames = [...new Set(held.sources.flatMap((one) => one.overview.splits.flatMap((split) => split.verdicts.map(([name]) => name))))].filter((name) => !/^(correct|arrived)/.test(name));
const verdictColour = (name) => VERDICTS[verdictNames.indexOf(name) % VERDICTS.length] || "#0072b2";

function drawRun() {
  $("run").replaceChildren(...held.sources.map((one, s) => make("section", {}, ...[
    guarded("what the run is", () => about(one)), guarded("settings", () => settings(one)), guarded("success", () => successes(one)), guarded("failures", () => worth(one, s)),
    s === 0 ? guarded("curves", () => make("div", {}, ...(curves() || []))) : null,
    guarded("crashes", () => crashes(one)),
  ].filter(Boolean))));
}

function about(one) {
  const { facts, problems } = one.overview;
  return make("div", {}, make("h2", {}, visible(one.name)),
    make("div", { class: "about" }, ...facts.map(([name, value]) => make("span", {}, make("span", { class: "quiet" }, `${name} `), make("b", {}, visible(value)))), make("span", {}, make("span", { class: "quiet" }, "episodes kept "), make("b", {}, String(one.episodes.length)))),
    problems.length ? make("details", { class: "problems" }, make("summary", { class: "bad" }, `${problems.length} ${problems.length === 1 ? "thing" : "things"} could not be read`), make("pre", {}, visible(problems.join("\n")))) : null);
}

function successes(one) {
  const { splits } = one.overview;
  if (!splits.length) return null;
  const evaluated = splits.every((split) => split.count === undefined);
  const steps = [...new Set(splits.map((split) => split.step).filter(isNumber))];
  const when = steps.length === 1 ? ` after step ${steps[0]}` : "";
  return make("div", {}, make("h3", {}, evaluated ? `Success when evaluated${when}` : `Success of the episodes kept${when}`),
    make("div", { class: "cards" }, ...splits.map((split) => guarded(split.name, () => splitCard(split, steps.length > 1)))),
    make("p", { class: "legend" }, "Bars are 95 % intervals of success, with a thin line where it was evaluated first. Below: the verdicts on single answers."));
}

function splitCard(split, dated) {
  const { name, success, low, high, first, verdicts, count } = split;
  const before = first && first[0] !== split.step && isNumber(first[1]) ? first : null;
  const at = (x) => 2 + clamp(x, 0, 1) * 196;
  const scale = draw("svg", { class: "interval", viewBox: "0 0 200 18", preserveAspectRatio: "none", role: "img", "aria-label": `${percent(success, 1)}, ${percent(low)} to ${percent(high)}` },
    draw("line", { x1: 2, x2: 198, y1: 9, y2: 9, stroke: "currentColor", opacity: 0.18, "stroke-width": 3 }),
    isNumber(low) && isNumber(high) ? draw("line", { x1: at(low), x2: at(high), y1: 9, y2: 9, stroke: "#0072b2", "stroke-width": 6, opacity: 0.55 }) : null,
    before ? draw("line", { x1: at(before[1]), x2: at(before[1]), y1: 3, y2: 15, stroke: "currentColor", "stroke-width": 1.5, opacity: 0.6 }) : null,
    draw("line", { x1: at(success), x2: at(success), y1: 1, y2: 17, stroke: "#0072b2", "stroke-width": 4 }));
  const gained = before && 100 * (success - before[1]);
  return make("div", { class: "card split" }, make("b", {}, visible(name)), dated && isNumber(split.step) ? make("span", { class: "quiet" }, ` step ${split.step}`) : null,
    make("div", { class: "share" }, percent(success, 1), make("small", {}, isNumber(low) && isNumber(high) ? `  ${percent(low)} to ${percent(high)}` : "")), scale,
    make("div", { class: "quiet" }, before ? gained ? `${gained > 0 ? "+" : "\u2212"}${Math.abs(gained).toFixed(1)} points since step ${before[0]}` : `as at step ${before[0]}` : count ? `${count} ${count === 1 ? "episode" : "episodes"}` : ""),
    verdicts.length ? [make("div", { class: "bars" }, ...verdicts.map(([verdict, share]) => make("i", { style: `width:${100 * share}%;background:${verdictColour(verdict)}` }))),
      ...verdicts.slice(0, 6).map(([verdict, share]) => make("span", { class: "key", style: `--key:${verdictColour(verdict)}` }, `${visible(verdict)} ${percent(share)}`))] : null);
}

function worth(one, s) {
  const found = one.overview.worth.map(([place, why]) => [all.find((e) => e.s === s && e.place === place), why]).filter(([e]) => e);
  const failed = one.episodes.filter((e) => !e.success).length;
  if (!found.length) return failed ? null : make("p", { class: "quiet" }, "Every episode that was kept succeeded.");
  return make("div", {}, make("h3", {}, "Failures to look at first"), make("div", { class: "cards" }, ...found.map(([e, why]) =>
    make("button", { class: source(e.picture) ? "card" : "card plain", onclick: () => open(e, Math.max(0, e.turns - 1)) }, thumbnail(e.picture),
      make("div", {}, make("b", {}, visible(several ? `${e.run} \u00b7 ${kind(e)}` : kind(e)))), make("div", {}, visible(why)), make("div", {}, sparks(e), make("span", { class: "quiet" }, visible(instance(e))))))));
}

function settings(one) {
  const { changed } = one.overview;
  if (!changed.length) return null;
  return make("div", { class: "settings" }, make("span", { class: "quiet" }, "set otherwise:"), ...changed.map(([name, value, before]) =>
    make("code", {}, `${visible(name)}=${visible(value)} `, make("span", {}, `not ${visible(before)}`))));
}

function crashes(one) {
  const { crashes: found, failed } = one.overview;
  if (!found.length && !failed) return null;
  return make("div", {}, make("h3", {}, "Technical failures"), failed ? make("p", { class: "bad" }, visible(failed)) : null,
    ...found.map((row) => make("details", {}, make("summary", {}, visible(`step ${row.step}: ${row.kind}${row.where ? ` in ${row.where}` : ""}: ${row.message.split("\n")[0].slice(0, 160)}`)), make("pre", {}, visible(row.traceback || row.message)))));
}
