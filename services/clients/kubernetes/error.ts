/** What the API server says when it refuses: metav1.Status as an error. */

export type StatusCause = { reason: string; message: string; field: string };

export class KubeError extends Error {
  /** HTTP status. */
  readonly code: number;
  /** `NotFound`, `Conflict`, `Invalid`, … as in metav1.StatusReason; empty when the answer was not a Status. */
  readonly reason: string;
  readonly causes: StatusCause[];
  /** What the refusal is about, e.g. kind `namespaces` when the namespace is missing. */
  readonly details: { kind: string; name: string };
  readonly retryAfterMs: number | undefined;

  constructor(code: number, body: unknown, retryAfterMs?: number) {
    const status = record(body);
    const details = record(status["details"]);
    super(oneLine(text(status["message"])) || `the API server answered ${code}`);
    this.name = "KubeError";
    this.code = code;
    this.reason = text(status["reason"]);
    this.details = { kind: text(details["kind"]), name: text(details["name"]) };
    this.causes = (Array.isArray(details["causes"]) ? details["causes"] : []).map((entry: unknown) => {
      const { reason, message, field } = record(entry);
      return { reason: text(reason), message: oneLine(text(message)), field: text(field) };
    });
    this.retryAfterMs = retryAfterMs ?? (typeof details["retryAfterSeconds"] === "number" ? details["retryAfterSeconds"] * 1000 : undefined);
  }
}

export const isNotFound = (error: unknown): error is KubeError => error instanceof KubeError && error.code === 404;
export const isConflict = (error: unknown): error is KubeError => error instanceof KubeError && error.code === 409;
export const isForbidden = (error: unknown): error is KubeError => error instanceof KubeError && error.code === 403;
export const isGone = (error: unknown): error is KubeError => error instanceof KubeError && error.code === 410;

const record = (value: unknown) => (typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {});
/** A webhook may answer with pages; a condition and a log line hold one line. */
const longest = 2_000;
const oneLine = (said: string) => {
  const line = said.replaceAll(/\s*\n\s*/g, " ").trim();
  return line.length > longest ? `${line.slice(0, longest)}...` : line;
};

const text = (value: unknown) => (typeof value === "string" ? value : "");
