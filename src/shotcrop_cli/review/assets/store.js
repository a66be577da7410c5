// The photo that is open, what the person changed of it, and how that is saved. An edit is in the browser's storage
// from the moment it is made until the server has written it, so that neither a crash nor a full disk loses it.

import { sameBox } from "./geometry.js";

const SAVE_AFTER_MS = 700;
const RETRY_MS = 4000;
const POLL_MS = 250;
const ONE_EDIT_MS = 1500;

// What a person may change, out of all that the server says of a photo.
export function editOf(state) {
  return {
    rejected: state.rejected,
    shots: state.shots.map(({ key, box, caption, alt_text, edited, rejected }) => ({
      key, box: { ...box }, caption, alt_text, edited, rejected,
    })),
  };
}

// Keep crops of a photo, but for rejected ones and those that a ratio left out.
export function keepCrops(edit, base, isMeant = () => true) {
  edit.rejected = false;
  edit.shots.forEach((shot, at) => {
    if (!shot.rejected && !base.shots[at].left_out && isMeant(shot.key)) shot.edited = true;
  });
}

function copy(edit) {
  return { rejected: edit.rejected, shots: edit.shots.map((shot) => ({ ...shot, box: { ...shot.box } })) };
}

function sameShot(a, b) {
  return sameBox(a.box, b.box) && a.caption === b.caption && a.alt_text === b.alt_text &&
    a.edited === b.edited && a.rejected === b.rejected;
}

export function sameEdit(a, b) {
  return a.rejected === b.rejected && a.shots.length === b.shots.length &&
    a.shots.every((shot, at) => shot.key === b.shots[at].key && sameShot(shot, b.shots[at]));
}

// Put what a person changed since `before` on top of a newer state.
export function rebased(edit, before, newer) {
  const result = copy(newer);
  if (edit.rejected !== before.rejected) result.rejected = edit.rejected;
  for (const shot of result.shots) {
    const mine = edit.shots.find((one) => one.key === shot.key);
    const old = before.shots.find((one) => one.key === shot.key);
    if (!mine || !old) continue;
    if (!sameBox(mine.box, old.box)) shot.box = { ...mine.box };
    for (const name of ["caption", "alt_text", "edited", "rejected"]) {
      if (mine[name] !== old[name]) shot[name] = mine[name];
    }
  }
  return result;
}

function loaded({ state, job }) {
  return { id: state.id, base: state, edit: editOf(state), job, saving: null, timer: 0, error: "", conflict: null, asked: 0, heard: 0 };
}

export class Store extends EventTarget {
  constructor(boot, source) {
    super();
    this.source = source;
    this.readOnly = boot.readOnly;
    this.prefix = `shotcrop:${boot.root}:`;
    this.photo = null;
    this.done = [];
    this.undone = [];
    this.memory = new Map();
    this.channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(this.prefix) : null;
    if (this.channel) this.channel.onmessage = ({ data }) => this.heard(data);
    addEventListener("pagehide", () => this.flush({ keepalive: true }));
    addEventListener("beforeunload", (event) => {
      if (!this.storageFailed) return;
      if ([...this.memory.keys()].length) event.preventDefault();
    });
  }

  say(kind, detail = {}) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  // Show a photo. A draft of it that was never saved comes back.
  open(answer) {
    const { state, job } = answer;
    this.photo = loaded(answer);
    const draft = this.draft(state.id);
    if (draft) this.restore(draft);
    this.say("open");
    this.say("change");
    if (job?.state === "waiting") this.poll(this.photo);
    if (draft && this.isDirty && !this.photo.conflict) this.schedule(0);
  }

  restore(draft) {
    const { photo } = this;
    const now = editOf(photo.base);
    if (draft.fingerprint === photo.base.fingerprint) {
      photo.edit = rebased(draft.edit, draft.before, now);
      photo.restored = !sameEdit(photo.edit, now);
    } else if (!sameEdit(rebased(draft.edit, draft.before, now), now)) {
      photo.edit = copy(draft.edit);
      photo.before = draft.before;
      photo.conflict = photo.base;
    }
    if (sameEdit(photo.edit, now) && !photo.conflict) this.forget(photo.id);
  }

