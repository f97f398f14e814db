import type { ContentPart, Insight, Message, Progress, Timings, Usage } from "../api/types.ts";

export interface DocumentRef {
  id: string;
  name: string;
}

export interface UserTurn {
  role: "user";
  text: string;
  documents: DocumentRef[];
}

/** What went wrong, as it is kept with a conversation. */
export interface Failure {
  status: number;
  message: string;
  code: string | null;
  retryAfterS: number | null;
}

/** running: until the last piece. stopped: by the reader. cut: by the length of the context. */
export type AnswerState = "running" | "done" | "stopped" | "cut" | "failed";

/** expectedMs: of reading, as estimated before. reportedAt: when the progress came (Date.now()). */
export interface AnswerTurn {
  role: "assistant";
  text: string;
  reasoning: string;
  state: AnswerState;
  expectedMs?: number;
  progress?: Progress;
  reportedAt?: number;
  tokensPerSecond?: number;
  failure?: Failure;
  insight?: Insight;
  usage?: Usage;
  timings?: Timings;
}

export type Turn = UserTurn | AnswerTurn;

export interface Conversation {
  id: string;
  changed: number;
  turns: Turn[];
}

export function newAnswer(): AnswerTurn {
  return { role: "assistant", text: "", reasoning: "", state: "running" };
}

export function titleOf(conversation: Conversation): string {
  const first = conversation.turns.find((turn) => turn.role === "user");
  return first === undefined ? "" : first.text.trim() || (first.documents[0]?.name ?? "");
}

export function documentsOf(turns: Turn[]): DocumentRef[] {
  const found = turns.flatMap((turn) => (turn.role === "user" ? turn.documents : []));
  return [...new Map(found.map((document) => [document.id, document])).values()];
}

/** The turns as the API takes them: documents first, so that their part is the same for every question. */
export function toMessages(turns: Turn[]): Message[] {
  return turns
    .filter((turn) => turn.role === "user" || turn.text !== "")
    .map((turn) => ({ role: turn.role, content: contentOf(turn) }));
}

function contentOf(turn: Turn): string | ContentPart[] {
  if (turn.role === "assistant" || turn.documents.length === 0) return turn.text;
  const files = turn.documents.map(({ id }): ContentPart => ({
    type: "file",
    file: { file_id: id },
  }));
  return [...files, { type: "text", text: turn.text }];
}
