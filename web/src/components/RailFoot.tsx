import type { JSX } from "preact";

import { compact } from "../i18n/format.ts";
import { LANGUAGES, language, setLanguage, t } from "../i18n/index.ts";
import type { Language } from "../i18n/index.ts";
import { theme } from "../state/preferences.ts";
import type { Theme } from "../state/preferences.ts";
import { model } from "../state/server.ts";
import { IconButton } from "./IconButton.tsx";

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const ICONS = { auto: "auto", light: "sun", dark: "moon" } as const;

/** Which model answers; language and light. */
export function RailFoot(): JSX.Element {
  const [now, served] = [theme.value, model.value];
  return (
    <footer>
      {served && (
        <p class="model" title={served.id}>
          <strong>{served.id.split("/").at(-1)}</strong>
          <span>{t("model.length", { tokens: compact(served.max_model_len) })}</span>
        </p>
      )}
      <select
        aria-label={t("language.label")}
        value={language.value}
        onChange={(event) => setLanguage(event.currentTarget.value as Language)}
      >
        {Object.entries(LANGUAGES).map(([code, name]) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
      <IconButton
        icon={ICONS[now]}
        label={t(`theme.${now}`)}
        onClick={() => (theme.value = NEXT[now])}
      />
    </footer>
  );
}
