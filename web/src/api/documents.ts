import { ApiError, toApiError, unreachable } from "./errors.ts";
import { address, call, getJson, jsonBody, withKey } from "./http.ts";
import { askForKey, currentKey } from "./key.ts";
import type { DocumentInfo, PageText } from "./types.ts";

const path = (id: string): string => `v1/documents/${encodeURIComponent(id)}`;

export async function listDocuments(): Promise<DocumentInfo[]> {
  return (await getJson<{ data: DocumentInfo[] }>("v1/documents")).data;
}

export function getDocument(id: string): Promise<DocumentInfo> {
  return getJson(path(id));
}

export async function getPages(id: string): Promise<PageText[]> {
  return (await getJson<{ pages: PageText[] }>(`${path(id)}/pages`)).pages;
}

/** The picture of a page, as an address for <img>; give it back with URL.revokeObjectURL. */
export async function getPageImage(id: string, page: number): Promise<string> {
  const response = await call(`${path(id)}/pages/${page}/image`);
  return URL.createObjectURL(await response.blob());
}

/** Keep what was read of a document, for so long ("30m", "7d") or until it is unpinned. */
export async function pinDocument(id: string, ttl: string | null): Promise<void> {
  await call(`${path(id)}/pin`, jsonBody({ ttl }));
}

export async function unpinDocument(id: string): Promise<void> {
  await call(`${path(id)}/pin`, { method: "DELETE" });
}

export async function deleteDocument(id: string): Promise<void> {
  await call(`v1/files/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** Send a file to the server; its id there. onSent: the share that has left. Throws ApiError. */
export async function uploadFile(file: File, onSent: (share: number) => void): Promise<string> {
  for (;;) {
    const key = currentKey();
    try {
      return await attempt(file, onSent);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      await askForKey(key);
    }
  }
}

/** fetch does not say how much of a body has been sent, XMLHttpRequest does. */
function attempt(file: File, onSent: (share: number) => void): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const request = new XMLHttpRequest();
  request.open("POST", address("v1/files"));
  for (const [name, value] of Object.entries(withKey())) request.setRequestHeader(name, value);
  request.upload.onprogress = (event) => onSent(event.loaded / Math.max(event.total, 1));
  request.onerror = () => reject(unreachable());
  request.onload = () => {
    if (request.status === 200) resolve((JSON.parse(request.responseText) as { id: string }).id);
    else reject(toApiError(request.status, request.responseText));
  };
  const form = new FormData();
  form.append("purpose", "user_data");
  form.append("file", file);
  request.send(form);
  return promise;
}
