// Draws two written texts. Elements are kept from one update to the next, so that scroll, focus and selection stay.
const memories = new WeakMap();
const SIDES = ["plain", "steered"];
const PROMPT_SHOWN = { characters: 240, lines: 4 };
const DIFFER = "texts differ from here";

// The end of a long prompt, cut between words where it can be; all of a short one.
function promptEnd(prompt) {
  const lines = prompt.split("\n").slice(-PROMPT_SHOWN.lines).join("\n");
  if (lines.length <= PROMPT_SHOWN.characters) return lines;
  const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(lines.slice(-8 * PROMPT_SHOWN.characters));
  const graphemes = [...segments].map(({ segment }) => segment);
  const end = graphemes.slice(-PROMPT_SHOWN.characters).join("");
  const space = end.search(/\s/);
  return space >= 0 && space < PROMPT_SHOWN.characters / 3 ? end.slice(space + 1) : end;
}

// Largest size among what is known; null if nothing is.
function largest(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((most, value) => Math.max(most, Math.abs(value)), 0) : null;
}

const known = (value, unit = "") => (value === null ? "not known" : `${figure(value, 4)}${unit}`);

// The end of a scale: small ones keep two significant figures.
const bound = (value, digits) => (value === 0 || value >= 10 ** (1 - digits) ? figure(value, digits) : `${Number(value.toPrecision(2))}`);

function measures(most) {
  const parts = [];
  if (most.kl !== null) {
    const bars = make("span", { className: "bars" }, ...[3, 9, 6].map((height) => {
      const bar = make("span");
      bar.style.height = `${height}px`;
      return bar;
    }));
    parts.push(make("span", { className: "measure quiet number" }, bars, `KL, nats, 0 to ${bound(most.kl, 2)}`));
  }
  if (most.difference !== null) {
    const end = bound(most.difference, 1);
    const text = `log-probability, steered minus plain, -${end} to ${end} nats`;
    parts.push(make("span", { className: "measure quiet number" }, make("span", { className: "ramp signed" }), text));
  }
  return parts;
}

function describe(data, side, shown, i) {
  const { texts, special, shades, kl, differences } = data[side];
  const lines = [tokenName(texts, shown, i)];
  if (special[i]) lines.push("special token: outside the scale");
  else if (data.scale) lines.push(`${data.scale.label}  ${known(shades[i])}`);
  if (largest(kl) !== null) lines.push(`KL  ${known(kl[i], " nats")}`);
  if (largest(differences) !== null) lines.push(`log-probability, steered minus plain  ${known(differences[i], " nats")}`);
  if (i === data.first_difference) lines.push(DIFFER);
  return lines.join("\n");
}

function column(side) {
  const title = make("h3", { className: "title" });
  const note = make("div", { className: "note quiet number" });
  const lanes = make("div", { className: "measures legend" });
  const more = make("button", { className: "more" });
  const prompt = make("span", { className: "prompt" });
  const tokens = make("span", { className: "tokens" });
  tokens.setAttribute("role", "listbox");
  tokens.setAttribute("aria-orientation", "horizontal");
  const ended = make("span", { className: "ended" });
  const written = make("div", { className: "written mono", dir: "auto" }, more, prompt, tokens, ended);
  const element = make("section", { className: `side ${side}` }, make("header", {}, title, note), lanes, written);
  const flag = make("span", { className: "flag", title: DIFFER });
  return { side, element, title, note, lanes, more, prompt, tokens, ended, flag, cells: [], drawn: [], current: 0 };
}

function drawPrompt(column, prompt, whole) {
  const end = promptEnd(prompt);
  const text = whole ? prompt : end;
  column.more.hidden = end === prompt;
  column.more.textContent = whole ? "show only the end of the prompt" : `… show all ${figure(prompt.length, 0)} characters of the prompt`;
  column.more.setAttribute("aria-expanded", whole);
  if (column.promptDrawn === text) return;
  column.promptDrawn = text;
  column.prompt.replaceChildren();
  fill(column.prompt, text);
}

function drawCell(cell, { text, special, word, share, kl, difference, label }, strongFrom) {
  drawToken(cell, text, special, share, strongFrom);
  cell.classList.toggle("word", word);
  cell.classList.toggle("kl", kl !== null);
  cell.classList.toggle("difference", difference !== null);
  cell.style.setProperty("--kl", (kl ?? 0).toFixed(4));
  cell.style.setProperty("--difference", (difference ?? 0).toFixed(4));
  cell.setAttribute("role", "option");
  cell.setAttribute("aria-label", label);
}

