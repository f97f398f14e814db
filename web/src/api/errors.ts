/** An answer other than 2xx, or no answer at all (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

export interface ErrorBody {
  error?: { message?: string; code?: string | null };
}

export function toApiError(
  status: number,
  body: string,
  retryAfter: string | null = null,
): ApiError {
  const seconds = retryAfter === null ? null : Number(retryAfter) || null;
  try {
    const { error } = JSON.parse(body) as ErrorBody;
    if (error?.message) return new ApiError(status, error.message, error.code ?? null, seconds);
  } catch {
    // a proxy's own page, which is not JSON
  }
  return new ApiError(status, `HTTP ${status}`, null, seconds);
}

export function unreachable(): ApiError {
  return new ApiError(0, "", "unreachable");
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
