// Listens to the whole page, before Streamlit's own keys do.
const state = new WeakMap();

function press(event, keys) {
  const inside = event.composedPath()[0];
  const types = inside?.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(inside?.tagName ?? "");
  const widget = keys[event.key];
  if (!widget || types || event.ctrlKey || event.altKey || event.metaKey) return;
  const target = document.querySelector(`${ofKey(widget)} :is(button, textarea, input)`);
  if (!target) return;
  if (target.tagName === "BUTTON") target.click(); else target.focus();
  event.preventDefault();
  event.stopImmediatePropagation();
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  let memory = state.get(root);
  if (!memory) {
    memory = { listen: (event) => press(event, memory.keys) };
    document.addEventListener("keydown", memory.listen, true);
    state.set(root, memory);
  }
  memory.keys = data.keys;
  return () => { document.removeEventListener("keydown", memory.listen, true); state.delete(root); };
}
