// A graph over a model. vis-network holds places and finds what is under the pointer; bands, rings, light and supernodes are drawn here.
const canvases = new WeakMap();
const PITCH = 120, MAX_LABEL = 150, SIDE = 20, GUTTER = 16, HEAD = 26, FOOT = 10, BELOW = 34, NAME = 14, SMALLEST = 0.55, SHORTEST = 4;

// What the library is, once it has come.
function whenVis() {
  if (globalThis.vis?.Network) return Promise.resolve(globalThis.vis);
  return new Promise((found) => {
    document.addEventListener("latents:vis", () => found(globalThis.vis), { once: true });
  });
}

// Colours of the page as a canvas understands them.
function colours(probe, legend) {
  const of = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  probe.style.transition = "none";
  const found = Object.fromEntries(["paper", "ink", "quiet", "line", "focus", "negative", "pin0", "pin1", "pin2"].map((name) => [name, of(name)]));
  for (const [role] of legend) {
    found[role] = of(`origin-${role.replaceAll("_", "-")}`);
  }
  probe.style.color = "";
  probe.style.transition = "";
  const shade = make("span", { className: "shade probe" });
  probe.parentElement.append(shade);
  found.ramp = Array.from({ length: 33 }, (_, i) => {
    shade.style.setProperty("--t", (i / 32).toFixed(4));
    return getComputedStyle(shade).backgroundColor;
  });
  shade.remove();
  return found;
}

// A colour on its way to the paper; vis-network's own opacity would show the links behind a node.
function fade(colour, paper, share) {
  const [from, to] = [colour, paper].map((one) => one.match(/[\d.]+/g).slice(0, 3).map(Number));
  return `color(srgb ${from.map((value, i) => ((value + (to[i] - value) * share) / 255).toFixed(4)).join(" ")})`;
}

// The index, and under it what fits of the label into two lines of the column. A word that is cut keeps SHORTEST letters or is left out.
const pen = document.createElement("canvas").getContext("2d");
function labelLines(node, room, font) {
  pen.font = font;
  const lines = [""];
  for (const word of node.meaning.split(/\s+/).filter(Boolean)) {
    const longer = lines[lines.length - 1] ? `${lines[lines.length - 1]} ${word}` : word;
    if (pen.measureText(longer).width <= room) { lines[lines.length - 1] = longer; continue; }
    if (lines[lines.length - 1]) lines.push("");
    lines[lines.length - 1] = word;
    if (lines.length > 2) break;
  }
  const cut = lines.length > 2;
  return [node.name ?? node.label, ...lines.slice(0, 2).map((line, i) => {
    const more = cut && i === 1;
    if (pen.measureText(line + (more ? "…" : "")).width <= room) return line + (more ? "…" : "");
    let short = line;
    while (short && pen.measureText(`${short}…`).width > room) short = short.slice(0, -1);
    return short.length < SHORTEST ? "" : `${short}…`;
  })].filter(Boolean).join("\n").replace(/,$/, "");
}

// Another graph: other nodes and edges, places stretched to the width that is there.
function build(memory) {
  const { data, vis } = memory;
  memory.byId = new Map(data.nodes.map((node) => [node.id, node]));
  memory.near = new Map(data.nodes.map((node) => [node.id, new Set([node.id])]));
  for (const edge of data.edges) { memory.near.get(edge.from).add(edge.to); memory.near.get(edge.to).add(edge.from); }
  memory.hovered = memory.hoveredEdge = null;
  memory.seed = data.nodes.find((node) => node.seed)?.id;
  memory.nodes = new vis.DataSet([]);
  memory.edges = new vis.DataSet([]);
  place(memory);
  memory.network.setData({ nodes: memory.nodes, edges: memory.edges });
  fit(memory);
}

// How far apart columns are drawn, and where everything stands then.
function place(memory) {
  const { data, stage } = memory;
  const last = data.columns[data.columns.length - 1]?.x ?? 0;
  const stretched = (side) => (last ? Math.max(0.26, Math.min(1.9, (stage.clientWidth - 2 * side - GUTTER) / (last + 0.5 * PITCH))) : 1);
  const sideOf = (stretch) => Math.max(SIDE, Math.min(MAX_LABEL, PITCH * stretch) / 2 + 4);
  memory.stretch = stretched(sideOf(stretched(SIDE)));
  memory.at = new Map(data.nodes.map((node) => [node.id, { x: node.x * memory.stretch, y: node.y }]));
  memory.names = namesOf(memory);
  const bottom = Math.max(data.bands[data.bands.length - 1]?.bottom ?? 0, ...memory.names.map((name) => name.y + NAME / 2 - FOOT));
  const left = -0.5 * PITCH * memory.stretch, right = last * memory.stretch;
  const side = Math.max(sideOf(memory.stretch), (stage.clientWidth - right + left - GUTTER) / 2);
  memory.box = { left: left - side - GUTTER, right: right + side, top: -HEAD - 8, bottom: bottom + FOOT };
  restyle(memory);
}

