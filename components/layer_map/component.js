// One line a layer, one stripe a token. Every line has its own maximum, printed at its end.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const focused = root.getRootNode().activeElement?.dataset?.row;
  const n = data.texts.length;
  const tip = tipOn(root);
  const lines = data.rows.map((row) => {
    const line = document.createElement("div");
    line.className = `line${row.chosen ? " chosen" : ""}`;
    const label = Object.assign(document.createElement("span"), { className: "label mono", textContent: row.label, title: row.note });
    const cells = document.createElement("div");
    cells.className = "cells";
    cells.tabIndex = 0;
    cells.dataset.row = row.key;
    cells.setAttribute("role", "slider");
    cells.setAttribute("aria-label", `${row.label}: arrows move along the tokens, Enter selects`);
    cells.setAttribute("aria-valuemin", 0);
    cells.setAttribute("aria-valuemax", n - 1);
    row.values.forEach((value, i) => {
      const stripe = document.createElement("span");
      stripe.className = data.special[i] ? "stripe out" : "stripe shade";
      stripe.style.setProperty("--t", row.maximum > 0 ? Math.min(1, value / row.maximum).toFixed(3) : 0);
      cells.append(stripe);
    });
    const cursor = Object.assign(document.createElement("span"), { className: "cursor" });
    let position = data.selected ?? 0;
    const place = (i) => {
      position = i;
      cursor.style.left = `${(100 * i) / n}%`;
      cursor.style.width = `${100 / n}%`;
      cells.setAttribute("aria-valuenow", i);
      cells.setAttribute("aria-valuetext", `${JSON.stringify(data.texts[i])} ${row.values[i].toFixed(4)}`);
    };
    const show = (i) => {
      const out = data.special[i] ? "special token: outside the scale\n" : "";
      const box = cells.getBoundingClientRect();
      const text = `${row.label}\n${i}  ${JSON.stringify(data.texts[i])}\n${out}${row.values[i].toFixed(4)}\n${row.note}`;
      tip.show(text, box, box.left + ((i + 0.5) * box.width) / n);
    };
    const under = (event) => {
      const box = cells.getBoundingClientRect();
      return Math.max(0, Math.min(n - 1, Math.floor(((event.clientX - box.left) / box.width) * n)));
    };
    if (data.selected !== null) { place(data.selected); cells.append(cursor); }
    cells.onpointermove = (event) => show(under(event));
    cells.onpointerleave = tip.hide;
    cells.onfocus = () => { if (!cursor.parentElement) { place(position); cells.append(cursor); } };
    cells.onblur = () => { tip.hide(); if (data.selected === null) cursor.remove(); else place(data.selected); };
    cells.onclick = (event) => setTriggerValue("picked", { row: row.key, position: under(event) });
    cells.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -position, End: n - 1 - position }[event.key];
      if (step !== undefined) { place(Math.max(0, Math.min(n - 1, position + step))); show(position); event.preventDefault(); }
      if (event.key === "Enter") setTriggerValue("picked", { row: row.key, position });
    };
    const max = Object.assign(document.createElement("span"), { className: "max quiet number", textContent: row.maximum.toFixed(row.digits) });
    max.title = "largest value in this line: its full shade";
    line.append(label, cells, max);
    return line;
  });
  root.replaceChildren(...lines);
  if (focused) root.querySelector(`[data-row="${CSS.escape(focused)}"]`)?.focus();
  return tip.hide;
}
