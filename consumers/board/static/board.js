// The pages work without this file; it adds live articles, keys and fresh figures.

const items = document.getElementById("items");
const pill = document.getElementById("fresh");
const live = document.getElementById("live");
const KEPT = 400; // articles kept in a page that stays open for days
const NEAR_TOP_PX = 160;

// Times

const steps = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [7 * 86400, "day", 86400]];
const inWords = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

function ago(date) {
  const seconds = Math.max(0, (Date.now() - date) / 1000);
  if (seconds < 10) return "now";
  const step = steps.find(([limit]) => seconds < limit);
  if (!step) return date.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
  return inWords.format(-Math.floor(seconds / step[2]), step[1]);
}

function refreshTimes(root = document) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const date = new Date(time.dateTime);
    time.textContent = ago(date);
    time.title = date.toLocaleString();
  }
}
refreshTimes();
setInterval(refreshTimes, 20_000);

// Live articles

let waiting = [];

function show() {
  const focused = document.activeElement;
  for (const article of waiting) {
    const known = items.querySelector(`[data-id="${CSS.escape(article.dataset.id)}"]`);
    if (known) known.remove();
    article.classList.add("fresh");
    items.prepend(article);
  }
  waiting = [];
  while (items.children.length > KEPT) items.lastElementChild.remove();
  pill.hidden = true;
  document.getElementById("empty").hidden = items.children.length > 0;
  refreshTimes(items);
  if (focused && focused.isConnected) focused.focus({ preventScroll: true });
}

function receive(event) {
  const fragment = document.createElement("template");
  fragment.innerHTML = event.data; // rendered by the server's template, which escapes all text
  waiting.push(...fragment.content.querySelectorAll("li"));
  if (waiting.length > KEPT) waiting = waiting.slice(-KEPT);
  if (window.scrollY < NEAR_TOP_PX) return show();
  pill.textContent = waiting.length === 1 ? "1 new article" : `${waiting.length} new articles`;
  pill.hidden = false;
}

function say(state, text) {
  live.dataset.state = state;
  live.textContent = text;
}

if (items && !("older" in items.dataset)) {
  const address = new URL(items.dataset.stream, location.href);
  address.searchParams.set("after", items.dataset.seq);
  const stream = new EventSource(address);
  stream.addEventListener("articles", receive);
  stream.addEventListener("state", (event) => (event.data === "on" ? say("on", "Live") : say("away", "Kafka is away: history only")));
  stream.addEventListener("error", () => say("waiting", "Reconnecting"));
  window.addEventListener("pagehide", () => stream.close());
  pill.addEventListener("click", () => { show(); window.scrollTo({ top: 0 }); });
}

// Fresh figures on the flow page

const source = document.querySelector("[data-refresh]");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(source.dataset.refresh, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (!fresh || fresh.innerHTML === old.innerHTML || old.matches(":focus-within")) continue;
      old.replaceChildren(...fresh.childNodes);
      Object.assign(old.dataset, fresh.dataset);
      refreshTimes(old);
    }
  } catch {
    say("waiting", "Reconnecting");
  }
}
if (source) setInterval(refresh, 3_000);

// Keys

const links = () => [...document.querySelectorAll(".item .open")];

function move(by) {
  const all = links();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
  next.focus({ preventScroll: true, focusVisible: true });
  next.closest(".item").scrollIntoView({ block: "nearest" });
}

function original() {
  const own = document.activeElement.closest?.(".item")?.querySelector(".out") ?? document.getElementById("original");
  own?.click();
}

function back() {
  const link = document.querySelector("[data-back]");
  if (!link) return;
  if (document.referrer.startsWith(location.origin + "/") && !document.referrer.includes("/article")) history.back();
  else location.assign(link.href);
}

const places = { a: "/", f: "/flow", s: "/subscribe" };
let going = false;

const keys = {
  j: () => move(1),
  k: () => move(-1),
  o: original,
  u: back,
  n: () => pill && !pill.hidden && pill.click(),
  "/": () => document.getElementById("q") ? document.getElementById("q").select() : location.assign("/"),
  "?": () => document.getElementById("help").showModal(),
  g: () => { going = true; setTimeout(() => (going = false), 3_000); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, select, textarea, dialog[open]")) {
    if (event.key === "Escape" && event.target.id === "q") event.target.blur();
    return;
  }
  if (going && places[event.key]) return location.assign(places[event.key]);
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Small controls, shown because they work only here

for (const control of document.querySelectorAll("[data-help], [data-theme-toggle]")) control.hidden = false;
document.querySelector("[data-help]").addEventListener("click", keys["?"]);
document.querySelector("[data-theme-toggle]").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});
document.querySelector("[data-submit]")?.addEventListener("change", (event) => event.target.form.requestSubmit());
document.querySelector("[data-back]")?.addEventListener("click", (event) => { event.preventDefault(); back(); });
