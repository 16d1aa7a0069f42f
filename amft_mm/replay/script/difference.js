// What one answer has that another has not, word by word, as ranges of characters.

const PIECES = /[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu;
const MOST_PIECES = 600;

// [ranges of a, ranges of b]; both empty where they are equal.
function differences(a, b) {
  if (a === b) return [[], []];
  const one = a.match(PIECES) || [], two = b.match(PIECES) || [];
  let head = 0, tail = 0;
  while (head < one.length && head < two.length && one[head] === two[head]) head++;
  while (tail < one.length - head && tail < two.length - head && one[one.length - 1 - tail] === two[two.length - 1 - tail]) tail++;
  const left = one.slice(head, one.length - tail), right = two.slice(head, two.length - tail);
  const kept = left.length > MOST_PIECES || right.length > MOST_PIECES ? [new Set(), new Set()] : common(left, right);
  const start = one.slice(0, head).join("").length;
  return [ranges(left, kept[0], start), ranges(right, kept[1], start)];
}

// Places of a longest common subsequence in both.
function common(a, b) {
  const width = b.length + 1, longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--)
    longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  const kept = [new Set(), new Set()];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) { kept[0].add(i++); kept[1].add(j++); }
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++; else j++;
  }
  return kept;
}

function ranges(pieces, kept, start) {
  const found = [];
  let at = start;
  pieces.forEach((piece, i) => {
    if (!kept.has(i)) {
      const last = found[found.length - 1];
      if (last && last[1] === at) last[1] += piece.length; else found.push([at, at + piece.length]);
    }
    at += piece.length;
  });
  return found;
}

const overlaps = (found, from, to) => Boolean(found) && found.some(([a, b]) => a < to && from < b);

// A text with those ranges marked.
function differing(text, found) {
  const parts = [], sought = hits(text, searched());
  let from = 0;
  for (const [a, b] of found || []) {
    parts.push(...markedPart(text.slice(from, a), sought, from), make("span", { class: "differs" }, ...markedPart(text.slice(a, b), sought, a)));
    from = b;
  }
  return [...parts, ...markedPart(text.slice(from), sought, from)];
}
