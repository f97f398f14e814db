import type { JSX } from "preact";

import { adviceFor } from "../i18n/advice.ts";
import { t } from "../i18n/index.ts";
import { goOn, isAnswering, regenerate } from "../state/answering.ts";
import type { AnswerTurn, Failure } from "../state/turns.ts";
import { Markdown } from "../text/Markdown.tsx";
import { CopyButton } from "./CopyButton.tsx";
import { Figures } from "./Figures.tsx";
import { IconButton } from "./IconButton.tsx";
import { Icon } from "./icons.tsx";
import { ReadingProgress } from "./ReadingProgress.tsx";
import { Sources } from "./Sources.tsx";

export function Answer({ turn, isLast }: { turn: AnswerTurn; isLast: boolean }): JSX.Element {
  const isRunning = turn.state === "running";
  return (
    <article class={`answer is-${turn.state}`} aria-label={t("chat.answer")}>
      {isRunning && turn.text === "" && turn.reasoning === "" && <ReadingProgress turn={turn} />}
      {turn.reasoning !== "" && (
        <details class="reasoning">
          <summary>{t("chat.reasoning")}</summary>
          <Markdown text={turn.reasoning} />
        </details>
      )}
      {turn.text !== "" && <Markdown text={turn.text} />}
      {turn.failure && turn.state === "failed" && <FailureText failure={turn.failure} />}
      {turn.state === "stopped" && <p class="quiet">{t("chat.stopped")}</p>}
      {turn.state === "cut" && <p class="quiet">{t("chat.cut")}</p>}
      {turn.insight && <Sources insight={turn.insight} />}
      {!isRunning && (
        <div class="actions">
          {turn.text !== "" && <CopyButton text={turn.text} />}
          {isLast && <LastActions turn={turn} />}
          <Figures turn={turn} />
        </div>
      )}
    </article>
  );
}

function LastActions({ turn }: { turn: AnswerTurn }): JSX.Element {
  const canGoOn = turn.text !== "" && (turn.state === "stopped" || turn.state === "cut");
  const disabled = isAnswering.value;
  return (
    <>
      <IconButton
        icon="retry"
        label={t("action.regenerate")}
        disabled={disabled}
        onClick={() => void regenerate()}
      />
      {canGoOn && (
        <IconButton
          icon="next"
          text
          label={t("action.continue")}
          disabled={disabled}
          onClick={() => void goOn()}
        />
      )}
    </>
  );
}

function FailureText({ failure }: { failure: Failure }): JSX.Element {
  return (
    <p class="failure" role="alert">
      <Icon name="warn" />
      <span>
        {failure.message} {adviceFor(failure)}
      </span>
    </p>
  );
}
