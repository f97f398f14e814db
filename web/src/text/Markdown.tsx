import type { ComponentChildren, JSX } from "preact";
import { memo } from "preact/compat";

import { Code } from "./Code.tsx";
import { Formula } from "./Formula.tsx";
import { parse } from "./tree.ts";
import type { Node } from "./tree.ts";

/** Text of a model as elements. No part of it is ever read as HTML. */
export const Markdown = memo(({ text }: { text: string }): JSX.Element => (
  <div class="markdown">{draw(parse(text))}</div>
));

const TAGS = new Set(
  "p h1 h2 h3 h4 h5 h6 ul ol li blockquote em strong s thead tbody tr th td hr br".split(" "),
);

function draw(nodes: Node[]): ComponentChildren {
  return nodes.map((node, index) => <Drawn key={index} node={node} />);
}

function Drawn({ node }: { node: Node }): JSX.Element {
  const { token, children } = node;
  switch (token.type) {
    case "text":
    case "text_special":
      return <>{token.content}</>;
    case "inline":
      return <>{draw(children)}</>;
    case "softbreak":
      return <>{"\n"}</>;
    case "code_inline":
      return <code>{token.content}</code>;
    case "fence":
    case "code_block":
      return <Code text={token.content} language={token.info.trim().split(/\s/)[0] ?? ""} />;
    case "math_inline":
    case "math_block":
      return <Formula text={token.content} display={token.type === "math_block"} />;
    case "table_open":
      return <Table>{draw(children)}</Table>;
    case "link_open":
      return <Link to={String(token.attrGet("href") ?? "")}>{draw(children)}</Link>;
    case "image": // nothing is loaded from elsewhere
      return <Link to={String(token.attrGet("src") ?? "")}>{token.content}</Link>;
  }
  return plain(node);
}

function plain({ token, children }: Node): JSX.Element {
  if (token.hidden || !TAGS.has(token.tag)) return <>{draw(children) ?? token.content}</>;
  const Tag = token.tag as "p";
  const align = /text-align:(\w+)/.exec(String(token.attrGet("style") ?? ""))?.[1];
  const start = token.tag === "ol" ? { start: Number(token.attrGet("start") ?? 1) } : {};
  return (
    <Tag {...start} {...(align && { class: `align-${align}` })}>
      {children.length > 0 ? draw(children) : undefined}
    </Tag>
  );
}

function Table({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <div class="table" tabIndex={0}>
      <table>{children}</table>
    </div>
  );
}

function Link({ to, children }: { to: string; children: ComponentChildren }): JSX.Element {
  if (!/^(https?:|mailto:)/i.test(to)) return <>{children}</>;
  return (
    <a href={to} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
