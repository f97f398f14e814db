import { computed, signal } from "@preact/signals";

import { streamAnswer } from "../api/chat.ts";
import { ApiError, isAbort } from "../api/errors.ts";
import type { Chunk, Insight, PageShare, Progress } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { announce } from "./announce.ts";
import { current, setTurns, updateAnswer } from "./conversations.ts";
import { refreshDocuments } from "./documents.ts";
import { modelName } from "./server.ts";
import { newAnswer, toMessages } from "./turns.ts";
import type { AnswerTurn, DocumentRef, Failure, Turn } from "./turns.ts";

const LEAST_SHARE = 0.001;

const running = signal<{ conversation: string; controller: AbortController } | null>(null);

export const isAnswering = computed(() => running.value !== null);

/** expectedMs: what reading is estimated to take; null where that is not known. */
export function ask(
  text: string,
  documents: DocumentRef[],
  expectedMs: number | null,
): Promise<void> {
  const question: Turn = { role: "user", text, documents };
  return answerAfter((turns) => [...turns, question], expectedMs === null ? {} : { expectedMs });
}

/** Answer the last question anew. */
export function regenerate(): Promise<void> {
  return answerAfter((turns) => turns.slice(0, lastQuestion(turns) + 1));
}

/** Ask another question in place of an earlier one; what came after it is forgotten. */
export function edit(index: number, text: string): Promise<void> {
  return answerAfter((turns) => [
    ...turns.slice(0, index),
    { role: "user", documents: [], ...turns[index], text } as Turn,
  ]);
}

/** Go on where an answer was stopped or cut. */
export async function goOn(): Promise<void> {
  updateAnswer(current.value.id, () => ({ state: "running" }));
  await run();
}

export function stop(): void {
  running.value?.controller.abort();
}

/** Stop what is written in a conversation that is going to be deleted. */
export function stopIn(conversation: string): void {
  if (running.value?.conversation === conversation) stop();
}

async function answerAfter(
  change: (turns: Turn[]) => Turn[],
  known: Partial<AnswerTurn> = {},
): Promise<void> {
  setTurns(current.value.id, (turns) => [...change(turns), { ...newAnswer(), ...known }]);
  await run();
}

function lastQuestion(turns: Turn[]): number {
  return turns.findLastIndex((turn) => turn.role === "user");
}

async function run(): Promise<void> {
  const { id, turns } = current.value;
  const controller = new AbortController();
  stop();
  running.value = { conversation: id, controller };
  const update = (change: (answer: AnswerTurn) => Partial<AnswerTurn>): void =>
    updateAnswer(id, change);
  try {
    const pace = new Pace();
    for await (const chunk of streamAnswer(modelName.value, toMessages(turns), controller.signal)) {
      update((answer) => changeOf(answer, chunk, pace));
    }
    announce(t("announce.done"));
  } catch (error) {
    update(() => endOf(error));
    announce(isAbort(error) ? t("announce.stopped") : t("announce.failed"));
  } finally {
    if (running.value?.controller === controller) running.value = null;
    void refreshDocuments();
  }
}

function endOf(error: unknown): Partial<AnswerTurn> {
  return isAbort(error) ? { state: "stopped" } : { state: "failed", failure: asFailure(error) };
}

export function asFailure(error: unknown): Failure {
  if (error instanceof ApiError) {
    const { status, message, code, retryAfterS } = error;
    return { status, message, code, retryAfterS };
  }
  return { status: 0, message: String(error), code: null, retryAfterS: null };
}

function changeOf(answer: AnswerTurn, chunk: Chunk, pace: Pace): Partial<AnswerTurn> {
  const change: Partial<AnswerTurn> = {};
  if (chunk.prompt_progress) {
    change.progress = chunk.prompt_progress;
    change.reportedAt = Date.now();
    const rate = pace.of(chunk.prompt_progress);
    if (rate !== null) change.tokensPerSecond = rate;
  }
  const choice = chunk.choices[0];
  if (choice) {
    change.text = answer.text + (choice.delta.content ?? "");
    change.reasoning = answer.reasoning + (choice.delta.reasoning_content ?? "");
    if (choice.finish_reason) change.state = choice.finish_reason === "length" ? "cut" : "done";
  }
  if (chunk.usage) change.usage = chunk.usage;
  if (chunk.timings) change.timings = chunk.timings;
  if (chunk.longreach) change.insight = trimmed(chunk.longreach);
  return change;
}

/** Without what nobody sees: a conversation is kept with all its answers. */
function trimmed(insight: Insight): Insight {
  const seen = insight.pages?.filter(({ share }) => share >= LEAST_SHARE) ?? [];
  const pages = seen.map(({ file_id, page, share }): PageShare => ({ file_id, page, share }));
  return { ...insight, pages };
}

/** Tokens per second since the first report, which comes before anything is read. */
class Pace {
  #first: Progress | null = null;

  of(now: Progress): number | null {
    this.#first ??= now;
    const ms = now.time_ms - this.#first.time_ms;
    return ms > 0 ? (1000 * (now.processed - this.#first.processed)) / ms : null;
  }
}
