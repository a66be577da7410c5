// One photo: the stage, a panel for each shot, and what can be done with them.

import { sameBox } from "./geometry.js";
import { firstGroup, groupName, groupsOf, isOrdinary } from "./groups.js";
import { Stage } from "./stage.js";
import { editOf, keepCrops } from "./store.js";

const PREVIEW_PX = 190;
const $ = (id) => document.getElementById(id);

const namesOf = ({ shots }) => shots.map(({ key }) => key).join(" ");

export class Editor extends EventTarget {
  constructor(store, source) {
    super();
    Object.assign(this, { store, source });
    this.image = $("photo");
    this.panels = new Map();
    this.groups = [];
    this.wanted = () => ({});
    this.stage = new Stage({ frame: $("frame"), boxes: $("boxes"), guides: $("guides"), image: this.image });
    this.stage.readOnly = store.readOnly;
    this.stage.addEventListener("box", ({ detail }) => store.setBox(detail.key, detail.box));
    this.stage.addEventListener("settled", () => store.schedule(150));
    this.stage.addEventListener("select", () => this.drawSelection());
    store.addEventListener("open", () => this.open());
    store.addEventListener("change", () => this.follow());
    store.addEventListener("saving", () => this.drawSaved());
    store.addEventListener("saved", () => this.drawSaved());
    store.addEventListener("cropped", () => this.drawSaved());
    this.image.addEventListener("load", () => this.drawPreviews());
    this.image.addEventListener("error", () => this.showGone());
    new ResizeObserver(() => this.fit()).observe($("stage"));
    $("lock").onclick = () => this.toggleLock();
    $("snap").onclick = () => this.toggleSnap();
    $("group").onchange = () => this.showGroup(this.groups[$("group").selectedIndex]);
    $("group").onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.stage.focus(this.stage.selected);
    };
    $("undo").onclick = () => this.undo();
    $("redo").onclick = () => this.redo();
    $("reject-photo").onclick = () => this.rejectPhoto();
    $("keep-shown").onclick = () => this.keepShown();
    $("keep-photo").onclick = () => this.keepPhoto();
  }

  get photo() {
    return this.store.photo;
  }

  open() {
    const { base } = this.photo;
    $("photo-title").textContent = base.photo;
    $("facts").textContent = base.facts;
    $("notes").replaceChildren(...base.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
    $("gone").hidden = true;
    $("frame").hidden = false;
    this.image.alt = `Photo ${base.name}`;
    this.image.src = this.source.image(base, "large");
    this.stage.locked = new Set(base.shots.filter((shot) => shot.aspect).map((shot) => shot.key));
    this.openGroups(base);
    this.fit();
  }

  // A run that adds crops while the photo is open adds groups.
  follow() {
    const { base } = this.photo ?? {};
    if (base && namesOf(base) !== this.names) this.openGroups(base, this.group?.id);
    else this.draw();
  }

  openGroups(base, current) {
    const { shots, people } = base;
    this.names = namesOf(base);
    this.groups = groupsOf(shots);
    const names = Object.fromEntries(people.slice(1).map(({ number, name }) => [`person${number}`, name]));
    names.main = people[0]?.name;
    $("group").replaceChildren(...this.groups.map((group) => new Option(groupName(group, names))));
    const isOne = this.groups.length < 2;
    $("groups").hidden = isOne;
    $("keep-photo").hidden = isOne;
    $("keep-photo").textContent = `Keep all ${shots.filter(({ left_out }) => !left_out).length}`;
    $("keep-shown").textContent = isOne ? "Keep and next" : "Keep these and next";
    const shown = this.groups.find(({ id }) => id === current);
    const wanted = this.wanted();
    const open = wanted.person || wanted.set ? [] : this.groups.filter((group) => this.isOpen(group));
    this.showGroup(shown ?? firstGroup(open.length ? open : this.groups, ({ has_crop }) => has_crop, wanted));
  }

  // Show the boxes and panels of one person in one ratio set.
  showGroup(group) {
    const { base } = this.photo;
    const shots = group?.shots ?? [];
    const type = this.base(this.stage.selected)?.shot ?? this.group?.shots.find(({ key }) => key === this.stage.selected)?.shot;
    this.group = group;
    $("group").selectedIndex = this.groups.indexOf(group);
    this.panels.clear();
    const panels = shots.map((shot) => this.panel(this.base(shot.key)));
    if (!panels.length) {
      const text = "The model found no people in this photo, so there are no crops.";
      panels.push(Object.assign(document.createElement("p"), { className: "empty", textContent: text }));
    }
    $("shots").replaceChildren(...panels);
    this.stage.selected = shots.find(({ shot }) => shot === type)?.key ?? null;
    this.stage.open(base, shots.map(({ key }) => this.base(key)), base.people);
    this.openPeople(base);
    this.drawSelection();
    this.draw();
  }

  // Go to the next group, or to the one before.
  nextGroup(step) {
    const { groups } = this;
    if (groups.length < 2) return;
    this.showGroup(groups[(groups.indexOf(this.group) + step + groups.length) % groups.length]);
    this.stage.focus(this.stage.selected);
  }

  // The boxes around other people are those of ordinary crops.
  openPeople({ people }) {
    const choices = people.filter((person) => Object.keys(person.boxes).length);
    const offered = this.group && isOrdinary(this.group) && choices.length > 1 && !this.store.readOnly ? choices : [];
    const text = document.createElement("span");
    text.textContent = "Crop around";
    text.className = "muted";
    const buttons = offered.map((person) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "toggle" });
      button.textContent = person.name;
      button.onclick = () => this.choosePerson(person);
      button.onpointerenter = button.onfocus = () => this.outline(person);
      button.onpointerleave = button.onblur = () => this.outline(null);
      return button;
    });
    this.people = offered;
    $("people").replaceChildren(...(buttons.length ? [text, ...buttons] : []));
    $("people").hidden = !buttons.length;
  }

  // Show whom a button means.
  outline(person) {
    const box = person?.body ?? person?.head;
    this.stage.clearGuides();
    if (!box) return;
    const element = document.createElement("i");
    element.className = "person";
    const [x0, y0, x1, y1] = box.map((side) => 100 * side);
    Object.assign(element.style, { left: `${x0}%`, top: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%` });
    this.stage.guides.append(element);
  }

  choosePerson(person) {
    this.store.change(`person:${Date.now()}`, (edit) => {
      for (const shot of edit.shots) {
        const { shot: type, person: whom, set_name: set } = this.photo.base.shots.find((one) => one.key === shot.key);
        if (whom !== "main" || set !== "default") continue;
        const box = person.boxes[type];
        if (box && !sameBox(box, shot.box)) Object.assign(shot, { box: { ...box }, edited: true });
      }
    });
  }

  nextPerson() {
    if (!this.people?.length) return;
    const type = "close_up";
    const current = this.store.shot(type).box;
    const at = this.people.findIndex((person) => person.boxes[type] && sameBox(person.boxes[type], current));
    this.choosePerson(this.people[(at + 1) % this.people.length]);
  }

  panel(shot) {
    const element = $("shot-panel").content.firstElementChild.cloneNode(true);
    const find = (selector) => element.querySelector(selector);
    const { store } = this;
    element.classList.add(shot.shot);
    element.setAttribute("aria-label", shot.name);
    const isShared = shot.shot === "establishing" && shot.person !== this.group.person;
    find("h2").textContent = shot.name.split(",")[0] + (isShared ? ", shared" : "");
    find(".score").textContent = shot.score === null ? "" : shot.score.toFixed(2);
    find(".score").title = "The model’s score of this box, 0 to 1";
    find(".ratio").textContent = shot.aspect ? shot.aspect.join(":") : "";
    const panel = {
      key: shot.key, shot, element, canvas: find("canvas"), caption: find(".caption"), alt: find(".alt"), keep: find(".keep"),
      reject: find(".reject"), reset: find(".reset"), tags: find(".tags"), crop: new Image(),
      numbers: [...element.querySelectorAll(".numbers input")],
    };
    find(".preview").onclick = () => {
      this.stage.select(shot.key);
      this.stage.focus(shot.key);
    };
    panel.caption.oninput = () => store.setText(shot.key, "caption", panel.caption.value.replace(/\s*\n\s*/g, " "));
    panel.alt.oninput = () => store.setText(shot.key, "alt_text", panel.alt.value.replace(/\s*\n\s*/g, " "));
    for (const field of [panel.caption, panel.alt]) {
      field.readOnly = store.readOnly;
      field.onfocus = () => this.stage.select(shot.key);
      field.onkeydown = (event) => {
        if (event.key === "Enter") event.preventDefault();
        if (event.key === "Enter" || event.key === "Escape") {
          event.stopPropagation();
          this.stage.focus(shot.key);
        }
      };
    }
    panel.keep.onclick = () => this.keepShot(shot.key);
    panel.reject.onclick = () => this.rejectShot(shot.key);
    panel.reset.onclick = () => this.reset(shot.key);
    for (const input of panel.numbers) {
      input.max = input.name === "x" || input.name === "width" ? this.photo.base.width : this.photo.base.height;
      input.onchange = () => this.typed(panel);
    }
    panel.crop.onload = () => this.drawPreview(panel);
    this.panels.set(shot.key, panel);
    return element;
  }

  typed(panel) {
    const box = Object.fromEntries(panel.numbers.map((input) => [input.name, Number(input.value) || 0]));
    this.stage.put(this.stage.items.get(panel.key), box);
  }

  // Return what the server says of a shot.
  base(key) {
    return this.photo.base.shots.find((shot) => shot.key === key);
  }

  keepShot(key) {
    const shot = this.store.shot(key);
    const kept = shot.edited && !shot.rejected;
    this.store.setShot(key, { edited: !kept, rejected: false });
  }

  rejectShot(key) {
    this.store.setShot(key, { rejected: !this.store.shot(key).rejected });
  }

  reset(key) {
    this.store.setBox(key, this.base(key).model_box);
  }

  rejectPhoto() {
    this.store.change(`photo:${Date.now()}`, (edit) => {
      edit.rejected = !edit.rejected;
    });
    if (this.photo?.edit.rejected) this.dispatchEvent(new Event("next"));
  }

  // Keep the crops that are shown, and go to the next ones that no one has judged: of this photo, or of the next.
  keepShown() {
    const shown = new Set(this.group?.shots.map(({ key }) => key));
    this.keep((key) => shown.has(key));
    const open = this.nextOpen();
    if (!open) {
      this.dispatchEvent(new Event("next"));
      return;
    }
    this.showGroup(open);
    this.stage.focus(this.stage.selected);
  }

  // Keep all crops of the photo, also those of other people and sets, and go to the next photo.
  keepPhoto() {
    this.keep(() => true);
    this.dispatchEvent(new Event("next"));
  }

  keep(isMeant) {
    this.store.change(`photo:${Date.now()}`, (edit) => keepCrops(edit, this.photo.base, isMeant));
  }

  // Say whether a group has a crop that is neither kept nor rejected.
  isOpen({ shots }) {
    return shots.some(({ key }) => {
      const { edited, rejected } = this.store.shot(key);
      return this.base(key).has_crop && !edited && !rejected;
    });
  }

  // Return the next group, in their order, that is open; undefined if there is none.
  nextOpen() {
    const { groups } = this;
    const at = groups.indexOf(this.group);
    return [...groups.slice(at + 1), ...groups.slice(0, Math.max(0, at))].find((group) => this.isOpen(group));
  }

  undo() {
    this.step("undo");
  }

  redo() {
    this.step("redo");
  }

  // Undo or redo, and show the group in which that changed something.
  step(name) {
    const before = new Map(this.photo?.edit.shots.map((shot) => [shot.key, JSON.stringify(shot)]));
    const entry = this.store[name]();
    if (entry) this.elsewhere(entry, name);
    const changed = entry || !this.photo ? [] : this.photo.edit.shots.filter((shot) => before.get(shot.key) !== JSON.stringify(shot));
    if (!changed.length || changed.some(({ key }) => this.panels.has(key))) return;
    this.showGroup(this.groups.find(({ shots }) => shots.some(({ key }) => key === changed[0].key)) ?? this.group);
  }

  // The change was made to another photo: go there first.
  elsewhere(entry, step) {
    this.dispatchEvent(new CustomEvent("visit", { detail: { id: entry.id, then: step } }));
  }

  toggleLock() {
    const key = this.stage.selected;
    if (key === null) return;
    this.stage.setLocked(key, !this.stage.locked.has(key));
    this.drawSelection();
  }

  toggleSnap() {
    this.stage.snaps = !this.stage.snaps;
    $("snap").setAttribute("aria-pressed", String(this.stage.snaps));
  }

  selectAt(number) {
    const key = [...this.panels.keys()][number];
    if (key === undefined) return;
    this.stage.select(key);
    this.stage.focus(key);
    this.panels.get(key).element.scrollIntoView({ block: "nearest" });
  }

  focusText(field) {
    this.panels.get(this.stage.selected)?.[field].focus();
  }

  // Fit the photo into the stage.
  fit() {
    if (!this.photo) return;
    const { width, height } = this.photo.base;
    const stage = $("stage"), frame = $("frame");
    stage.style.setProperty("--ratio", String(width / height));
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    frame.style.width = `${Math.max(1, Math.floor(width * scale))}px`;
    frame.style.height = `${Math.max(1, Math.floor(height * scale))}px`;
    this.drawPreviews();
  }

  showGone() {
    if (!this.photo) return;
    $("frame").hidden = true;
    $("gone").hidden = false;
    $("gone").textContent = "The photo cannot be shown: it is gone, or in a folder that shotcrop may not read. Name its folder with --photos.";
    this.drawPreviews();
  }

  draw() {
    if (!this.photo) return;
    const { base, edit } = this.photo;
    this.stage.draw(edit, edit.rejected);
    $("undo").disabled = !this.store.done.length;
    $("redo").disabled = !this.store.undone.length;
    const reject = $("reject-photo");
    reject.setAttribute("aria-pressed", String(edit.rejected));
    reject.textContent = edit.rejected ? "Photo rejected" : "Reject photo";
    $("editor").classList.toggle("is-rejected", edit.rejected);
    for (const shot of edit.shots) this.drawPanel(this.panels.get(shot.key), shot, base.shots.find((one) => one.key === shot.key), edit.rejected);
    this.drawNotice();
    this.drawSaved();
  }

  drawPanel(panel, shot, base, photoRejected) {
    if (!panel) return;
    panel.shot = base;
    panel.edit = shot;
    const rejected = shot.rejected || photoRejected;
    panel.element.classList.toggle("rejected", rejected);
    panel.keep.setAttribute("aria-pressed", String(shot.edited && !shot.rejected));
    panel.keep.textContent = shot.edited && !shot.rejected ? "Kept" : "Keep";
    panel.reject.setAttribute("aria-pressed", String(shot.rejected));
    panel.reject.textContent = shot.rejected ? "Rejected" : "Reject";
    panel.reset.hidden = sameBox(shot.box, base.model_box);
    const tags = [];
    if (base.retouched) tags.push("changed by another program");
    if (base.deleted) tags.push("file deleted");
    else if (base.left_out) tags.push(base.left_out);
    else if (!base.has_crop && !rejected) tags.push("no file");
    panel.tags.textContent = tags.join(", ");
    for (const [field, text] of [[panel.caption, shot.caption], [panel.alt, shot.alt_text]]) {
      if (document.activeElement !== field && field.value !== text) field.value = text;
    }
    for (const input of panel.numbers) {
      if (document.activeElement !== input) input.value = String(shot.box[input.name]);
    }
    const address = base.has_crop ? this.source.crop(this.photo.base, base, "large") : "";
    if (panel.address !== address) {
      panel.address = address;
      if (address) panel.crop.src = address;
    }
    this.drawPreview(panel);
  }

  drawPreviews() {
    for (const panel of this.panels.values()) if (panel.edit) this.drawPreview(panel);
  }

  // Draw what the crop will be: the finished crop while it is current, else that part of the photo.
  drawPreview(panel) {
    const { canvas, crop, edit, shot } = panel;
    if (!this.photo || !edit) return;
    const { box } = edit;
    const density = Math.min(devicePixelRatio || 1, 2);
    const scale = Math.min(PREVIEW_PX / box.width, PREVIEW_PX / box.height) * density;
    canvas.width = Math.max(1, Math.round(box.width * scale));
    canvas.height = Math.max(1, Math.round(box.height * scale));
    canvas.style.aspectRatio = `${box.width} / ${box.height}`;
    canvas.setAttribute("aria-label", `${shot.name}: ${edit.alt_text || edit.caption || "no caption"}`);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    const isCurrent = sameBox(box, shot.box) && this.photo.job?.state !== "waiting" && !this.photo.base.is_pending;
    if (isCurrent && panel.address && crop.complete && crop.naturalWidth) {
      // A crop may have another shape than its box, if its ratio set puts it on a background.
      const fits = Math.min(PREVIEW_PX / crop.naturalWidth, PREVIEW_PX / crop.naturalHeight) * density;
      canvas.width = Math.max(1, Math.round(crop.naturalWidth * fits));
      canvas.height = Math.max(1, Math.round(crop.naturalHeight * fits));
      canvas.style.aspectRatio = `${crop.naturalWidth} / ${crop.naturalHeight}`;
      context.drawImage(crop, 0, 0, canvas.width, canvas.height);
      return;
    }
    if (!this.image.complete || !this.image.naturalWidth) return;
    const shown = this.image.naturalWidth / this.photo.base.width;
    context.drawImage(this.image, box.x * shown, box.y * shown, box.width * shown, box.height * shown, 0, 0, canvas.width, canvas.height);
  }

  drawSelection() {
    const key = this.stage.selected;
    for (const panel of this.panels.values()) panel.element.classList.toggle("selected", panel.key === key);
    const item = this.stage.items.get(key);
    const lock = $("lock");
    lock.setAttribute("aria-pressed", String(this.stage.locked.has(key)));
    lock.textContent = item?.shot.aspect ? `Lock ${item.shot.aspect.join(":")}` : "Lock shape";
    lock.disabled = !item;
  }

  drawSaved() {
    const { photo } = this;
    if (!photo || this.store.readOnly) return;
    const saved = $("saved");
    let text = "";
    if (!this.source.save) text = this.store.isDirty ? "Kept in this browser" : "";
    else if (photo.conflict || photo.error) text = "Not saved";
    else if (photo.saving || this.store.isDirty) text = "Saving …";
    else if (photo.job?.state === "waiting") text = "Saved, cropping …";
    else if (photo.job?.state === "failed") text = "Saved, not cropped";
    else if (photo.isSaved) text = "Saved";
    if (saved.textContent !== text) saved.textContent = text;
  }

  drawNotice() {
    const { photo, store } = this;
    const notice = $("notice");
    const parts = [];
    const button = (text, action, primary = false) => {
      const element = Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: action });
      element.className = primary ? "primary" : "";
      return element;
    };
    const message = (text) => Object.assign(document.createElement("p"), { textContent: text });
    if (photo.conflict) {
      parts.push(message(`This photo was changed elsewhere since you opened it. ${this.difference()} Your own changes are still here.`));
      parts.push(button("Keep my changes", () => store.settle(true), true), button("Take the newer state", () => store.settle(false)));
    } else if (photo.error) {
      parts.push(message(`Not saved: ${photo.error} Your changes are kept in this browser.`));
      parts.push(button("Try again", () => store.save(photo), true));
    } else if (photo.job?.state === "failed") {
      parts.push(message(`Your changes are saved, but the crops could not be made: ${photo.job.message}`));
    } else if (photo.job?.message) {
      parts.push(message(photo.job.message));
      if (!store.readOnly) parts.push(button("Replace it and keep a backup", () => this.overwrite()));
    }
    const text = parts.map((part) => part.textContent).join("|");
    if (text === this.noticeText) return;
    this.noticeText = text;
    notice.replaceChildren(...parts);
    notice.hidden = !parts.length;
  }

  // Say what the newer state has, in words.
  difference() {
    const { conflict, edit } = this.photo;
    const newer = editOf(conflict);
    const words = [];
    for (const shot of newer.shots) {
      const mine = edit.shots.find((one) => one.key === shot.key);
      const { name } = conflict.shots.find((one) => one.key === shot.key);
      if (!mine) continue;
      if (!sameBox(shot.box, mine.box)) words.push(`${name}: box ${shot.box.width} × ${shot.box.height} at ${shot.box.x}, ${shot.box.y}`);
      if (shot.caption !== mine.caption) words.push(`${name}: caption “${shot.caption}”`);
      if (shot.alt_text !== mine.alt_text) words.push(`${name}: alt text “${shot.alt_text}”`);
      if (shot.rejected !== mine.rejected) words.push(`${name}: ${shot.rejected ? "rejected" : "not rejected"}`);
    }
    if (newer.rejected !== edit.rejected) words.push(newer.rejected ? "the photo is rejected" : "the photo is not rejected");
    return words.length ? `It now has ${words.join("; ")}.` : "";
  }

  async overwrite() {
    const { photo } = this;
    const answer = await this.source.save(photo.id, { ...editOf(photo.base), fingerprint: photo.base.fingerprint }, { overwrite: true });
    if (answer.status !== 200) {
      photo.error = answer.error;
      this.draw();
      return;
    }
    this.store.adopt(photo, answer);
    this.store.poll(photo);
  }
}
