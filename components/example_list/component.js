// Rows of text, shaded on one scale. The hovered token's value is told to the page, where histograms mark it.
const state = new WeakMap();

function tell(detail) {
  document.dispatchEvent(new CustomEvent("latents:hover", { detail }));
}

function describe(data, row, shown, i) {
  const lines = [tokenName(row.texts, shown, i).replace(/^\d+ +/, "")];
  if (row.special[i]) lines.push("special token: outside the scale and every statistic");
  lines.push(figure(row.values[i], 4));
  if (i === row.anchor && row.value_note) lines.push(row.value_note);
  lines.push(row.note);
  return lines.join("\n");
}

function draw(data, row, memory, act) {
  const shown = wholeGraphemes(row.texts, row.special);
  const shade = (i) => (row.special[i] ? 0 : shareOf(row.values[i], data.scale.maximum));
  const text = make("div", { className: `text mono${data.wrapped ? " wrapped" : ""}`, dir: "auto", tabIndex: 0 });
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", `${row.note}: arrows move along the tokens`);
  const cells = shown.map((part, i) => {
    const cell = make("span");
    drawToken(cell, part, row.special[i], shade(i), data.strong_from);
    cell.classList.toggle("at", i === row.anchor && (row.value > 0 || row.value_note !== ""));
    cell.classList.toggle("none", shade(i) === 0);
    cell.dataset.token = i;
    return cell;
  });
  if (row.before) text.append(make("span", { className: "cut" }, "\u2026"));
  text.append(...cells);
  if (row.after) text.append(make("span", { className: "cut" }, "\u2026"));
  if (row.more) text.append(make("span", { className: "more" }, row.more));
  let cursor = null;
  const go = (i) => {
    if (cursor !== null) cells[cursor].classList.remove("cursor");
    cursor = i;
    if (i === null) { memory.tip.hide(); tell(null); return; }
    memory.tip.show(describe(data, row, shown, i), cells[i].getBoundingClientRect());
    tell({ of: data.scale.label, value: row.special[i] ? 0 : row.values[i], text: shown[i] || row.texts[i] });
  };
  text.onpointerover = (event) => { const cell = event.target.closest?.("[data-token]"); go(cell ? Number(cell.dataset.token) : null); };
  text.onpointerleave = () => go(null);
  text.onblur = () => go(null);
  text.onkeydown = (event) => {
    const to = tokenAfterKey(event.key, cursor ?? row.anchor, cells.length);
    if (to === null || event.key === "ArrowUp" || event.key === "ArrowDown") return;
    go(cursor === null ? row.anchor : to);
    cells[cursor].classList.add("cursor");
    event.preventDefault();
  };
  const chip = make("span");
  drawToken(chip, shown[row.anchor].trim() || shown[row.anchor] || "\u2026", row.special[row.anchor], shade(row.anchor), data.strong_from);
  chip.classList.add("mono");
  const silent = !(row.value > 0) && !row.value_note;
  const said = silent ? "silent" : `${figure(row.value, 2)}${row.value_note ? "*" : ""}`;
  const value = make("span", { className: `value quiet${silent ? "" : " mono number"}`, title: row.value_note || figure(row.value, 4) }, said);
  const button = make("button", { className: "act" }, data.action);
  button.setAttribute("aria-label", `${data.action}: ${row.note}`);
  button.onclick = () => act(row.key);
  const line = make("div", { className: "row" }, make("div", { className: "anchor" }, ...(silent ? [] : [chip]), value), text, data.action ? button : "");
  line.dataset.row = row.key;
  return line;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  let memory = state.get(root);
  if (!memory) {
    memory = { tip: tipOn(root) };
    state.set(root, memory);
  }
  memory.tip.hide();
  const list = make("div", { className: "list" }, ...data.rows.map((row) => draw(data, row, memory, (key) => setTriggerValue("acted", key))));
  root.replaceChildren(...(data.legend ? [make("div", { className: "legend" }, ...scaleLegend(data.scale))] : []), list);
  return () => { memory.tip.hide(); tell(null); };
}
