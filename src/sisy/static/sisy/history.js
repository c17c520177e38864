// Draws the trend of a task's runs from the tables below it: a chart of their duration, and one of
// their delay. Each has its own axis: runs of minutes would flatten seconds of delay.

const trend = document.querySelector("[data-sisy-trend]");
const charts = [...(trend?.querySelectorAll("[data-sisy-chart]") ?? [])];
let plots = [];
let drawn = "";
let width = 0;

const number = (text) => (text === "-" ? null : Number(text));

function numbers(measure) {
  const rows = [...document.querySelectorAll("[data-sisy-history] tr[data-at]")];
  const read = (name) => rows.map((row) => number(row.dataset[name]));
  return [read("at"), read(measure), read(`${measure}High`)];
}

function outliers(measure) {
  const rows = [...document.querySelectorAll(`[data-sisy-outliers] tr[data-of="${measure}"]`)];
  return rows.map((row) => ({ at: Number(row.dataset.at), value: Number(row.dataset.value), words: row.dataset.words, href: row.querySelector("a").href }));
}

function colour(name) {
  const probe = document.createElement("span");
  probe.className = name;
  trend.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// The zone of the page; UTC if the browser does not know it.
function zoneOf(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return name;
  } catch {
    return "UTC";
  }
}

const zone = zoneOf(trend?.dataset.zone);
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

// An outlier is a link, for the keyboard and a new tab. One above the chart is on its upper edge.
function place(plot, far) {
  const links = far.map(({ at, value, words, href }) => {
    const link = document.createElement("a");
    const top = plot.scales.y.max;
    link.className = value > top ? "sisy-outlier over" : "sisy-outlier";
    link.href = href;
    link.title = words;
    link.setAttribute("aria-label", words);
    const x = plot.valToPos(at, "x");
    link.hidden = x < 0 || x > plot.over.clientWidth;
    link.style.left = `${x}px`;
    link.style.top = `${Math.max(0, plot.valToPos(Math.min(value, top), "y"))}px`;
    return link;
  });
  plot.over.querySelectorAll(".sisy-outlier").forEach((link) => link.remove());
  plot.over.append(...links);
}

// Outliers may be above the chart, so that they do not flatten the trend.
function highest(data, far) {
  const usual = Math.max(0, ...data[1], ...data[2]) * 1.25 || 1;
  return Math.max(usual, Math.min(2 * usual, 1.05 * Math.max(0, ...far.map((one) => one.value))));
}

function plotted(chart, [at, middle, high], far) {
  const { looks, median } = chart.dataset;
  const stroke = colour(`sisy-ink ${looks}`);
  const fill = colour(`sisy-ink ${looks}-band`);
  const value = (_, seconds) => (seconds == null ? "-" : `${seconds} s`);
  const line = colour("sisy-ink line");
  const times = { stroke: colour("sisy-ink quiet"), grid: { stroke: line, width: 1 }, ticks: { show: false }, values: moments, space: 84 };
  const amounts = { label: median, stroke, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 56, labelSize: 18 };
  const top = highest([at, middle, high], far);
  // The span of a single moment would be empty.
  const ends = [...at, ...far.map((one) => one.at)];
  const range = [Math.min(...ends), Math.max(...ends)];
  const options = {
    width: chart.clientWidth,
    height: 200,
    tzDate: (seconds) => uPlot.tzDate(new Date(1000 * seconds), zone),
    axes: [times, amounts],
    bands: [{ series: [2, 1], fill }],
    cursor: { sync: { key: "sisy" } },
    hooks: { draw: [(plot) => place(plot, far)] },
    series: [
      { label: trend.dataset.started, value: (_, seconds) => (seconds == null ? "-" : moment(seconds)) },
      { label: median, stroke, width: 2, points: { show: at.length < 2, size: 5, fill: stroke }, value },
      { label: chart.dataset.high, stroke, width: 1, dash: [3, 3], points: { show: false }, value },
    ],
    scales: { x: range[0] < range[1] ? { range: (_, least, most) => [least ?? range[0], most ?? range[1]] } : {}, y: { range: () => [0, top] } },
  };
  const plot = new uPlot(options, [at, middle, high], chart);
  const canvas = chart.querySelector("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", chart.dataset.label);
  return plot;
}

function read() {
  return charts.map((chart) => [numbers(chart.dataset.sisyChart), outliers(chart.dataset.sisyChart)]);
}

function draw() {
  plots.forEach((plot) => plot.destroy());
  const data = read();
  width = trend.clientWidth;
  drawn = JSON.stringify(data);
  const isEmpty = !data[0][0][0].length || !width;
  plots = isEmpty ? [] : charts.map((chart, place) => plotted(chart, ...data[place]));
}

if (trend) {
  draw();
  document.addEventListener("sisy:merged", () => JSON.stringify(read()) === drawn || draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme", "class"] });
  // Also when it is unfolded on a phone.
  new ResizeObserver(() => trend.clientWidth === width || draw()).observe(trend);
}
