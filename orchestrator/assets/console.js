"use strict";
// Pages follow what happens: the server says that something has, and the page asks for itself again. What somebody is
// filling in stays. Times that run out count down.

const live = document.querySelector("#live");
const main = () => document.querySelector("main");
const signedIn = document.querySelector(".who");
/** The server says something every five seconds; after so long without, the connection is not one any more. */
const SILENCE = 12000;
const AGAIN = 2000;

let source = null;
let silence = null;
// What happened between the page and its first word from the server was missed.
let missed = true;
let filling = false;
// Answers may overtake each other: only the newest question's is shown.
let asked = 0;
let shown = plain(document.querySelector("main"));

/** The page without what came of the last click. */
function plain(page) {
  const copy = page.cloneNode(true);
  copy.querySelector(":scope > .notice")?.remove();
  return copy.innerHTML;
}

function say(isLive, text) {
  live.hidden = false;
  live.classList.toggle("off", !isLive);
  // Only what is new is read out.
  if (live.textContent !== text) live.textContent = text;
}

function heard() {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENCE);
  if (filling && missed) return;
  say(true, "Live");
}

function lost() {
  close();
  missed = true;
  say(false, "Not live: the connection is lost. What you see may be old. Trying again.");
  setTimeout(comeBack, AGAIN);
}

/** Follows again, unless nobody is signed in any more: then the page says so. */
async function comeBack() {
  const answer = filling ? null : await ask();
  if (answer?.redirected) location.reload(); else follow();
}

const ask = () => fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);

function close() {
  clearTimeout(silence);
  if (source) source.close();
  source = null;
}

function follow() {
  if (!signedIn || source || document.hidden) return;
  source = new EventSource("/console/live");
  silence = setTimeout(lost, SILENCE);
  source.addEventListener("beat", () => {
    heard();
    if (missed) refresh();
  });
  source.addEventListener("change", () => { heard(); refresh(); });
  source.onerror = lost;
}

/** Shows the page as it is now. */
async function refresh() {
  if (!("live" in main().dataset)) { missed = false; return; }
  if (filling) {
    missed = true;
    say(true, "Live. Something has changed: it is shown when you are done here.");
    return;
  }
  missed = false;
  const question = ++asked;
  const answer = await ask();
  const text = answer && await answer.text().catch(() => null);
  if (question !== asked) return;
  if (!answer?.ok || text === null || filling) { missed = true; return; }
  if (answer.redirected) { location.reload(); return; }
  const page = new DOMParser().parseFromString(text, "text/html");
  const news = plain(page.querySelector("main"));
  if (news === shown) return;
  shown = news;
  const focus = document.activeElement?.id;
  const open = [...document.querySelectorAll("main details[open][id]")].map((one) => one.id);
  // What came of the last click is read once.
  page.querySelector("main > .notice")?.remove();
  main().replaceChildren(...page.querySelector("main").childNodes);
  open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  if (focus) document.getElementById(focus)?.focus();
  count();
}

/** Writes how long there is left. */
function count() {
  for (const time of document.querySelectorAll("time.left")) {
    let rest = Math.max(0, Math.floor((Date.parse(time.dateTime) - Date.now()) / 1000));
    const parts = [];
    for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
      if (rest >= unit && parts.length < 2) parts.push(`${Math.floor(rest / unit)} ${name}`);
      rest %= unit;
    }
    time.textContent = parts.length ? `${parts.join(" ")} left` : "no time left";
  }
}

document.addEventListener("input", (event) => { if (event.target.closest("main")) filling = true; });
document.addEventListener("reset", () => { filling = false; });
// One click, one effect: a form that is on its way is not sent again.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  event.target.dataset.sent = "true";
  setTimeout(() => event.target.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
});
document.addEventListener("visibilitychange", () => {
  // A browser has few connections to one place: a page that nobody looks at needs none.
  if (document.hidden) close(); else { missed = true; follow(); }
});
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

count();
setInterval(count, 1000);
follow();
