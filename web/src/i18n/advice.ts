import { t } from "./index.ts";
import type { Text } from "./index.ts";

const BY_CODE: Record<string, Text> = {
  unreachable: "advice.unreachable",
  context_length_exceeded: "advice.too_long",
  kv_capacity_exceeded: "advice.memory",
  queue_full: "advice.wait",
  rate_limit_exceeded: "advice.wait",
  request_too_large: "advice.too_large",
  model_loading: "advice.loading",
  shutting_down: "advice.unreachable",
  internal_error: "advice.bug",
};

/** What can be done about an error of the server. Empty where its own message says it. */
export function adviceFor(error: {
  status: number;
  code: string | null;
  retryAfterS: number | null;
}): string {
  const known = error.code === null ? undefined : BY_CODE[error.code];
  if (known !== undefined) return t(known, { seconds: String(error.retryAfterS ?? 2) });
  return error.status === 404 ? t("advice.gone") : "";
}
