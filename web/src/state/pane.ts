import { signal } from "@preact/signals";

import { focusLater } from "./focus.ts";
import { getPages } from "../api/documents.ts";
import type { Citation, PageShare, PageText } from "../api/types.ts";

/** The page that is shown. quote: what is marked in its text. shares: where an answer looked. */
export interface OpenPage {
  id: string;
  name: string;
  page: number;
  quote: Citation | null;
  shares: PageShare[];
}

export const openPage = signal<OpenPage | null>(null);
let opener: HTMLElement | null = null;

export function openDocument(wanted: Omit<OpenPage, "shares" | "quote"> & Partial<OpenPage>): void {
  if (openPage.value === null) opener = document.activeElement as HTMLElement | null;
  openPage.value = { quote: null, shares: [], ...wanted };
}

export function turnTo(page: number): void {
  if (openPage.value) openPage.value = { ...openPage.value, page, quote: null };
}

/** Close it; the focus goes back to what opened it. */
export function closePane(): void {
  openPage.value = null;
  focusLater(opener);
  opener = null;
}

const texts = new Map<string, Promise<PageText[]>>();

/** The text of a document, fetched once. */
export function pagesOf(id: string): Promise<PageText[]> {
  const known = texts.get(id);
  if (known) return known;
  const fetched = getPages(id);
  texts.set(id, fetched);
  fetched.catch(() => texts.delete(id));
  return fetched;
}
