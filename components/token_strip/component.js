// Draws tokens, shaded by value and underlined by pinned lanes. Text is only ever set as text, never as HTML.
const state = new WeakMap();

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
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.dataset.mark = part === "\t" ? "\u2192" : "\u21b5";
      element.append(mark, part);
    } else if (part) {
      // Control characters are drawn as their Unicode pictures so that they can be seen.
      element.append(part.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0))));
    }
  }
}

const figure = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function legend(data, unpin) {
  const row = document.createElement("div");
  row.className = "legend";
  const label = document.createElement("span");
  label.className = "mono";
  label.textContent = data.scale.label;
  row.append(label);
  if (data.scale.maximum > 0) {
    const ramp = document.createElement("span");
    ramp.className = "ramp";
    const from = Object.assign(document.createElement("span"), { className: "quiet number", textContent: "0" });
    const to = Object.assign(document.createElement("span"), {
      className: "quiet number", textContent: `${figure(data.scale.maximum, 2)}  (${data.scale.maximum_of})`,
    });
    row.append(from, ramp, to);
  }
  data.lanes.forEach((lane, i) => {
    const chip = document.createElement("button");
    chip.className = "lane mono";
    chip.title = `Unpin ${lane.key}`;
    chip.setAttribute("aria-label", chip.title);
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = `var(--pin${i})`;
    const peak = Object.assign(document.createElement("span"), { className: "quiet number", textContent: `0 to ${figure(lane.maximum, 2)}  \u00d7` });
    chip.append(swatch, lane.label, peak);
    chip.onclick = () => unpin(lane.key);
    row.append(chip);
  });
  return row;
}

function underlines(data, values) {
  const layers = [];
  data.lanes.forEach((lane, i) => {
    const share = lane.maximum > 0 ? values[i] / lane.maximum : 0;
    if (share > 0) layers.push(`0 ${3 + 4 * i}px 0 -1px color-mix(in oklab, transparent, var(--pin${i}) ${Math.round(25 + 75 * share)}%)`);
  });
  return layers.join(", ");
}

function describe(data, i, shown) {
  const text = data.texts[i] === "" ? `(continues ${JSON.stringify(shown.slice(0, i).reverse().find((t) => t) ?? "")})` : JSON.stringify(data.texts[i]);
  const lines = [`${i}  ${text}`];
  if (data.special[i]) lines.push("special token: outside the scale and every statistic");
  lines.push(`${data.scale.label}  ${figure(data.values[i], 4)}`);
  data.lanes.forEach((lane, n) => lines.push(`${lane.label}  ${figure(data.lane_values[i][n], 4)}`));
  return lines.join("\n");
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  let memory = state.get(root);
  if (!memory) {
    memory = { tip: Object.assign(document.createElement("div"), { className: "tip" }) };
    state.set(root, memory);
  }
  const hadFocus = root.getRootNode().activeElement?.classList?.contains("token") ?? false;
  const strip = document.createElement("div");
  strip.className = "strip mono";
  strip.setAttribute("role", "listbox");
  strip.setAttribute("aria-label", "Tokens of the prompt");
  strip.dir = "auto";
  const shown = wholeGraphemes(data.texts, data.special);
  const cells = shown.map((text, i) => {
    const cell = document.createElement("span");
    const share = data.scale.maximum > 0 && !data.special[i] ? Math.min(1, Math.max(0, data.values[i] / data.scale.maximum)) : 0;
    cell.className = `token${data.special[i] ? " special" : " shade"}${share > data.strong_from ? " strong" : ""}${text === "" ? " continues" : ""}${i === data.selected ? " selected" : ""}`;
    cell.style.setProperty("--t", share.toFixed(4));
    const lanes = underlines(data, data.lane_values[i]);
    if (lanes && !data.special[i]) cell.style.boxShadow = lanes;
    cell.tabIndex = i === (data.selected ?? 0) ? 0 : -1;
    cell.dataset.position = i;
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-selected", i === data.selected);
    cell.setAttribute("aria-label", describe(data, i, shown));
    fill(cell, text);
    return cell;
  });
  strip.append(...cells);
  const at = (event) => { const cell = event.target.closest?.("[data-position]"); return cell ? Number(cell.dataset.position) : null; };
  const show = (i, box) => {
    if (i === null) { memory.tip.remove(); return; }
    memory.tip.textContent = describe(data, i, shown);
    root.append(memory.tip);
    const size = memory.tip.getBoundingClientRect();
    memory.tip.style.left = `${Math.max(4, Math.min(box.left, innerWidth - size.width - 8))}px`;
    memory.tip.style.top = `${box.top - size.height - 6 > 0 ? box.top - size.height - 6 : box.bottom + 6}px`;
  };
  strip.onclick = (event) => { const i = at(event); if (i !== null) setTriggerValue("picked", i); };
  strip.onpointerover = (event) => { const i = at(event); show(i, event.target.getBoundingClientRect()); };
  strip.onpointerleave = () => memory.tip.remove();
  strip.onfocusin = (event) => show(at(event), event.target.getBoundingClientRect());
  strip.onfocusout = () => memory.tip.remove();
  strip.onkeydown = (event) => {
    const i = at(event);
    if (i === null) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -i, End: cells.length - 1 - i }[event.key];
    if (step !== undefined) {
      const to = Math.max(0, Math.min(cells.length - 1, i + step));
      cells[i].tabIndex = -1;
      cells[to].tabIndex = 0;
      cells[to].focus();
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      setTriggerValue("picked", i);
      event.preventDefault();
    }
  };
  root.replaceChildren(legend(data, (key) => setTriggerValue("unpinned", key)), strip);
  if (hadFocus && data.selected !== null) cells[data.selected]?.focus();
  return () => memory.tip.remove();
}
