// A table of words. It is one stop of the Tab key: arrows walk through its cells, Enter chooses a cell's column.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const before = root.querySelector(".box");
  const scrolled = before ? before.scrollLeft : null;
  const focused = root.getRootNode().activeElement?.dataset?.cell;
  const tip = tipOn(root);
  const nameOf = (column) => (column.key === null ? column.text : `${column.key}  ${JSON.stringify(column.text)}`);
  const isChosen = (column) => column.key !== null && column.key === data.selected;

  const heads = data.columns.map((column) => {
    const head = make("th", { scope: "col", className: `mono${isChosen(column) ? " chosen" : ""}` });
    head.append(...(column.special ? [make("span", { className: "chip" }, column.text)] : tokenText(column.text)));
    head.onpointerenter = () => tip.show(column.note, head.getBoundingClientRect());
    head.onpointerleave = tip.hide;
    return head;
  });
  const grid = data.rows.map((row, y) => data.columns.map((column, x) => {
    const share = shareOf(Math.abs(row.shares[x]), 1);
    const tint = data.signed ? (row.shares[x] < 0 ? "down" : "up") : "shade";
    const names = ["mono", column.special ? "out" : tint];
    if (!column.special && !data.signed && share > data.strong_from) names.push("strong");
    if (row.marked[x]) names.push("marked");
    if (isChosen(column)) names.push("chosen");
    if (column.key !== null) names.push("pickable");
    const cell = make("td", { className: names.join(" "), tabIndex: -1 }, ...tokenText(row.words[x]));
    cell.style.setProperty("--t", share.toFixed(3));
    cell.dataset.cell = `${y} ${x}`;
    cell.setAttribute("aria-label", `${data.corner} ${row.label}, ${nameOf(column)}: ${row.notes[x]}`);
    const say = () => tip.show(`${data.corner} ${row.label}, after ${nameOf(column)}\n${row.notes[x]}`, cell.getBoundingClientRect());
    const pick = () => { if (column.key !== null) setTriggerValue("picked", column.key); };
    cell.onpointerenter = say;
    cell.onpointerleave = tip.hide;
    cell.onfocus = say;
    cell.onblur = tip.hide;
    cell.onclick = pick;
    cell.onkeydown = (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (step) {
        const next = grid[y + step[0]]?.[x + step[1]];
        if (next) { cell.tabIndex = -1; next.tabIndex = 0; next.focus(); }
      } else if (event.key === "Enter" || event.key === " ") {
        pick();
      } else {
        return;
      }
      event.preventDefault();
    };
    return cell;
  }));
  const start = data.columns.findIndex(isChosen);
  const first = grid[0]?.[Math.max(0, start)];
  if (first) first.tabIndex = 0;

  const lines = data.rows.map((row, y) => make("tr", {}, make("th", { scope: "row", className: "number" }, row.label), ...grid[y]));
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, data.corner), ...heads));
  const box = make("div", { className: "box" }, make("table", {}, head, make("tbody", {}, ...lines)));
  const legend = make("div", { className: "legend quiet" }, make("span", { className: `ramp${data.signed ? " signed" : ""}` }), make("span", {}, data.legend));
  root.replaceChildren(legend, box);
  if (scrolled !== null) box.scrollLeft = scrolled;
  else if (start > 0) box.scrollLeft = Math.max(0, heads[start].offsetLeft - box.clientWidth / 2);
  if (focused) root.querySelector(`[data-cell="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  return tip.hide;
}
