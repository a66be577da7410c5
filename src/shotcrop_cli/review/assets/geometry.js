// Arithmetic on boxes in whole pixels of the upright photo. Nothing here touches the page.

export const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const SMALLEST = 8;
// A ratio with small terms is kept exactly from this many times its terms on, as shotcrop's own framing does.
const EXACT_STEPS = 8;
const LARGEST_TERM = 40;
const HEAD_AIR = 0.15;

export function sameBox(a, b) {
  return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;
}

export function insidePhoto(box, photo) {
  const width = Math.min(Math.max(Math.round(box.width), 1), photo.width);
  const height = Math.min(Math.max(Math.round(box.height), 1), photo.height);
  return {
    x: Math.min(Math.max(Math.round(box.x), 0), photo.width - width),
    y: Math.min(Math.max(Math.round(box.y), 0), photo.height - height),
    width,
    height,
  };
}

// Size the nearest multiple of a ratio, at most `most` and at least a few pixels.
export function sized(width, height, ratio, most) {
  const [wide, high] = ratio;
  const scale = Math.min(Math.max(width / wide, height / high), most.width / wide, most.height / high);
  const steps = Math.min(Math.round(scale), Math.floor(most.width / wide), Math.floor(most.height / high));
  if (steps >= EXACT_STEPS && Math.max(wide, high) <= LARGEST_TERM) {
    return { width: steps * wide, height: steps * high };
  }
  if (wide <= high) {
    const whole = Math.max(Math.floor(Math.min(scale * wide, most.width)), 1);
    return { width: whole, height: Math.max(Math.min(Math.round((whole * high) / wide), most.height), 1) };
  }
  const whole = Math.max(Math.floor(Math.min(scale * high, most.height)), 1);
  return { width: Math.max(Math.min(Math.round((whole * wide) / high), most.width), 1), height: whole };
}

export function moved(box, dx, dy, photo) {
  return insidePhoto({ ...box, x: box.x + dx, y: box.y + dy }, photo);
}

// Move the sides that a handle names by dx and dy. The opposite side or corner stays where it is.
export function resized(box, handle, dx, dy, photo, ratio) {
  const west = handle.includes("w"), east = handle.includes("e");
  const north = handle.includes("n"), south = handle.includes("s");
  let left = box.x, top = box.y, right = box.x + box.width, bottom = box.y + box.height;
  if (west) left = Math.min(Math.max(left + dx, 0), right - SMALLEST);
  if (east) right = Math.max(Math.min(right + dx, photo.width), left + SMALLEST);
  if (north) top = Math.min(Math.max(top + dy, 0), bottom - SMALLEST);
  if (south) bottom = Math.max(Math.min(bottom + dy, photo.height), top + SMALLEST);
  if (!ratio) return insidePhoto({ x: left, y: top, width: right - left, height: bottom - top }, photo);
  const middleX = box.x + box.width / 2, middleY = box.y + box.height / 2;
  const most = {
    width: west ? box.x + box.width : east ? photo.width - box.x : 2 * Math.min(middleX, photo.width - middleX),
    height: north ? box.y + box.height : south ? photo.height - box.y : 2 * Math.min(middleY, photo.height - middleY),
  };
  let width = right - left, height = bottom - top;
  if (!(west || east)) width = 0;
  if (!(north || south)) height = 0;
  if (width && height) {
    // The side that moved further decides, so that a corner can shrink the box, too.
    const byWidth = Math.abs(width / box.width - 1) >= Math.abs(height / box.height - 1);
    if (byWidth) height = 0;
    else width = 0;
  }
  const size = sized(width, height, ratio, most);
  const x = west ? box.x + box.width - size.width : east ? box.x : middleX - size.width / 2;
  const y = north ? box.y + box.height - size.height : south ? box.y : middleY - size.height / 2;
  return insidePhoto({ x, y, ...size }, photo);
}

// The lines that boxes snap to: the photo's edges and thirds, and the heads of its people.
export function snapLines(photo, people) {
  const heads = people.filter((person) => person.head).map(({ head: [x0, y0, x1, y1] }) => ({
    left: x0 * photo.width,
    right: x1 * photo.width,
    top: y0 * photo.height,
    bottom: y1 * photo.height,
  }));
  return { photo, heads };
}

function nearest(candidates, tolerance) {
  let best = null;
  for (const candidate of candidates) {
    const distance = Math.abs(candidate.by);
    if (distance <= tolerance && (!best || distance < Math.abs(best.by))) best = candidate;
  }
  return best;
}

// Move a box so that a head is on its thirds or in its middle, or its edges are on those of the photo.
export function snapMove(box, { photo, heads }, tolerance) {
  const across = [
    { by: -box.x, at: 0 },
    { by: photo.width - box.x - box.width, at: photo.width },
    { by: photo.width / 2 - box.x - box.width / 2, at: photo.width / 2 },
  ];
  const down = [{ by: -box.y, at: 0 }, { by: photo.height - box.y - box.height, at: photo.height }];
  for (const head of heads) {
    const middle = (head.left + head.right) / 2, eyes = (head.top + head.bottom) / 2;
    for (const share of [1 / 3, 1 / 2, 2 / 3]) across.push({ by: middle - box.x - share * box.width, at: middle });
    down.push({ by: eyes - box.y - box.height / 3, at: eyes });
    const air = head.top - HEAD_AIR * (head.bottom - head.top);
    down.push({ by: air - box.y, at: air });
  }
  return snapped(box, nearest(across, tolerance), nearest(down, tolerance), photo);
}

function snapped(box, across, down, photo) {
  const lines = [];
  if (across) lines.push({ x: across.at });
  if (down) lines.push({ y: down.at });
  return { box: moved(box, across?.by ?? 0, down?.by ?? 0, photo), lines };
}

// Return how much further to move the sides of a handle so that they meet a line.
export function snapSides(box, handle, { photo, heads }, tolerance) {
  const across = [0, photo.width / 3, (2 * photo.width) / 3, photo.width];
  const down = [0, photo.height / 3, (2 * photo.height) / 3, photo.height];
  for (const head of heads) {
    across.push(head.left, head.right);
    down.push(head.top, head.bottom, head.top - HEAD_AIR * (head.bottom - head.top));
  }
  const side = (lines, at) => nearest(lines.map((line) => ({ by: line - at, at: line })), tolerance);
  const x = handle.includes("w") ? side(across, box.x) : handle.includes("e") ? side(across, box.x + box.width) : null;
  const y = handle.includes("n") ? side(down, box.y) : handle.includes("s") ? side(down, box.y + box.height) : null;
  return { dx: x?.by ?? 0, dy: y?.by ?? 0, lines: [...(x ? [{ x: x.at }] : []), ...(y ? [{ y: y.at }] : [])] };
}
