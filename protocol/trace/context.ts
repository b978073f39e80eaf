/** The W3C trace context that rides in hints, records and commit trailers. */

/** `00-<32 hex trace id>-<16 hex span id>-<2 hex flags>` */
export type Traceparent = string;

export type SpanRef = { traceId: string; spanId: string; sampled: boolean };

const shape = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Undefined for whatever is not a valid version-00 traceparent: a stranger's header never stops a reconcile. */
export function parseTraceparent(text: string | undefined): SpanRef | undefined {
  const [, traceId, spanId, flags] = shape.exec(text?.trim().toLowerCase() ?? "") ?? [];
  if (!traceId || !spanId || !flags || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export const formatTraceparent = ({ traceId, spanId, sampled }: SpanRef): Traceparent =>
  `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;

/**
 * One spelling per repository, so that every cluster and worker derives the same trace id: no credentials, lower-case
 * scheme and host, no default port, no trailing slash, no `.git`. `ssh://` and `https://` stay apart.
 */
export function canonicalUrl(url: string): string {
  const [, scheme = "", rest = url] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(url) ?? [];
  const [authority = "", ...path] = rest.split("/");
  const host = authority.slice(authority.lastIndexOf("@") + 1).toLowerCase().replace(scheme.toLowerCase() === "http" ? /:80$/ : /:443$/, "");
  const tail = path.join("/").replace(/\/+$/, "").replace(/\.git$/, "");
  return `${scheme.toLowerCase()}://${host}/${tail}`;
}
