// Where the page has its data from: the server, or the files of a static page.

export class LiveSource {
  constructor(boot) {
    this.csrf = boot.csrf;
    this.search = "";
  }

  async ask(address, options = {}) {
    try {
      const answer = await fetch(address, { credentials: "same-origin", ...options });
      if (answer.headers.get("content-type")?.startsWith("application/json")) {
        return { status: answer.status, ...(await answer.json()), ...(answer.status === 423 ? { retry: true } : {}) };
      }
      return { status: answer.status, error: await answer.text() };
    } catch {
      return { status: 0, error: "The server does not answer. Start `shotcrop review` again.", retry: true };
    }
  }

  list(query, offset, limit) {
    return this.ask(`/api/list?${query}&offset=${offset}&limit=${limit}`);
  }

  status() {
    return this.ask("/api/status");
  }

  photo(id) {
    return this.ask(`/api/photo/${id}`);
  }

  next(id, query) {
    return this.ask(`/api/next/${id}?${query}`);
  }

  post(address, content, keepalive = false) {
    const headers = { "content-type": "application/json", "x-shotcrop-csrf": this.csrf };
    return this.ask(address, { method: "POST", headers, body: JSON.stringify(content), keepalive });
  }

  scan() {
    return this.post("/api/scan", {});
  }

  save(id, edit, { overwrite = false, keepalive = false } = {}) {
    return this.post(`/api/photo/${id}`, { edit, overwrite_edited: overwrite }, keepalive);
  }

  image({ id, version }, size) {
    return `/image/${id}/${size}?v=${version}`;
  }

  crop({ id }, { key, version }, size) {
    return `/crop/${id}/${size}/${encodeURIComponent(key)}?v=${version || Date.now()}`;
  }

  address(id) {
    return `/photo/${id}${this.search}`;
  }
}

const MANY_PEOPLE = 4;

export class StaticSource {
  constructor(data) {
    this.photos = new Map(data.photos.map((photo) => [photo.state.id, photo]));
    this.save = null;
    this.drafted = () => null;
  }

  // The card of a photo with what the person changed of it.
  row({ row }) {
    const draft = this.drafted(row.id);
    if (!draft) return row;
    const shots = row.shots.map((shot) => {
      const mine = draft.edit.shots.find((one) => one.key === shot.key);
      if (!mine) return shot;
      const { x, y, width, height } = mine.box;
      return { ...shot, edited: mine.edited, rejected: mine.rejected, box: [x, y, width, height] };
    });
    return { ...row, rejected: draft.edit.rejected, shots };
  }

  matching(query) {
    const wanted = new URLSearchParams(query);
    const words = (wanted.get("q") ?? "").toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const states = {
      open: (row) => !row.rejected && row.shots.some((shot) => shot.file && !shot.edited && !shot.rejected),
      edited: (row) => row.shots.some((shot) => shot.edited),
      rejected: (row) => row.rejected || row.shots.some((shot) => shot.rejected),
      pending: (row) => row.pending,
    };
    const shot = wanted.get("shot");
    const worst = (shots) => Math.min(...shots.filter((one) => one.shot === shot).map((one) => one.score ?? 2), 2);
    const score = ({ row }) => (shot ? worst(row.shots) : row.score ?? 2);
    const below = wanted.get("below"), people = wanted.get("people"), folder = wanted.get("folder");
    const fits = (photo) => {
      const { row, text } = photo;
      return (
        (!wanted.get("state") || states[wanted.get("state")]?.(row)) &&
        (!wanted.get("status") || row.status === wanted.get("status")) &&
        (!below || score(photo) < Number(below)) &&
        (!people || (Number(people) >= MANY_PEOPLE ? row.people >= MANY_PEOPLE : row.people === Number(people))) &&
        (!wanted.get("person") || row.shots.some((one) => one.person === wanted.get("person"))) &&
        (!wanted.get("set") || row.shots.some((one) => one.set === wanted.get("set"))) &&
        (!folder || row.folder === folder || row.folder.startsWith(`${folder}/`)) &&
        words.every((word) => text.includes(word))
      );
    };
    const found = [...this.photos.values()].map((photo) => ({ ...photo, row: this.row(photo) })).filter(fits);
    // They come in the order of their names.
    return wanted.get("sort") === "name" ? found : found.sort((a, b) => score(a) - score(b));
  }

  async list(query, offset, limit) {
    const found = this.matching(query);
    return { status: 200, total: found.length, offset, rows: found.slice(offset, offset + limit).map(({ row }) => row) };
  }

  async status() {
    return { status: 200, photos: this.photos.size, complete: true, waiting: 0 };
  }

  async photo(id) {
    const photo = this.photos.get(id);
    return photo ? { status: 200, state: photo.state, job: { state: "done", message: "" } } : { status: 404, error: "There is no such photo." };
  }

  async next(id, query) {
    const ids = this.matching(query).map(({ row }) => row.id);
    const at = ids.indexOf(id);
    return { status: 200, next: ids[at + 1] ?? null, previous: ids[at - 1] ?? null, position: Math.max(at, 0), total: ids.length };
  }

  image({ id }, size) {
    return this.photos.get(id).files[size] ?? "";
  }

  crop({ id }, { key }, size) {
    return this.photos.get(id).files[`${size} ${key}`] ?? this.photos.get(id).files[`small ${key}`] ?? "";
  }

  address(id) {
    return `#${id}`;
  }
}
