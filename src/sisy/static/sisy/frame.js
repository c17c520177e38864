// The frame around each page: keyboard shortcuts, the sheet that lists them, the browser's zone, and
// the folded section to which an address leads.

const SEQUENCE = 1500; // milliseconds between the two keys of a shortcut
const FIELDS = "input:not([type=checkbox]), select, textarea, [contenteditable]";

const sheet = document.querySelector("[data-sisy-shortcuts]");
const display = document.getElementById("sisy-display");
let first = "";
let timer = 0;

function alerts() {
  return [...document.querySelectorAll(".sisy-alert")];
}

// Focus the first control of the next alert, or of the previous one.
function move(step) {
  const rows = alerts();
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const place = here < 0 ? (step > 0 ? 0 : rows.length - 1) : here + step;
  rows[place]?.querySelector("a, button, summary")?.focus();
}

const KEYS = {
  "/": () => document.querySelector("[data-sisy-search]")?.focus(),
  "?": () => sheet?.showModal(),
  j: () => move(1),
  k: () => move(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || sheet?.open) return;
  const { key, target } = event;
  if (key === "Escape") {
    if (target.matches?.(FIELDS)) target.blur();
    for (const menu of document.querySelectorAll(".sisy details:is(.sisy-pop, .sisy-menu)[open]")) {
      menu.open = false;
      if (menu.contains(target)) menu.querySelector("summary").focus();
    }
    return;
  }
  if (target.closest?.(FIELDS)) return;
  clearTimeout(timer);
  const link = first === "g" && [...document.querySelectorAll("[data-sisy-go]")].find((one) => one.dataset.sisyGo === key);
  first = "";
  if (link) {
    link.click();
  } else if (KEYS[key]) {
    event.preventDefault();
    KEYS[key]();
  } else if (key === "g") {
    first = key;
    timer = setTimeout(() => (first = ""), SEQUENCE);
  }
});

document.querySelector("[data-sisy-help]")?.addEventListener("click", () => sheet?.showModal());

// A click elsewhere closes the menu.
document.addEventListener("click", ({ target }) => {
  if (display?.open && !display.contains(target)) display.open = false;
});

// A message stays in sight until it is dismissed.
document.addEventListener("click", ({ target }) => {
  const message = target.closest?.("[data-sisy-dismiss]")?.closest("li");
  const list = message?.parentElement;
  message?.remove();
  if (list && !list.children.length) list.remove();
});

for (const field of document.querySelectorAll("[data-sisy-zone]")) {
  field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
}

// A link to what is folded opens it.
function unfold() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.matches("details")) target.open = true;
  const fold = target?.closest(".sisy-card")?.querySelector(".sisy-fold > input");
  if (!fold || fold.checked) return;
  fold.checked = true;
  target.scrollIntoView();
}

unfold();
addEventListener("hashchange", unfold);
