// The crops of one person in one ratio set are a group. The page shows one group at a time.

const MAIN = "main";
const DEFAULT_SET = "default";

// Return the groups of a photo in their order. A shared establishing shot belongs to each person's group.
export function groupsOf(shots) {
  const groups = new Map();
  for (const shot of shots) {
    const { person } = shot, set = shot.set ?? shot.set_name;
    const id = `${person} ${set}`;
    if (!groups.has(id)) groups.set(id, { id, person, set, shots: [], shared: false });
    groups.get(id).shots.push(shot);
  }
  for (const group of groups.values()) {
    if (group.shots.some(({ shot }) => shot === "establishing")) continue;
    const main = groups.get(`${MAIN} ${group.set}`);
    const shared = main?.shots.find(({ shot }) => shot === "establishing");
    if (!shared) continue;
    group.shots.unshift(shared);
    main.shared = true;
  }
  // A group that has only the shared shot shows nothing that the others do not show.
  return [...groups.values()].filter(({ shared, shots: own }) => !shared || own.length > 1);
}

// Return the group to show first: one with files, and if possible of the person and set that the filters name.
export function firstGroup(groups, hasFile, { person = "", set = "" } = {}) {
  const fits = (group) => (!person || group.person === person) && (!set || group.set === set);
  const isMade = ({ shared, shots }) => shots.some((shot) => hasFile(shot) && !(shared && shot.shot === "establishing"));
  const made = groups.filter(isMade);
  return made.find(fits) ?? made[0] ?? groups.find(({ shots }) => shots.some(hasFile)) ?? groups[0];
}

export function groupName({ person, set }, names = {}) {
  const whom = names[person] ?? (person === MAIN ? "main person" : person.replace(/^person(\d+)$/, "person $1"));
  return set === DEFAULT_SET ? whom : `${whom}, ${set}`;
}

export function isOrdinary({ person, set }) {
  return person === MAIN && set === DEFAULT_SET;
}
