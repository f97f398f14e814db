import type { Citation } from "../api/types.ts";

/** A page's text before a quote, the quote as it stands there, and the text after it. */
export function around(text: string, quote: Citation | null): [string, string, string] {
  if (quote === null || quote.end <= quote.start) return [text, "", ""];
  // The server counts characters, JavaScript UTF-16 units: they differ beyond the first plane.
  const characters = [...text];
  const part = (from: number, to?: number): string => characters.slice(from, to).join("");
  return [part(0, quote.start), part(quote.start, quote.end), part(quote.end)];
}
