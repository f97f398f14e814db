/** What the server says, in its own names. Times are Unix seconds unless the name says otherwise. */

/** An uploaded file that can be read. What is not known yet is null. */
export interface DocumentInfo {
  id: string;
  filename: string;
  bytes: number;
  kind: string | null;
  pages: number | null;
  tokens: number | null;
  cached_tokens: number; // in memory or on disk
  disk_tokens: number;
  cache_bytes: number;
  pinned: boolean;
  pinned_until: number | null;
  created_at: number;
  fits: boolean | null;
  seconds: number | null;
  error: { code: string; message: string } | null;
}

/** label: "page 12", or "lines 81-160" where a document has no pages. */
export interface PageText {
  number: number;
  label: string;
  text: string;
}

/**
 * Where an answer stands in a document. start, end: characters (code points) of the page's text; equal
 * where the quote does not stand there. A quote that stands nowhere may have neither file nor page.
 */
export interface Citation {
  kind: "quoted" | "located";
  quote: string;
  file_id: string | null;
  filename: string | null;
  page: number | null;
  verified: boolean;
  start: number;
  end: number;
}

/** The share of the answer's attention that one page got. */
export interface PageShare {
  file_id: string | null;
  page: number;
  share: number;
}

export interface Insight {
  recall_min: number | null;
  recall_mean: number | null;
  density: number | null;
  citations?: Citation[];
  pages?: PageShare[];
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details?: { cached_tokens: number };
}

export interface Timings {
  prompt_ms: number;
  predicted_per_second: number;
}

/** How far a prompt is read, in tokens; cached ones are counted as read. */
export interface Progress {
  total: number;
  cache: number;
  processed: number;
  time_ms: number;
  eta_ms: number | null;
}

export interface Estimate {
  tokens: number;
  cached_tokens: number;
  max_model_len: number;
  fits: boolean;
  seconds: number;
}

export interface ModelInfo {
  id: string;
  max_model_len: number;
}

export interface Chunk {
  choices: {
    delta: { content?: string | null; reasoning_content?: string | null };
    finish_reason: string | null;
  }[];
  usage?: Usage | null;
  timings?: Timings;
  longreach?: Insight;
  prompt_progress?: Progress;
}

export type ContentPart =
  { type: "text"; text: string } | { type: "file"; file: { file_id: string } };

export interface Message {
  role: "user" | "assistant";
  content: string | ContentPart[];
}
