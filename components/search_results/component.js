// A text on top, its tokens buttons; layers as bars; then a row a latent. What is hovered in one is marked in the others.
const memories = new WeakMap();

// The text of a row: spans for the tokens that fire, plain text between them, so that long texts stay light.
function shadedText(data, shown, row, whole, expand) {
  const [first, last] = whole ? [0, shown.length - 1] : [row.first, row.last];
  const element = make("div", { className: "shaded mono", dir: "auto" });
  const values = new Map(row.positions.map((position, n) => [position, row.values[n]]));
  const cut = (label) => {
    const button = make("button", { className: "cut", title: "Show the whole text", onclick: expand }, "\u2026");
    button.setAttribute("aria-label", label);
    return button;
  };
  if (first > 0) element.append(cut("Show the text from its beginning"));
  let between = "";
  const flush = () => { if (between) { const run = make("span"); fill(run, between); element.append(run); between = ""; } };
  for (let i = first; i <= last; i += 1) {
    // A special token that does not count is seen in the text on top; here it would stand in every row.
    if (data.special[i] && !data.counts_special) continue;
    if (!data.special[i] && !values.has(i)) { between += shown[i]; continue; }
    flush();
    const cell = make("span");
    drawToken(cell, shown[i], false, shareOf(values.get(i) ?? 0, row.maximum), data.strong_from);
    cell.classList.toggle("peak", i === row.peak);
    cell.dataset.at = i;
    element.append(cell);
  }
  flush();
  if (last < shown.length - 1) element.append(cut("Show the text to its end"));
  return element;
}

function layerBars(data, trigger) {
  const most = Math.max(1, ...data.layers.map((layer) => layer.n));
  const bars = data.layers.map((layer) => {
    const bar = make("span", { className: "bar" });
    bar.style.height = `${Math.round((24 * layer.n) / most)}px`;
    const n = make("span", { className: "n number" }, figure(layer.n, 0));
    const button = make("button", { className: `layer${layer.chosen ? " chosen" : ""}` }, n, bar, make("span", { className: "of number" }, `${layer.layer}`));
    button.title = `Layer ${layer.layer}: ${figure(layer.n, 0)} latents. Click to search ${layer.chosen ? "without it" : "in it"}.`;
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-pressed", layer.chosen);
    button.dataset.focus = `layer ${layer.layer}`;
    button.onclick = () => trigger("layer", layer.layer);
    return button;
  });
  return make("div", { className: "layers" }, make("span", { className: "title quiet" }, "Layer"), ...bars);
}

// Ctrl+Enter hands the text over to Streamlit, and after that presses the button.
function submit(event, [box, button]) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  if (!event.target.closest?.(ofKey(box))) return;
  setTimeout(() => document.querySelector(`${ofKey(button)} button`)?.click(), 50);
}

