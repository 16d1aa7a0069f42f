"use strict";
// A click on a head sorts its table: by what is more, then by what is less, then as it was.
(() => {
  const ORDERS = ["descending", "ascending", "none"];
  // Where a cell says nothing its links to seeds come first.
  const textOf = ({ firstChild: said }) => (said && said.nodeName !== "SMALL" ? said.textContent.trim() : "");

  // Numbers as they begin a cell; a baseline differs from itself by nothing.
  function worth(cell) {
    const text = textOf(cell);
    if (text === "baseline") return 0;
    const number = text.replaceAll(",", "").match(/^[-+]?\d+(\.\d+)?/);
    return number ? Number(number[0]) : NaN;
  }

  // What is unknown comes last, whichever way.
  function compare(one, other, way) {
    const a = worth(one), b = worth(other);
    if (!Number.isNaN(a) && !Number.isNaN(b)) return way * (a - b);
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
    const x = textOf(one), y = textOf(other);
    if (!x || !y) return Number(!x) - Number(!y);
    return -way * x.localeCompare(y);
  }

  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0], was = [...body.rows], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
      const next = ORDERS[(ORDERS.indexOf(head.getAttribute("aria-sort")) + 1) % ORDERS.length];
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", next);
      const way = next === "ascending" ? 1 : -1;
      const rows = next === "none" ? was : [...was].sort((a, b) => compare(a.cells[column], b.cells[column], way));
      body.append(...rows);
    }));
  }
})();
