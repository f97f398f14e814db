/** What this browser keeps. A private window may keep nothing, which is no error. */

export function load<T>(name: string, otherwise: T): T {
  try {
    const kept = localStorage.getItem(name);
    return kept === null ? otherwise : (JSON.parse(kept) as T);
  } catch {
    return otherwise;
  }
}

/** Whether there was room. */
export function save(name: string, value: unknown): boolean {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
