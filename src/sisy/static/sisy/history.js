// Draws the duration and lateness of a task's runs from the table below the chart.

const chart = document.querySelector("[data-sisy-chart]");
let plot = null;
let drawn = "";

function numbers() {
  const rows = [...document.querySelectorAll("[data-sisy-history] tr[data-at]")];
  const read = (name) => rows.map((row) => (row.dataset[name] === "-" ? null : Number(row.dataset[name])));
  return [read("at"), read("took"), read("late")];
}

function colour(name) {
  const probe = document.createElement("span");
  probe.className = name;
  chart.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// Each series has its own axis: runs of minutes would flatten seconds of lateness.
function series(label, looks, scale) {
  const stroke = colour(`sisy-ink ${looks}`);
  return { label, scale, stroke, width: 1.5, points: { size: 5, fill: stroke }, value: (_, value) => (value == null ? "-" : `${value} s`) };
}

function axis(scale, looks, side, label) {
  const grid = { show: side === 3, stroke: colour("sisy-ink line"), width: 1 };
  return { scale, side, label, stroke: colour(`sisy-ink ${looks}`), grid, ticks: { show: false }, size: 56, labelSize: 18 };
}

const fromZero = { range: (_, least, most) => [0, most > 0 ? most * 1.05 : 1] };

// The zone of the page; UTC if the browser does not know it.
function zoneOf(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return name;
  } catch {
    return "UTC";
  }
}

const zone = zoneOf(chart?.dataset.zone);
const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });

function moment(seconds) {
  return clock.format(new Date(1000 * seconds));
}

// The date is below the first time of each day.
function moments(_, splits, __, ___, step) {
  let day = "";
  return splits.map((seconds) => {
    const [date, time] = moment(seconds).split(" ");
    if (step >= 86400) return date;
    const words = step < 60 ? time : time.slice(0, 5);
    const isNew = date !== day;
    day = date;
    return isNew ? `${words}\n${date}` : words;
  });
}

function draw() {
  plot?.destroy();
  plot = null;
  const data = numbers();
  drawn = JSON.stringify(data);
  if (!data[0].length || !chart.clientWidth) return;
  const { took, late } = chart.dataset;
  const times = { stroke: colour("sisy-ink quiet"), grid: { stroke: colour("sisy-ink line"), width: 1 }, ticks: { show: false }, values: moments, space: 70 };
  const options = {
    width: chart.clientWidth,
    height: 240,
    tzDate: (seconds) => uPlot.tzDate(new Date(1000 * seconds), zone),
    axes: [times, axis("took", "open", 3, took), axis("late", "warn", 1, late)],
    series: [{ label: chart.dataset.started, value: (_, seconds) => (seconds == null ? "-" : moment(seconds)) }, series(took, "open", "took"), series(late, "warn", "late")],
    scales: { took: fromZero, late: fromZero },
  };
  plot = new uPlot(options, data, chart);
  const canvas = chart.querySelector("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", chart.dataset.label);
}

if (chart) {
  draw();
  document.addEventListener("sisy:merged", () => JSON.stringify(numbers()) === drawn || draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme", "class"] });
  addEventListener("resize", draw);
}
