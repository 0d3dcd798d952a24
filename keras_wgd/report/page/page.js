"use strict";
const root = document.documentElement;

const toggle = document.getElementById("theme");
toggle.addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

function sort(table, column, direction) {
  const value = (row) => row.cells[column].dataset.value;
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    // Rows without a number are always last.
    if (x === "" || y === "") return (x === "") - (y === "");
    return direction * (Number(x) - Number(y));
  });
  body.append(...rows);
  table.classList.toggle("sorted", column !== 0 || direction < 0);
}

for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "descending" : "ascending");
      sort(table, column, up ? -1 : 1);
    });
  });
}

// A table that is wider than its box has a hint until it is scrolled to the end.
for (const section of document.querySelectorAll("section.table")) {
  const box = section.querySelector(".scroll");
  const hint = section.querySelector(".hint");
  const look = () => {
    const left = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.parentElement.classList.toggle("more", left > 1);
    hint.hidden = box.scrollWidth <= box.clientWidth;
  };
  box.addEventListener("scroll", look);
  new ResizeObserver(look).observe(box);
}

// The charts use the color of the text around them, so they follow the theme.
const ink = "currentColor";
const config = {
  background: "transparent",
  font: "system-ui, sans-serif",
  title: { color: ink, subtitleColor: ink },
  header: { labelColor: ink, titleColor: ink },
  legend: { labelColor: ink, titleColor: ink },
  axis: {
    labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink,
  },
  view: { stroke: ink, strokeOpacity: 0.2 },
};

// A chart is as wide as its box: the size and number of panels in a row are adapted.
// The widths of their axes and of a legend entry, and the limits of the width of a
// panel, in pixels, come with the chart.
const gap = 22;

function wrapped(text, letters) {
  return text.split(" ").reduce(
    ([line, ...rest], word) =>
      `${line} ${word}`.length > letters
        ? [word, line, ...rest]
        : [`${line} ${word}`, ...rest],
    [""],
  ).reverse().map((line) => line.trim()).filter(Boolean);
}

function fitted(part, width, { axes, minWidth, maxWidth }) {
  const panels = part.concat ?? [part.spec];
  // The panels of a facet share the upright axis; others have one each.
  const shared = part.concat ? 0 : axes;
  const own = part.concat ? axes : 0;
  const maxColumns = Math.floor((width - shared + gap) / (minWidth + own + gap));
  const columns = Math.max(1, Math.min(part.columns, maxColumns));
  const room = (width - shared + gap) / columns - own - gap;
  const size = Math.floor(Math.min(part.columns === 1 ? 2 * maxWidth : maxWidth, room));
  for (const panel of panels) {
    panel.width = size;
    if (panel.title) panel.title.text = wrapped(panel.title.text, size / 6);
  }
  if (part.title) part.title.text = wrapped(part.title.text, width / 7);
  part.columns = columns;
  part.spacing = part.concat ? part.spacing : gap;
}

function fit(spec, width) {
  const copy = structuredClone(spec);
  for (const part of copy.vconcat ?? [copy]) fitted(part, width, spec.usermeta);
  const columns = Math.max(1, Math.floor((width - spec.usermeta.axes) / spec.usermeta.entry));
  copy.config.legend = { columns };
  return copy;
}

const specs = JSON.parse(document.getElementById("specs").textContent);

async function draw() {
  delete root.dataset.drawn;
  for (const [name, spec] of Object.entries(specs)) {
    const box = document.getElementById(`chart-${name}`);
    box.style.minHeight = `${box.offsetHeight}px`; // so that the page does not jump
    await vegaEmbed(box, fit(spec, box.clientWidth), {
      actions: false, ast: true, config, renderer: "svg",
    });
    box.style.minHeight = "";
  }
  root.dataset.drawn = "all";
}

let drawing = draw();
let drawn = root.clientWidth;
let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (root.clientWidth === drawn) return;
    drawn = root.clientWidth;
    drawing = drawing.then(draw);
  }, 200);
});
