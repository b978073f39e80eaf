/**
 * A release as Helm stores it: JSON, compressed, in base64 (helm pkg/release/v1, pkg/storage/driver/util.go). Fields that are
 * not named here are kept as they are.
 */
import { promisify } from "node:util";
import { constants, gunzip, gzip } from "node:zlib";
import { z } from "zod";
import { Fault } from "#protocol/errors/fault.ts";

export const statuses = [
  "unknown", "deployed", "uninstalled", "superseded", "failed", "uninstalling", "pending-install", "pending-upgrade", "pending-rollback",
] as const;

export const hookEvents = [
  "pre-install", "post-install", "pre-delete", "post-delete", "pre-upgrade", "post-upgrade", "pre-rollback", "post-rollback", "test",
] as const;
export type HookEvent = (typeof hookEvents)[number];

/** Helm's own zero of a hook that never ran is an empty phase; older ones wrote empty times too. */
const lastRun = z.looseObject({ started_at: z.string().optional(), completed_at: z.string().optional(), phase: z.string() });

const hook = z.looseObject({
  name: z.string().default(""),
  kind: z.string().default(""),
  path: z.string().default(""),
  manifest: z.string().default(""),
  events: z.array(z.string()).nullish(),
  last_run: lastRun.default({ phase: "" }),
  weight: z.number().optional(),
  delete_policies: z.array(z.string()).nullish(),
  output_log_policies: z.array(z.string()).nullish(),
});

const document = z.looseObject({
  name: z.string().min(1),
  version: z.int().min(1),
  namespace: z.string().default(""),
  info: z.looseObject({
    first_deployed: z.string().optional(),
    last_deployed: z.string().optional(),
    deleted: z.string().optional(),
    description: z.string().optional(),
    status: z.enum(statuses),
    notes: z.string().optional(),
  }),
  chart: z.looseObject({ metadata: z.looseObject({}).nullish() }).nullish(),
  config: z.record(z.string(), z.unknown()).nullish(),
  manifest: z.string().default(""),
  hooks: z.array(hook).nullish(),
  apply_method: z.string().optional(),
});

export type ReleaseDocument = z.infer<typeof document>;
export type Hook = z.infer<typeof hook>;

/** Of all values of a Secret together (Kubernetes' MaxSecretSize). */
export const mostSecretBytes = 1024 * 1024;
/** A megabyte of zeros is a kilobyte compressed: what a tenant put there may neither fill the memory nor hold up others. */
const mostPlainBytes = 16 * 1024 * 1024;

const zip = promisify<Buffer, { level: number }, Buffer>(gzip);
const unzip = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);

/**
 * The value of the Secret's key `release`, before the base64 of the API.
 *
 * @throws Fault ReleaseTooLarge
 */
export async function encodeRelease(release: ReleaseDocument, subject: string): Promise<string> {
  const text = (await zip(Buffer.from(JSON.stringify(release)), { level: constants.Z_BEST_COMPRESSION })).toString("base64");
  if (text.length <= mostSecretBytes) return text;
  throw new Fault("ReleaseTooLarge", subject, { detail: `the stored release would take ${text.length} bytes; a Secret holds ${mostSecretBytes}` });
}

/** @throws Fault ReleaseUnreadable, which quotes nothing of it */
export async function decodeRelease(text: string, subject: string): Promise<ReleaseDocument> {
  const unreadable = (why: string) => new Fault("ReleaseUnreadable", subject, { detail: why });
  if (text === "") throw unreadable("it has no key release");
  const bytes = Buffer.from(text, "base64");
  const isZipped = bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08;
  const plain = !isZipped ? bytes : await unzip(bytes, { maxOutputLength: mostPlainBytes }).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(cause.code === "ERR_BUFFER_TOO_LARGE" ? `it holds more than ${mostPlainBytes} bytes when unpacked` : "it is not compressed as Helm does it");
  });
  let value: unknown;
  try {
    value = JSON.parse(plain.toString("utf8"));
  } catch {
    throw unreadable("it does not hold JSON");
  }
  const read = document.safeParse(value);
  if (read.success) return read.data;
  const where = read.error.issues[0]?.path.join(".") ?? "";
  throw unreadable(`it is not a release of Helm 3 or 4: ${where === "" ? "no object" : `its field ${where.slice(0, 60)}`} is not as expected`);
}

/** As it would be read back. */
export const reread = (release: ReleaseDocument): ReleaseDocument => document.parse(JSON.parse(JSON.stringify(release)));

export const isPending = (status: string): boolean => status.startsWith("pending-");
