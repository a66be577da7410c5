// The list: only the cards near the visible part exist, so that 100,000 photos scroll.

import { firstGroup, groupName, groupsOf, isOrdinary } from "./groups.js";

const PAGE = 60;
const PAGES_KEPT = 24;
const ROOM = 1.5;
// Browsers limit how high an element may be. Longer lists scroll in larger steps.
const HIGHEST = 12_000_000;
const WAIT_MS = 60;
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

export class List extends EventTarget {
  constructor(source) {
    super();
    this.source = source;
    this.rows = $("rows");
    this.query = "";
    this.pages = new Map();
    this.cards = new Map();
    this.total = 0;
    this.current = 0;
    this.generation = 0;
    addEventListener("scroll", () => this.plan(), { passive: true });
    new ResizeObserver(() => this.layout()).observe(this.rows);
    this.rows.addEventListener("keydown", (event) => this.key(event));
    this.rows.addEventListener("click", (event) => this.click(event));
    this.rows.addEventListener("focusin", (event) => {
      const card = event.target.closest("li");
      if (card) this.setCurrent(Number(card.dataset.index));
    });
  }

  // Show the photos that fit a query.
  show(query, first = null) {
    this.query = query;
    this.generation++;
    this.pages.clear();
    this.clearCards();
    this.checks = false;
    this.wanted = undefined;
    this.current = 0;
    if (first) this.take(first, this.generation);
    else this.fetch(0);
    scrollTo({ top: 0 });
  }

  // Ask again for what is visible, and keep the place.
  refresh() {
    this.generation++;
    this.pages.clear();
    this.stale = true;
    this.plan();
  }

  async fetch(page) {
    const { generation } = this;
    if (this.pages.has(page)) return;
    this.pages.set(page, null);
    const answer = await this.source.list(this.query, page * PAGE, PAGE);
    if (generation !== this.generation) return;
    if (answer.status !== 200) {
      this.pages.delete(page);
      this.dispatchEvent(new CustomEvent("failed", { detail: answer }));
      return;
    }
    this.take(answer, generation);
  }

  take({ total, offset, rows }, generation) {
    if (generation !== this.generation) return;
    if (this.stale) {
      this.stale = false;
      this.checks = true;
    }
    const changed = total !== this.total;
    this.total = total;
    this.pages.delete(offset / PAGE);
    this.pages.set(offset / PAGE, rows);
    if (this.checks) this.dropChanged();
    if (rows.length < Math.min(PAGE, total - offset)) {
      // The page brings only its first cards along.
      this.pages.delete(offset / PAGE);
      this.first = { offset, rows };
    }
    while (this.pages.size > PAGES_KEPT) this.pages.delete(this.pages.keys().next().value);
    if (changed) this.dispatchEvent(new CustomEvent("total"));
    this.layout();
  }

  // Remove the cards that show something else by now. Those that stay keep their pictures and the focus.
  dropChanged() {
    for (const [index, card] of this.cards) {
      const row = this.row(index);
      if (index < this.total && (!row || JSON.stringify(row) === card.dataset.row)) continue;
      if (card.contains(document.activeElement)) this.wanted = Math.min(index, this.total - 1);
      card.remove();
      this.cards.delete(index);
    }
  }

  row(index) {
    const rows = this.pages.get(Math.floor(index / PAGE));
    return rows?.[index % PAGE] ?? (this.generation === 1 && this.first?.offset === 0 ? this.first.rows[index] : undefined);
  }

