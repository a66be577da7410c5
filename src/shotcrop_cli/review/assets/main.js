// Starts the page: the list or one photo, addresses, filters and keys.

import { Editor } from "./editor.js";
import { groupsOf } from "./groups.js";
import { List } from "./list.js";
import { LiveSource, StaticSource } from "./source.js";
import { keepCrops, Store } from "./store.js";

const FILTER_MS = 150;
const STATUS_MS = 1000;
const RESCAN_MS = 10_000;
// A large folder takes longer to look through, so that happens less often.
const RESCAN_MS_PER_PHOTO = 5;
const $ = (id) => document.getElementById(id);
const boot = JSON.parse($("boot").textContent);
const isStatic = boot.mode === "static";
const source = isStatic ? new StaticSource(globalThis.shotcropData) : new LiveSource(boot);
const store = new Store(boot, source);
const list = new List(source);
const editor = new Editor(store, source);
editor.wanted = () => ({ person: filters.elements.person.value, set: filters.elements.set.value });
source.drafted = (id) => store.draft(id);
const filters = $("filters");
const preload = [new Image(), new Image()];
let listScroll = 0;

function remember(name, value) {
  try {
    localStorage.setItem(`shotcrop:${name}`, value);
  } catch {
    // The choice then lasts as long as the page.
  }
}

function recall(name) {
  try {
    return localStorage.getItem(`shotcrop:${name}`);
  } catch {
    return null;
  }
}

// Filters

function query() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(filters)) if (value !== "") wanted.set(name, value);
  return wanted.toString();
}

function setFilters(text) {
  const wanted = new URLSearchParams(text);
  for (const field of filters.elements) if (field.name) field.value = wanted.get(field.name) ?? "";
}

function search() {
  const text = query();
  return text ? `?${text}` : "";
}

function filterNow() {
  source.search = search();
  if (!isStatic) history.replaceState(history.state, "", (store.photo ? location.pathname : "/") + search());
  list.show(query());
  if (store.photo) showPosition(store.photo.id);
}

let filterTimer = 0;
filters.addEventListener("input", () => {
  clearTimeout(filterTimer);
  filterTimer = setTimeout(filterNow, FILTER_MS);
});
filters.addEventListener("reset", () => setTimeout(filterNow));
filters.addEventListener("submit", (event) => event.preventDefault());
// A form without a button to submit it has no such event for Enter.
filters.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
  event.preventDefault();
  clearTimeout(filterTimer);
  filterNow();
  if (store.photo) openList();
  list.focus(0);
});

// What is shown

function show(editing) {
  $("list").hidden = editing;
  $("editor").hidden = !editing;
  $("photo-bar").hidden = !editing;
  document.body.classList.toggle("editing", editing);
}

async function openPhoto(id, { push = true, then = "" } = {}) {
  if (!store.photo) listScroll = scrollY;
  const waiting = store.flush();
  const answer = boot.photo && boot.open === id && !store.photo ? { status: 200, ...boot.photo } : await source.photo(id);
  boot.photo = null;
  if (answer.status !== 200) {
    say(answer.error);
    return;
  }
  await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 1500))]);
  show(true);
  store.open(answer);
  document.title = `${answer.state.name} – shotcrop review`;
  if (push) {
    if (isStatic) history.pushState({ id }, "", `#${id}`);
    else history.pushState({ id }, "", source.address(id));
  }
  scrollTo({ top: 0 });
  if (then === "undo") editor.undo();
  if (then === "redo") editor.redo();
  if (!document.activeElement || document.activeElement === document.body || $("list").contains(document.activeElement)) {
    editor.stage.focus(editor.stage.selected);
  }
  await showPosition(id);
}

let around = { next: null, previous: null };

async function showPosition(id) {
  const answer = await source.next(id, query());
  if (answer.status !== 200 || store.photo?.id !== id) return;
  around = answer;
  $("position").textContent = answer.position === null ? "" : `${Math.min(answer.position + 1, answer.total)} of ${answer.total}`;
  $("next").disabled = !answer.next;
  $("previous").disabled = !answer.previous;
  [answer.next, answer.previous].forEach(async (other, at) => {
    if (!other) return;
    const photo = await source.photo(other);
    if (photo.status === 200) preload[at].src = source.image(photo.state, "large");
  });
}

