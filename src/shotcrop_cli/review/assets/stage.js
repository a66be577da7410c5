// The box editor: the photo with its boxes, to move and resize with mouse, touch and keyboard.

import { HANDLES, insidePhoto, moved, resized, snapLines, snapMove, snapSides } from "./geometry.js";

const SNAP_PX = 7;
const STEP = 0.01;

const NUMBER = new Intl.NumberFormat("en", { useGrouping: false });

export class Stage extends EventTarget {
  constructor({ frame, boxes, guides, image }) {
    super();
    Object.assign(this, { frame, boxes, guides, image });
    this.items = new Map();
    this.selected = null;
    this.locked = new Set();
    this.snaps = true;
    this.readOnly = false;
    this.drag = null;
    addEventListener("keydown", (event) => this.setFree(event));
    addEventListener("keyup", (event) => this.setFree(event));
  }

  setFree(event) {
    this.free = event.altKey;
  }

  // Show the boxes of a photo: `shots` are those of the state, with name and ratio.
  open(photo, shots, people) {
    this.photo = { width: photo.width, height: photo.height };
    this.lines = snapLines(this.photo, people);
    this.items.clear();
    this.boxes.replaceChildren();
    this.clearGuides();
    for (const shot of shots) this.add(shot);
    if (!this.items.has(this.selected)) this.selected = shots.at(-1)?.key ?? null;
    this.select(this.selected);
  }

  add(shot) {
    const element = document.createElement("div");
    element.className = `box ${shot.shot}`;
    element.tabIndex = 0;
    element.setAttribute("role", "application");
    element.setAttribute("aria-roledescription", "crop box");
    const label = document.createElement("span");
    label.className = "box-name";
    label.textContent = shot.name.split(",")[0];
    element.append(label);
    for (const name of ["third v1", "third v2", "third h1", "third h2"]) {
      const line = document.createElement("i");
      line.className = name;
      element.append(line);
    }
    for (const handle of HANDLES) {
      const grip = document.createElement("b");
      grip.className = `grip ${handle}`;
      grip.dataset.handle = handle;
      element.append(grip);
    }
    this.boxes.append(element);
    const item = { key: shot.key, shot, element, box: { ...shot.box } };
    this.items.set(shot.key, item);
    element.addEventListener("pointerdown", (event) => this.begin(event, item));
    element.addEventListener("pointermove", (event) => this.follow(event));
    element.addEventListener("pointerup", (event) => this.end(event));
    element.addEventListener("pointercancel", (event) => this.end(event));
    element.addEventListener("focus", () => this.select(item.key));
    element.addEventListener("keydown", (event) => this.key(event, item));
  }

  // The ratio that a box keeps: the recorded one, or its own shape.
  ratio(item) {
    if (!this.locked.has(item.key)) return null;
    return item.shot.aspect ?? [item.shape.width, item.shape.height];
  }

  setLocked(key, locked) {
    if (locked) this.locked.add(key);
    else this.locked.delete(key);
    const item = this.items.get(key);
    if (item) item.shape = { ...item.box };
  }

  select(key) {
    if (key !== null && !this.items.has(key)) return;
    const changed = key !== this.selected;
    this.selected = key;
    for (const item of this.items.values()) item.element.classList.toggle("selected", item.key === key);
    if (changed) this.dispatchEvent(new CustomEvent("select", { detail: { key } }));
  }

  focus(key) {
    this.items.get(key)?.element.focus({ preventScroll: false });
  }

  // Draw the boxes where the edit has them.
  draw(edit, rejected) {
    for (const shot of edit.shots) {
      const item = this.items.get(shot.key);
      if (!item) continue;
      item.box = { ...shot.box };
      if (!item.shape) item.shape = { ...shot.box };
      item.element.classList.toggle("rejected", shot.rejected || rejected);
      this.place(item);
    }
  }