  close() {
    if (this.photo) this.flush();
    this.photo = null;
  }

  get isDirty() {
    return !!this.photo && !sameEdit(this.photo.edit, editOf(this.photo.base));
  }

  shot(key) {
    return this.photo?.edit.shots.find((shot) => shot.key === key);
  }

  // Change the edit. Changes with the same name that follow each other soon are undone together.
  change(name, make) {
    const { photo } = this;
    if (!photo || this.readOnly) return;
    const before = copy(photo.edit);
    make(photo.edit);
    if (sameEdit(before, photo.edit)) return;
    const last = this.done.at(-1);
    const now = Date.now();
    if (last && last.id === photo.id && last.name === name && now - last.time < ONE_EDIT_MS) last.time = now;
    else this.done.push({ id: photo.id, title: photo.base.name, name, edit: before, time: now });
    if (this.done.length > 500) this.done.shift();
    this.undone = [];
    this.changed();
  }

  // Change a photo that is not open, and return why that failed, or nothing.
  async decide(id, make) {
    const answer = await this.source.photo(id);
    if (answer.status !== 200) return answer.error;
    const photo = loaded(answer);
    const before = copy(photo.edit);
    make(photo.edit, photo.base);
    if (sameEdit(before, photo.edit)) return "";
    this.done.push({ id, title: photo.base.name, name: "list", edit: before, time: 0 });
    this.undone = [];
    this.keep(photo);
    await this.save(photo);
    return photo.conflict ? "This photo was changed elsewhere. Open it to see how." : photo.error;
  }

  setBox(key, box) {
    this.change(`box:${key}`, (edit) => {
      const shot = edit.shots.find((one) => one.key === key);
      if (!sameBox(shot.box, box)) Object.assign(shot, { box: { ...box }, edited: true });
    });
  }

  setText(key, field, text) {
    this.change(`${field}:${key}`, (edit) => {
      const shot = edit.shots.find((one) => one.key === key);
      if (shot[field] !== text) Object.assign(shot, { [field]: text, edited: true });
    });
  }

  setShot(key, values) {
    this.change(`shot:${key}:${JSON.stringify(values)}:${Date.now()}`, (edit) =>
      Object.assign(edit.shots.find((one) => one.key === key), values));
  }

  step(from, to) {
    const { photo } = this;
    const last = from.at(-1);
    if (!last || this.readOnly) return null;
    if (!photo || last.id !== photo.id) return last;
    from.pop();
    to.push({ ...last, edit: copy(photo.edit), time: 0 });
    photo.edit = copy(last.edit);
    this.changed();
    return null;
  }

  // Undo the last change. If it was made to another photo, return it, and open that one first.
  undo() {
    return this.step(this.done, this.undone);
  }

  redo() {
    return this.step(this.undone, this.done);
  }

  changed() {
    const { photo } = this;
    this.keep(photo);
    this.say("change");
    if (!photo.conflict) this.schedule(SAVE_AFTER_MS);
  }

  schedule(delay) {
    const { photo } = this;
    clearTimeout(photo.timer);
    photo.timer = setTimeout(() => this.save(photo), delay);
  }

  // Save what waits, at once.
  flush(options = {}) {
    const { photo } = this;
    if (photo && this.isDirty && !photo.conflict) {
      clearTimeout(photo.timer);
      return this.save(photo, options);
    }
    return photo?.saving ?? Promise.resolve();
  }

  async save(photo, options = {}) {
    if (this.readOnly || photo.conflict || !this.source.save) return;
    if (photo.saving) {
      await photo.saving;
      if (photo.conflict || sameEdit(photo.edit, editOf(photo.base))) return;
    }
    if (sameEdit(photo.edit, editOf(photo.base))) return;
    photo.saving = this.send(photo, options);
    await photo.saving;
  }

