// What components share: stands in front of each component's own script. Text is only ever set as text, never as HTML.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const figure = (value, digits) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" });

const shareOf = (value, maximum) => (maximum > 0 ? Math.min(1, Math.max(0, value / maximum)) : 0);

// A widget by its Streamlit key, whose characters but letters, digits, _ and - stand as - in the class.
const ofKey = (key) => `.st-key-${key.trim().replaceAll(/[^a-zA-Z0-9_-]/g, "-")}`;

// A grapheme (an emoji of several code points, say) is shown whole in the token that begins it.
function wholeGraphemes(texts, special) {
  const owners = [];
  texts.forEach((text, i) => { if (!special[i]) for (let n = 0; n < text.length; n += 1) owners.push(i); });
  const shown = texts.map((text, i) => (special[i] ? text : ""));
  const joined = texts.filter((_, i) => !special[i]).join("");
  for (const { segment, index } of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(joined)) {
    shown[owners[index]] += segment;
  }
  return shown;
}

function fill(element, text) {
  // Newlines and tabs get a quiet mark in front of their real effect.
  for (const part of text.split(/(\r?\n|\t)/)) {
    if (/^(\r?\n|\t)$/.test(part)) {
      const mark = make("span", { className: "mark" });
      mark.dataset.mark = part === "\t" ? "\u2192" : "\u21b5";
      element.append(mark, part);
    } else if (part) {
      // Control characters are drawn as their Unicode pictures so that they can be seen.
      element.append(part.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0))));
    }
  }
}

// A token's cell, shaded by its share of the scale's maximum, 0 to 1; a special token is a chip outside the scale.
function drawToken(cell, text, special, share, strongFrom) {
  cell.className = `token${special ? " special" : " shade"}${share > strongFrom ? " strong" : ""}${text === "" ? " continues" : ""}`;
  cell.style.setProperty("--t", share.toFixed(4));
  const body = special ? make("span", { className: "chip" }) : document.createDocumentFragment();
  fill(body, text);
  cell.replaceChildren(body);
}

// A token's first line in a tooltip: its place, and its text or the character that it continues.
function tokenName(texts, shown, i) {
  const text = texts[i] === "" ? `(continues ${JSON.stringify(shown.slice(0, i).reverse().find((t) => t) ?? "")})` : JSON.stringify(texts[i]);
  return `${i}  ${text}`;
}

// Whose values are shaded, the ramp, and what its two ends mean.
function scaleLegend(scale) {
  const label = make("span", { className: "mono" }, scale.label);
  if (!(scale.maximum > 0)) return [label];
  const from = make("span", { className: "quiet number" }, "0");
  const to = make("span", { className: "quiet number" }, `${figure(scale.maximum, 2)}  (${scale.maximum_of})`);
  return [label, from, make("span", { className: "ramp" }), to];
}

// Which token an arrow key, Home or End leads to; null for other keys.
function tokenAfterKey(key, i, n) {
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -i, End: n - 1 - i }[key];
  return step === undefined ? null : Math.max(0, Math.min(n - 1, i + step));
}

// The number of the token that an event is on; null if on none.
function tokenAt(event) {
  const cell = event.target.closest?.("[data-position]");
  return cell ? Number(cell.dataset.position) : null;
}

// A text of tokens is one stop of the Tab key; from there arrows, Home and End lead on. A click, Enter or Space picks a token.
function walkTokens(text, cells, first, pick) {
  cells.forEach((cell, i) => { cell.dataset.position = i; cell.tabIndex = i === first ? 0 : -1; });
  text.onclick = (event) => { const i = tokenAt(event); if (i !== null) pick(i); };
  text.onkeydown = (event) => {
    const i = tokenAt(event);
    if (i === null) return;
    const to = tokenAfterKey(event.key, i, cells.length);
    if (to !== null) {
      cells[i].tabIndex = -1;
      cells[to].tabIndex = 0;
      cells[to].focus();
    } else if (event.key === "Enter" || event.key === " ") {
      pick(i);
    } else {
      return;
    }
    event.preventDefault();
  };
}

// A tooltip inside the window: above the box if there is room, else below.
function tipOn(root) {
  const tip = make("div", { className: "tip" });
  const show = (text, box, left = box.left) => {
    tip.textContent = text;
    root.append(tip);
    const size = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(left, innerWidth - size.width - 8))}px`;
    tip.style.top = `${box.top - size.height - 6 > 0 ? box.top - size.height - 6 : box.bottom + 6}px`;
  };
  return { show, hide: () => tip.remove() };
}

// A token as the subject itself: a leading space is a quiet dot, a newline and a tab are arrows.
function tokenText(text) {
  const spaces = text.match(/^ */)[0].length;
  const body = text.slice(spaces).replace(/\n/g, "\u21b5").replace(/\t/g, "\u2192");
  const visible = body.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)));
  return [make("span", { className: "gap" }, "\u00b7".repeat(spaces)), visible];
}