  place({ element, box, shot }) {
    const { width, height } = this.photo;
    element.style.left = `${(100 * box.x) / width}%`;
    element.style.top = `${(100 * box.y) / height}%`;
    element.style.width = `${(100 * box.width) / width}%`;
    element.style.height = `${(100 * box.height) / height}%`;
    // Smaller boxes are above larger ones, so that each can be grabbed.
    element.style.zIndex = String(10 + Math.round(900 * (1 - (box.width * box.height) / (width * height))));
    const n = (value) => NUMBER.format(value);
    element.setAttribute(
      "aria-label",
      `${shot.name}: left ${n(box.x)}, top ${n(box.y)}, ${n(box.width)} by ${n(box.height)} pixels. ` +
        "Arrow keys move it, Shift and arrow keys change its size.",
    );
  }

  get scale() {
    return this.frame.clientWidth / this.photo.width || 1;
  }

  begin(event, item) {
    if (event.button !== 0) return;
    this.select(item.key);
    if (this.readOnly || this.drag) return;
    event.preventDefault();
    event.stopPropagation();
    item.element.focus({ preventScroll: true });
    item.element.setPointerCapture(event.pointerId);
    this.drag = {
      item, pointer: event.pointerId, x: event.clientX, y: event.clientY, from: { ...item.box },
      handle: event.target.dataset?.handle ?? "",
    };
    item.element.classList.add("dragging");
  }

  follow(event) {
    const { drag } = this;
    if (!drag || event.pointerId !== drag.pointer) return;
    const { item, from, handle } = drag;
    let dx = (event.clientX - drag.x) / this.scale, dy = (event.clientY - drag.y) / this.scale;
    const tolerance = this.snaps && !event.altKey ? SNAP_PX / this.scale : 0;
    let box, lines = [];
    if (handle) {
      const ratio = this.ratio(item);
      if (tolerance) {
        const raw = resized(from, handle, dx, dy, this.photo, null);
        const extra = snapSides(raw, handle, this.lines, tolerance);
        if (!ratio || handle.length === 1) {
          dx += extra.dx;
          dy += extra.dy;
          ({ lines } = extra);
        }
      }
      box = resized(from, handle, dx, dy, this.photo, ratio);
    } else {
      box = moved(from, dx, dy, this.photo);
      if (tolerance) ({ box, lines } = snapMove(box, this.lines, tolerance));
    }
    this.showGuides(lines);
    this.put(item, box);
  }

  end(event) {
    const { drag } = this;
    if (!drag || event.pointerId !== drag.pointer) return;
    drag.item.element.classList.remove("dragging");
    this.drag = null;
    this.clearGuides();
    this.dispatchEvent(new CustomEvent("settled", { detail: { key: drag.item.key } }));
  }

  put(item, box) {
    item.box = insidePhoto(box, this.photo);
    this.place(item);
    this.dispatchEvent(new CustomEvent("box", { detail: { key: item.key, box: item.box } }));
  }

  key(event, item) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[event.key];
    if (!arrow || this.readOnly || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.ctrlKey || event.altKey ? 1 : Math.max(1, Math.round(STEP * Math.max(this.photo.width, this.photo.height)));
    const [dx, dy] = arrow.map((sign) => sign * step);
    if (!event.shiftKey) {
      this.put(item, moved(item.box, dx, dy, this.photo));
      return;
    }
    // Grow and shrink around the middle, so that the subject stays where it is.
    const ratio = this.ratio(item);
    const { box } = item;
    if (ratio) {
      const grow = dx || -dy;
      const grown = resized(box, "se", grow, (grow * ratio[1]) / ratio[0], this.photo, ratio);
      const shift = { x: Math.round((grown.width - box.width) / 2), y: Math.round((grown.height - box.height) / 2) };
      this.put(item, { ...grown, x: grown.x - shift.x, y: grown.y - shift.y });
      return;
    }
    const width = Math.max(box.width + 2 * dx, 8), height = Math.max(box.height - 2 * dy, 8);
    this.put(item, { x: box.x - (width - box.width) / 2, y: box.y - (height - box.height) / 2, width, height });
  }

  showGuides(lines) {
    this.clearGuides();
    for (const line of lines) {
      const element = document.createElement("i");
      if ("x" in line) {
        element.className = "guide across";
        element.style.left = `${(100 * line.x) / this.photo.width}%`;
      } else {
        element.className = "guide down";
        element.style.top = `${(100 * line.y) / this.photo.height}%`;
      }
      this.guides.append(element);
    }
  }

  clearGuides() {
    this.guides.replaceChildren();
  }
}
