/** The way to a NATS: its address as plain data, the connection, and one clear line when it cannot be used. */
import { setTimeout as wait } from "node:timers/promises";
import { JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { connect, errors, type ConnectionOptions, type NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { authenticatorOf, tlsOf, type NatsFiles } from "./nats-credentials.ts";

/** Can be handed to a thread. */
export type NatsAddress = {
  /** `nats://host:port`, or `tls://` to speak no other way; several with commas between; with `token@` or `user:password@` before the host. */
  url: string;
  /** By which NATS knows this client. */
  name: string;
  token?: string;
  files?: NatsFiles;
};

const connectTimeoutMs = 5_000;
const askTimeoutMs = 2_000;
const electionMs = 15_000; // NATS elects a leader in 4-9 s (ownership.md 2.4)
const retryMs = 200;

/**
 * A connection that comes back by itself for ever, to a NATS with JetStream.
 *
 * @throws Fault NatsUnreachable: nobody there, wrong credentials, or no JetStream; `detail` says which. NatsFileUnusable: before anything is tried
 */
export async function connectNats(address: NatsAddress): Promise<NatsConnection> {
  const shown = showNats(address.url);
  const options = connectionOptions(address);
  let connection: NatsConnection;
  try {
    connection = await connect(options);
  } catch (cause) {
    throw new Fault("NatsUnreachable", shown, { detail: whyNot(cause, options.tls !== undefined), cause });
  }
  try {
    await requireJetStream(connection, shown);
    return connection;
  } catch (thrown) {
    await connection.close();
    throw thrown;
  }
}

function connectionOptions({ url, name, token, files = {} }: NatsAddress): ConnectionOptions {
  const given = url.split(",").map((each) => each.trim()).filter((each) => each !== "");
  const servers = given.map(withoutUserinfo);
  const authenticator = authenticatorOf(files);
  const tls = tlsOf(servers, files);
  return {
    servers, name, ...(given.map(credentialsOf).find((found) => found !== undefined)), ...(token && { token }), ...(authenticator && { authenticator }), ...(tls && { tls }),
    timeout: connectTimeoutMs, maxReconnectAttempts: -1, reconnectTimeWait: 100, reconnectJitterTLS: 100, pingInterval: 2_000, maxPingOut: 2,
    ignoreAuthErrorAbort: true, // credentials that ran out are renewed
    noAsyncTraces: true, // a stack kept for every request costs a twentieth of the processor under load
  };
}

/** The address as it may be shown and logged. */
export const showNats = (url: string): string => url.split(",").map((each) => withoutUserinfo(each.trim())).join(",");

// Up to the last "@": a password may hold one.
const withoutUserinfo = (url: string): string => url.replace(/^([a-z]+:\/\/)?.*@/i, "$1");

function credentialsOf(url: string): { user: string; pass: string } | { token: string } | undefined {
  const [, userinfo] = /^(?:[a-z]+:\/\/)?(.*)@/i.exec(url) ?? [];
  if (!userinfo) return undefined;
  const colon = userinfo.indexOf(":");
  if (colon === -1) return { token: decoded(userinfo) };
  return { user: decoded(userinfo.slice(0, colon)), pass: decoded(userinfo.slice(colon + 1)) };
}

/** A `%` that begins no escape stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function whyNot(thrown: unknown, overTls: boolean): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (isAuthorization(thrown)) return `the server refused the credentials: ${text}`;
  // A server that refuses a client's certificate only hangs up.
  if (overTls && isTimeout(thrown)) return "no answer over TLS: the server may want a certificate that it trusts (--nats-cert, --nats-key), or TLS from the first byte";
  const code = String((thrown as NodeJS.ErrnoException | undefined)?.code ?? "");
  const [, reason] = tlsReasons.find(([pattern]) => pattern.test(code) || pattern.test(text)) ?? [];
  return reason ? `${reason}: ${text}` : `no server can be reached: ${text}`;
}

const tlsReasons = [
  [/SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/, "the server's certificate is signed by nobody we trust; name its authority with --nats-ca"],
  [/ALTNAME_INVALID/, "the server's certificate is for another name"],
  [/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/, "the server's certificate is not valid now"],
  [/does not support 'tls'/, "TLS is asked for"],
] as const;

function isAuthorization(thrown: unknown): boolean {
  const causes = [thrown, thrown instanceof Error ? thrown.cause : undefined];
  return causes.some((cause) => cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError);
}

const isTimeout = (thrown: unknown): boolean => thrown instanceof errors.TimeoutError || (thrown instanceof Error && thrown.message === "timeout");

/** Waits for an election to end; a server or an account without JetStream is told at once. */
async function requireJetStream(connection: NatsConnection, shown: string): Promise<void> {
  for (const endMs = performance.now() + electionMs; ; await wait(retryMs)) {
    try {
      await jetstreamManager(connection, { timeout: askTimeoutMs }); // asks for the account's limits
      return;
    } catch (cause) {
      const reason = whyNoJetStream(cause, connection);
      if (reason) throw new Fault("NatsUnreachable", shown, { detail: reason, cause });
      const detail = `JetStream gives no answer: ${cause instanceof Error ? cause.message : String(cause)}`;
      if (performance.now() >= endMs) throw new Fault("NatsUnreachable", shown, { detail, cause });
    }
  }
}

const notForAccount = new Set([10_035, 10_039]);

/** Undefined while it may come by itself. */
function whyNoJetStream(thrown: unknown, { info }: NatsConnection): string | undefined {
  const causes = [thrown, thrown instanceof Error ? thrown.cause : undefined];
  if (causes.some((cause) => cause instanceof errors.PermissionViolationError))
    return `the credentials do not allow JetStream: ${thrown instanceof Error ? thrown.message : ""}`;
  if (causes.some((cause) => cause instanceof JetStreamApiError && notForAccount.has(cause.code))) return "JetStream is not enabled for this account";
  // In a cluster nobody answers while it elects a leader.
  if (info && !info.cluster && !info.jetstream) return "JetStream is not enabled on this server: start it with -js";
  return undefined;
}
