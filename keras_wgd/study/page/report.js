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
    // What has no number comes last, whichever way.
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

// The charts take the colour of the text around them, so they follow the theme.
const ink = "currentColor";
const config = {
  background: "transparent",
  font: "system-ui, sans-serif",
  title: { color: ink, subtitleColor: ink },
  header: { labelColor: ink, titleColor: ink },
  legend: { labelColor: ink, titleColor: ink },
  axis: {
    labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink,
    gridColor: ink, gridOpacity: 0.15,
  },
  view: { stroke: ink, strokeOpacity: 0.2 },
};

async function draw() {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  for (const [name, spec] of Object.entries(specs)) {
    await vegaEmbed(document.getElementById(`chart-${name}`), spec, {
      actions: false, ast: true, config, renderer: "svg",
    });
  }
  root.dataset.drawn = "all";
}
draw();
