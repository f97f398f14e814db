import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import type { DocumentInfo, PageShare } from "../api/types.ts";
import { count, percent } from "../i18n/format.ts";
import { pageName } from "../i18n/pages.ts";

const MAX_CELLS = 150;

interface Properties {
  document: DocumentInfo | undefined;
  shares: PageShare[];
  numPages: number;
  page: number | null;
  onChoose: (page: number) => void;
}

/** Some pages that are one cell of the strip. best: the one that was looked at most. */
interface Cell {
  first: number;
  last: number;
  best: number;
  share: number;
}

/**
 * Where in a document an answer looked, from its first page to its last. For the eye and the mouse
 * only: the same pages stand beside it as buttons.
 */
export function HeatStrip({ document, shares, numPages, page, onChoose }: Properties): JSX.Element {
  const cells = useMemo(() => cellsOf(shares, numPages), [shares, numPages]);
  const most = Math.max(...cells.map((cell) => cell.share), 1e-9);
  return (
    <div class="heat" aria-hidden="true">
      {cells.map((cell) => (
        <span
          key={cell.first}
          class={page !== null && cell.first <= page && page <= cell.last ? "is-here" : ""}
          title={titleOf(document, cell)}
          // The eye sees small differences of light badly, so weak looks are drawn stronger.
          style={{ "--heat": (cell.share / most) ** 0.75 }}
          onClick={() => onChoose(cell.best)}
        />
      ))}
    </div>
  );
}

function titleOf(document: DocumentInfo | undefined, { first, last, share }: Cell): string {
  const page = first === last ? first : `${count(first)}–${count(last)}`;
  return `${pageName(document, page)}: ${percent(share, 1)}`;
}

function cellsOf(shares: PageShare[], numPages: number): Cell[] {
  const total = Math.max(numPages, ...shares.map((each) => each.page), 1);
  const size = Math.ceil(total / MAX_CELLS);
  const cells = Array.from({ length: Math.ceil(total / size) }, (_, index): Cell => {
    const first = 1 + index * size;
    return { first, last: Math.min(first + size - 1, total), best: first, share: 0 };
  });
  const strongest = cells.map(() => 0);
  for (const { page, share } of shares) {
    const index = Math.floor((page - 1) / size);
    const cell = cells[index]!;
    cell.share += share;
    if (share > strongest[index]!) [strongest[index], cell.best] = [share, page];
  }
  return cells;
}