function openList(push = true) {
  const id = store.photo?.id;
  store.close();
  show(false);
  document.title = `${boot.title} – shotcrop review`;
  if (push) history.pushState({}, "", isStatic ? location.pathname : `/${search()}`);
  list.layout();
  scrollTo({ top: listScroll });
  list.refresh();
  if (id) backTo(id);
}

// Keep or reject the photo of a card, and go to the next card.
async function decide(make) {
  const id = list.focused;
  if (!id) return;
  const { next } = await source.next(id, query());
  say((await store.decide(id, make)) || "");
  list.refresh();
  const answer = next ? await source.next(next, query()) : null;
  list.focus(answer?.position ?? list.current);
}

// A card shows the crops of one person and set, so say that others are kept, too.
async function keepCard() {
  let kept = 0, name = "";
  await decide((edit, base) => {
    keepCrops(edit, base);
    kept = groupsOf(base.shots).length > 1 ? edit.shots.filter(({ edited, rejected }) => edited && !rejected).length : 0;
    name = base.name;
  });
  if (kept && $("toast").hidden) say(`Kept all ${kept} crops of ${name}.`);
}

function rejectAll(edit) {
  edit.rejected = !edit.rejected;
}

async function backTo(id) {
  const answer = await source.next(id, query());
  if (answer.status === 200 && answer.position !== null && !store.photo) list.focus(Math.min(answer.position, answer.total - 1));
}

async function go(direction) {
  await store.flush();
  const id = store.photo?.id;
  if (id) await showPosition(id);
  const other = around[direction];
  if (other) await openPhoto(other);
  else say(direction === "next" ? "This is the last photo of the list." : "This is the first photo of the list.");
}

addEventListener("popstate", () => {
  const id = isStatic ? location.hash.slice(1) : location.pathname.match(/^\/photo\/(\w+)$/)?.[1];
  if (id) openPhoto(id, { push: false });
  else openList(false);
});

list.addEventListener("open", ({ detail }) => openPhoto(detail.id));
list.addEventListener("total", showTotal);
list.addEventListener("failed", ({ detail }) => say(detail.error));
editor.addEventListener("next", () => go("next"));
editor.addEventListener("visit", ({ detail }) => openPhoto(detail.id, { then: detail.then }));
store.addEventListener("elsewhere", () => {
  if (!store.photo) list.refresh();
});
store.addEventListener("drafts", showDrafts);
$("back").onclick = () => openList();
$("next").onclick = () => go("next");
$("previous").onclick = () => go("previous");
$("home").onclick = (event) => {
  event.preventDefault();
  if (store.photo) openList();
  else scrollTo({ top: 0 });
};

// Messages

let sayTimer = 0;
function say(text) {
  const toast = $("toast");
  toast.textContent = text ?? "";
  toast.hidden = !text;
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => say(""), 5000);
  showTotal();
}

let progress = boot.status;
function showTotal() {
  const count = (number) => `${number.toLocaleString("en")} photo${number === 1 ? "" : "s"}`;
  const parts = [count(list.total)];
  if (!progress.complete) parts.push(`reading the folder, ${count(progress.photos)} so far …`);
  if (progress.waiting) parts.push(`${count(progress.waiting)} to crop`);
  const drafts = store.drafts().filter((id) => id !== store.photo?.id).length;
  if (drafts) parts.push(`${count(drafts)} with edits that are ${isStatic ? "not sent" : "not saved"}`);
  $("status").textContent = parts.join(" · ");
  $("list-title").textContent = parts[0];
  $("empty").hidden = list.total > 0;
  $("empty").textContent = progress.complete ? "No photo fits these filters." : "Reading the folder …";
}

function showDrafts() {
  const drafts = store.drafts();
  $("export").hidden = !isStatic || !drafts.length;
  if (isStatic) $("export").textContent = `Save edits file (${drafts.length})`;
}

