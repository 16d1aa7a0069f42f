// A run's curves: drag to zoom all of them, twice to see all again, click for the episodes of a step.

const LINES = ["#0072b2", "#d98a00", "#009e73", "#c05a93", "#d55e00", "#3a9bdc", "#8a8f9c", "#7a5bd0"];
const DASHES = [null, "6 3", "1.5 3", "9 3 1.5 3"];
const look = (number) => ({ stroke: LINES[number % LINES.length], "stroke-dasharray": DASHES[Math.floor(number / LINES.length) % DASHES.length] });
const zoom = { from: null, to: null, smooth: 0 };
const PANELS = [
  ["success", (name) => name.endsWith("/success") && !name.startsWith("rollout/stop/")], ["share of imitation (mu)", (name) => name === "mu"],
  ["why episodes end", (name) => name.startsWith("rollout/stop/")], ["losses", (name) => name.startsWith("loss/")],
  ["gradients", (name) => name.startsWith("grad/")], ["return", (name) => name === "rollout/return"], ["entropy of tokens", (name) => name === "policy/entropy"],
  ["turns of an episode", (name) => name === "rollout/turns"], ["seconds of a step", (name) => name === "time/step"],
];
const SHARES = new Set(["success", "share of imitation (mu)", "why episodes end"]);

function curves() {
  const names = [...new Set(held.sources.flatMap((one) => Object.keys(one.curves)))];
  if (!names.length) return null;
  const grid = make("div", { id: "curves" });
  const redraw = () => grid.replaceChildren(...PANELS.flatMap(([label, fits]) => {
    const own = names.filter(fits);
    return own.length ? [guarded(label, () => panel(label, own, redraw))] : [];
  }));
  const whole = make("button", { id: "unzoom", onclick: () => { zoom.from = zoom.to = null; redraw(); } }, "all steps");
  const smooth = make("input", { type: "range", id: "smooth", min: 0, max: 0.95, step: 0.05, value: zoom.smooth, oninput: (event) => { zoom.smooth = Number(event.target.value); redraw(); } });
  redraw();
  return [make("h3", {}, "Curves"), make("div", { class: "tools" }, make("label", {}, "smooth ", smooth), whole, make("span", { class: "legend" }, "drag to zoom, click for the episodes of a step")), grid];
}

