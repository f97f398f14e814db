import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { getPageImage } from "../api/documents.ts";
import { t } from "../i18n/index.ts";

/** The picture of a page, where the document has any. */
export function PageImage({ id, page }: { id: string; page: number }): JSX.Element | null {
  const [source, setSource] = useState<string | null>(null);
  const [isMissing, setMissing] = useState(false);
  useEffect(() => fetched(id, page, setSource, () => setMissing(true)), [id, page]);
  if (isMissing) return null;
  return (
    <div class="picture">
      {source === null ? (
        <span class="pulse" aria-hidden="true" />
      ) : (
        <img src={source} alt={t("pane.picture", { page: String(page) })} />
      )}
    </div>
  );
}

function fetched(
  id: string,
  page: number,
  show: (source: string) => void,
  miss: () => void,
): () => void {
  let source: string | null = null;
  let isCurrent = true;
  const arrived = (url: string): void => {
    source = url;
    if (isCurrent) show(url);
    else URL.revokeObjectURL(url);
  };
  getPageImage(id, page).then(arrived, () => isCurrent && miss());
  return () => {
    isCurrent = false;
    if (source !== null) URL.revokeObjectURL(source);
  };
}
