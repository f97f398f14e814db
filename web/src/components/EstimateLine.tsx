import type { JSX } from "preact";

import type { Estimate } from "../api/types.ts";
import { compact, count, duration, part } from "../i18n/format.ts";
import { adviceFor } from "../i18n/advice.ts";
import { t } from "../i18n/index.ts";
import { draftDocuments } from "../state/draft.ts";
import { estimate, estimateFailure, isEstimating } from "../state/estimate.ts";
import { turns } from "../state/conversations.ts";
import { documentsOf } from "../state/turns.ts";

/** What the next question will take, before it is sent. */
export function EstimateLine(): JSX.Element | null {
  const [found, failure] = [estimate.value, estimateFailure.value];
  const hasDocuments = draftDocuments.value.length > 0 || documentsOf(turns.value).length > 0;
  if (failure !== null) {
    return (
      <p class="estimate is-bad" role="status">
        {failure.message} {adviceFor(failure)}
      </p>
    );
  }
  if (found !== null && (hasDocuments || !found.fits)) return <Figures found={found} />;
  if (!isEstimating.value || !hasDocuments) return null;
  return <p class="estimate">{t("estimate.counting")}</p>;
}

function Figures({ found }: { found: Estimate }): JSX.Element {
  const { tokens, cached_tokens: cached, max_model_len: length, seconds, fits } = found;
  if (!fits) {
    const values = { tokens: count(tokens), length: count(length) };
    return (
      <p class="estimate is-bad" role="status">
        {t("estimate.too_long", values)}
      </p>
    );
  }
  return (
    <p class="estimate" role="status">
      <span>{t("estimate.tokens", { count: count(tokens) })}</span>
      <span>{t("estimate.fits", { length: compact(length) })}</span>
      {cached > 0 && <span>{t("estimate.cached", { share: part(cached / tokens) })}</span>}
      <span>{t("estimate.time", { time: duration(seconds) })}</span>
    </p>
  );
}
