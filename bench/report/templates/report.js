"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
const dialog = one("#enlarged");

// Sorting: numbers by data-value, text by its letters; holes stay last and the floor after them.
const key = cell => {
  const number = parseFloat(cell.dataset.value);
  return Number.isNaN(number) ? (cell.matches(".text, th") && cell.textContent.trim().toLowerCase()) || null : number;
};
const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
  : String(a).localeCompare(String(b), "en", { numeric: true });

function sort(table, column, order) {
  const sign = order === "descending" ? -1 : 1;
  for (const body of table.tBodies) {
    const rows = [...body.rows];
    const lead = rows.filter(row => row.matches(".part"));
    const floor = rows.filter(row => row.matches(".floor"));
    const rest = rows.filter(row => !row.matches(".part, .floor"));
    rest.forEach((row, i) => row.dataset.place ??= i);
    rest.sort((x, y) => {
      const [a, b] = [key(x.cells[column]), key(y.cells[column])];
      const placed = x.dataset.place - y.dataset.place;
      if (order === "none" || (a === null && b === null)) return placed;
      if (a === null || b === null) return a === null ? 1 : -1;
      return sign * compare(a, b) || placed;
    });
    body.append(...lead, ...rest, ...floor);
  }
}

// What a large page holds back, is text until its reader opens it.
const held = details => [...details.children].find(child => child.type === "text/plain");
function release(details) {
  const text = held(details);
  if (!text) return;
  const content = document.createElement("template");
  content.innerHTML = text.textContent;
  text.replaceWith(content.content);
  equip(details);
  if (boxes.some(box => box.checked)) filter();
}
document.addEventListener("toggle", event => { if (event.target.open) release(event.target); }, true);
addEventListener("beforeprint", () => {
  for (const details of all("details.later")) { release(details); details.open = true; }
});

const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = NEXT[head.getAttribute("aria-sort") ?? "none"];
      heads.forEach(other => other.removeAttribute("aria-sort"));
      if (order !== "none") head.setAttribute("aria-sort", order);
      sort(table, column, order);
    });
  });
}

// What the script adds to a part of the page.
function equip(part) {
  for (const table of all("table.sortable, table.effects", part)) sortable(table);
  if (dialog) for (const link of all("a.enlarge", part)) enlargeable(link);
}

// The filter: an element stays if, of each kind of facet with a choice, it has no value of its own or enough chosen ones:
// all that were chosen or all that it has. One baseline thus shows every comparison that it is part of, two show theirs.
const form = one("#filter form");
const boxes = form ? all("input", form) : [];
const KINDS = { verdict: "verdict", comparison: "comparison", table: "table", row: "row", figure: "figure" };

function chosen() {
  const choice = {};
  for (const box of boxes) if (box.checked) (choice[box.name] ??= []).push(box.value);
  return choice;
}

function stays(element, choice) {
  const facets = JSON.parse(element.dataset.facets);
  return Object.entries(choice).every(([name, values]) => {
    const own = facets[name] ?? [];
    return own.filter(value => values.includes(value)).length >= Math.min(values.length, own.length);
  });
}

function filter() {
  const choice = chosen();
  const elements = all("[data-facets]");
  for (const element of elements) element.hidden = !stays(element, choice);
  for (const table of all("[data-kind=table]:not([hidden])")) {
    const rows = all("[data-kind=row]:not(.floor)", table);
    table.hidden = rows.length > 0 && rows.every(row => row.hidden);
  }
  const hidden = Object.entries(KINDS).flatMap(([kind, noun]) => {
    const gone = all(`[data-kind=${kind}]`).filter(element => element.closest("[hidden]"));
    const number = gone.filter(element => kind !== "row" || !element.closest("[data-kind=table][hidden]")).length;
    return number ? [`${number} ${noun}${number > 1 ? "s" : ""}`] : [];
  });
  const names = boxes.filter(box => box.checked).map(box => box.parentElement.textContent.trim());
  const notes = [
    choice.dataset && one("[data-kind=verdict]:not([hidden])") ? "Verdicts on the whole suite stay." : "",
    choice.baseline && one("[data-kind=figure]") ? "Figures show every baseline." : "",
  ];
  one("#state").textContent = names.length
    ? [`Only ${names.join(", ")}. Hidden: ${hidden.join(", ") || "nothing"}.`, ...notes].filter(Boolean).join(" ")
    : "Everything is shown.";
  one(".state").hidden = !names.length;
  one("#filter summary").textContent = names.length ? `Filter (${names.length})` : "Filter";
}

function write() {
  const parts = Object.entries(chosen()).map(([name, values]) => `${name}=${values.map(encodeURIComponent).join(",")}`);
  history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
}

function read() {
  const fragment = location.hash.slice(1);
  if (!fragment.includes("=")) return reveal(fragment);
  const asked = Object.fromEntries(fragment.split("&").map(part => part.split("=")));
  for (const box of boxes) {
    box.checked = (asked[box.name] ?? "").split(",").includes(encodeURIComponent(box.value));
  }
  filter();
}

// Where a link leads is open, and shown if the filter hides it.
function reveal(id) {
  const name = id && decodeURIComponent(id);
  if (!name) return;
  const holder = !document.getElementById(name) && all("details.later").find(details => held(details)?.textContent.includes(`id="${name}"`));
  if (holder) release(holder);
  const target = document.getElementById(name);
  if (!target) return;
  if (target.closest("[hidden]")) reset();
  for (let node = target; node; node = node.parentElement) if (node.matches("details")) { release(node); node.open = true; }
  target.scrollIntoView();
}

function reset() {
  for (const box of boxes) box.checked = false;
  filter();
}

if (form) {
  one("#filter").hidden = false;
  form.addEventListener("change", () => { filter(); write(); });
  form.addEventListener("submit", event => event.preventDefault());
  one("#reset").addEventListener("click", () => { reset(); write(); one("#filter summary").focus(); });
  one("#filter").addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    one("#filter").open = false;
    one("#filter summary").focus();
  });
  document.addEventListener("click", event => {
    if (!event.target.closest("#filter")) one("#filter").open = false;
  });
}
addEventListener("hashchange", read);
document.addEventListener("click", event => { // a link to where the address already points changes nothing
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal(link.hash.slice(1));
});

// A figure at full size; the dialogue gives the focus back to the figure that was looked at last.
const links = () => all("a.enlarge").filter(link => !link.closest("[hidden]"));
let current = null;

function show(link) {
  const [image, sheet, order] = [one("img", link), one("img", dialog), links()];
  current = link;
  sheet.src = image.src;
  sheet.alt = image.alt;
  one(".reading", dialog).textContent = one("figcaption", link.parentElement).firstChild.nextSibling.textContent.trim();
  one("#place").textContent = `${order.indexOf(link) + 1} of ${order.length}`;
  one(".sheet", dialog).scrollTo(0, 0);
}

function step(by) {
  const order = links();
  show(order[(order.indexOf(current) + by + order.length) % order.length]);
}

function enlargeable(link) {
  link.setAttribute("role", "button");
  link.setAttribute("aria-haspopup", "dialog");
  link.addEventListener("click", event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link);
    dialog.showModal();
  });
  link.addEventListener("keydown", event => { if (event.key === " ") { event.preventDefault(); link.click(); } });
}

if (dialog) {
  dialog.addEventListener("click", event => {
    const button = event.target.closest("button");
    if (button && button.value !== "0") step(Number(button.value));
    else if (button || event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", event => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  dialog.addEventListener("close", () => { current.scrollIntoView({ block: "nearest" }); current.focus({ preventScroll: true }); });
}

equip(document);
read();