function drawTokens(column, data) {
  const written = data[column.side];
  const shown = wholeGraphemes(written.texts, written.special);
  const most = { kl: largest(written.kl), difference: largest(written.differences) };
  column.lanes.replaceChildren(...measures(most));
  column.tokens.classList.toggle("measured", most.kl !== null || most.difference !== null);
  column.labels = shown.map((_, i) => describe(data, column.side, shown, i));
  shown.forEach((text, i) => {
    const [kl, difference] = [written.kl[i], written.differences[i]];
    const special = written.special[i];
    const wanted = {
      text,
      special,
      // The one space in front of a word may vanish where the line breaks; all other whitespace is kept.
      word: !special && /^ \S+$/.test(text) && !/\s$/.test(shown[i - 1] ?? data.prompt),
      share: data.scale && !special ? shareOf(written.shades[i], data.scale.maximum) : 0,
      kl: kl === null ? null : shareOf(kl, most.kl),
      difference: difference === null ? null : Math.sign(difference) * shareOf(Math.abs(difference), most.difference),
      label: column.labels[i],
    };
    const signature = JSON.stringify(wanted);
    if (!column.cells[i]) {
      column.cells[i] = make("span");
      column.cells[i].dataset.position = i;
      column.tokens.append(column.cells[i]);
    }
    if (column.drawn[i] !== signature) drawCell(column.cells[i], wanted, data.strong_from);
    column.drawn[i] = signature;
  });
  column.cells.splice(shown.length).forEach((cell) => cell.remove());
  column.drawn.length = shown.length;
}

function takeFlagAway(column) {
  const parent = column.flag.parentNode;
  column.flag.remove();
  parent?.normalize();
}

// The flag stands in front of the first visible character, so that it stays with its word at the end of a line.
function placeFlag(column, position) {
  if (position === null) return;
  const first = column.cells[position]?.firstChild;
  if (first?.nodeType === Node.TEXT_NODE) first.splitText(/^ */.exec(first.data)[0].length).before(column.flag);
  else if (first) first.before(column.flag);
  else column.tokens.append(column.flag);
}

function select(column, selected) {
  const here = selected?.side === column.side ? selected.index : null;
  if (here !== column.selected) column.current = here ?? column.current;
  column.selected = here;
  column.current = Math.max(0, Math.min(column.current, column.cells.length - 1));
  column.cells.forEach((cell, i) => {
    cell.classList.toggle("selected", i === here);
    cell.setAttribute("aria-selected", i === here);
    cell.tabIndex = i === column.current ? 0 : -1;
  });
}

function legend(data) {
  const parts = data.scale ? scaleLegend(data.scale) : [];
  if (data.first_difference !== null) {
    parts.push(make("span", { className: "differs quiet" }, make("span", { className: "flag-key" }), `${DIFFER}: token ${data.first_difference}`));
  }
  return parts;
}

function listen(memory, column) {
  const at = (event) => {
    const cell = event.target.closest?.("[data-position]");
    return cell ? Number(cell.dataset.position) : null;
  };
  const pick = (i) => memory.setTriggerValue("picked", { side: column.side, index: i });
  const point = (event) => {
    const i = at(event);
    memory.pointed = i === null ? null : { column, i };
    memory.tell();
  };
  const leave = () => { memory.pointed = null; memory.tell(); };
  const { tokens, cells } = column;
  tokens.onclick = (event) => { const i = at(event); if (i !== null) pick(i); };
  tokens.onpointerover = point;
  tokens.onpointerleave = leave;
  tokens.onfocusin = (event) => {
    const i = at(event);
    if (cells[column.current]) cells[column.current].tabIndex = -1;
    column.current = i;
    cells[i].tabIndex = 0;
    point(event);
  };
  tokens.onfocusout = leave;
  tokens.onkeydown = (event) => {
    const i = at(event);
    if (i === null) return;
    const to = tokenAfterKey(event.key, i, cells.length);
    if (to !== null) cells[to].focus();
    else if (event.key === "Enter" || event.key === " ") pick(i);
    else return;
    event.preventDefault();
  };
  column.more.onclick = () => {
    memory.whole = !memory.whole;
    for (const each of memory.columns) drawPrompt(each, memory.data.prompt, memory.whole);
  };
}

function begin(root) {
  const tip = tipOn(root);
  const columns = SIDES.map(column);
  const legendRow = make("div", { className: "legend" });
  const pair = make("div", { className: "pair" }, ...columns.map(({ element }) => element));
  const memory = { tip, columns, legendRow, pair, whole: false, pointed: null };
  memory.tell = () => {
    const cell = memory.pointed?.column.cells[memory.pointed.i];
    if (cell) tip.show(memory.pointed.column.labels[memory.pointed.i], cell.getBoundingClientRect());
    else tip.hide();
  };
  pair.onscroll = tip.hide;
  for (const each of columns) listen(memory, each);
  root.replaceChildren(make("div", { className: "frame" }, legendRow, pair));
  memories.set(root, memory);
  return memory;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const memory = memories.get(root) ?? begin(root);
  const { columns, pair } = memory;
  Object.assign(memory, { data, setTriggerValue });
  // Who has scrolled to the end sees what is being written.
  const follows = pair.scrollTop > 0 && pair.scrollHeight - pair.scrollTop - pair.clientHeight < 8;
  memory.legendRow.replaceChildren(...legend(data));
  for (const column of columns) {
    const written = data[column.side];
    column.title.textContent = written.title;
    column.note.textContent = written.note;
    column.ended.textContent = written.ended;
    column.tokens.setAttribute("aria-label", `${written.title}: tokens written after the prompt`);
    drawPrompt(column, data.prompt, memory.whole);
    takeFlagAway(column);
    drawTokens(column, data);
    placeFlag(column, data.first_difference);
    select(column, data.selected);
  }
  if (follows) pair.scrollTop = pair.scrollHeight;
  memory.tell();
  return memory.tip.hide;
}