// While the folder is read, the list fills up.
async function follow() {
  while (!progress.complete) {
    await new Promise((resolve) => setTimeout(resolve, STATUS_MS));
    const answer = await source.status();
    if (answer.status !== 200) continue;
    progress = answer;
    if (!store.photo) list.refresh();
    showTotal();
  }
  if (boot.open && !store.photo && location.pathname.endsWith(boot.open)) openPhoto(boot.open, { push: false });
}

let scanned = Date.now();
addEventListener("focus", async () => {
  if (isStatic || !progress.complete || Date.now() - scanned < RESCAN_MS + RESCAN_MS_PER_PHOTO * progress.photos) return;
  scanned = Date.now();
  const answer = await source.scan();
  if (answer.status === 200 && !store.photo) list.refresh();
});

// Edits that an earlier page could not save

async function saveDrafts() {
  if (isStatic || boot.readOnly) return;
  for (const id of store.drafts()) {
    if (id === store.photo?.id || id === boot.open) continue;
    await openPhoto(id);
    return;
  }
}

// A static page saves a file that `shotcrop apply --edits` takes.
function exportEdits() {
  const photos = store.drafts().map((id) => store.draft(id)).filter(Boolean).map((draft) => ({
    photo: draft.photo, fingerprint: draft.fingerprint, rejected: draft.edit.rejected, shots: draft.edit.shots,
  }));
  const content = JSON.stringify({ schema: boot.editsSchema, photos }, null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = `${boot.title || "shots"}-edits.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`Saved ${link.download}. Send it back; \`shotcrop apply --edits\` takes it.`);
}
$("export").onclick = exportEdits;

// Dark and light

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

function toggleTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  setTheme(dark ? "light" : "dark");
  remember("theme", dark ? "light" : "dark");
}
$("theme").onclick = toggleTheme;
$("filter-toggle").onclick = () => {
  const open = document.body.classList.toggle("filtering");
  $("filter-toggle").setAttribute("aria-expanded", String(open));
};

// Keys

const inEditor = () => !!store.photo;
const canEdit = () => inEditor() && !boot.readOnly;
const canDecide = () => canEdit() || (!boot.readOnly && !!list.focused);
const selected = () => editor.stage.selected;
const numbers = Array.from({ length: 9 }, (_, at) => String(at + 1));
const KEYS = [
  { group: "Photos", keys: ["N"], text: "Next photo", when: inEditor, run: () => go("next") },
  { group: "Photos", keys: ["P"], text: "Previous photo", when: inEditor, run: () => go("previous") },
  { group: "Photos", keys: ["Escape"], text: "Back to all photos", when: inEditor, run: () => openList() },
  { group: "Photos", keys: ["/"], text: "Search", run: () => focusSearch() },
  { group: "Photos", keys: [], shown: "Arrows, Home, End, Enter", text: "Move in the list, open a photo" },
  { group: "Decide", keys: ["K"], text: "Keep the crops shown and go on", when: canEdit, run: () => editor.keepShown() },
  {
    group: "Decide", keys: ["E", "K"], shown: "E, in the list also K", text: "Keep all crops of the photo and go on", when: canDecide,
    run: () => (inEditor() ? editor.keepPhoto() : keepCard()),
  },
  { group: "Decide", keys: ["Shift+K"], text: "Keep this crop", when: canEdit, run: () => editor.keepShot(selected()) },
  { group: "Decide", keys: ["X"], text: "Reject this crop, or take that back", when: canEdit, run: () => editor.rejectShot(selected()) },
  {
    group: "Decide", keys: ["Shift+X"], text: "Reject the photo and go on, also in the list", when: canDecide,
    run: () => (inEditor() ? editor.rejectPhoto() : decide(rejectAll)),
  },
  { group: "Decide", keys: ["U", "Ctrl+Z"], text: "Undo", when: () => !boot.readOnly, run: () => editor.undo() },
  { group: "Decide", keys: ["Y", "Ctrl+Shift+Z", "Ctrl+Y"], text: "Redo", when: () => !boot.readOnly, run: () => editor.redo() },
  { group: "Boxes", keys: numbers, shown: "1 2 3", text: "Select a box", when: inEditor, run: (key) => editor.selectAt(Number(key) - 1) },
  {
    group: "Boxes", keys: ["S", "Shift+S"], text: "Next or previous person or ratio set", when: inEditor,
    run: (name) => editor.nextGroup(name === "S" ? 1 : -1),
  },
  { group: "Boxes", keys: [], shown: "Arrows", text: "Move the box; with Ctrl by one pixel" },
  { group: "Boxes", keys: [], shown: "Shift+Arrows", text: "Change its size; with Ctrl by one pixel" },
  { group: "Boxes", keys: ["L"], text: "Keep the shape of the box", when: canEdit, run: () => editor.toggleLock() },
  { group: "Boxes", keys: ["G"], text: "Snap to thirds, heads and edges", when: canEdit, run: () => editor.toggleSnap() },
  { group: "Boxes", keys: ["R"], text: "Go back to the model’s box", when: canEdit, run: () => editor.reset(selected()) },
  { group: "Boxes", keys: ["W"], text: "Crop around the next person", when: canEdit, run: () => editor.nextPerson() },
  { group: "Texts", keys: ["C"], text: "Edit the caption", when: inEditor, run: () => editor.focusText("caption") },
  { group: "Texts", keys: ["A"], text: "Edit the alt text", when: inEditor, run: () => editor.focusText("alt") },
  { group: "Texts", keys: [], shown: "Enter or Esc", text: "Leave the text" },
  { group: "Page", keys: ["Ctrl+S"], text: "Save now (shotcrop saves by itself)", when: canEdit, run: () => store.flush() },
  { group: "Page", keys: ["D"], text: "Dark or light", run: toggleTheme },
  { group: "Page", keys: ["?"], text: "This list", run: () => openHelp() },
];

