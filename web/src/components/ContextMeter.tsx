import { computed } from "@preact/signals";
import type { JSX } from "preact";

import { compact, count } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import { turns } from "../state/conversations.ts";
import { estimate } from "../state/estimate.ts";
import { model } from "../state/server.ts";

/** Tokens that the next prompt takes, or the one that is being read, as far as is known. */
const used = computed(() => {
  const answers = turns.value.filter((turn) => turn.role === "assistant");
  const last = answers.findLast((answer) => answer.usage ?? answer.progress);
  return estimate.value?.tokens ?? last?.usage?.total_tokens ?? last?.progress?.total ?? 0;
});

/** How much of the model's context is taken. */
export function ContextMeter(): JSX.Element | null {
  const length = model.value?.max_model_len;
  if (length === undefined) return null;
  const share = Math.min(1, used.value / length);
  const text = t("meter.text", { used: count(used.value), length: count(length) });
  return (
    <div
      class="meter"
      role="meter"
      aria-label={t("meter.label")}
      aria-valuemin={0}
      aria-valuemax={length}
      aria-valuenow={used.value}
      aria-valuetext={text}
      title={text}
    >
      <span class="track">
        <span class={share > 0.95 ? "fill is-full" : "fill"} style={{ width: `${100 * share}%` }} />
      </span>
      <span class="figures">
        {compact(used.value)} / {compact(length)}
      </span>
    </div>
  );
}
