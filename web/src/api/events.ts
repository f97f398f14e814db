import { toApiError, unreachable } from "./errors.ts";

/** The objects of a stream of server-sent events, as they come. Throws ApiError for an error among them. */
export async function* readEvents<T extends object>(response: Response): AsyncGenerator<T> {
  for await (const line of linesOf(response.body!)) {
    if (!line.startsWith("data:")) continue; // pings, and the empty lines between events
    const data = line.slice(5).trim();
    if (data === "[DONE]") return;
    const parsed = JSON.parse(data) as T;
    if ("error" in parsed) throw toApiError(500, data);
    yield parsed;
  }
  throw unreachable(); // the connection ended before the answer did
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    .getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}
