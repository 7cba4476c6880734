// Bars of equal width. A marker follows the token that is hovered in an example list of the same latent.
const state = new WeakMap();

const digitsFor = (span) => Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(span || 1))));
const whole = (n) => n.toLocaleString("en").replace(/,/g, "\u2009");

// Height of a count, 0 to 1: on a logarithmic scale one token is still seen.
function heightOf(count, largest, log) {
  if (!(count > 0)) return 0;
  return log ? (Math.log10(count) + 0.25) / (Math.log10(largest) + 0.25) : count / largest;
}

function heightTicks(largest, log) {
  if (!(largest > 0)) return [];
  if (!log) return largest > 1 ? [Math.floor(largest / 2), largest] : [largest];
  const powers = [];
  for (let power = 1; power <= largest; power *= 10) powers.push(power);
  const step = Math.ceil(powers.length / 4);
  return powers.filter((_, i) => i % step === 0);
}

function mark(memory, seen) {
  memory.marker?.remove();
  memory.marker = null;
  const { data, bars } = memory;
  if (!seen || seen.of !== data.follows || !(seen.value > data.low)) return;
  const share = Math.min(1, (seen.value - data.low) / (data.high - data.low));
  const label = make("span", { className: "mono number" }, `${JSON.stringify(seen.text)} ${figure(seen.value, 2)}`);
  memory.marker = make("div", { className: `marker${share > 0.5 ? " late" : ""}` }, label);
  memory.marker.style.left = `${100 * share}%`;
  bars.append(memory.marker);
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  let memory = state.get(root);
  if (!memory) {
    memory = { tip: tipOn(root) };
    memory.listen = (event) => mark(memory, event.detail);
    document.addEventListener("latents:hover", memory.listen);
    state.set(root, memory);
  }
  const focused = root.getRootNode().activeElement?.dataset?.bin;
  const n = data.counts.length, largest = Math.max(0, ...data.counts), width = (data.high - data.low) / n;
  const digits = digitsFor(data.high - data.low);
  const bars = make("div", { className: `bars${data.clickable ? " clickable" : ""}${data.selected === null ? "" : " filtered"}` });
  const heights = make("div", { className: "heights quiet number" });
  const ticks = heightTicks(largest, data.log);
  heights.append(make("span", { className: "widest" }, whole(largest)));
  for (const tick of ticks) {
    const at = `${100 * heightOf(tick, largest, data.log)}%`;
    const line = make("div", { className: "grid" }), label = make("span", {}, whole(tick));
    line.style.bottom = label.style.bottom = at;
    bars.append(line);
    heights.append(label);
  }
  const describe = (i) => {
    const low = data.low + i * width;
    const filter = data.clickable ? (i === data.selected ? "\nclick to show all examples again" : "\nclick to show examples in this range only") : "";
    return `${figure(low, digits)} to ${figure(low + width, digits)}\n${whole(data.counts[i])} ${data.counted}${filter}`;
  };
  const bins = data.counts.map((count, i) => {
    const middle = data.low + (i + 0.5) * width;
    const bar = make("div", { className: `bar ${data.signed ? (middle < 0 ? "negative" : "positive") : "shade"}` });
    bar.style.height = count > 0 ? `max(2px, ${100 * heightOf(count, largest, data.log)}%)` : 0;
    bar.style.setProperty("--t", (0.3 + 0.7 * shareOf(middle, data.high)).toFixed(3));
    const bin = make(data.clickable ? "button" : "div", { className: `bin${i === data.selected ? " selected" : ""}` }, bar);
    bin.dataset.bin = i;
    if (data.clickable) {
      bin.tabIndex = i === (data.selected ?? 0) ? 0 : -1;
      bin.setAttribute("aria-label", describe(i).replace(/\n/g, ", "));
      bin.setAttribute("aria-pressed", i === data.selected);
    }
    return bin;
  });
  bars.append(...bins);
  const at = (event) => { const bin = event.target.closest?.("[data-bin]"); return bin ? Number(bin.dataset.bin) : null; };
  const show = (event) => {
    const i = at(event);
    if (i === null) memory.tip.hide(); else memory.tip.show(describe(i), bars.getBoundingClientRect(), bins[i].getBoundingClientRect().left);
  };
  bars.onpointerover = show;
  bars.onpointerleave = memory.tip.hide;
  bars.onfocusin = show;
  bars.onfocusout = memory.tip.hide;
  if (data.clickable) {
    bars.onclick = (event) => { const i = at(event); if (i !== null) setTriggerValue("picked", i); };
    bars.onkeydown = (event) => {
      const to = at(event) === null ? null : { ArrowRight: at(event) + 1, ArrowLeft: at(event) - 1, Home: 0, End: n - 1 }[event.key];
      if (to === undefined || to === null || !bins[to]) return;
      bins[at(event)].tabIndex = -1;
      bins[to].tabIndex = 0;
      bins[to].focus();
      event.preventDefault();
    };
  }
  const axis = make(
    "div", { className: "axis quiet number" },
    make("span", {}, figure(data.low, digits)), make("span", { className: "middle" }, data.title), make("span", {}, figure(data.high, digits)),
  );
  root.replaceChildren(make("div", { className: "plot" }, heights, bars, axis));
  Object.assign(memory, { data, bars, marker: null });
  if (focused !== undefined) bins[Number(focused)]?.focus();
  return () => { memory.tip.hide(); document.removeEventListener("latents:hover", memory.listen); state.delete(root); };
}
