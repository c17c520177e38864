// Keeps a page of Sisy's dashboard up to date: parts that an event makes stale are fetched again, at
// most once a second, and merged into the page. The output of a run is fetched sooner.

const SECOND = 1000;
const SOON = 250; // until output is fetched
const POLL = 5 * SECOND;
const CARE = 10 * SECOND; // between full refreshes, because not all events reach every socket
const TYPING = 250; // without a keystroke
const LONGEST_DELAY = 30 * SECOND;
const FAILURES = 3; // after which it polls

const root = document.querySelector("[data-sisy-live]");
const UNITS = [["h", 3600], ["min", 60], ["s", 1]];
const DAY = 86400;

class Parts {
  #stale = new Set();
  #timer = 0;
  #busy = false;
  #pause = SECOND;
  #due = 0;
  #last = "";

  get #all() {
    return [...root.querySelectorAll("[data-sisy-part]")];
  }

  // Mark the parts that show one of these kinds as stale; without kinds, all parts.
  touch(kinds) {
    for (const part of this.#all) {
      const shown = part.dataset.sisyOn.split(" ");
      if (!kinds || kinds.some((kind) => shown.includes(kind))) this.#stale.add(part.dataset.sisyPart);
    }
    const isOutput = kinds?.includes("output") && document.getElementById("sisy-output");
    this.#plan(isOutput && this.#pause === SECOND ? SOON : this.#pause);
  }

  // Fetch everything immediately, because the user waits for it.
  now() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#pause = 0;
    this.touch();
  }

  #plan(pause = this.#pause) {
    if (this.#busy || !this.#stale.size || document.hidden) return;
    const due = performance.now() + pause;
    if (this.#timer && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.#fetch(), pause);
  }

  async #fetch() {
    this.#timer = 0;
    this.#busy = true;
    const names = [...this.#stale].sort();
    this.#stale.clear();
    const begun = performance.now();
    try {
      const address = new URL(location.href);
      address.searchParams.set("parts", names.join(","));
      this.#carry(address, names);
      const response = await fetch(address, { cache: "no-cache", redirect: "manual" });
      if (!response.ok) {
        if (response.type === "opaqueredirect" || response.status === 403) location.reload();
        throw new Error(`${response.status}`);
      }
      const body = await response.text();
      if (body !== this.#last) this.#merge(body);
      this.#last = body;
      link.answered();
    } catch (error) {
      names.forEach((name) => this.#stale.add(name));
      this.#pause = Math.min(LONGEST_DELAY, 2 * this.#pause);
      link.failed();
    }
    // Query a slow site less often.
    const took = performance.now() - begun;
    if (link.isUp) this.#pause = Math.max(SECOND, 3 * took);
    this.#busy = false;
    this.#plan();
  }

  // Add the parameters that a part needs when it is fetched again, such as "looked=500".
  #carry(address, names) {
    for (const part of this.#all.filter(({ dataset }) => names.includes(dataset.sisyPart))) {
      const carried = part.querySelector("[data-sisy-carry]")?.dataset.sisyCarry;
      for (const [name, value] of new URLSearchParams(carried)) address.searchParams.set(name, value);
    }
  }

  #merge(body) {
    const followed = ends().filter(isAtEnd);
    const known = new Set(ends());
    const focused = document.activeElement;
    const place = focused.closest(".sisy-content");
    const fresh = document.createElement("template");
    fresh.innerHTML = body;
    for (const part of fresh.content.querySelectorAll("[data-sisy-part]")) {
      const shown = document.getElementById(part.id);
      if (!shown) continue;
      Idiomorph.morph(shown, part, {
        callbacks: {
          // Keep what the user is typing, has selected or has opened.
          beforeNodeMorphed: (node) => node !== document.activeElement || !node.matches("input, select, textarea"),
          beforeAttributeUpdated: (name, node) =>
            !(name === "open" && node.tagName === "DETAILS") && name !== "checked" && (name !== "value" || node.tagName === "PROGRESS"),
        },
      });
    }
    if (focused !== document.activeElement && !focused.isConnected) place?.focus({ preventScroll: true });
    for (const end of ends()) if (followed.includes(end) || !known.has(end)) toEnd(end);
    document.dispatchEvent(new CustomEvent("sisy:merged"));
    tell();
  }
}

// Texts that grow at their end. One that is scrolled to its end stays there.
function ends() {
  return [...root.querySelectorAll("[data-sisy-end]")];
}

function isAtEnd(text) {
  return text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
}

function toEnd(text) {
  text.scrollTop = text.scrollHeight;
}

// Shows how the page gets its updates.
class Link {
  #sign = root.querySelector("[data-sisy-link]");
  #isLive = false;
  isUp = true;

  live(isLive) {
    this.#isLive = isLive;
    this.#show();
  }

