// Draws tokens, shaded by value and underlined by pinned lanes.
const state = new WeakMap();

function legend(data, unpin) {
  const row = make("div", { className: "legend" }, ...scaleLegend(data.scale));
  data.lanes.forEach((lane, i) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = `var(--pin${i})`;
    const peak = make("span", { className: "quiet number" }, `0 to ${figure(lane.maximum, 2)}  \u00d7`);
    const chip = make("button", { className: "lane mono", title: `Unpin ${lane.key}` }, swatch, lane.label, peak);
    chip.setAttribute("aria-label", chip.title);
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
  const lines = [tokenName(data.texts, shown, i)];
  if (data.special[i]) lines.push("special token: outside the scale and every statistic");
  lines.push(`${data.scale.label}  ${figure(data.values[i], 4)}`);
  data.lanes.forEach((lane, n) => lines.push(`${lane.label}  ${figure(data.lane_values[i][n], 4)}`));
  return lines.join("\n");
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  let memory = state.get(root);
  if (!memory) {
    memory = { tip: tipOn(root) };
    state.set(root, memory);
  }
  const hadFocus = root.getRootNode().activeElement?.classList?.contains("token") ?? false;
  const strip = make("div", { className: "strip mono", dir: "auto" });
  strip.setAttribute("role", "listbox");
  strip.setAttribute("aria-label", "Tokens of the prompt");
  const shown = wholeGraphemes(data.texts, data.special);
  const cells = shown.map((text, i) => {
    const cell = document.createElement("span");
    drawToken(cell, text, data.special[i], data.special[i] ? 0 : shareOf(data.values[i], data.scale.maximum), data.strong_from);
    cell.classList.toggle("selected", i === data.selected);
    const lanes = underlines(data, data.lane_values[i]);
    if (lanes && !data.special[i]) cell.style.boxShadow = lanes;
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-selected", i === data.selected);
    cell.setAttribute("aria-label", describe(data, i, shown));
    return cell;
  });
  strip.append(...cells);
  const show = (event) => {
    const i = tokenAt(event);
    if (i === null) memory.tip.hide(); else memory.tip.show(describe(data, i, shown), cells[i].getBoundingClientRect());
  };
  strip.onpointerover = show;
  strip.onpointerleave = memory.tip.hide;
  strip.onfocusin = show;
  strip.onfocusout = memory.tip.hide;
  walkTokens(strip, cells, data.selected ?? 0, (i) => setTriggerValue("picked", i));
  root.replaceChildren(legend(data, (key) => setTriggerValue("unpinned", key)), strip);
  if (hadFocus && data.selected !== null) cells[data.selected]?.focus();
  return memory.tip.hide;
}
