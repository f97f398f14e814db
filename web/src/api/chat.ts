import { readEvents } from "./events.ts";
import { call, getJson, jsonBody, postJson } from "./http.ts";
import type { Chunk, Estimate, Message, ModelInfo } from "./types.ts";

/** The pieces of an answer as they come, its prompt's progress first. */
export async function* streamAnswer(
  model: string,
  messages: Message[],
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const isContinued = messages.at(-1)?.role === "assistant";
  const body = {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    return_progress: true,
    longreach: { attention: true },
    ...(isContinued && { continue_final_message: true }),
  };
  yield* readEvents<Chunk>(await call("v1/chat/completions", jsonBody(body, signal)));
}

/** What reading these messages would take now. */
export function estimateMessages(
  model: string,
  messages: Message[],
  signal: AbortSignal,
): Promise<Estimate> {
  return postJson("v1/estimate", { model, messages }, signal);
}

export async function getModel(): Promise<ModelInfo> {
  const { data } = await getJson<{ data: ModelInfo[] }>("v1/models");
  return data[0]!;
}