  answered() {
    this.isUp = true;
    this.#show();
  }

  failed() {
    this.isUp = false;
    this.#show();
  }

  #show() {
    const how = !this.isUp ? "away" : this.#isLive ? "live" : "polling";
    if (this.#sign.dataset.how === how) return;
    root.dataset.how = this.#sign.dataset.how = how;
    this.#sign.textContent = this.#sign.dataset[how];
  }
}

// Receives events, and polls if no socket can be opened. When the socket is back, everything is
// refreshed, because events may have been missed.
class Ear {
  #failures = 0;
  #polling = 0;
  #next = null; // the expected number of the next message; another one means that some were lost

  constructor(address) {
    this.address = address;
    if (address) this.#connect();
    else this.#poll();
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.address}`);
    socket.addEventListener("message", (event) => this.#hear(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => this.#lost(event.code));
  }

  #hear(message) {
    if (message.hello) {
      this.#failures = 0;
      this.#next = null;
      clearInterval(this.#polling);
      this.#polling = 0;
      link.live(true);
      heard ??= new Date();
      parts.touch();
      if (!heard) beat(Date.now() / SECOND);
      return;
    }
    const isGap = this.#next !== null && message.seq !== this.#next;
    this.#next = message.seq + 1;
    if (message.beat) beat(message.beat);
    parts.touch(isGap || message.resync ? undefined : message.kinds);
  }

  #lost(code) {
    this.#failures += 1;
    if (this.#failures >= FAILURES || code === 4403) this.#poll();
    if (code === 4403) return; // the page shows the reason
    const delay = Math.min(LONGEST_DELAY, SECOND * 2 ** Math.min(5, this.#failures));
    setTimeout(() => this.#connect(), delay * (0.5 + Math.random() / 2));
  }

  #poll() {
    link.live(false);
    if (!this.#polling) this.#polling = setInterval(() => parts.touch(), POLL);
  }
}

let heard = null;

function beat(moment) {
  heard = new Date(1000 * moment);
  tell();
}

// Return a distance from now in the format and words of the server, such as "5 min ago".
function distance(seconds) {
  const words = root.dataset;
  const span = Math.abs(seconds);
  if (span < 1) return words.now;
  const [unit, size] = UNITS.find(([, size]) => span >= size);
  const days = Math.trunc(span / DAY);
  const far = days ? (days === 1 ? words.day : words.days.replace("0", days)) : `${Math.trunc(span / size)} ${unit}`;
  return (seconds > 0 ? words.ahead : words.ago).replace("%s", far);
}

// Add the distance from now to each moment.
function tell() {
  const now = Date.now();
  const signs = root.querySelectorAll("[data-sisy-beat]");
  for (const sign of signs) sign.innerHTML = heard ? `<time datetime="${heard.toISOString()}"></time>` : sign.innerHTML;
  for (const time of root.querySelectorAll("time[datetime]")) {
    const seconds = (new Date(time.dateTime) - now) / SECOND;
    let far = time.querySelector("small");
    if (!far) {
      far = document.createElement("small");
      time.append(time.childNodes.length ? " " : "", far);
    }
    const text = distance(seconds);
    if (far.textContent !== text) far.textContent = text;
  }
}

// A checkbox that selects all checkboxes of a name in its group, or in its form.
document.addEventListener("change", ({ target }) => {
  if (!target.dataset.sisyAll) return;
  for (const box of (target.closest("details") ?? target.form).querySelectorAll(`[name="${target.dataset.sisyAll}"]`)) box.checked = target.checked;
});

// The heading of a part that is folded on a phone opens it, too.
document.addEventListener("click", ({ target }) => {
  const heading = target.closest(".sisy-folds > h2");
  const fold = heading?.parentElement.querySelector(".sisy-fold");
  if (fold?.checkVisibility()) fold.click();
});

// A second click, before the answer to the first one, would run or retry something twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sisySent) event.preventDefault();
  form.dataset.sisySent = "yes";
});

// The browser may show the page again as it was left.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sisy-sent]")) delete form.dataset.sisySent;
});

// A form whose results are on the same page, and follow the input.
let typed = 0;

document.addEventListener("input", ({ target }) => {
  const form = target.closest("[data-sisy-form]");
  if (!form) return;
  clearTimeout(typed);
  typed = setTimeout(() => {
    history.replaceState(null, "", `?${new URLSearchParams(new FormData(form))}`);
    parts.now();
  }, TYPING);
});

let link, parts;

if (root) {
  link = new Link();
  parts = new Parts();
  ends().forEach(toEnd);
  new Ear(root.dataset.sisyLive);
  tell();
  setInterval(tell, SECOND);
  setInterval(() => parts.touch(), CARE);
  document.addEventListener("visibilitychange", () => document.hidden || parts.touch());
}