const curveName = (name) => name === "rollout/success" ? "rollouts" : name.replace(/^(rollout\/stop|eval|loss|grad|rollout|policy|time)\//, "").replace(/\/success$|_norm$/, "");

function panel(label, names, redraw) {
  const lines = held.sources.flatMap((one) => names.filter((name) => one.curves[name]).map((name) => ({
    name: `${several ? `${one.name} ` : ""}${curveName(name)}`, whole: one.curves[name].filter((p) => p.every(isNumber)), dots: name.startsWith("eval/"),
  }))).filter((line) => line.whole.length);
  const steps = held.sources.flatMap((one) => Object.values(one.curves).flatMap((points) => [points[0][0], points[points.length - 1][0]]));
  const x0 = zoom.from ?? least(steps), x1 = Math.max(zoom.to ?? most(steps), x0 + 1);
  lines.forEach((line) => { line.points = line.whole.filter((p) => p[0] >= x0 && p[0] <= x1); line.smooth = smoothed(line.points, line.dots ? 0 : zoom.smooth); });
  const values = lines.flatMap((line) => line.points.map((p) => p[1]));
  const [y0, y1] = SHARES.has(label) ? [0, 1] : bounds(values);
  const width = 300, height = 150, left = 38, top = 8, bottom = 20;
  const x = (step) => left + (step - x0) / (x1 - x0) * (width - left - 8), y = (value) => top + (1 - (clamp(value, y0, y1) - y0) / (y1 - y0)) * (height - top - bottom);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `curve of ${label}` });
  const word = (text, at, anchor) => svg.append(draw("text", { x: at[0], y: at[1], "font-size": 10, fill: "currentColor", opacity: 0.7, "text-anchor": anchor }, text));
  for (const value of [y0, (y0 + y1) / 2, y1]) {
    svg.append(draw("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), stroke: "currentColor", opacity: 0.13 }));
    word(SHARES.has(label) ? percent(value) : short(value, 2), [left - 4, y(value) + 3.5], "end");
  }
  word(`step ${Math.ceil(x0)}`, [left, height - 5], "start"); word(String(Math.floor(x1)), [width - 8, height - 5], "end");
  for (const mixes of new Set(held.sources.map((one) => one.overview.mixes))) if (mixes && mixes > x0 && mixes < x1) svg.append(draw("line", { x1: x(mixes), x2: x(mixes), y1: top, y2: height - bottom, stroke: "currentColor", "stroke-dasharray": "2 3", opacity: 0.5 }, draw("title", {}, "exploration begins")));
  const path = (points, options) => draw("polyline", { points: thinned(points).map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" "), fill: "none", "stroke-width": 1.7, "stroke-linejoin": "round", ...options });
  lines.forEach((line, number) => {
    const { stroke } = look(number);
    if (zoom.smooth && !line.dots) svg.append(path(line.points, { stroke, opacity: 0.25 }));
    svg.append(path(line.smooth, look(number)));
    if (line.dots || line.points.length < 2) line.points.forEach((p) => svg.append(draw("circle", { cx: x(p[0]), cy: y(p[1]), r: 2.8, fill: stroke })));
  });
  const beyond = values.filter((v) => v > y1 || v < y0).length;
  const stepAt = (event) => { const box = svg.getBoundingClientRect(); return clamp(x0 + ((event.clientX - box.left) * width / box.width - left) / (width - left - 8) * (x1 - x0), x0, x1); };
  pointing(svg, stepAt, { x, top, height: height - top - bottom }, redraw);
  explained(svg, (event) => lines.filter((line) => line.points.length).map((line) => { const p = nearest(line.points, stepAt(event), (q) => q[0]); return `${visible(line.name)}: ${short(p[1])} at step ${p[0]}`; }).join("\n"));
  return make("figure", { class: "card" }, make("figcaption", {}, `${label} `, beyond ? make("span", { class: "legend" }, `${beyond} beyond the scale`) : null), svg,
    make("div", {}, ...(lines.length > 1 || label === "why episodes end" ? lines.map((line, number) => make("span", { class: "key drawn" }, draw("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, draw("line", { x1: 0, x2: 24, y1: 4, y2: 4, "stroke-width": 2.5, ...look(number) })), visible(line.name))) : [])));
}

// A drag chooses steps, a click the nearest step that has episodes.
function pointing(svg, stepAt, area, redraw) {
  let began = null;
  const band = draw("rect", { y: area.top, height: area.height, width: 0, fill: "currentColor", opacity: 0.12 });
  svg.append(band);
  svg.addEventListener("pointerdown", (event) => { began = event.pointerType === "touch" ? null : [event.clientX, stepAt(event)]; });
  svg.addEventListener("pointermove", (event) => {
    if (!began) return;
    const [a, b] = [began[1], stepAt(event)].sort((p, q) => p - q).map(area.x);
    band.setAttribute("x", a); band.setAttribute("width", b - a);
  });
  svg.addEventListener("click", (event) => {
    const from = began; began = null; hideTip();
    if (from && Math.abs(event.clientX - from[0]) > 5) {
      [zoom.from, zoom.to] = [from[1], stepAt(event)].sort((a, b) => a - b);
      return redraw();
    }
    if (all.length) choose({ step: String(nearest(all, stepAt(event), (e) => e.step).step) });
  });
  svg.addEventListener("pointerleave", () => { if (began) { began = null; band.setAttribute("width", 0); } });
  svg.addEventListener("dblclick", () => { zoom.from = zoom.to = null; redraw(); });
}

const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity), most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const nearest = (list, step, of) => list.reduce((best, p) => Math.abs(of(p) - step) < Math.abs(of(best) - step) ? p : best);

// One spike does not flatten the rest.
function bounds(values) {
  if (!values.length) return [0, 1];
  const low = quantile(values, 0.03), high = quantile(values, 0.97), room = 2 * (high - low);
  let y0 = Math.max(least(values), low - room), y1 = Math.min(most(values), high + room);
  if (room === 0) [y0, y1] = [least(values), most(values)];
  return y1 > y0 ? [y0, y1] : [y0 - (Math.abs(y0) || 1) / 2, y0 + (Math.abs(y0) || 1) / 2];
}

// A running mean that weighs what is near; the first points are as good as the later ones.
function smoothed(points, weight) {
  if (!weight) return points;
  let sum = 0, count = 0;
  return points.map(([step, value]) => { sum = weight * sum + value; count = weight * count + 1; return [step, sum / count]; });
}

function thinned(points) {
  const size = Math.ceil(points.length / 600);
  if (size < 2) return points;
  const found = [];
  for (let i = 0; i < points.length; i += size) {
    const part = points.slice(i, i + size), mean = (k) => part.reduce((sum, p) => sum + p[k], 0) / part.length;
    found.push([mean(0), mean(1)]);
  }
  return found;
}