  async send(photo, options) {
    const sent = copy(photo.edit);
    const before = editOf(photo.base);
    this.say("saving", { photo });
    const answer = await this.source.save(photo.id, { ...sent, fingerprint: photo.base.fingerprint }, options);
    photo.saving = null;
    if (answer.status === 200) {
      photo.error = "";
      photo.isSaved = true;
      photo.heard = ++photo.asked;
      photo.base = answer.state;
      photo.job = answer.job;
      photo.edit = rebased(photo.edit, sent, editOf(answer.state));
      if (sameEdit(photo.edit, editOf(photo.base))) this.forget(photo.id);
      else this.schedule(SAVE_AFTER_MS);
      this.channel?.postMessage({ id: photo.id });
      this.say("saved", { photo });
      if (photo.job?.state === "waiting") this.poll(photo);
    } else if (answer.status === 409 && answer.state) {
      photo.conflict = answer.state;
      photo.before = before;
    } else {
      photo.error = answer.error;
      if (answer.retry) setTimeout(() => this.save(photo), RETRY_MS);
    }
    if (photo === this.photo) this.say("change");
  }

  // Wait until the crops are made, and take what the server then says.
  async poll(photo) {
    while (photo === this.photo && photo.job?.state === "waiting") {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (photo.saving || photo !== this.photo) continue;
      const asked = ++photo.asked;
      const answer = await this.source.photo(photo.id);
      if (photo.saving || answer.status !== 200) continue;
      this.adopt(photo, answer, asked);
    }
    this.say("cropped", { photo });
  }

  // Take what the server says, unless a later question was answered sooner.
  adopt(photo, { state, job }, asked = ++photo.asked) {
    if (asked < photo.heard) return;
    photo.heard = asked;
    const before = editOf(photo.base);
    photo.base = state;
    photo.job = job;
    photo.edit = rebased(photo.edit, before, editOf(state));
    if (photo === this.photo) this.say("change");
  }

  // Settle a conflict: put my changes on top of the newer state, or give them up.
  settle(mine) {
    const { photo } = this;
    const newer = photo.conflict;
    photo.edit = mine ? rebased(photo.edit, photo.before, editOf(newer)) : editOf(newer);
    photo.base = newer;
    photo.conflict = null;
    if (this.isDirty) this.keep(photo);
    else this.forget(photo.id);
    this.say("change");
    this.schedule(0);
  }

  // Another tab saved a photo.
  async heard({ id }) {
    this.say("elsewhere", { id });
    const { photo } = this;
    if (!photo || photo.id !== id || photo.saving || this.isDirty || photo.conflict) return;
    const asked = ++photo.asked;
    const answer = await this.source.photo(id);
    if (answer.status === 200 && photo === this.photo && !this.isDirty) {
      this.adopt(photo, answer, asked);
      if (photo.job?.state === "waiting") this.poll(photo);
    }
  }

  keep(photo) {
    const base = editOf(photo.base);
    if (sameEdit(photo.edit, base) && !photo.conflict) {
      this.forget(photo.id);
      return;
    }
    const draft = {
      id: photo.id, photo: photo.base.photo, fingerprint: photo.base.fingerprint,
      before: photo.conflict ? photo.before : base, edit: photo.edit,
    };
    if (photo.conflict) draft.fingerprint = "";
    this.memory.set(photo.id, JSON.stringify(draft));
    try {
      localStorage.setItem(this.prefix + photo.id, this.memory.get(photo.id));
      this.storageFailed = false;
    } catch {
      this.storageFailed = true;
    }
    this.say("drafts");
  }

  draft(id) {
    let text = this.memory.get(id);
    try {
      text = localStorage.getItem(this.prefix + id) ?? text;
    } catch {
      // The browser keeps nothing for this page: what is in memory has to do.
    }
    try {
      return text ? JSON.parse(text) : null;
    } catch {
      return null;
    }
  }

  forget(id) {
    this.memory.delete(id);
    try {
      localStorage.removeItem(this.prefix + id);
    } catch {
      // As above.
    }
    this.say("drafts");
  }

  // The photos with edits that are not saved.
  drafts() {
    const ids = new Set(this.memory.keys());
    try {
      for (let at = 0; at < localStorage.length; at++) {
        const name = localStorage.key(at);
        if (name.startsWith(this.prefix)) ids.add(name.slice(this.prefix.length));
      }
    } catch {
      // As above.
    }
    return [...ids];
  }
}
