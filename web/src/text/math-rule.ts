import type { MarkdownIt } from "markdown-it";
import type { StateBlock, StateInline } from "markdown-it";

const INLINE: [open: string, close: string, display: boolean][] = [
  ["\\(", "\\)", false],
  ["\\[", "\\]", true],
  ["$$", "$$", true],
  ["$", "$", false],
];
const BLOCK: [open: string, close: string][] = [
  ["$$", "$$"],
  ["\\[", "\\]"],
];

/** Formulas as models write them: \(…\), \[…\], $$…$$, and $…$ where it cannot be an amount of money. */
export function mathRule(markdown: MarkdownIt): void {
  markdown.inline.ruler.before("escape", "math", inlineMath);
  markdown.block.ruler.before("fence", "math", blockMath, {
    alt: ["paragraph", "reference", "blockquote", "list"],
  });
}

function inlineMath(state: StateInline, silent: boolean): boolean {
  const found = INLINE.find(([open]) => state.src.startsWith(open, state.pos));
  if (!found) return false;
  const [open, close, display] = found;
  const start = state.pos + open.length;
  const end = closing(state.src, close, start, state.posMax);
  const text = state.src.slice(start, end);
  if (end < 0 || text.trim() === "" || (open === "$" && isMoney(text, state.src[end + 1])))
    return false;
  if (!silent) push(state.push(display ? "math_block" : "math_inline", "math", 0), text);
  state.pos = end + close.length;
  return true;
}

/** The place of a delimiter that no backslash makes a plain sign; -1 for none. */
function closing(source: string, close: string, start: number, limit: number): number {
  let at = source.indexOf(close, start);
  while (at > 0 && close.startsWith("$") && source[at - 1] === "\\")
    at = source.indexOf(close, at + 1);
  return at + close.length <= limit ? at : -1;
}

/** Pandoc's rule: "$5 and $10" holds no formula. */
function isMoney(text: string, after: string | undefined): boolean {
  return /^\s|\s$|\n\n/.test(text) || /\d/.test(after ?? "");
}

function blockMath(state: StateBlock, line: number, endLine: number, silent: boolean): boolean {
  const lineAt = (at: number): string =>
    state.src.slice(state.bMarks[at]! + state.tShift[at]!, state.eMarks[at]).trim();
  const first = lineAt(line);
  const found = BLOCK.find(([open]) => first.startsWith(open));
  if (!found) return false;
  const lines = [first.slice(found[0].length)];
  let last = line;
  while (!lines.at(-1)!.endsWith(found[1])) {
    if (++last >= endLine) return false; // still being written
    lines.push(lineAt(last));
  }
  if (silent) return true;
  lines.push(lines.pop()!.slice(0, -found[1].length));
  push(state.push("math_block", "math", 0), lines.join("\n"));
  state.line = last + 1;
  return true;
}

function push(token: { content: string; block: boolean }, text: string): void {
  token.content = text.trim();
}
