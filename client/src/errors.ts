// Errors of the protocol and of this library: one class, and codes to branch on.

import type { ErrorCode, SwitchboardErrorShape } from "./types.js";

export class SwitchboardError extends Error implements SwitchboardErrorShape {
  override readonly name = "SwitchboardError";
  readonly code: ErrorCode;
  readonly retryAfterMs?: number;

  constructor(code: ErrorCode, message: string, retryAfterMs?: number) {
    super(message);
    this.code = code;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}

/** An error as the server sends it. */
export interface WireError {
  code: ErrorCode;
  message: string;
  retry_after_ms?: number;
}

export const fromWire = ({ code, message, retry_after_ms }: WireError) => new SwitchboardError(code, message, retry_after_ms);

export const unavailable = (message: string) => new SwitchboardError("unavailable", message);

const TEMPORARY: readonly ErrorCode[] = ["unavailable", "rate_limited", "draining", "timeout", "token_expired"];

/** Whether the same request may succeed later. A maximum number (`limit_reached`) only does if the server says when. */
export const isTemporary = ({ code, retryAfterMs }: SwitchboardErrorShape) => retryAfterMs !== undefined || TEMPORARY.includes(code);

/** Tells the environment about an error that nobody handles. */
export function report(error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void };
  (reportError ?? console.error)(error);
}

/** Calls a handler of the application; what it throws is reported and stops nothing else. */
export function guard(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    report(error);
  }
}
