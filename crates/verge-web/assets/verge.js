// Enlivens pages that are whole without it. The stream says that something has happened; the page is then fetched again, and
// its parts marked data-live take the place of the old ones. Nothing that comes from outside becomes markup here: what is
// fetched was escaped by the gateway, and is parsed, not evaluated.

const LOST_AFTER = 15_000;
const REFRESH_AT_LEAST = 400;
const REFRESH_AT_MOST = 10_000;
const RELOAD_AFTER = 6 * 3_600_000;
// The status comes every two seconds.
const HEARD_JUST_NOW = 5_000;
// How long a page that was hidden may take to be heard again.
const HEARD_AGAIN = 3_000;

const root = document.documentElement;
const lost = document.querySelector("[data-lost]");
const failure = document.querySelector("[data-failure]");
const wall = root.classList.contains("wall");

let source = null;
let aliveAt = Date.now();
let refreshed = Date.now();
let waiting = null;

function connection(state) {
  if (root.dataset.connection === state) return;
  root.dataset.connection = state;
  lost.hidden = state === "live";
  for (const button of document.querySelectorAll("main button")) button.disabled = state !== "live";
}

function say(text) {
  failure.textContent = text;
  failure.hidden = !text;
}

// Whether somebody types in a part, or has opened or selected something there.
function isBusy(part) {
  const active = document.activeElement;
  const types = part.contains(active) && active.matches("input:not([type=checkbox]), select, textarea");
  return types || part.querySelector("details[open], input:checked") !== null;
}

// Events with which somebody is busy stay as they are, the others of the list are exchanged.
function exchangeAround(list, next) {
  if (!list || !next) return;
  const busy = [...list.children].filter(isBusy);
  const kept = new Map(busy.map((event) => [event.id, event]));
  const fresh = [...next.children].map((event) => kept.get(event.id) || document.adoptNode(event));
  const all = [...busy.filter((event) => !fresh.includes(event)), ...fresh];
  for (const event of [...list.children]) if (!all.includes(event)) event.remove();
  // The one with the focus is not moved: it would lose it.
  const still = all.findIndex((event) => event.contains(document.activeElement));
  all.forEach((event, index) => {
    if (index < still) all[still].before(event);
    else if (index > still) list.append(event);
  });
}

function exchange(fresh) {
  const focused = document.activeElement && document.activeElement.id;
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!next || part.isEqualNode(next)) continue;
    // What follows by itself stays, as long as it is about the same.
    if (part.dataset.keep !== undefined && part.dataset.keep === next.dataset.keep) continue;
    if (isBusy(part)) exchangeAround(part.querySelector(".events"), next.querySelector(".events"));
    else part.replaceWith(document.adoptNode(next));
  }
  const again = focused && document.getElementById(focused);
  if (again && again !== document.activeElement) again.focus({ preventScroll: true });
  for (const button of document.querySelectorAll("main button")) button.disabled = root.dataset.connection !== "live";
}

async function refresh() {
  waiting = null;
  refreshed = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") {
      location.assign(answer.url);
      return;
    }
    if (!answer.ok) return;
    exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The stream notices a lost connection.
  }
}

function refreshSoon() {
  if (waiting !== null) return;
  waiting = setTimeout(refresh, Math.max(0, refreshed + REFRESH_AT_LEAST - Date.now()));
}

function find(value, pointer) {
  for (const part of pointer.split("/").slice(1)) {
    if (value === null || typeof value !== "object") return undefined;
    value = value[part.replaceAll("~1", "/").replaceAll("~0", "~")];
  }
  return value;
}

function words(value) {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Number.isSafeInteger(value) && value >= 0) return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  return String(value);
}

function show(status) {
  for (const place of document.querySelectorAll("[data-status]")) {
    const value = find(status, place.dataset.status);
    if (value === undefined || value === null || typeof value === "object") continue;
    const raw = String(value);
    if (place.dataset.value === raw || typeof value === "string") continue;
    place.dataset.value = raw;
    (place.querySelector("bdi") || place).textContent = words(value);
  }
}

function alive() {
  aliveAt = Date.now();
  if (root.dataset.connection !== "live") {
    connection("live");
    refresh();
  }
}

function open() {
  close();
  source = new EventSource("/api/v1/stream");
  source.addEventListener("status", (event) => {
    alive();
    show(JSON.parse(event.data));
    if (Date.now() - refreshed >= REFRESH_AT_MOST) refreshSoon();
  });
  source.addEventListener("verdict", (event) => {
    alive();
    // Counts and views of cameras come all the time, and change no page yet.
    if (JSON.parse(event.data).event) refreshSoon();
  });
  source.addEventListener("resync", refreshSoon);
  // What happened between the making of the page and now did not come by the stream.
  source.addEventListener("open", refreshSoon);
  source.addEventListener("error", () => {
    // Refused, not lost: a login that has ended, or too many listeners. The browser does not try again by itself.
    if (source && source.readyState === EventSource.CLOSED) {
      close();
      setTimeout(() => { if (!document.hidden) { open(); refresh(); } }, 5_000);
    }
  });
}

function close() {
  if (source) source.close();
  source = null;
}

setInterval(() => {
  if (!document.hidden && Date.now() - aliveAt > LOST_AFTER) connection("lost");
}, 1_000);

// A hidden page needs no stream, and browsers give all tabs six connections together.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    close();
  } else {
    // What is shown may be old: it counts as lost soon if nothing comes.
    aliveAt = Date.now() - LOST_AFTER + HEARD_AGAIN;
    open();
    refresh();
  }
});

async function send(form, button) {
  button.disabled = true;
  say("");
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (answer.ok && form.dataset.shows) {
      // What was said stands where the page has its place for it.
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(form.dataset.shows);
      document.getElementById(form.dataset.shows).replaceWith(document.adoptNode(next));
      document.getElementById(form.dataset.shows).focus();
      refreshSoon();
      return;
    }
    if (answer.type === "opaqueredirect" || answer.ok) {
      const details = form.closest("details");
      if (details) details.open = false;
      for (const box of form.elements) if (box.type === "checkbox") box.checked = false;
      await refresh();
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const problem = page.querySelector("[data-problem]");
    say(`${button.textContent}: ${problem ? problem.textContent : `failed (${answer.status})`}`);
  } catch {
    say(`${button.textContent}: not sent, the gateway does not answer`);
  } finally {
    button.disabled = root.dataset.connection !== "live";
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  // A form of its own is sent by the browser: it comes back with what was typed.
  if (form.method !== "post" || !form.closest("main") || form.dataset.own !== undefined) return;
  event.preventDefault();
  send(form, event.submitter || form.querySelector("button"));
});

// j and k go through the list, a acknowledges.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const events = [...document.querySelectorAll(".event")];
  if (!events.length) return;
  const here = events.findIndex((one) => one.contains(document.activeElement));
  if (event.key === "j") events[Math.min(here + 1, events.length - 1)].focus();
  else if (event.key === "k") events[Math.max(here - 1, 0)].focus();
  else if (event.key === "a" && here >= 0) {
    const button = events[here].querySelector("form[action$='/acknowledge'] button");
    if (button) button.click();
  }
});

// A wall screen takes up a new version by itself, but only from a gateway that was just heard: nobody would bring back a page
// that could not be loaded.
if (wall) {
  const due = Date.now() + RELOAD_AFTER;
  setInterval(() => {
    if (source && Date.now() >= due && Date.now() - aliveAt < HEARD_JUST_NOW) location.reload();
  }, 60_000);
}

if (!document.hidden) open();
