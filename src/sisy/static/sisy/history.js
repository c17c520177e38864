// Draws how long a task's runs took and how late they started, from the table that stands below.

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

function series(label, looks) {
  const stroke = colour(`sisy-ink ${looks}`);
  return { label, stroke, width: 1.5, points: { size: 5, fill: stroke }, value: (_, value) => (value == null ? "-" : `${value} s`) };
}

function draw() {
  plot?.destroy();
  plot = null;
  const data = numbers();
  drawn = JSON.stringify(data);
  if (!data[0].length || !chart.clientWidth) return;
  const axis = { stroke: colour("sisy-ink quiet"), grid: { stroke: colour("sisy-ink line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: chart.clientWidth,
    height: 240,
    axes: [axis, axis],
    series: [{}, series(chart.dataset.took, "open"), series(chart.dataset.late, "warn")],
    scales: { y: { range: (_, least, most) => [0, most > 0 ? most * 1.05 : 1] } },
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