  layout() {
    if (!this.rows.clientWidth) return;
    const style = getComputedStyle(this.rows);
    this.columns = Number(style.getPropertyValue("--columns")) || 1;
    this.height = Number.parseFloat(style.getPropertyValue("--card-height")) || 200;
    const full = Math.ceil(this.total / this.columns) * this.height;
    this.shrink = Math.max(1, full / HIGHEST);
    this.rows.style.height = `${full / this.shrink}px`;
    this.draw();
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => {
      this.planned = false;
      this.draw();
    });
  }

  draw() {
    if (!this.height || $("list").hidden) return;
    const top = this.rows.getBoundingClientRect().top;
    const scrolled = Math.max(0, -top) * this.shrink;
    const view = innerHeight;
    const firstRow = Math.max(0, Math.floor((scrolled - view * ROOM) / this.height));
    const lastRow = Math.ceil((scrolled + view * (1 + ROOM)) / this.height);
    const first = firstRow * this.columns, last = Math.min(this.total, lastRow * this.columns);
    for (const [index, card] of this.cards) {
      if (index < first || index >= last) {
        if (card.contains(document.activeElement)) continue;
        card.remove();
        this.cards.delete(index);
      }
    }
    let missing = new Set();
    for (let index = first; index < last; index++) {
      const row = this.row(index);
      if (row === undefined || row === null) missing.add(Math.floor(index / PAGE));
      if (!row) continue;
      let card = this.cards.get(index);
      if (!card) {
        card = this.card(row, index);
        this.cards.set(index, card);
        this.insert(card, index);
      }
      this.place(card, index, scrolled, top);
    }
    clearTimeout(this.timer);
    // Nothing is fetched for what only flies past.
    if (missing.size) this.timer = setTimeout(() => missing.forEach((page) => this.fetch(page)), this.cards.size ? WAIT_MS : 0);
    if (this.wanted !== undefined && this.cards.has(this.wanted)) {
      this.cards.get(this.wanted).firstElementChild.focus({ preventScroll: true });
      this.wanted = undefined;
    }
  }

  insert(card, index) {
    // Readers and the Tab key follow the order of the elements.
    let before = null;
    for (const [other, element] of this.cards) {
      if (other > index && (!before || other < Number(before.dataset.index))) before = element;
    }
    this.rows.insertBefore(card, before);
  }

  place(card, index, scrolled, top) {
    const row = Math.floor(index / this.columns), column = index % this.columns;
    // In a shortened list, cards stay where they are relative to the window.
    const y = this.shrink === 1 ? row * this.height : row * this.height - scrolled + Math.max(0, -top);
    card.style.top = `${y}px`;
    card.style.left = `${(100 * column) / this.columns}%`;
  }

  clearCards() {
    for (const card of this.cards.values()) card.remove();
    this.cards.clear();
  }

  card(row, index) {
    const element = document.createElement("li");
    element.className = "card";
    element.dataset.index = String(index);
    element.dataset.id = row.id;
    element.dataset.row = JSON.stringify(row);
    element.setAttribute("aria-setsize", String(this.total));
    element.setAttribute("aria-posinset", String(index + 1));
    const link = document.createElement("a");
    link.href = this.source.address(row.id);
    link.tabIndex = index === this.current ? 0 : -1;
    const line = document.createElement("span");
    line.className = "line";
    const pictures = document.createElement("span");
    pictures.className = "pictures";
    if (row.status === "unreadable") {
      pictures.append(text("p", "broken", "This sidecar cannot be read. `shotcrop apply` says why."));
    } else {
      const wanted = new URLSearchParams(this.query);
      const filters = { person: wanted.get("person") ?? "", set: wanted.get("set") ?? "" };
      const group = firstGroup(groupsOf(row.shots), ({ file }) => file, filters);
      const shots = group?.shots ?? [];
      const more = row.shots.length - shots.length;
      pictures.append(this.photo(row, shots), ...shots.map((shot) => this.crop(row, shot)));
      if (group && (more > 0 || !isOrdinary(group))) line.append(text("span", "muted group-name", groupName(group)));
      if (more > 0) line.append(text("span", "muted", `+ ${more} more`));
      if (!row.shots.length) pictures.append(text("p", "broken", "No people found"));
    }
    const name = text("span", "name", row.name);
    if (row.folder) name.prepend(text("span", "muted", `${row.folder}/`));
    line.prepend(name, ...this.tags(row));
    if (row.score !== null && row.score !== undefined) line.append(text("span", "score", row.score.toFixed(2)));
    link.append(pictures, line);
    element.append(link);
    element.classList.toggle("is-rejected", row.rejected === true);
    return element;
  }

  tags(row) {
    const tags = [];
    const edited = row.shots.filter((shot) => shot.edited).length;
    const rejected = row.shots.filter((shot) => shot.rejected).length;
    if (row.rejected) tags.push(text("span", "tag rejected", "rejected"));
    else if (rejected) tags.push(text("span", "tag rejected", `${rejected} rejected`));
    if (edited) tags.push(text("span", "tag edited", edited === row.shots.length ? "kept" : `${edited} kept`));
    if (row.pending) tags.push(text("span", "tag", "not cropped yet"));
    return tags;
  }

  photo(row, shots) {
    const element = document.createElement("span");
    element.className = "picture photo";
    element.append(this.image(this.source.image(row, "small"), row.width / row.height));
    const overlay = document.createElementNS(SVG, "svg");
    overlay.setAttribute("viewBox", `0 0 ${row.width} ${row.height}`);
    overlay.setAttribute("preserveAspectRatio", "xMidYMax meet");
    overlay.setAttribute("aria-hidden", "true");
    for (const shot of shots) {
      if (shot.rejected || row.rejected) continue;
      const rect = document.createElementNS(SVG, "rect");
      const [x, y, width, height] = shot.box;
      for (const [name, value] of Object.entries({ x, y, width, height })) rect.setAttribute(name, String(value));
      rect.setAttribute("class", shot.shot);
      overlay.append(rect);
    }
    element.append(overlay);
    return element;
  }

  crop(row, shot) {
    const element = document.createElement("span");
    element.className = `picture crop ${shot.shot}`;
    const rejected = shot.rejected || row.rejected;
    element.classList.toggle("rejected", rejected);
    if (shot.file) element.append(this.image(this.source.crop(row, shot, "small"), shot.box[2] / shot.box[3]));
    else element.append(text("span", "none", "no file"));
    return element;
  }

  image(address, ratio) {
    const image = new Image();
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = "";
    image.style.aspectRatio = String(ratio || 1);
    image.onload = () => image.classList.add("loaded");
    image.onerror = () => image.replaceWith(text("span", "none", "cannot be shown"));
    image.src = address;
    return image;
  }

  setCurrent(index) {
    this.cards.get(this.current)?.firstElementChild.setAttribute("tabindex", "-1");
    this.current = index;
    this.cards.get(index)?.firstElementChild.setAttribute("tabindex", "0");
  }

  // Move the focus to a card, wherever it is.
  focus(index) {
    const to = Math.min(Math.max(index, 0), this.total - 1);
    if (to < 0) return;
    this.setCurrent(to);
    this.reveal(to);
    const card = this.cards.get(to);
    if (card) card.firstElementChild.focus({ preventScroll: true });
    else this.wanted = to;
  }

  reveal(index) {
    const row = Math.floor(index / this.columns);
    const start = this.rows.getBoundingClientRect().top + scrollY;
    const above = $("bar").getBoundingClientRect().bottom;
    const top = start + (row * this.height) / this.shrink;
    const low = top - Math.max(above, 0) - 8, high = top + this.height - innerHeight + 8;
    if (scrollY > low) scrollTo({ top: low });
    else if (scrollY < high) scrollTo({ top: high });
    this.draw();
  }

  click(event) {
    const card = event.target.closest("li");
    if (!card || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.setCurrent(Number(card.dataset.index));
    this.dispatchEvent(new CustomEvent("open", { detail: { id: card.dataset.id } }));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(innerHeight / this.height)) * this.columns;
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page,
      Home: -this.total, End: this.total,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.focus(this.current + step);
  }

  // The identity of the card that has the focus.
  get focused() {
    return document.activeElement?.closest?.("#rows li")?.dataset.id ?? null;
  }
}

function text(tag, className, content) {
  return Object.assign(document.createElement(tag), { className, textContent: content });
}
