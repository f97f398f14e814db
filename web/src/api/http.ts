import { signal } from "@preact/signals";

import { isAbort, toApiError, unreachable } from "./errors.ts";
import { askForKey, currentKey } from "./key.ts";

/** Whether the last request got an answer, whatever it was. */
export const isReachable = signal(true);

/** An address of the server, wherever a proxy has put this page. */
export function address(path: string): string {
  return new URL(path, document.baseURI).href;
}

export function withKey(): Record<string, string> {
  const key = currentKey();
  return key === null ? {} : { Authorization: `Bearer ${key}` };
}

/** A request with the key, asked for when the server wants one. Throws ApiError, and aborts as fetch does. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const key = currentKey();
    const response = await attempt(path, init);
    if (response.ok) return response;
    const retryAfter = response.headers.get("Retry-After");
    const error = toApiError(response.status, await response.text(), retryAfter);
    if (error.status !== 401) throw error;
    await askForKey(key);
  }
}

async function attempt(path: string, init: RequestInit): Promise<Response> {
  try {
    const headers = { ...init.headers, ...withKey() };
    const response = await fetch(address(path), { ...init, headers });
    isReachable.value = true;
    return response;
  } catch (error) {
    if (isAbort(error)) throw error;
    isReachable.value = false;
    throw unreachable();
  }
}

export async function getJson<T>(path: string): Promise<T> {
  return (await (await call(path)).json()) as T;
}

export async function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return (await (await call(path, jsonBody(body, signal))).json()) as T;
}

export function jsonBody(body: unknown, signal?: AbortSignal): RequestInit {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(body), ...(signal && { signal }) };
}
