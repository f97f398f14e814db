import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { t } from "../i18n/index.ts";
import { isAnswering } from "../state/answering.ts";
import { current, turns } from "../state/conversations.ts";
import { Answer } from "./Answer.tsx";
import { Question } from "./Question.tsx";

const NEAR_PX = 80;

/** The conversation. It follows what is being written unless the reader has scrolled away. */
export function Turns(): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLOListElement>(null);
  const follows = useRef(true);
  const onScroll = (): void => {
    const { scrollHeight, scrollTop, clientHeight } = place.current!;
    follows.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
  };
  const count = turns.value.length;
  useLayoutEffect(() => {
    follows.current = true;
    place.current!.scrollTop = place.current!.scrollHeight;
  }, [count, current.value.id]);
  // Formulas and colours arrive after their text, and make it higher.
  useLayoutEffect(() => {
    const toEnd = (): void => {
      if (follows.current) place.current!.scrollTop = place.current!.scrollHeight;
    };
    const observer = new ResizeObserver(toEnd);
    observer.observe(list.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <div class="turns" ref={place} onScroll={onScroll} tabIndex={-1}>
      <ol ref={list} aria-label={t("chat.label")} aria-busy={isAnswering.value}>
        {turns.value.map((turn, index) => (
          <li key={`${current.value.id} ${index}`} class={turn.role}>
            {turn.role === "user" ? (
              <Question turn={turn} index={index} />
            ) : (
              <Answer turn={turn} isLast={index === count - 1} />
            )}
          </li>
        ))}
      </ol>
    </div>
  );
}
