import { signal } from "@preact/signals";

import { ApiError } from "../api/errors.ts";
import { adviceFor } from "../i18n/advice.ts";

/** Something that went wrong outside a conversation. about: the file, where it was one. */
export interface Notice {
  key: number;
  about: string | null;
  text: string;
  advice: string;
}

export const notices = signal<Notice[]>([]);
let lastKey = 0;

export function notify(error: unknown, about: string | null = null): void {
  const known = error instanceof ApiError ? error : null;
  const text = known?.message ?? String(error);
  const advice = known === null ? "" : adviceFor(known);
  const key = ++lastKey;
  const others = notices.value.filter((each) => each.text !== text || each.about !== about);
  notices.value = [...others, { key, about, text, advice }].slice(-3);
}

export function dismiss(key: number): void {
  notices.value = notices.value.filter((each) => each.key !== key);
}
