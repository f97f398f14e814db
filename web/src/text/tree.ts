import MarkdownIt from "markdown-it";
import type { Token } from "markdown-it";

import { mathRule } from "./math-rule.ts";

/** A piece of markdown with what it holds. */
export interface Node {
  token: Token;
  children: Node[];
}

// html: false: tags in an answer are text. Nothing here ever becomes HTML source again: the tree is
// drawn as elements, one by one.
const markdown = new MarkdownIt({ html: false, linkify: true, breaks: false, maxNesting: 40 });
markdown.use(mathRule);

export function parse(text: string): Node[] {
  return nest(markdown.parse(text, {}));
}

/** From opening and closing tokens to a tree. */
function nest(tokens: Token[]): Node[] {
  const root: Node[] = [];
  const open: Node[][] = [root];
  for (const token of tokens) {
    if (token.nesting === -1) {
      open.pop();
      continue;
    }
    const node = { token, children: token.children ? nest(token.children) : [] };
    open.at(-1)!.push(node);
    if (token.nesting === 1) open.push(node.children);
  }
  return root;
}