function focusSearch() {
  document.body.classList.add("filtering");
  $("filter-toggle").setAttribute("aria-expanded", "true");
  $("q").focus();
  $("q").select();
}

function openHelp() {
  const groups = new Map();
  for (const key of KEYS) groups.set(key.group, [...(groups.get(key.group) ?? []), key]);
  $("shortcut-list").replaceChildren(
    ...[...groups].map(([title, keys]) => {
      const section = document.createElement("section");
      section.append(Object.assign(document.createElement("h3"), { textContent: title }));
      const names = document.createElement("dl");
      for (const key of keys) {
        const name = document.createElement("dt");
        name.append(Object.assign(document.createElement("kbd"), { textContent: key.shown ?? key.keys.slice(0, 2).join(" or ") }));
        names.append(name, Object.assign(document.createElement("dd"), { textContent: key.text }));
      }
      section.append(names);
      return section;
    }),
  );
  $("shortcuts").showModal();
}
$("help").onclick = openHelp;
$("single-keys").checked = recall("single-keys") !== "off";
$("single-keys").onchange = () => remember("single-keys", $("single-keys").checked ? "on" : "off");

function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const shift = event.shiftKey && (control || /^[A-Z]$/.test(key)) ? "Shift+" : "";
  return control + shift + key;
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || $("shortcuts").open) return;
  const name = nameOf(event);
  const typing = event.target.closest?.("input, textarea, select");
  if (typing && event.key === "Escape") {
    event.target.blur();
    event.preventDefault();
    return;
  }
  const isText = typing && typing.type !== "checkbox";
  if (isText && name !== "Ctrl+S") return;
  if (name.length === 1 && !$("single-keys").checked && name !== "?") return;
  const key = KEYS.find((one) => one.keys.includes(name) && (one.when?.() ?? true));
  if (!key) return;
  event.preventDefault();
  key.run(name);
});

// Begin

setTheme(recall("theme"));
$("folders").replaceChildren(...boot.folders.map((folder) => Object.assign(document.createElement("option"), { value: folder })));
for (const [field, names] of [["person", boot.persons], ["set", boot.sets]]) {
  const select = filters.elements[field];
  for (const name of names) select.append(new Option(name.replace(/^person(\d+)$/, "person $1"), name));
  select.parentElement.hidden = !names.length;
}
setFilters(boot.query ?? "");
list.show(query(), boot.list);
showTotal();
showDrafts();
source.search = search();
const first = isStatic ? location.hash.slice(1) : boot.open;
if (first && (isStatic || boot.photo)) openPhoto(first, { push: false });
else {
  show(false);
  saveDrafts();
}
follow();