// Where the names of supernodes stand: under a residual latent, whose label is above it, else beside the link that goes up; never on another.
function namesOf(memory) {
  const found = [];
  pen.font = `600 11px ${memory.font}`;
  for (const group of memory.data.groups) {
    const first = membersOf(memory, group)[0];
    if (!first) continue;
    const { x, y } = memory.at.get(first), above = memory.byId.get(first).above;
    const name = { group, text: group.name, x: above ? x - 16 : x + 14, y: above ? y + BELOW : y - 24, width: pen.measureText(group.name).width };
    while (found.some((other) => Math.abs(other.y - name.y) < NAME && other.x < name.x + name.width + 6 && name.x < other.x + other.width + 6)) name.y += NAME;
    found.push(name);
  }
  return found;
}

function membersOf(memory, group) {
  const { at } = memory;
  return group.members.filter((id) => at.has(id)).sort((a, b) => at.get(a).x - at.get(b).x);
}

// Every node and edge as it looks now.
function restyle(memory) {
  const { data, look, nodes, edges } = memory;
  const font = getComputedStyle(memory.stage).fontFamily;
  const room = Math.min(MAX_LABEL, PITCH * memory.stretch - 6);
  const edge = memory.byEdge.get(memory.hoveredEdge ?? data.selected);
  const near = memory.hovered ? memory.near.get(memory.hovered) : memory.hoveredEdge ? new Set([edge.from, edge.to]) : null;
  const kept = new Set([data.selected, memory.seed, ...data.pinned]);
  const dark = (id) => (near ? !near.has(id) : data.heat !== null && !(data.heat[id]?.[0] > 0) && !kept.has(id));
  const labels = memory.labels;
  const small = Math.max(0.75, Math.min(1, 1.4 * memory.stretch));
  nodes.update(data.nodes.map((node) => {
    const key = `${node.id} ${room}`;
    if (!labels.has(key)) labels.set(key, labelLines(node, room, `11px ${font}`));
    const faint = dark(node.id);
    const colour = faint ? fade(look[node.role], look.paper, 0.72) : look[node.role];
    return {
      id: node.id, ...memory.at.get(node.id), shape: node.shape, size: node.size * small, label: labels.get(key),
      borderWidth: node.role === "not_known" ? 2 : 1, color: { background: node.role === "not_known" ? look.paper : colour, border: colour },
      font: { size: 11, face: font, color: faint ? fade(look.ink, look.paper, near ? 0.72 : 0.45) : look.ink, strokeWidth: 3, strokeColor: look.paper, vadjust: node.above ? -2 * node.size * small - 16 - 13 * labels.get(key).split("\n").length : 4 },
    };
  }));
  edges.update(data.edges.map((one) => {
    const chosen = one.id === data.selected || one.id === memory.hoveredEdge;
    const beside = memory.hovered ? one.from === memory.hovered || one.to === memory.hovered : true;
    const faint = (near && !(beside && near.has(one.from) && near.has(one.to))) || (!near && (dark(one.from) || dark(one.to)));
    return {
      id: one.id, from: one.from, to: one.to, width: one.width, dashes: one.dashes ? [6, 5] : false,
      arrows: { to: { enabled: memory.stretch > 0.5, scaleFactor: 0.35 } },
      color: { color: chosen ? look.focus : one.against ? look.negative : look.quiet, opacity: chosen ? 1 : faint ? 0.12 : 0.5 },
    };
  }));
}

// All of it in sight, as large as it may be.
function fit(memory) {
  const { box, stage, network } = memory;
  const scale = Math.min(1, stage.clientWidth / (box.right - box.left));
  const height = Math.max(120, Math.min(640, (box.bottom - box.top) * scale));
  stage.style.height = `${Math.round(height)}px`;
  network.setSize("100%", `${Math.round(height)}px`);
  network.redraw();
  const least = Math.max(SMALLEST, Math.min(scale, height / (box.bottom - box.top)));
  const seed = memory.at.get(memory.seed), half = stage.clientWidth / 2 / least;
  const wide = (box.right - box.left) * least > stage.clientWidth + 1;
  const middle = wide && seed ? Math.max(box.left + half, Math.min(box.right - half, seed.x)) : (box.left + box.right) / 2;
  network.moveTo({ position: { x: middle, y: (box.top + box.bottom) / 2 }, scale: least, animation: false });
}

