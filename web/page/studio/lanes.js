// So many things at once, the others in line.

/** A function that runs what it is given, at most `width` at a time, and passes on what comes of it. */
export function lanes(width) {
  let busy = 0;
  const line = [];
  return async (work) => {
    if (busy >= width) await new Promise((go) => line.push(go));
    else busy += 1;
    try {
      return await work();
    } finally {
      // Whoever is next takes the place over: `busy` stays.
      if (line.length) line.shift()();
      else busy -= 1;
    }
  };
}

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
