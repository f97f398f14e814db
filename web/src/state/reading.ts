import type { AnswerTurn } from "./turns.ts";

/** How far a prompt is read at this moment. leftS: seconds, null while nobody knows. */
export interface Reading {
  done: number;
  total: number;
  cached: number;
  leftS: number | null;
}

const MOST = 0.99; // until the server says that all is read

/**
 * Where reading stands now. The server reports once per slice, which may take half a minute; between
 * two reports this goes on at the pace that the server expects (before the first: the estimate).
 */
export function readingNow(turn: AnswerTurn, now: number): Reading | null {
  const { progress, reportedAt = now, expectedMs } = turn;
  if (!progress) return null;
  const { total, cache, processed, eta_ms: eta } = progress;
  const expected = eta ?? expectedMs ?? null;
  if (expected === null || expected <= 0 || processed >= total) {
    return { done: processed, total, cached: cache, leftS: null };
  }
  const passed = Math.max(0, now - reportedAt);
  const done = processed + (total - processed) * Math.min(passed / expected, 1);
  const leftS = (expected - passed) / 1000;
  return {
    done: Math.min(done, MOST * total),
    total,
    cached: cache,
    leftS: leftS > 0 ? leftS : null,
  };
}
