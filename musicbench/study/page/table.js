// Tables that are sorted by a column: its heading gives ascending, descending and the original order in turn.

const NEXT_ORDER = { none: "ascending", ascending: "descending", descending: "none" };

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    // The first column holds the rows' names.
    if (column === 0) return;
    const button = make("button", { type: "button", class: "sort" }, ...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const order = NEXT_ORDER[heading.getAttribute("aria-sort")];
      for (const other of headings.slice(1)) other.setAttribute("aria-sort", other === heading ? order : "none");
      body.append(...sorted(original, column, order));
    });
  });
}

// Rows by the numbers of a column, equal ones in the original order; those without a number are last.
function sorted(rows, column, order) {
  if (order === "none") return rows;
  const sign = order === "ascending" ? 1 : -1;
  const number = (row) => Number(row.cells[column].dataset.value);
  const known = rows.filter((row) => "value" in row.cells[column].dataset);
  const missing = rows.filter((row) => !known.includes(row));
  return [...known.sort((one, other) => sign * (number(one) - number(other))), ...missing];
}
