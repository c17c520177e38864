// Previews a task's next occurrences while the user fills in its form.

const TIMING = ["label", "schedule", "timezone", "start_running", "end_running", "iterations"];
const PAUSE = 250; // milliseconds without a keystroke

const decides = (name) =>
  TIMING.some((field) => name === field || name.startsWith(`${field}_`));

document.addEventListener("DOMContentLoaded", () => {
  const shown = document.querySelector("[data-sisy-occurrences]");
  const form = shown?.closest("form");
  if (!form) return;
  shown.setAttribute("aria-live", "polite");
  let timer;
  let newest = 0;

  const refresh = async () => {
    const mine = ++newest;
    const fields = [...new FormData(form)].filter(([name]) => decides(name));
    fields.push(["task", shown.dataset.sisyTask]);
    const address = `${shown.dataset.sisyOccurrences}?${new URLSearchParams(fields)}`;
    const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
    if (answer?.ok && mine === newest) shown.innerHTML = await answer.text();
  };

  form.addEventListener("input", ({ target }) => {
    if (!decides(target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(refresh, PAUSE);
  });
  form.addEventListener("change", ({ target }) => decides(target.name) && refresh());
});
