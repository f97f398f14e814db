import type { JSX } from "preact";

import { count, duration, part, percent } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import type { AnswerTurn } from "../state/turns.ts";

/** What an answer took, and how much of the attention was kept while its prompt was read. */
export function Figures({ turn }: { turn: AnswerTurn }): JSX.Element | null {
  const { usage, insight, timings } = turn;
  if (!usage) return null;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return (
    <p class="figures">
      <span>{t("figures.tokens", { count: count(usage.prompt_tokens) })}</span>
      {cached > 0 && (
        <span>{t("figures.cached", { share: part(cached / usage.prompt_tokens) })}</span>
      )}
      {timings && <span>{t("figures.time", { time: duration(timings.prompt_ms / 1000) })}</span>}
      {insight?.recall_mean != null && (
        <span title={t("figures.recall_help")}>
          {t("figures.recall", { share: percent(insight.recall_mean, 1) })}
        </span>
      )}
    </p>
  );
}
