// Pictures of cameras: asked for while they are looked at, and no longer. What is seen in them is drawn by the gateway; the
// fragment that it sends was escaped there, and is parsed, not evaluated.

const TICK = 100;
const parts = ["picture", "said"];
const busy = new WeakSet();
const asked = new WeakMap();

function copy(from, to) {
  for (const name of ["data-age-ms", "data-stale", "data-stale-after-ms", "data-number"]) {
    const value = from.getAttribute(name);
    if (value === null) to.removeAttribute(name);
    else to.setAttribute(name, value);
  }
}

// A picture that is not there any more is no error: the next one comes.
async function loaded(image) {
  const next = new Image();
  for (const { name, value } of image.attributes) next.setAttribute(name, value);
  await next.decode();
  return next;
}

async function update(old, fresh) {
  const [shown, image] = [old.querySelector("img"), fresh.querySelector("img")];
  let next = null;
  // An image that comes over from another document would be fetched again, and be blank meanwhile: a mark takes its place.
  const mark = document.createComment("");
  if (image) {
    const same = shown && old.dataset.number === fresh.dataset.number;
    try {
      next = same ? shown : await loaded(image);
    } catch {
      return;
    }
    image.replaceWith(mark);
  }
  if (!old.isConnected) return;
  for (const part of parts) {
    const [before, after] = [old.querySelector(`[data-part=${part}]`), fresh.querySelector(`[data-part=${part}]`)];
    // Who reads a list by keyboard keeps his place.
    if (!before || !after || before.contains(document.activeElement)) continue;
    const node = document.adoptNode(after);
    if (next && node.contains(mark)) mark.replaceWith(next);
    before.replaceWith(node);
  }
  copy(fresh, old);
  old.seenAt = Date.now() - Number(fresh.dataset.ageMs);
}

async function refresh(place) {
  const answer = await fetch(place.dataset.scenes, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const known = new Map([...place.querySelectorAll("[data-camera]")].map((one) => [one.dataset.camera, one]));
  const updates = [];
  for (const figure of fresh.querySelectorAll("[data-camera]")) {
    const old = known.get(figure.dataset.camera);
    if (old) updates.push(update(old, figure));
    else place.append(document.adoptNode(figure));
    known.delete(figure.dataset.camera);
  }
  for (const removed of known.values()) removed.remove();
  await Promise.all(updates);
}

// Ages go on while nothing comes: a picture that stands still says so, whatever the reason.
function age(figure) {
  if (figure.seenAt === undefined) figure.seenAt = Date.now() - Number(figure.dataset.ageMs);
  const now = Math.max(0, Date.now() - figure.seenAt);
  figure.dataset.ageMs = String(now);
  figure.dataset.stale = String(now > Number(figure.dataset.staleAfterMs));
}

async function look(place) {
  const now = Date.now();
  if (busy.has(place) || now - (asked.get(place) || 0) < Number(place.dataset.every)) return;
  busy.add(place);
  asked.set(place, now);
  try {
    await refresh(place);
  } catch {
    // The stream notices a lost connection; the age says that the picture is old.
    asked.set(place, now + 1_000);
  } finally {
    busy.delete(place);
  }
}

setInterval(() => {
  if (document.hidden) return;
  for (const place of document.querySelectorAll("[data-scenes]")) {
    for (const figure of place.querySelectorAll("[data-camera]")) age(figure);
    if (place.dataset.off === undefined) look(place);
  }
}, TICK);
