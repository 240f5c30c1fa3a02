// Lets the places of lines, zones and masks be moved on the picture. The fields of the form are what counts: the drawing
// follows them, and a handle that is moved writes into them.

const SVG = "http://www.w3.org/2000/svg";
const EVERY = 500;
const place = document.querySelector("[data-drawing]");
const svg = place.querySelector("svg");
const handles = svg.querySelector("[data-handles]");
const tracks = svg.querySelector("[data-tracks]");
const width = Number(place.dataset.width);
const height = Number(place.dataset.height);

function make(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

function fieldsOf(set) {
  const key = set.dataset.fields;
  const fields = [];
  for (let at = 0; ; at += 1) {
    const [x, y] = ["x", "y"].map((axis) => set.querySelector(`[name="${key}-${axis}${at}"]`));
    if (!x || !y) return fields;
    fields.push([x, y]);
  }
}

function corners(set) {
  return fieldsOf(set).filter(([x, y]) => x.value !== "" && y.value !== "").map(([x, y]) => [x.value * width, y.value * height]);
}

// Where forward goes, and which side is which.
function sides(points) {
  const [[ax, ay], [bx, by]] = points;
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const [nx, ny] = [-(by - ay) / length, (bx - ax) / length];
  const [x, y] = [(ax + bx) / 2, (ay + by) / 2];
  const reach = width / 20;
  const side = width / 70;
  const tip = [x + nx * reach, y + ny * reach];
  const back = [tip[0] - nx * side, tip[1] - ny * side];
  const head = [[x, y], tip, [back[0] + ny * side, back[1] - nx * side], tip, [back[0] - ny * side, back[1] + nx * side]];
  const size = width / 40;
  const label = (text, way) => make("text", { x: x + nx * way, y: y + ny * way, "font-size": size, "text-anchor": "middle" }, text);
  return [
    make("polyline", { class: "arrow", points: head.map((point) => point.join(",")).join(" ") }),
    label("left", -reach), label("right", reach * 1.5),
  ];
}

function draw() {
  handles.replaceChildren();
  for (const set of document.querySelectorAll("[data-fields]")) {
    const points = corners(set);
    const shape = svg.querySelector(`[data-shape="${set.dataset.fields}"]`);
    const out = set.querySelector("[name$='-out']");
    const hidden = Boolean(out && out.checked);
    if (shape) {
      shape.setAttribute("points", points.map((point) => point.join(",")).join(" "));
      shape.toggleAttribute("hidden", hidden);
    }
    if (hidden) continue;
    if (set.dataset.kind === "line" && points.length === 2) handles.append(...sides(points));
    if (set.querySelector("input[readonly]")) continue;
    for (const [x, y] of fieldsOf(set)) {
      if (x.value === "" || y.value === "") continue;
      const handle = make("circle", { class: "handle", cx: x.value * width, cy: y.value * height, r: width / 60 });
      handle.addEventListener("pointerdown", (event) => grab(event, x, y));
      handles.append(handle);
    }
  }
}

function grab(event, x, y) {
  event.preventDefault();
  x.focus({ preventScroll: true });
  const share = (at, from, size) => String(Math.min(1, Math.max(0, Math.round(((at - from) / size) * 1e4) / 1e4)));
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    x.value = share(event.clientX, box.left, box.width);
    y.value = share(event.clientY, box.top, box.height);
    draw();
  };
  const end = () => {
    document.removeEventListener("pointermove", move);
    document.removeEventListener("pointerup", end);
    document.removeEventListener("pointercancel", end);
  };
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", end);
  document.addEventListener("pointercancel", end);
}

// The newest picture, and what is followed in it.
let asking = false;
let number = null;

async function refresh() {
  const answer = await fetch(`${place.dataset.drawing}/views`, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const views = await answer.json();
  if (!views.picture || views.picture.number === number) return;
  const next = new Image();
  next.width = width;
  next.height = height;
  next.alt = "Newest picture; its lines and zones stand below as fields";
  next.src = `${place.dataset.drawing}/frame?n=${views.picture.number}`;
  await next.decode();
  number = views.picture.number;
  const old = place.querySelector("img");
  if (old) old.replaceWith(next);
  else place.prepend(next);
  tracks.replaceChildren();
  for (const one of views.objects) {
    const [x, y, w, h] = one.area;
    tracks.append(make("rect", { x: x * width, y: y * height, width: w * width, height: h * height }));
    const trail = (one.trail || []).map(([x, y]) => `${x * width},${y * height}`).join(" ");
    if (trail) tracks.append(make("polyline", { class: "trail", points: trail }));
  }
}

setInterval(async () => {
  if (document.hidden || asking || place.dataset.off !== undefined) return;
  asking = true;
  try {
    await refresh();
  } catch {
    // The stream notices a lost connection.
  } finally {
    asking = false;
  }
}, EVERY);

document.addEventListener("input", (event) => { if (event.target.closest("[data-fields]")) draw(); });
draw();
