/** What an answer of a provider means that is no success. */
import { Fault } from "#protocol/errors/fault.ts";
import type { Answer } from "#services/clients/http/ask.ts";

/** `code`: the provider's own word for it. */
export function refusal({ status }: Answer, shown: string, code: string, missing: Fault): Fault {
  const said = /^[A-Za-z]{1,80}$/.test(code) ? ` ${code}` : "";
  const failed = (why = "") => new Fault("UpstreamUnreachable", shown, { detail: `HTTP ${status}${said}${why}` });
  if (status === 401 || status === 403) return new Fault("AuthenticationFailed", shown, { detail: `HTTP ${status}${said}: the credentials are not accepted, or may not read the bucket` });
  if (status === 404) return missing;
  if (status === 407) return failed(": the proxy wants other credentials");
  if (status === 429 || status === 503) return failed(": it asks for fewer requests");
  if (status >= 300 && status < 400) return failed(": it redirects, which is not followed");
  return failed();
}

export const bucketMissing = (shown: string): Fault => new Fault("BucketMissing", shown);
