import { effect, signal } from "@preact/signals";

import { load, save } from "../state/storage.ts";
import { de } from "./de.ts";
import { en } from "./en.ts";
import { ja } from "./ja.ts";
import { zh } from "./zh.ts";

export type Text = keyof typeof en;
export type Texts = Record<Text, string>;
export type Language = "en" | "zh" | "de" | "ja";

const TEXTS: Record<Language, Texts> = { en, zh, de, ja };

export const LANGUAGES: Record<Language, string> = {
  en: "English",
  zh: "中文",
  de: "Deutsch",
  ja: "日本語",
};

export const language = signal<Language>(initial());

function initial(): Language {
  const wanted = [load("longreach.language", ""), ...navigator.languages];
  const known = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in TEXTS);
  return (known as Language | undefined) ?? "en";
}

export function setLanguage(wanted: Language): void {
  language.value = wanted;
  save("longreach.language", wanted);
}

/** A text in the reader's language; {name} stands for a value. */
export function t(text: Text, values: Record<string, string> = {}): string {
  return TEXTS[language.value][text].replace(
    /\{(\w+)\}/g,
    (whole, name: string) => values[name] ?? whole,
  );
}

/** Keep the document's language in step, for screen readers and line breaking. */
export function followLanguage(): void {
  effect(() => {
    document.documentElement.lang = language.value === "zh" ? "zh-Hans" : language.value;
  });
}
