import type { JSX } from "preact";

import { compact } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import { model } from "../state/server.ts";
import { FilePicker } from "./FilePicker.tsx";

/** What is seen before the first question. */
export function Welcome(): JSX.Element {
  const length = model.value?.max_model_len;
  return (
    <section class="welcome">
      <h1>{t("welcome.title")}</h1>
      <p>{t("welcome.text")}</p>
      <FilePicker class="button" label={t("documents.choose")} />
      {length !== undefined && (
        <p class="quiet">{t("welcome.length", { tokens: compact(length) })}</p>
      )}
    </section>
  );
}
