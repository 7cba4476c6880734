// A list of latents: name, bar, value, pin.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const focused = root.getRootNode().activeElement?.dataset?.focus;
  const list = document.createElement("div");
  list.className = "list";
  for (const row of data.rows) {
    const line = document.createElement("div");
    line.className = `row${row.shown ? " shown" : ""}`;
    line.title = row.note;
    line.dataset.latent = row.key;
    const open = document.createElement("button");
    open.className = "open";
    open.dataset.focus = `open ${row.key}`;
    open.setAttribute("aria-label", `Show ${row.key}, activation ${row.value.toFixed(4)}, ${row.note}`);
    const name = Object.assign(document.createElement("span"), { className: "name mono", textContent: row.label });
    const bar = Object.assign(document.createElement("span"), { className: "bar" });
    const length = Object.assign(document.createElement("div"), { className: "shade" });
    length.style.width = `${100 * row.share}%`;
    length.style.setProperty("--t", (0.3 + 0.7 * row.share).toFixed(3));
    bar.append(length);
    const value = Object.assign(document.createElement("span"), { className: "value mono number", textContent: row.value.toFixed(2) });
    value.title = row.value.toFixed(4);
    open.append(name, bar, value);
    open.onclick = () => setTriggerValue("shown", row.key);
    line.onclick = (event) => { if (event.target === line) setTriggerValue("shown", row.key); };
    const pin = Object.assign(document.createElement("button"), { className: `pin${row.pinned ? " on" : ""}`, textContent: row.pinned ? "unpin" : data.keep });
    pin.dataset.focus = `pin ${row.key}`;
    pin.setAttribute("aria-label", `${row.pinned ? "unpin" : data.keep} ${row.key}`);
    pin.setAttribute("aria-pressed", row.pinned);
    pin.onclick = () => setTriggerValue("pinned", row.key);
    line.onkeydown = (event) => {
      if (event.key === "p") setTriggerValue("pinned", row.key);
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (step) { line[step]?.querySelector(".open")?.focus(); event.preventDefault(); }
    };
    line.append(open, pin);
    list.append(line);
  }
  root.replaceChildren(list);
  if (focused) list.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}
