"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      // The first click sorts numbers from the largest and names from A.
      const numbers = head.classList.contains("number");
      const first = numbers ? "descending" : "ascending";
      const second = numbers ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const compare = (one, other) => {
        const a = one.cells[column];
        const b = other.cells[column];
        if (!numbers) return sign * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
        return sign * (Number(a.dataset.value) - Number(b.dataset.value));
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
