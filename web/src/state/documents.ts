import { computed, signal } from "@preact/signals";

import * as api from "../api/documents.ts";
import { isReachable } from "../api/http.ts";
import type { DocumentInfo } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { announce } from "./announce.ts";
import { detach, attach } from "./draft.ts";
import { notify } from "./notices.ts";

/** A file on its way. sent: the share of it that has left; 1 while the server reads it. */
export interface Upload {
  key: number;
  name: string;
  bytes: number;
  sent: number;
}

export const documents = signal<DocumentInfo[]>([]);
export const uploads = signal<Upload[]>([]);
const byId = computed(() => new Map(documents.value.map((each) => [each.id, each])));

export function documentOf(id: string): DocumentInfo | undefined {
  return byId.value.get(id);
}

export async function refreshDocuments(): Promise<void> {
  try {
    documents.value = await api.listDocuments();
  } catch (error) {
    if (isReachable.value) notify(error); // else the banner tells
  }
}

/** Upload files and put them before the next question. */
export async function addFiles(files: Iterable<File>): Promise<void> {
  await Promise.all([...files].map(add));
}

let lastKey = 0;

async function add(file: File): Promise<void> {
  const key = ++lastKey;
  const change = (sent: number): void => {
    uploads.value = uploads.value.map((each) => (each.key === key ? { ...each, sent } : each));
  };
  uploads.value = [...uploads.value, { key, name: file.name, bytes: file.size, sent: 0 }];
  try {
    const id = await api.uploadFile(file, change);
    change(1);
    arrived(await api.getDocument(id));
  } catch (error) {
    notify(error, file.name);
  } finally {
    uploads.value = uploads.value.filter((each) => each.key !== key);
  }
}

function arrived(document: DocumentInfo): void {
  documents.value = [document, ...documents.value.filter((each) => each.id !== document.id)];
  if (document.error !== null) return notify(document.error.message, document.filename);
  attach({ id: document.id, name: document.filename });
  announce(t("announce.added", { name: document.filename }));
}

export async function setPinned(id: string, ttl: string | null | false): Promise<void> {
  await changed(() => (ttl === false ? api.unpinDocument(id) : api.pinDocument(id, ttl)));
}

export async function removeDocument(id: string): Promise<void> {
  detach(id);
  await changed(() => api.deleteDocument(id));
}

async function changed(change: () => Promise<void>): Promise<void> {
  try {
    await change();
  } catch (error) {
    notify(error);
  }
  await refreshDocuments();
}
