// Latents of a list, a row each: name, label, note, figures; then the text shaded by the latent. Rows can be moved and taken out.
const memories = new WeakMap();

// Spans for the tokens that fire, plain text between them, so that many rows of a long text stay light.
function shadedText(data, shown, row) {
  const element = make("div", { className: `shaded mono${data.wrapped ? "" : " line-by-line"}`, dir: "auto" });
  const values = new Map(row.positions.map((position, n) => [position, row.values[n]]));
  let between = "";
  const flush = () => { if (between) { const run = make("span"); fill(run, between); element.append(run); between = ""; } };
  shown.forEach((part, i) => {
    if (!data.special[i] && !values.has(i)) { between += part; return; }
    flush();
    const cell = make("span");
    drawToken(cell, part, data.special[i], data.special[i] ? 0 : shareOf(values.get(i), row.maximum), data.strong_from);
    cell.classList.toggle("peak", i === row.peak);
    cell.dataset.at = i;
    element.append(cell);
  });
  flush();
  return element;
}

function act(sign, said, key, does, off = false) {
  const button = make("button", { title: said, disabled: off, onclick: does }, sign);
  button.setAttribute("aria-label", `${said}: ${key}`);
  button.dataset.focus = `${said} ${key}`;
  return button;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const memory = memories.get(root) ?? { tip: tipOn(root) };
  memories.set(root, memory);
  memory.tip.hide();
  const focused = root.getRootNode().activeElement?.dataset?.focus;
  const shown = wholeGraphemes(data.texts, data.special);
  const table = make("div", { className: "table" });
  table.style.setProperty("--columns", data.columns.length);
  const head = make("div", { className: "head quiet" }, make("span", {}, "latent"), make("span", {}, data.note));
  data.columns.forEach((column) => head.append(make("span", { className: "figure", title: column.help }, column.title)));
  head.append(make("span"));
  let dragged = null;
  const lines = data.rows.map((row, n) => {
    const name = make(row.href ? "a" : "span", { className: `name mono${row.href ? "" : " missing"}`, title: row.href ? `Open the page of ${row.key}` : row.label }, row.name);
    if (row.href) {
      name.href = row.href;
      name.dataset.focus = `name ${row.key}`;
      // With a modifier the browser opens it in a tab of its own, as with any link.
      name.onclick = (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        setTriggerValue("opened", row.key);
      };
    }
    const label = make("span", { className: `label${row.own ? " own" : ""}`, title: row.label }, row.label || "no label");
    const note = data.editable ? make("input", { className: "note", value: row.note, placeholder: "note" }) : make("span", { className: "note", title: row.note }, row.note);
    if (data.editable) {
      note.setAttribute("aria-label", `Note on ${row.key}`);
      note.title = row.note;
      note.onchange = () => { if (note.value !== row.note) setTriggerValue("noted", { key: row.key, note: note.value }); };
      note.onkeydown = (event) => { event.stopPropagation(); if (event.key === "Enter") note.blur(); };
    }
    const figures = row.figures.map((one) => make("span", { className: "figure mono number" }, one));
    const acts = make("span", { className: "acts" });
    const line = make("div", { className: "line" }, name, note, ...figures, acts, label);
    line.dataset.latent = row.key;
    if (data.editable) {
      const move = (by) => setTriggerValue("moved", { key: row.key, by });
      const grip = make("span", { className: "grip", draggable: true, title: "Drag to reorder" }, "\u22ee\u22ee");
      grip.ondragstart = (event) => { dragged = n; event.dataTransfer.setDragImage(line, 0, 0); event.dataTransfer.effectAllowed = "move"; };
      grip.ondragend = () => { dragged = null; lines.forEach((each) => each.classList.remove("dropped", "after")); };
      acts.append(
        grip,
        act("\u2191", "Move up", row.key, () => move(-1), row.place === 0),
        act("\u2193", "Move down", row.key, () => move(1), row.is_last),
        act("\u00d7", "Remove from the list", row.key, () => setTriggerValue("removed", row.key)),
      );
      line.ondragover = (event) => {
        if (dragged === null) return;
        event.preventDefault();
        lines.forEach((each) => each.classList.remove("dropped", "after"));
        if (dragged !== n) line.classList.add("dropped", ...(n > dragged ? ["after"] : []));
      };
      line.ondrop = (event) => {
        event.preventDefault();
        if (dragged !== null && dragged !== n) setTriggerValue("moved", { key: data.rows[dragged].key, by: n - dragged });
      };
    }
    if (data.listable) {
      const list = act(row.listed ? "listed" : "list", row.listed ? "Remove from the list" : "Add to the list", row.key, () => setTriggerValue("listed", row.key));
      list.classList.toggle("on", row.listed);
      acts.append(list);
    }
    if (shown.length && row.href) line.append(shadedText(data, shown, row));
    line.onpointerover = (event) => {
      const cell = event.target.closest?.("[data-at]");
      if (!cell) { memory.tip.hide(); return; }
      const i = Number(cell.dataset.at);
      const told = data.special[i] ? "special token: outside the scale" : `${row.name}  ${figure(row.values[row.positions.indexOf(i)] ?? 0, 4)}\nfull shade ${figure(row.maximum, 2)} (${row.maximum_of})`;
      memory.tip.show(`${tokenName(data.texts, shown, i)}\n${told}`, cell.getBoundingClientRect());
    };
    line.onpointerleave = memory.tip.hide;
    return line;
  });
  table.append(head, ...lines);
  root.replaceChildren(table);
  if (focused) root.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  return memory.tip.hide;
}
