import { computed, signal } from "@preact/signals";

import { load, save } from "./storage.ts";
import type { AnswerTurn, Conversation, Turn } from "./turns.ts";

const NAME = "longreach.conversations";
const MAX_CHARACTERS = 1_500_000; // browsers give an origin some five million
const MAX_CONVERSATIONS = 30;

/** The newest first. The one on the screen may be a new one that is not in the list yet. */
export const conversations = signal<Conversation[]>(restored());
export const current = signal<Conversation>(conversations.value[0] ?? fresh());
export const turns = computed(() => current.value.turns);

export function newConversation(): void {
  current.value = fresh();
}

export function openConversation(id: string): void {
  current.value = conversations.value.find((each) => each.id === id) ?? current.value;
}

export function deleteConversation(id: string): void {
  conversations.value = conversations.value.filter((each) => each.id !== id);
  if (current.value.id === id) newConversation();
  keep();
}

/** Replace the turns of a conversation, wherever it is shown. */
export function setTurns(id: string, change: (turns: Turn[]) => Turn[]): void {
  const before = current.value.id === id ? current.value : find(id);
  if (before === undefined) return; // deleted while its answer was being written
  const after = { ...before, changed: Date.now(), turns: change(before.turns) };
  if (current.value.id === id) current.value = after;
  const others = conversations.value.filter((each) => each.id !== id);
  conversations.value = [after, ...others].slice(0, MAX_CONVERSATIONS);
  keepSoon();
}

/** Change the last turn of a conversation, which is an answer. */
export function updateAnswer(
  id: string,
  change: (answer: AnswerTurn) => Partial<AnswerTurn>,
): void {
  setTurns(id, (turns) => {
    const last = turns.at(-1);
    return last?.role === "assistant"
      ? [...turns.slice(0, -1), { ...last, ...change(last) }]
      : turns;
  });
}

function find(id: string): Conversation | undefined {
  return conversations.value.find((each) => each.id === id);
}

function fresh(): Conversation {
  return { id: `${Date.now()}-${Math.random().toString(36).slice(2)}`, changed: 0, turns: [] };
}

function restored(): Conversation[] {
  const kept = load<Conversation[]>(NAME, []);
  return kept.map((each) => ({ ...each, turns: each.turns.map(asEnded) }));
}

/** What was being written when the page was left stays as far as it came. */
function asEnded(turn: Turn): Turn {
  return turn.role === "assistant" && turn.state === "running"
    ? { ...turn, state: "stopped" }
    : turn;
}

let timer: ReturnType<typeof setTimeout> | undefined;

function keepSoon(): void {
  timer ??= setTimeout(keep, 500);
}

/** Write down as many conversations as there is room for, the newest first. */
export function keep(): void {
  clearTimeout(timer);
  timer = undefined;
  let room = MAX_CHARACTERS;
  const kept = conversations.value.filter((each) => (room -= JSON.stringify(each).length) >= 0);
  while (!save(NAME, kept) && kept.length > 0) kept.pop();
}

/** Another tab has written: what it has is had here too, beside what is on the screen. */
function takeOver(event: StorageEvent): void {
  if (event.key !== NAME) return;
  const kept = restored().filter((each) => each.id !== current.value.id);
  const own = current.value.turns.length > 0 ? [current.value] : [];
  conversations.value = [...own, ...kept];
}

addEventListener("pagehide", keep);
addEventListener("storage", takeOver);
