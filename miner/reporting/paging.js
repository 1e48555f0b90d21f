"use strict";
(() => {
  const controls = document.getElementById("controls");
  if (!controls) return;
  const body = document.getElementById("rows");
  const asWritten = Array.from(body.children);
  const texts = new Map(asWritten.map((row) => [row, row.textContent.toLowerCase()]));
  const find = document.getElementById("find");
  const selects = Array.from(controls.querySelectorAll("select[data-field]"));
  const order = document.getElementById("order");
  const previous = document.getElementById("previous");
  const next = document.getElementById("next");
  const pageRows = Number(controls.dataset.pageRows);
  let rows = asWritten;
  let page = 0;

  const matches = (row) =>
    texts.get(row).includes(find.value.toLowerCase()) &&
    selects.every((select) => !select.value || row.dataset[select.dataset.field] === select.value);

  const show = () => {
    const found = rows.filter(matches);
    const pages = Math.max(1, Math.ceil(found.length / pageRows));
    page = Math.min(Math.max(page, 0), pages - 1);
    const visible = new Set(found.slice(page * pageRows, (page + 1) * pageRows));
    rows.forEach((row) => { row.hidden = !visible.has(row); });
    const first = found.length ? page * pageRows + 1 : 0;
    document.getElementById("position").value = `${first}–${page * pageRows + visible.size} of ${found.length}`;
    document.getElementById("nothing").hidden = found.length > 0;
    previous.disabled = page === 0;
    next.disabled = page === pages - 1;
  };
  const turn = (by) => { page += by; show(); document.getElementById("findings").scrollIntoView(); };

  find.addEventListener("input", () => { page = 0; show(); });
  selects.forEach((select) => select.addEventListener("change", () => { page = 0; show(); }));
  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  order.addEventListener("change", () => {
    const value = (row) => Number(row.dataset[order.value]);
    rows = order.value ? asWritten.slice().sort((a, b) => value(a) - value(b)) : asWritten;
    body.append(...rows);
    page = 0;
    show();
  });
  controls.hidden = false;
  show();
})();
