/** The way to a NATS: its address as plain data, the connection, and one clear line when it cannot be used. */
import { setTimeout as wait } from "node:timers/promises";
import { JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { connect, errors, type ConnectionOptions, type NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";

/** Can be handed to a thread. */
export type NatsAddress = {
  /** `nats://host:port`, several with commas between; with `token@` or `user:password@` before the host. */
  url: string;
  /** By which NATS knows this client. */
  name: string;
  token?: string;
};

const connectTimeoutMs = 5_000;
const askTimeoutMs = 2_000;
const electionMs = 15_000; // NATS elects a leader in 4-9 s (ownership.md 2.4)
const retryMs = 200;

/**
 * A connection that comes back by itself for ever, to a NATS with JetStream.
 *
 * @throws Fault NatsUnreachable: nobody there, wrong credentials, or no JetStream; `detail` says which
 */
export async function connectNats(address: NatsAddress): Promise<NatsConnection> {
  const shown = showNats(address.url);
  let connection: NatsConnection;
  try {
    connection = await connect(connectionOptions(address));
  } catch (cause) {
    throw new Fault("NatsUnreachable", shown, { detail: whyNot(cause), cause });
  }
  try {
    await requireJetStream(connection, shown);
    return connection;
  } catch (thrown) {
    await connection.close();
    throw thrown;
  }
}

export function connectionOptions({ url, name, token }: NatsAddress): ConnectionOptions {
  const servers = url.split(",").map((each) => each.trim()).filter((each) => each !== "");
  return {
    servers: servers.map(withoutUserinfo), name, ...(servers.map(credentialsOf).find((found) => found !== undefined)), ...(token && { token }),
    timeout: connectTimeoutMs, maxReconnectAttempts: -1, reconnectTimeWait: 100, pingInterval: 2_000, maxPingOut: 2,
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

function whyNot(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (isAuthorization(thrown)) return `the server refused the credentials: ${text}`;
  return `no server can be reached: ${text}`;
}

function isAuthorization(thrown: unknown): boolean {
  const causes = [thrown, thrown instanceof Error ? thrown.cause : undefined];
  return causes.some((cause) => cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError);
}

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
