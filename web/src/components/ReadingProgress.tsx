import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { count, duration, part, percent } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import { readingNow } from "../state/reading.ts";
import type { AnswerTurn } from "../state/turns.ts";

const TICK_MS = 250;
const NAME = "longreach"; // as in index.html

/** How far the prompt is read: what was cached, what is read now, how long it will take. */
export function ReadingProgress({ turn }: { turn: AnswerTurn }): JSX.Element {
  const reading = readingNow(turn, useNow());
  useTitle(reading && reading.done / Math.max(reading.total, 1));
  if (reading === null) {
    return (
      <p class="waiting">
        <span class="pulse" aria-hidden="true" />
        {t("progress.waiting")}
      </p>
    );
  }
  const { done, total, cached, leftS } = reading;
  const { tokensPerSecond: rate } = turn;
  const share = done / Math.max(total, 1);
  const facts = [
    t("progress.read", { done: count(Math.round(done)), total: count(total) }),
    cached > 0 && t("progress.cached", { share: part(cached / total) }),
    rate !== undefined && t("progress.rate", { rate: count(Math.round(rate)) }),
    leftS !== null && leftS >= 1 && t("progress.left", { time: duration(Math.round(leftS)) }),
  ];
  return (
    <div class="reading">
      <p>
        <strong>{t("progress.title")}</strong> <span>{percent(share)}</span>
      </p>
      <div
        class="track"
        role="progressbar"
        aria-label={t("progress.title")}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(100 * share)}
      >
        <span class="fill is-cached" style={{ width: `${(100 * cached) / Math.max(total, 1)}%` }} />
        <span class="fill" style={{ width: `${100 * share}%` }} />
      </div>
      <p class="quiet">{facts.filter(Boolean).join(" · ")}</p>
    </div>
  );
}

/** Long documents are left alone: the tab tells how far they are. */
function useTitle(share: number | null): void {
  const title = share === null ? NAME : `${percent(share)} · ${NAME}`;
  useEffect(() => {
    document.title = title;
    return () => void (document.title = NAME);
  }, [title]);
}

/** The time, a few times a second. */
function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}
