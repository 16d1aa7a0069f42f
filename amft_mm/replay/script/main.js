// What is shown, and how it begins.

const wide = () => matchMedia("(min-width: 1001px)").matches;

function show() {
  document.body.dataset.at = looking.at;
  $("to-run").setAttribute("aria-current", String(looking.at === "run"));
  $("to-list").setAttribute("aria-current", String(looking.at !== "run"));
  hideTip();
  drawRows();
}
function goRun() { looking.at = "run"; show(); remember(); $("run").focus({ preventScroll: true }); }
function goList() {
  looking.at = wide() && looking.episode ? "episode" : wide() && shown.length ? "episode" : "list";
  if (looking.at === "episode") open(looking.episode || shown[0], looking.turn); else { show(); remember(); }
  $("rows").focus({ preventScroll: true });
}

function follow() {
  recall(); refresh(); countNotes(); show();
  if (looking.at === "episode") { inSight(looking.episode); drawRows(); drawEpisode(); }
}

$("title").textContent = held.sources.map((one) => visible(one.name)).join(", ");
$("to-run").addEventListener("click", goRun);
$("to-list").addEventListener("click", goList);
$("to-list").textContent = `Episodes (${all.length})`;
$("help-button").addEventListener("click", toggleHelp);
$("notes").addEventListener("click", () => download("notes.md", notesText()));
for (const [id, work] of [["thumb-k", () => move(-1)], ["thumb-j", () => move(1)], ["thumb-left", () => goTo(looking.turn - 1)], ["thumb-right", () => goTo(looking.turn + 1)]]) $(id).addEventListener("click", work);
$("large").addEventListener("click", () => $("large").close());
let drawing = 0;
$("rows").addEventListener("scroll", () => { cancelAnimationFrame(drawing); drawing = requestAnimationFrame(drawRows); });
addEventListener("resize", drawRows); addEventListener("keydown", onKey); addEventListener("hashchange", follow);
addEventListener("scroll", hideTip, true); addEventListener("pointerdown", (event) => { if (!event.target.closest?.("[data-i], .cell, svg")) hideTip(); });
buildFilters(); drawRun(); follow();
if (held.live) {
  $("fresh").addEventListener("click", () => location.reload());
  setInterval(async () => {
    try { const version = await (await fetch("version")).text(); $("fresh").hidden = version === held.live; } catch { /* the server has gone */ }
  }, 3000);
}
