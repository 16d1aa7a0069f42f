// A map or a hand of cards: what a world draws of a task beside its pictures.

function sketch(found, turn) {
  if (found.sketch.kind === "map") return guarded("the map", () => map(found, turn));
  if (found.sketch.kind === "hand") return guarded("the hand", () => hand(found.sketch));
  return null;
}

const SUITS = { S: "\u2660", H: "\u2665", D: "\u2666", C: "\u2663" };
function hand({ cards = [], numbers = [], solutions = [] }) {
  return make("div", {}, make("div", { class: "hand" }, ...cards.map((card) => {
    const suit = SUITS[card.slice(-1)] || card.slice(-1);
    return make("b", { class: /[HD]$/.test(card) ? "red" : null }, visible(card.slice(0, -1) + suit));
  }), make("span", { class: "quiet" }, `= ${numbers.join(", ")}`)),
  make("details", {}, make("summary", {}, solutions.length === 1 ? "the solution" : `${solutions.length}${solutions.length === 20 ? " or more" : ""} solutions`), make("pre", {}, visible(solutions.join("\n")))));
}

const SIZE = 320;
const isPlace = (p) => Array.isArray(p) && p.length === 2 && p.every(isNumber);

function map(found, turn) {
  const way = (found.sketch.way || []).filter(isPlace);
  const places = found.turns.map((said) => isPlace(said.facts?.position) ? said.facts.position : null);
  const known = [...way, ...places.filter(Boolean)];
  if (!known.length) return null;
  const wide = Math.cos(known[0][0] * Math.PI / 180), flat = ([lat, lng]) => [lng * wide, -lat];
  const xs = known.map((p) => flat(p)[0]), ys = known.map((p) => flat(p)[1]);
  const middle = [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
  const span = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) * 1.15 + 5e-4;
  const at = (p) => flat(p).map((v, k) => ((v - middle[k]) / span + 0.5) * SIZE);
  const inside = ([x, y]) => x > 4 && y > 4 && x < SIZE - 4 && y < SIZE - 4;
  const line = (points, options) => draw("polyline", { points: points.map((p) => at(p).map((v) => v.toFixed(1)).join(",")).join(" "), fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round", ...options });
  const svg = draw("svg", { class: "map", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": "map: the way to go and the way gone" });
  for (const pair of found.sketch.streets || []) if (pair.every(isPlace)) svg.append(line(pair, { stroke: "#8885", "stroke-width": 9 }));
  svg.append(line(way, { stroke: "#0072b2", "stroke-width": 6, opacity: 0.4 }));
  const gone = places.slice(0, turn + 1).filter(Boolean);
  svg.append(line(gone, { stroke: "#d55e00", "stroke-width": 3 }));
  const labels = [];
  const label = (text, [x, y], weight = 400) => {
    const length = Math.min(text.length, 26) * 5.2, side = x + 8 + length > SIZE ? -1 : 1, box = [side > 0 ? x + 7 : x - 7 - length, y - 6, length, 12];
    if (labels.some((b) => box[0] < b[0] + b[2] && b[0] < box[0] + box[2] && box[1] < b[1] + b[3] && b[1] < box[1] + box[3])) return;
    labels.push(box);
    svg.append(draw("text", { x: x + 7 * side, y: y + 3.5, "text-anchor": side > 0 ? "start" : "end", "font-weight": weight }, visible(text.length > 27 ? `${text.slice(0, 26)}\u2026` : text)));
  };
  const dot = (place, name, colour, r) => {
    const [x, y] = at(place);
    svg.append(draw("circle", { cx: x, cy: y, r, fill: colour, stroke: "#fff", "stroke-width": 1.5 }, draw("title", {}, visible(name))));
  };
  if (way.length) {
    dot(way[0], "start", "#0072b2", 5); dot(way[way.length - 1], "goal", "#009e73", 6);
    label("goal", at(way[way.length - 1]), 700); label("start", at(way[0]), 700);
  }
  for (const mark of found.sketch.landmarks || []) if (isPlace(mark.at) && inside(at(mark.at))) { dot(mark.at, mark.name, "#8a8f9c", 3); label(String(mark.name), at(mark.at)); }
  const facts = found.turns[turn]?.facts;
  if (isPlace(facts?.position)) {
    const [x, y] = at(facts.position);
    svg.append(draw("path", { d: "M0,-11 L7,8 L0,4 L-7,8 Z", fill: "#d55e00", stroke: "#fff", "stroke-width": 1.5, transform: `translate(${x.toFixed(1)},${y.toFixed(1)}) rotate(${Number(facts.heading) || 0})` }));
  }
  return make("div", {}, svg, make("div", { class: "legend" }, ...[["#0072b2", "way to go"], ...(gone.length ? [["#d55e00", "way gone"]] : []), ["#009e73", "goal"]].map(([colour, text]) => make("span", { class: "key", style: `--key:${colour}` }, text))));
}