function remember(root) {
  const memory = { tip: tipOn(root), whole: new Set() };
  memory.listen = (event) => submit(event, memory.submit);
  document.addEventListener("keydown", memory.listen);
  memories.set(root, memory);
  return memory;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const memory = memories.get(root) ?? remember(root);
  memory.submit = data.submit;
  const focused = root.getRootNode().activeElement?.dataset?.focus;
  const shown = wholeGraphemes(data.texts, data.special);
  const chosen = new Set(data.chosen);
  const usable = (i) => !data.special[i] || data.counts_special;
  memory.tip.hide();

  // The text on top.
  const text = make("div", { className: `text mono${chosen.size ? " some" : ""}`, dir: "auto" });
  text.setAttribute("role", "listbox");
  text.setAttribute("aria-multiselectable", "true");
  text.setAttribute("aria-label", "Tokens of the text: the chosen ones count");
  const cells = shown.map((part, i) => {
    const cell = make("span");
    cell.dataset.focus = `token ${i}`;
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-selected", chosen.has(i));
    return cell;
  });
  const said = make("span", { className: "quiet" });
  const paint = (row) => {
    const values = new Map(row ? row.positions.map((position, n) => [position, row.values[n]]) : []);
    text.classList.toggle("by", Boolean(row));
    cells.forEach((cell, i) => {
      drawToken(cell, shown[i], data.special[i] && !data.counts_special, row && usable(i) ? shareOf(values.get(i) ?? 0, row.maximum) : 0, data.strong_from);
      cell.classList.toggle("chosen", chosen.has(i));
      cell.classList.toggle("off", !usable(i));
    });
  };
  const pick = (i) => {
    if (!usable(i)) return;
    if (!chosen.delete(i)) chosen.add(i);
    paint(null);
    setTriggerValue("picked", [...chosen].sort((a, b) => a - b));
  };
  const all = make("button", { className: "all", hidden: !chosen.size, onclick: () => setTriggerValue("picked", []) }, "all tokens");
  all.dataset.focus = "all";
  const what = () => (chosen.size
    ? `${chosen.size} of ${cells.length} tokens count. Click again to leave one out.`
    : "All tokens count. Click tokens to rank by these only; hover to see which latents fire there.");
  said.textContent = what();
  text.append(...cells);
  paint(null);

  // The rows.
  const table = make("div", { className: "table" });
  table.style.setProperty("--columns", data.columns.length);
  const head = make("div", { className: "head quiet" }, make("span", {}, "latent"), make("span", {}, "label"));
  data.columns.forEach((column) => head.append(make("span", { className: "figure", title: column.help }, column.title)));
  head.append(make("span"));
  const lines = data.rows.map((row) => {
    const name = make("a", { className: "name mono", href: row.href, title: `Open the page of ${row.key}` }, row.name);
    name.dataset.focus = `name ${row.key}`;
    // With a modifier the browser opens it in a tab of its own, as with any link.
    name.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      setTriggerValue("opened", row.key);
    };
    const label = make("span", { className: `label${row.own ? " own" : ""}`, title: row.label }, row.label || "not known");
    const figures = row.figures.map((one) => make("span", { className: "figure mono number" }, one));
    const list = make("button", { className: `list${row.listed ? " on" : ""}` }, row.listed ? "listed" : "+ list");
    list.setAttribute("aria-label", row.listed ? `Remove ${row.key} from the list` : `Add ${row.key} to the list`);
    list.setAttribute("aria-pressed", row.listed);
    list.dataset.focus = `list ${row.key}`;
    list.onclick = () => setTriggerValue("listed", row.key);
    const line = make("div", { className: "line" }, name, label, ...figures, list);
    line.dataset.latent = row.key;
    const draw = () => {
      line.querySelector(".shaded")?.remove();
      line.append(shadedText(data, shown, row, memory.whole.has(row.key), () => { memory.whole.add(row.key); draw(); }));
    };
    draw();
    const enter = () => { paint(row); said.textContent = `${row.name}, full shade ${figure(row.maximum, 2)} (${row.maximum_of})`; };
    const leave = () => { paint(null); said.textContent = what(); memory.tip.hide(); };
    line.onpointerenter = enter;
    line.onpointerleave = leave;
    line.addEventListener("focusin", enter);
    line.addEventListener("focusout", leave);
    line.onpointerover = (event) => {
      const cell = event.target.closest?.("[data-at]");
      if (!cell) { memory.tip.hide(); return; }
      const i = Number(cell.dataset.at);
      const value = row.values[row.positions.indexOf(i)] ?? 0;
      memory.tip.show(`${tokenName(data.texts, shown, i)}\n${row.name}  ${figure(value, 4)}`, cell.getBoundingClientRect());
    };
    line.onkeydown = (event) => {
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      const next = step && line[step]?.querySelector(".name");
      if (next) { next.focus(); event.preventDefault(); }
    };
    return line;
  });
  table.append(head, ...lines);

  // A hovered token marks the rows that fire there.
  const mark = (i) => {
    lines.forEach((line, n) => line.classList.toggle("fires", i !== null && usable(i) && data.rows[n].positions.includes(i)));
    if (i === null) { memory.tip.hide(); return; }
    const n = data.rows.filter((row) => row.positions.includes(i)).length;
    const told = usable(i) ? `${n} of the ${data.rows.length} latents on this page fire here` : "special token: not counted";
    memory.tip.show(`${tokenName(data.texts, shown, i)}\n${told}`, cells[i].getBoundingClientRect());
  };
  text.onpointerover = (event) => mark(tokenAt(event));
  text.onpointerleave = () => mark(null);
  text.addEventListener("focusin", (event) => mark(tokenAt(event)));
  text.addEventListener("focusout", () => mark(null));
  walkTokens(text, cells, data.chosen[0] ?? 0, pick);
  const parts = [text, make("div", { className: "hint" }, said, all)];
  if (data.layers.length > 1) parts.push(layerBars(data, setTriggerValue));
  if (data.rows.length) parts.push(table);
  root.replaceChildren(...parts);
  if (focused) root.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  return () => {
    memory.tip.hide();
    document.removeEventListener("keydown", memory.listen);
    memories.delete(root);
  };
}