// Behind the graph: rows, columns, supernodes and light.
function drawBehind(memory, pencil) {
  const { data, look, box, stretch } = memory;
  pencil.save();
  pencil.textBaseline = "middle";
  for (const band of data.bands) {
    pencil.globalAlpha = 0.28;
    pencil.fillStyle = look.line;
    pencil.beginPath();
    pencil.roundRect(box.left + 6, band.top - 4, box.right - box.left - 12, band.bottom - band.top + 8, 6);
    pencil.fill();
    pencil.globalAlpha = 1;
    pencil.fillStyle = look.quiet;
    pencil.font = `11px ${memory.font}`;
    pencil.save();
    pencil.textAlign = "center";
    pencil.translate(box.left + 6 + GUTTER / 2, (band.top + band.bottom) / 2);
    pencil.rotate(-Math.PI / 2);
    pencil.fillText(band.name, 0, 1);
    pencil.restore();
  }
  pencil.textAlign = "center";
  for (const column of data.columns) {
    const x = column.x * stretch;
    pencil.fillStyle = look.quiet;
    pencil.font = `11px ${memory.font}`;
    pencil.fillText(column.title, x, -HEAD + 6);
    if (data.span && column.number >= data.span[0] && column.number <= data.span[1]) {
      const [before, behind] = data.span.map((end) => (column.number === end ? 10 : (PITCH * stretch) / 2));
      pencil.fillRect(x - before, -HEAD + 15, before + behind, 1.5);
    }
    if (column.after_gap) pencil.fillText("···", x - (PITCH * stretch) / 2 - 30 * stretch, -HEAD + 6);
  }
  data.groups.forEach((group, i) => drawGroup(memory, pencil, group, look[`pin${i % 3}`]));
  memory.names.forEach((name) => drawName(memory, pencil, name));
  if (data.heat) {
    for (const [id, at] of memory.at) {
      const share = shareOf(data.heat[id]?.[0] ?? 0, 1);
      if (!(share > 0)) continue;
      pencil.fillStyle = look.ramp[Math.round(share * 32)];
      pencil.strokeStyle = look.line;
      pencil.lineWidth = 1;
      pencil.beginPath();
      pencil.arc(at.x, at.y, 13 + 9 * share, 0, 2 * Math.PI);
      pencil.fill();
      pencil.stroke();
    }
  }
  pencil.restore();
}

// A supernode: a broad band along the links between its members, and round each of them.
function drawGroup(memory, pencil, group, colour) {
  const { at, data } = memory;
  const members = membersOf(memory, group);
  if (!members.length) return;
  const inside = new Set(members), shape = new Path2D();
  for (const id of members) { shape.moveTo(at.get(id).x, at.get(id).y); shape.lineTo(at.get(id).x + 0.1, at.get(id).y); }
  for (const edge of data.edges) {
    if (!inside.has(edge.from) || !inside.has(edge.to)) continue;
    shape.moveTo(at.get(edge.from).x, at.get(edge.from).y);
    shape.lineTo(at.get(edge.to).x, at.get(edge.to).y);
  }
  pencil.save();
  pencil.strokeStyle = colour;
  pencil.globalAlpha = 0.22;
  pencil.lineWidth = 42;
  pencil.lineJoin = pencil.lineCap = "round";
  pencil.stroke(shape);
  pencil.restore();
}

function drawName(memory, pencil, name) {
  pencil.save();
  pencil.textAlign = "left";
  pencil.font = `600 11px ${memory.font}`;
  pencil.lineWidth = 3;
  pencil.strokeStyle = memory.look.paper;
  pencil.fillStyle = memory.look.ink;
  pencil.strokeText(name.text, name.x, name.y);
  pencil.fillText(name.text, name.x, name.y);
  pencil.restore();
}

