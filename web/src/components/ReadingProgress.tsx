import type { JSX } from "preact";

import { count, duration, part } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import type { AnswerTurn } from "../state/turns.ts";

/** How far the prompt is read: what was cached, what is read now, how long it will take. */
export function ReadingProgress({ turn }: { turn: AnswerTurn }): JSX.Element {
  const { progress, tokensPerSecond } = turn;
  if (!progress) {
    return (
      <p class="waiting">
        <span class="pulse" aria-hidden="true" />
        {t("progress.waiting")}
      </p>
    );
  }
  const { total, cache, processed, eta_ms: eta } = progress;
  const share = processed / Math.max(total, 1);
  const facts = [
    t("progress.read", { done: count(processed), total: count(total) }),
    cache > 0 && t("progress.cached", { share: part(cache / total) }),
    tokensPerSecond !== undefined && t("progress.rate", { rate: count(Math.round(tokensPerSecond)) }),
    eta !== null && eta > 0 && t("progress.left", { time: duration(eta / 1000) }),
  ].filter(Boolean);
  return (
    <div class="reading">
      <p>
        <strong>{t("progress.title")}</strong> <span>{part(share)}</span>
      </p>
      <div class="track" role="progressbar" aria-label={t("progress.title")} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(100 * share)}>
        <span class="fill is-cached" style={{ width: `${(100 * cache) / Math.max(total, 1)}%` }} />
        <span class="fill" style={{ width: `${100 * share}%` }} />
      </div>
      <p class="quiet">{facts.join(" · ")}</p>
    </div>
  );
}
