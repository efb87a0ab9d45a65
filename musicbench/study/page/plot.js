// One column against another, as in figure.png: points with their brackets as bars, dashed lines for rows without the x number.

const HEIGHT = 420;
const MARGIN = { top: 34, right: 16, bottom: 52, left: 60 };
// Marker shapes by figure.png's names, around 0, 0.
const SHAPES = {
  o: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
  s: "M-5.5-5.5h11v11h-11z",
  "^": "M0-6.5L6.5 5.5h-13z",
  D: "M0-7.5L7.5 0L0 7.5L-7.5 0z",
  v: "M0 6.5L-6.5-5.5h13z",
  P: "M-2.2-6.5h4.4v4.3h4.3v4.4h-4.3v4.3h-4.4v-4.3h-4.3v-4.4h4.3z",
  x: "M-5-5L5 5M-5 5L5-5",
};
// Where a label may stand around its point, best first: to the right or left of it, at these heights.
const PLACES = [-6, 14, -18, 26, -30, 38].flatMap((dy) => [[10, dy], [-10, dy]]);

const area = byId("plot");
// The name space of SVG is read off the page's own element.
const svgElement = (tag, attributes, ...children) =>
  fill(document.createElementNS(area.namespaceURI, tag), attributes, children);

function drawPlot() {
  const width = area.parentElement.clientWidth;
  if (!width) return; // taken off the page, by the blind comparison
  const [x, y] = ["plot-x", "plot-y"].map((name) => Number(byId(name).value));
  const columns = [plotData.columns[x], plotData.columns[y]];
  const rows = plotData.rows.map((row) => ({ ...row, x: row.cells[x], y: row.cells[y] })).filter((row) => row.y);
  const points = rows.filter((row) => row.x);
  const lines = rows.filter((row) => !row.x);
  area.replaceChildren();
  byId("plot-value").textContent = points.length ? "" : "No row has both numbers.";
  fill(area, { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-label": `${columns[1].name} against ${columns[0].name}` }, []);
  drawLegend(points);
  if (!points.length) return;
  const reach = (cell) => [cell.value, ...cell.ends];
  const across = points.flatMap((row) => reach(row.x));
  const [right, bottom] = [width - MARGIN.right, HEIGHT - MARGIN.bottom];
  const horizontal = makeAxis(across, MARGIN.left, right, spansDecade(across), 0.1);
  const vertical = makeAxis(rows.flatMap((row) => reach(row.y)), bottom, MARGIN.top, false, 0.08);
  drawAxes(columns, horizontal, vertical, right, bottom);
  const taken = [];
  for (const row of lines) drawLine(row, vertical.place(row.y.value), right, taken);
  const drawn = points.map((row) => ({ row, left: horizontal.place(row.x.value), top: vertical.place(row.y.value) }));
  for (const point of drawn) drawBars(point, horizontal, vertical, taken);
  for (const { row, left, top } of drawn) taken.push({ box: [left - 12, top - 12, left + 12, top + 12], cost: 3, row });
  // A label beside another row's marker would name that one.
  for (const point of drawn) drawPoint(point, columns, taken, right);
}

function drawAxes(columns, horizontal, vertical, right, bottom) {
  const grid = svgElement("g", { class: "axes" });
  for (const value of horizontal.ticks) {
    const place = horizontal.place(value);
    grid.append(svgElement("path", { d: `M${place} ${MARGIN.top}V${bottom}` }));
    grid.append(svgElement("text", { x: place, y: bottom + 18, "text-anchor": "middle" }, tickText(value)));
  }
  for (const value of vertical.ticks) {
    const place = vertical.place(value);
    grid.append(svgElement("path", { d: `M${MARGIN.left} ${place}H${right}` }));
    grid.append(svgElement("text", { x: MARGIN.left - 8, y: place + 4, "text-anchor": "end" }, tickText(value)));
  }
  area.append(grid);
  drawName(columns[0], { lower: "←", higher: "→" }, { x: right, y: HEIGHT - 10, "text-anchor": "end" }, right);
  drawName(columns[1], { lower: "↓", higher: "↑" }, { x: 12, y: 16 }, right);
}

// An axis' column and unit, with an arrow towards the better values, in words too where there is room.
function drawName({ name, better }, arrows, attributes, room) {
  const arrow = better ? `  ${arrows[better]}` : "";
  const text = svgElement("text", { class: "name", ...attributes }, better ? `${name}${arrow} ${better} is better` : name);
  area.append(text);
  if (text.getComputedTextLength() > room) text.textContent = name + arrow;
}

// A row without the x number: what its y is, for comparison.
function drawLine(row, top, right, taken) {
  const group = svgElement("g", { class: "line" });
  group.append(svgElement("path", { d: `M${MARGIN.left} ${top}H${right}` }));
  const text = svgElement("text", { x: MARGIN.left + 4, y: top - 4 }, row.label);
  group.append(text);
  area.append(group);
  makeReadable(group, `${row.label}: ${row.y.text}`);
  // Of two lines that are close, the lower one's label is below it.
  if (taken.some(({ box }) => overlap(box, boxOf(text)))) text.setAttribute("y", top + 14);
  taken.push({ box: boxOf(text), cost: 12 });
}

function drawBars({ row, left, top }, horizontal, vertical, taken) {
  const colour = colourOf(row);
  if (row.y.ends.length) {
    const [low, high] = row.y.ends.map(vertical.place);
    area.append(svgElement("path", { class: "bar", stroke: colour, d: `M${left} ${low}V${high}M${left - 4} ${low}h8M${left - 4} ${high}h8` }));
    taken.push({ box: [left - 4, high, left + 4, low], cost: 1 });
  }
  if (row.x.ends.length) {
    const [low, high] = row.x.ends.map(horizontal.place);
    area.append(svgElement("path", { class: "bar", stroke: colour, d: `M${low} ${top}H${high}M${low} ${top - 4}v8M${high} ${top - 4}v8` }));
    taken.push({ box: [low, top - 4, high, top + 4], cost: 1 });
  }
}

function drawPoint({ row, left, top }, columns, taken, right) {
  const group = svgElement("g", { class: "point" });
  const trained = row.family !== null;
  const shape = SHAPES[trained ? plotData.markers[row.family % plotData.markers.length] : "x"];
  const colour = colourOf(row);
  // The invisible disc is large enough for a finger.
  group.append(svgElement("circle", { cx: left, cy: top, r: 20 }));
  group.append(svgElement("path", { d: shape, transform: `translate(${left} ${top})`, fill: trained ? colour : "none", stroke: trained ? "var(--text)" : colour }));
  const text = svgElement("text", {}, row.label);
  group.append(text);
  area.append(group);
  placeLabel(text, { left, top }, taken.filter((other) => other.row !== row), right);
  taken.push({ box: boxOf(text), cost: 12 });
  const family = trained ? plotData.families[row.family] : "";
  const name = family ? `${row.label} (${family})` : row.label;
  makeReadable(group, `${name}: ${columns[0].name} ${row.x.text}; ${columns[1].name} ${row.y.text}`);
}

const colourOf = (row) => (row.family === null ? "var(--soft)" : plotData.colours[row.family % plotData.colours.length]);

// Where a label covers least: other labels and markers weigh more than bars.
function placeLabel(text, { left, top }, taken, right) {
  const scored = PLACES.map(([dx, dy]) => {
    const attributes = { x: left + dx, y: top + dy, "text-anchor": dx > 0 ? "start" : "end" };
    fill(text, attributes, []);
    const box = boxOf(text);
    const outside = box[0] < MARGIN.left || box[2] > right + 14 || box[1] < MARGIN.top || box[3] > HEIGHT - MARGIN.bottom;
    const covered = taken.filter((other) => overlap(box, other.box)).reduce((sum, { cost }) => sum + cost, 0);
    return { attributes, covered: covered + 40 * outside };
  });
  const best = scored.reduce((one, other) => (other.covered < one.covered ? other : one));
  fill(text, best.attributes, []);
}

function boxOf(text) {
  const { x, y, width, height } = text.getBBox();
  return [x, y, x + width, y + height];
}

const overlap = (one, other) => one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];

// Named when it is focused, pointed at or touched; the values stand below the plot.
function makeReadable(group, name) {
  fill(group, { tabindex: 0, role: "img", "aria-label": name }, []);
  for (const event of ["focus", "pointerenter", "click"])
    group.addEventListener(event, () => (byId("plot-value").textContent = name));
}

// The families of the points, where there is more than one.
function drawLegend(points) {
  const shown = plotData.families.map((name, family) => ({ name, family }));
  const named = shown.filter(({ name, family }) => name && points.some((row) => row.family === family));
  const marks = named.map(({ name, family }) => {
    const mark = svgElement("svg", { width: 16, height: 16, viewBox: "-8 -8 16 16", "aria-hidden": "true" });
    const shape = SHAPES[plotData.markers[family % plotData.markers.length]];
    mark.append(svgElement("path", { d: shape, fill: colourOf({ family }), stroke: "var(--text)" }));
    return make("li", {}, mark, name);
  });
  byId("plot-legend").replaceChildren(...(marks.length > 1 ? marks : []));
}

if (area) {
  for (const name of ["plot-x", "plot-y"]) byId(name).addEventListener("change", drawPlot);
  // Drawn for the width at hand, so that a phone's text is not a desktop's made small.
  new ResizeObserver(drawPlot).observe(area.parentElement);
}
