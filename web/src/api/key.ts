import { signal } from "@preact/signals";

const NAME = "longreach.key";

/** Why a key is asked for; null while none is. */
export const keyWanted = signal<"missing" | "refused" | null>(null);

let waiting: { promise: Promise<void>; resolve: () => void } | null = null;

export function currentKey(): string | null {
  return sessionStorage.getItem(NAME);
}

/** Ends when somebody has typed a key. All requests that were refused wait for the same one. */
export function askForKey(refused: string | null): Promise<void> {
  // Another request may have asked, and got one, while this one was on its way.
  if (refused !== currentKey() && keyWanted.value === null) return Promise.resolve();
  waiting ??= Promise.withResolvers<void>();
  keyWanted.value = refused === null ? "missing" : "refused";
  return waiting.promise;
}

export function giveKey(key: string): void {
  sessionStorage.setItem(NAME, key.trim());
  keyWanted.value = null;
  waiting?.resolve();
  waiting = null;
}
