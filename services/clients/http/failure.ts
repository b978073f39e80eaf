/** What went wrong on the way to a server, as a fault that names the cause and repeats nothing else. */
import { Fault } from "#protocol/errors/fault.ts";
import { ProxyFailure } from "./proxy.ts";

/** Node's and undici's codes, in words. Their messages are not repeated: they quote headers and certificates. */
const causes: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection broke off",
  EPIPE: "the connection broke off",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the network",
  ENOTFOUND: "the host name is unknown",
  EAI_AGAIN: "the host name could not be looked up",
  ENOTPUBLIC: "the host is at no public address",
  ETIMEDOUT: "no connection in time",
  UND_ERR_CONNECT_TIMEOUT: "no connection in time",
  UND_ERR_HEADERS_TIMEOUT: "the server did not answer in time",
  UND_ERR_BODY_TIMEOUT: "the server fell silent within its answer",
  UND_ERR_SOCKET: "the connection broke off",
  UND_ERR_ABORTED: "the proxy refused the connection",
  UND_ERR_INVALID_ARG: "the proxy wants other credentials", // so undici says 407
  UND_ERR_PRX_CONN: "the proxy gave no answer",
  UND_ERR_PRX_TLS: "TLS: the proxy's certificate is not accepted",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the answer is shorter or longer than announced",
  UND_ERR_HEADERS_OVERFLOW: "the answer's headers are too long",
  CERT_HAS_EXPIRED: "TLS: the server's certificate has expired",
  CERT_NOT_YET_VALID: "TLS: the server's certificate is not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT:
    "TLS: the server's certificate is self-signed; put its authority under ca.crt of the Secret",
  SELF_SIGNED_CERT_IN_CHAIN: "TLS: the server's authority is not trusted; put it under ca.crt of the Secret",
  UNABLE_TO_GET_ISSUER_CERT: "TLS: the server's authority is not trusted; put it under ca.crt of the Secret",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "TLS: the server's authority is not trusted; put it under ca.crt of the Secret",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "TLS: the server's authority is not trusted; put it under ca.crt of the Secret",
  ERR_TLS_CERT_ALTNAME_INVALID: "TLS: the server's certificate is for another host",
};

export function explain(error: unknown, shown: string): Fault {
  if (error instanceof Fault) return error;
  const detail = causeOf(error);
  return detail
    ? new Fault("UpstreamUnreachable", shown, { detail })
    : new Fault("Unexpected", shown, { cause: error });
}

function causeOf(error: unknown): string | undefined {
  const codes = codesOf(error);
  const known = codes.map((code) => causes[code]).find(Boolean);
  const proxy = proxyFailureOf(error);
  if (proxy) return known ? `proxy: ${known}` : proxy.message;
  if (known) return known;
  const [code] = codes;
  if (code?.startsWith("HPE_")) return "the answer is not HTTP";
  if (code?.startsWith("ERR_SSL_") || code?.startsWith("ERR_OSSL_")) return `TLS: ${code}`;
  if (error instanceof RangeError) return error.message; // our own readers: they quote nothing
  return code;
}

/** Nothing was answered on a connection that had been kept: worth one more try. */
export const isStaleConnection = (error: unknown) =>
  codesOf(error).some((code) => code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE");

/** @throws what the signal says: a Fault as it is, a timeout as Fault TimedOut, any other reason as itself */
export function throwIfAborted(signal: AbortSignal, shown: string): void {
  if (!signal.aborted) return;
  const reason: unknown = signal.reason;
  if (reason instanceof DOMException && reason.name === "TimeoutError")
    throw new Fault("TimedOut", shown, { detail: "the server took longer than the object's timeout" });
  throw reason;
}

function proxyFailureOf(error: unknown, depth = 0): ProxyFailure | undefined {
  if (error instanceof ProxyFailure || depth > 3 || !(error instanceof Error)) return error instanceof ProxyFailure ? error : undefined;
  return proxyFailureOf(error.cause, depth + 1);
}

/** Codes of an error and of what caused it; several addresses of one host fail as an AggregateError. */
export function codesOf(error: unknown, depth = 0): string[] {
  if (!(error instanceof Error) || depth > 3) return [];
  const own = "code" in error && typeof error.code === "string" ? [error.code] : [];
  const inner: unknown[] = error instanceof AggregateError ? error.errors : [];
  return [...own, ...[error.cause, ...inner].flatMap((cause) => codesOf(cause, depth + 1))];
}