// Before the graph: rings of what is chosen, pinned, walked to, and of the seed.
function drawBefore(memory, pencil) {
  const { data, look } = memory;
  const ring = (id, radius, colour, width, dashes = []) => {
    const at = memory.at.get(id);
    if (!at) return;
    pencil.save();
    pencil.strokeStyle = colour;
    pencil.lineWidth = width;
    pencil.setLineDash(dashes);
    pencil.beginPath();
    pencil.arc(at.x, at.y, radius, 0, 2 * Math.PI);
    pencil.stroke();
    pencil.restore();
  };
  for (const node of data.nodes) if (node.seed) ring(node.id, node.size + 3.5, look.ink, 2);
  data.pinned.forEach((id, i) => ring(id, 15.5, look[`pin${i % 3}`], 2.5));
  if (data.selected) ring(data.selected, 18.5, look.focus, 2.5);
  if (memory.walked && memory.stage.matches(":focus")) ring(memory.walked, 22, look.focus, 1.5, [4, 3]);
}

function describe({ byId, data }, id) {
  const node = byId.get(id), heat = data.heat ? data.heat[id]?.[1] ?? "silent here" : "";
  return [node.id, node.meaning, node.note, heat].filter(Boolean).join("\n");
}

function show(memory, text, at) {
  const box = memory.stage.getBoundingClientRect(), dom = memory.network.canvasToDOM(at);
  const left = box.left + dom.x, top = box.top + dom.y;
  memory.tip.show(text, { left, top: top - 24 * memory.network.getScale(), bottom: top + 24 }, left + 12);
}

