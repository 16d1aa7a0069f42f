// Notes on episodes: kept in the address, exported as text.

function noteBox(episode) {
  const box = make("textarea", { class: "note", id: "note", "aria-label": "note on this episode", placeholder: "a note on this episode (n); kept in the page's address", oninput: (event) => {
    const text = event.target.value;
    if (text.trim()) looking.notes.set(episode.key, text); else looking.notes.delete(episode.key);
    remember(); countNotes(); drawRows();
  } });
  box.value = looking.notes.get(episode.key) || "";
  return make("div", { class: "note-box" }, box,
    make("button", { onclick: (event) => { remember(); copy(location.href, event.target); } }, "copy link"),
    make("button", { onclick: () => download(`${episode.run}-${group(episode)}-${episode.seed}.json`, JSON.stringify({ ...episode, note: looking.notes.get(episode.key), turns: detail(episode).turns }, null, 1)) }, "download episode"),
    make("button", { id: "note-export", onclick: () => looking.notes.size && download("notes.md", notesText()) }, "download notes"));
}

function countNotes() {
  $("notes").hidden = !looking.notes.size;
  $("notes").textContent = `Notes (${looking.notes.size})`;
  $("notes").title = "download all notes";
}

function notesText() {
  return [...looking.notes].map(([key, note]) => {
    const e = byKey.get(key);
    return `## ${e ? `${e.run}, ${group(e)}, ${instance(e)}: ${ending(e)}` : key}\n\n${note}\n\n${location.href.split("#")[0]}#e=${key}\n`;
  }).join("\n");
}
