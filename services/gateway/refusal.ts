/** An answer that is not what was asked for: `{"error":{"code","message"}}` with its HTTP status. */
import type { ContentfulStatusCode } from "hono/utils/http-status";

export class Refusal extends Error {
  readonly status: ContentfulStatusCode;
  /** One word for programs. */
  readonly code: string;

  /** @param message for people: what is wrong and what to do; it goes out as it is, so never with a secret */
  constructor(status: ContentfulStatusCode, code: string, message: string) {
    super(message);
    this.name = "Refusal";
    this.status = status;
    this.code = code;
  }
}
