// Keys, the same wherever one is.

function move(by) {
  if (!shown.length) return;
  const at = looking.at === "episode" || looking.episode ? shown.indexOf(looking.episode) : -1;
  open(shown[clamp(at + by, 0, shown.length - 1)], 0);
}
const scrub = (by) => { const others = same(looking.episode); open(others[clamp(others.indexOf(looking.episode) + by, 0, others.length - 1)], looking.turn); };
function toFirstDifference() { const [first] = differingTurns(); if (first !== undefined) goTo(first); }
function back() { looking.at = looking.at === "episode" ? "list" : "run"; show(); remember(); }

function onKey(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range";
  hideTip();
  if (event.key === "Escape") {
    if ($("large").open) return;
    if (typing) { event.target.blur(); return; }
    if (!$("help").hidden) toggleHelp(); else back();
    return;
  }
  const slides = event.target.type === "range" && event.key.startsWith("Arrow");
  if (typing || slides || event.ctrlKey || event.metaKey || event.altKey) return;
  const reading = looking.at === "episode", inList = !reading || $("rows").contains(document.activeElement);
  const control = event.target.closest?.("button, a, summary, input");
  const keys = {
    j: () => move(1), k: () => move(-1), "/": () => { if (!wide()) { looking.at = "list"; show(); } $("filters").elements.text.focus(); },
    r: () => goRun(), a: () => reading && showAll(), "?": toggleHelp, n: () => reading && $("note")?.focus(), c: () => reading && $("beside")?.focus(),
    d: () => reading && toFirstDifference(), "]": () => reading && scrub(1), "[": () => reading && scrub(-1),
  };
  if (reading) Object.assign(keys, { ArrowRight: () => goTo(looking.turn + 1), ArrowLeft: () => goTo(looking.turn - 1) });
  if (inList && looking.at !== "run" || $("rows") === document.activeElement) Object.assign(keys, { ArrowDown: () => move(1), ArrowUp: () => move(-1) });
  if (!control && !reading) keys.Enter = () => shown.length && open(looking.episode && shown.includes(looking.episode) ? looking.episode : shown[0], 0);
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
}

function toggleHelp() { const box = $("help"); box.hidden = !box.hidden; $("help-button").setAttribute("aria-expanded", String(!box.hidden)); }
