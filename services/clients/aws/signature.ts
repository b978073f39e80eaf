/**
 * Signature version 4 of AWS: who asks, and that nothing was changed on the way. The path must be encoded as AWS wants
 * it, once (RFC 3986), and so must names and values of the query.
 */
import { createHash, createHmac } from "node:crypto";

export type AwsRequest<Method extends string = "POST" | "GET"> = {
  method?: Method;
  url: string;
  headers: Record<string, string>;
  body: string;
  /** In place of a body that is no text. */
  bodySha256?: string;
};
export type AwsCredentials = { id: string; secret: string; token: string };

/** @param scope the service's name and region @param atMs when it is sent; AWS takes it for five minutes */
export function signed<Method extends string>(request: AwsRequest<Method>, { id, secret, token }: AwsCredentials, scope: { service: string; region: string }, atMs: number): AwsRequest<Method> {
  const { host, pathname, search } = new URL(request.url);
  const time = timeOf(atMs);
  const headers: Record<string, string> = { ...request.headers, host, "x-amz-date": time, ...(token && { "x-amz-security-token": token }) };
  const names = Object.keys(headers).sort();
  const canonical = [
    request.method ?? "POST", pathname, queryOf(search), ...names.map((name) => `${name}:${headers[name]?.trim().replaceAll(/ +/g, " ")}`), "", names.join(";"), request.bodySha256 ?? sha256(request.body),
  ].join("\n");
  const credential = `${time.slice(0, 8)}/${scope.region}/${scope.service}/aws4_request`;
  const signature = signatureOf(canonical, secret, { ...scope, time });
  return { ...request, headers: { ...headers, authorization: `AWS4-HMAC-SHA256 Credential=${id}/${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}` } };
}

/** A URL that says the same for as long as it is good, to be shown by whoever has it (Signature Version 4, query string). */
export function presigned(
  { url, headers, query, livesS }: { url: string; headers: Record<string, string>; query: Record<string, string>; livesS: number },
  { id, secret, token }: AwsCredentials, scope: { service: string; region: string }, atMs: number,
): string {
  const { host, pathname, origin } = new URL(url);
  const time = timeOf(atMs);
  const all: Record<string, string> = { ...headers, host };
  const names = Object.keys(all).sort();
  const credential = `${time.slice(0, 8)}/${scope.region}/${scope.service}/aws4_request`;
  const text = Object.entries({
    ...query, "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": `${id}/${credential}`, "X-Amz-Date": time, "X-Amz-Expires": String(livesS),
    ...(token && { "X-Amz-Security-Token": token }), "X-Amz-SignedHeaders": names.join(";"),
  }).map(([name, value]) => `${escaped(name)}=${escaped(value)}`).sort().join("&");
  const canonical = ["GET", pathname, text, ...names.map((name) => `${name}:${all[name]}`), "", names.join(";"), sha256("")].join("\n");
  return `${origin}${pathname}?${text}&X-Amz-Signature=${signatureOf(canonical, secret, { ...scope, time })}`;
}

/**
 * The password of a Git repository in CodeCommit: a signature of its address, good for a quarter of an hour. AWS documents
 * the procedure by its own program (git-remote-codecommit).
 */
export function codecommitPassword(url: URL, { secret }: AwsCredentials, region: string, atMs: number): string {
  const time = timeOf(atMs).replace("Z", "");
  const canonical = ["GIT", url.pathname, "", `host:${url.host}`, "", "host", ""].join("\n");
  return `${time}Z${signatureOf(canonical, secret, { service: "codecommit", region, time })}`;
}

const timeOf = (atMs: number): string => new Date(atMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
const escaped = (text: string): string => encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

function signatureOf(canonical: string, secret: string, { service, region, time }: { service: string; region: string; time: string }): string {
  const parts = [time.slice(0, 8), region, service, "aws4_request"];
  const key = parts.reduce<Buffer | string>((under, part) => hmac(under, part), `AWS4${secret}`);
  return createHmac("sha256", key).update(["AWS4-HMAC-SHA256", time, parts.join("/"), sha256(canonical)].join("\n")).digest("hex");
}

/** Sorted by name, then by value: the separator of the two is lower than what either holds. */
const queryOf = (search: string): string => search.slice(1).replaceAll("=", "\0").split("&").sort().join("&").replaceAll("\0", "=");
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const hmac = (key: Buffer | string, text: string): Buffer => createHmac("sha256", key).update(text).digest();
