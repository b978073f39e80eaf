/** Which NATS, and by which credentials: flags, and a variable of the environment beside each. */
import { resolve } from "node:path";
import type { NatsAddress } from "#services/store/nats-connect.ts";
import type { NatsFiles } from "#services/store/nats-credentials.ts";
import type { Call } from "./command.ts";
import { Misuse } from "./failure.ts";

export type NatsSettings = Pick<NatsAddress, "url" | "files">;

/** Undefined when none is named. @throws Misuse */
export function natsOf({ options, shell: { env } }: Pick<Call, "options" | "shell">): NatsSettings | undefined {
  const url = options.nats ?? (env["FLOTILLA_NATS"] || undefined);
  const { natsCreds: creds, natsNkey: nkey, natsCa: ca = env["FLOTILLA_NATS_CA"], natsCert: cert, natsKey: key } = options;
  // Of what belongs together, a flag puts all variables aside.
  const given = {
    ca,
    ...(creds || nkey ? { creds, nkey } : { creds: env["FLOTILLA_NATS_CREDS"], nkey: env["FLOTILLA_NATS_NKEY"] }),
    ...(cert || key ? { cert, key } : { cert: env["FLOTILLA_NATS_CERT"], key: env["FLOTILLA_NATS_KEY"] }),
  };
  const files: NatsFiles = Object.fromEntries(Object.entries(given).flatMap(([name, path]) => (path ? [[name, resolve(path)]] : [])));
  const [first] = Object.keys(files);
  if (!url) {
    if (first) throw new Misuse(`--nats-${first}: for which NATS? Name it with --nats or FLOTILLA_NATS`);
    return undefined;
  }
  if (files.creds && files.nkey) throw new Misuse("--nats-creds, --nats-nkey: one of them is enough");
  if ((files.creds || files.nkey) && url.includes("@")) throw new Misuse(`--nats-${files.creds ? "creds" : "nkey"}: the address names a user or token already`);
  if (files.cert && !files.key) throw new Misuse("--nats-cert: its key is missing (--nats-key)");
  if (files.key && !files.cert) throw new Misuse("--nats-key: its certificate is missing (--nats-cert)");
  return { url, ...(first && { files }) };
}
