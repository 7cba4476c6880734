// A list of latents: name, bar, value; then what can be done with each: pin it, go to its own page.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const focused = root.getRootNode().activeElement?.dataset?.focus;
  const list = make("div", { className: "list" });
  for (const row of data.rows) {
    const line = make("div", { className: `row${row.shown ? " shown" : ""}`, title: row.note });
    line.dataset.latent = row.key;
    const open = make("button", { className: "open" });
    open.dataset.focus = `open ${row.key}`;
    open.setAttribute("aria-label", `Show ${row.key}, ${row.value.toFixed(4)}, ${row.note}`);
    const name = make("span", { className: "name mono" }, row.label);
    const length = make("div", { className: "shade" });
    length.style.width = `${100 * row.share}%`;
    length.style.setProperty("--t", (0.3 + 0.7 * row.share).toFixed(3));
    const value = make("span", { className: "value mono number", title: row.value.toFixed(4) }, row.value.toFixed(row.digits));
    open.append(name, make("span", { className: "bar" }, length), value);
    if (row.detail) open.append(make("span", { className: "detail quiet" }, row.detail));
    open.onclick = () => setTriggerValue("shown", row.key);
    line.onclick = (event) => { if (event.target === line) setTriggerValue("shown", row.key); };
    line.append(open);
    if (data.keep) {
      const pin = make("button", { className: `pin${row.pinned ? " on" : ""}` }, row.pinned ? "unpin" : data.keep);
      pin.dataset.focus = `pin ${row.key}`;
      pin.setAttribute("aria-label", `${row.pinned ? "unpin" : data.keep} ${row.key}`);
      pin.setAttribute("aria-pressed", row.pinned);
      pin.onclick = () => setTriggerValue("pinned", row.key);
      line.append(pin);
    }
    if (data.links && row.href) {
      const link = make("a", { className: "link", href: row.href, title: "Open its page: examples, statistics, neighbours" }, "open");
      link.dataset.focus = `link ${row.key}`;
      link.setAttribute("aria-label", `Open the page of ${row.key}`);
      // With a modifier the browser opens it in a tab of its own, as with any link.
      link.onclick = (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        setTriggerValue("opened", row.key);
      };
      line.append(link);
    }
    line.onkeydown = (event) => {
      if (event.key === "p" && data.keep) setTriggerValue("pinned", row.key);
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (step) { line[step]?.querySelector(".open")?.focus(); event.preventDefault(); }
    };
    list.append(line);
  }
  root.replaceChildren(list);
  if (focused) list.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}
