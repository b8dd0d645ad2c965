// Keys, copy buttons and the refresh of lists. Everything else works without a script.

const REFRESH_MILLISECONDS = 30_000;

function rows() {
  return [...document.querySelectorAll("[data-row]")];
}

function move(step) {
  const links = rows();
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
  links[next]?.focus();
}

function openDialog(name) {
  const dialog = document.getElementById(name);
  if (dialog && !dialog.open) dialog.showModal();
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  "/": () => document.querySelector("[data-search]")?.focus(),
  s: () => document.querySelector("[data-status]")?.focus(),
  "?": () => openDialog("shortcuts"),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.textContent);
  const label = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = label), 2000);
}

function prepare(part) {
  for (const button of part.querySelectorAll("[data-open]")) {
    button.hidden = false;
    button.addEventListener("click", () => openDialog(button.dataset.open));
  }
  // Browsers have a clipboard on secure pages only.
  for (const button of navigator.clipboard ? part.querySelectorAll("[data-copy]") : []) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

async function refresh() {
  const list = document.querySelector("[data-refresh]");
  if (!list || document.hidden) return;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  // After a redirect to the login, the list stays as it is.
  if (!response.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-refresh]");
  if (!fresh) return;
  document.title = page.title;
  prepare(fresh);
  if (fresh.isEqualNode(list)) return;
  const focused = document.activeElement;
  const row = list.contains(focused) ? focused.dataset.row : undefined;
  // What somebody is using otherwise, such as a link to a filter, is not replaced.
  if (list.contains(focused) && !row) return;
  list.replaceWith(fresh);
  if (row) fresh.querySelector(`[data-row="${row}"]`)?.focus({ preventScroll: true });
}

prepare(document);
// A failure to reach the service is tried again at the next turn.
setInterval(() => refresh().catch(() => undefined), REFRESH_MILLISECONDS);