function hover(memory, node, edge) {
  if (memory.hovered === node && memory.hoveredEdge === edge) return;
  Object.assign(memory, { hovered: node, hoveredEdge: edge });
  memory.stage.style.cursor = node || edge ? "pointer" : "default";
  restyle(memory);
  if (node) { show(memory, describe(memory, node), memory.at.get(node)); return; }
  if (!edge) { memory.tip.hide(); return; }
  const one = memory.byEdge.get(edge), a = memory.at.get(one.from), b = memory.at.get(one.to);
  show(memory, `${one.from}\n→ ${one.to}\n${one.note}`, { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
}

function say(memory, kind, node, edge) {
  memory.send("clicked", { kind, graph: memory.data.graph, node: node ?? "", edge: node ? "" : edge ?? "" });
}

// The nearest node in the direction of an arrow; columns and rows as they are seen.
function neighbour(memory, id, key) {
  const from = memory.at.get(id);
  const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  let best = null, least = Infinity;
  for (const [other, at] of memory.at) {
    const along = (at.x - from.x) * dx + (at.y - from.y) * dy, aside = Math.abs((at.x - from.x) * dy) + Math.abs((at.y - from.y) * dx);
    if (along < 1 || other === id) continue;
    if (along + 1.5 * aside < least) { least = along + 1.5 * aside; best = other; }
  }
  return best ?? id;
}

function onKey(memory, event) {
  const { data } = memory;
  if (!memory.at.has(memory.walked)) memory.walked = memory.byId.has(data.selected) ? data.selected : (data.nodes.find((node) => node.seed) ?? data.nodes[0])?.id;
  if (!memory.walked) return;
  if (event.key.startsWith("Arrow")) memory.walked = neighbour(memory, memory.walked, event.key);
  else if (event.key === "Enter") say(memory, event.shiftKey ? "shift" : event.ctrlKey || event.metaKey ? "double" : "click", memory.walked);
  else if (event.key === "p") say(memory, "shift", memory.walked);
  else if (event.key === "Escape") { hover(memory, null, null); return; }
  else return;
  event.preventDefault();
  event.stopPropagation();
  hover(memory, memory.walked, null);
  memory.heard.textContent = describe(memory, memory.walked);
  memory.network.redraw();
}

function listen(memory) {
  const { network, stage } = memory;
  const under = (event) => {
    const node = network.getNodeAt(event.pointer.DOM) ?? null;
    return [node, node ? null : network.getEdgeAt(event.pointer.DOM) ?? null];
  };
  network.on("click", (event) => say(memory, event.event.srcEvent?.shiftKey ? "shift" : "click", ...under(event)));
  network.on("doubleClick", (event) => { const [node] = under(event); if (node) say(memory, "double", node); });
  network.on("beforeDrawing", (pencil) => drawBehind(memory, pencil));
  network.on("afterDrawing", (pencil) => drawBefore(memory, pencil));
  stage.addEventListener("pointermove", (event) => {
    if (event.buttons) return;
    const box = stage.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    const node = network.getNodeAt(at) ?? null;
    hover(memory, node, node ? null : network.getEdgeAt(at) ?? null);
  });
  stage.addEventListener("pointerleave", () => hover(memory, null, null));
  stage.addEventListener("keydown", (event) => onKey(memory, event));
  stage.addEventListener("blur", () => { hover(memory, null, null); network.redraw(); });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(memory, event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  memory.probe.addEventListener("transitionend", () => { memory.look = colours(memory.probe, memory.data.legend); restyle(memory); network.redraw(); });
  let seen = stage.clientWidth;
  memory.watch = new ResizeObserver(() => {
    if (Math.abs(stage.clientWidth - seen) < 2) return;
    seen = stage.clientWidth;
    place(memory);
    fit(memory);
  });
  memory.watch.observe(stage);
}

function zoom(memory, factor) {
  const scale = Math.max(0.3, Math.min(2.5, memory.network.getScale() * factor));
  memory.network.moveTo({ scale, animation: false });
}

function mountOn(root) {
  const stage = make("div", { className: "stage", tabIndex: 0 });
  const net = make("div", { className: "net" });
  const probe = make("span", { className: "probe" });
  const heard = make("div", { className: "heard" });
  const memory = { root, stage, net, probe, heard, labels: new Map(), tip: tipOn(root), bar: make("div", { className: "bar" }) };
  heard.setAttribute("aria-live", "polite");
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-label", "Graph over layers: arrows move between latents, Enter selects, p pins, Control+Enter makes it the seed");
  stage.style.height = "420px";
  stage.append(net, probe, make("div", { className: "wait quiet" }, "loading the graph library"));
  root.replaceChildren(memory.bar, stage, heard);
  return memory;
}

function drawBar(memory) {
  const { data } = memory;
  const keys = data.legend.map(([role, name]) => {
    const dot = make("i");
    dot.style.background = role === "not_known" ? "none" : `var(--origin-${role.replaceAll("_", "-")})`;
    if (role === "not_known") dot.style.border = `2px solid var(--origin-not-known)`;
    return make("span", { className: "key quiet" }, dot, name);
  });
  const tool = (text, title, act) => {
    const button = make("button", { textContent: text, title, onclick: act });
    button.setAttribute("aria-label", title);
    return button;
  };
  const tools = make("span", { className: "tools" }, tool("−", "smaller", () => zoom(memory, 1 / 1.2)), tool("+", "larger", () => zoom(memory, 1.2)), tool("fit", "show all of it", () => fit(memory)));
  const scale = data.heat ? [make("span", { className: "legend" }, make("span", { className: "quiet number" }, "0"), make("span", { className: "ramp" }), make("span", { className: "quiet" }, data.heat_legend))] : [];
  memory.bar.replaceChildren(make("span", { className: "quiet" }, data.legend_title), ...keys, ...scale, make("span", { className: "spring" }), tools);
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  let memory = canvases.get(root);
  if (!memory) {
    memory = mountOn(root);
    canvases.set(root, memory);
  }
  if (memory.data?.graph !== data.graph) memory.walked = null;
  Object.assign(memory, { data, send: setTriggerValue, byEdge: new Map(data.edges.map((edge) => [edge.id, edge])) });
  memory.font = getComputedStyle(root).fontFamily;
  drawBar(memory);
  const draw = () => {
    memory.look = colours(memory.probe, memory.data.legend);
    const groups = JSON.stringify(memory.data.groups), same = memory.drawn === memory.data.graph;
    if (!same) build(memory);
    else if (memory.grouped === groups) { restyle(memory); memory.network.redraw(); }
    else { place(memory); fit(memory); }
    memory.drawn = memory.data.graph;
    memory.grouped = groups;
  };
  if (memory.network) draw();
  else if (!memory.waits) {
    memory.waits = true;
    whenVis().then((vis) => {
      if (memory.gone) return;
      memory.vis = vis;
      memory.nodes = new vis.DataSet([]);
      memory.edges = new vis.DataSet([]);
      memory.network = new vis.Network(memory.net, { nodes: memory.nodes, edges: memory.edges }, memory.data.options);
      memory.stage.querySelector(".wait")?.remove();
      memory.stage.whereIs = (id) => { const at = memory.at.get(id); return at && memory.network.canvasToDOM(at); };
      memory.stage.nodeIds = () => [...memory.at.keys()];
      listen(memory);
      draw();
      memory.stage.dataset.ready = "1";
    });
  }
  return () => { memory.gone = true; memory.tip.hide(); memory.watch?.disconnect(); memory.network?.destroy(); canvases.delete(root); };
}
