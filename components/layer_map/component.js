// One line a layer, one stripe a token. Every line has its own maximum, printed at its end.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const focused = root.getRootNode().activeElement?.dataset?.row;
  const n = data.texts.length;
  const tip = Object.assign(document.createElement("div"), { className: "tip" });
  const lines = data.rows.map((row) => {
    const line = document.createElement("div");
    line.className = `line${row.chosen ? " chosen" : ""}`;
    const label = Object.assign(document.createElement("span"), { className: "label mono", textContent: row.label, title: row.note });
    const cells = document.createElement("div");
    cells.className = "cells";
    cells.tabIndex = 0;
    cells.dataset.row = row.key;
    cells.setAttribute("role", "slider");
    cells.setAttribute("aria-label", `${row.label}: arrows move along the tokens, Enter chooses`);
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
      tip.textContent = `${row.label}\n${i}  ${JSON.stringify(data.texts[i])}\n${data.special[i] ? "special token: outside the scale\n" : ""}${row.values[i].toFixed(4)}\n${row.note}`;
      root.append(tip);
      const box = cells.getBoundingClientRect();
      const size = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(4, Math.min(box.left + ((i + 0.5) * box.width) / n, innerWidth - size.width - 8))}px`;
      tip.style.top = `${box.top - size.height - 6 > 0 ? box.top - size.height - 6 : box.bottom + 6}px`;
    };
    const under = (event) => {
      const box = cells.getBoundingClientRect();
      return Math.max(0, Math.min(n - 1, Math.floor(((event.clientX - box.left) / box.width) * n)));
    };
    if (data.selected !== null) { place(data.selected); cells.append(cursor); }
    cells.onpointermove = (event) => show(under(event));
    cells.onpointerleave = () => tip.remove();
    cells.onfocus = () => { if (!cursor.parentElement) { place(position); cells.append(cursor); } };
    cells.onblur = () => { tip.remove(); if (data.selected === null) cursor.remove(); else place(data.selected); };
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
  return () => tip.remove();
}
