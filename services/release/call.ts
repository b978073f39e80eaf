/** What every action on a release is given, and what it gives back. */
import type { Owner } from "#machines/rules/prune.ts";
import { Fault, isPassing, type FaultData } from "#protocol/errors/fault.ts";
import type { Change, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { AppliedTable } from "#services/cluster/apply.ts";
import type { Gone, TestHook } from "#protocol/messages/release.ts";
import type { Stored, StorageCall } from "./storage.ts";
import type { Judge } from "./wait.ts";

export type ReleaseCall = StorageCall & {
  /** Of this decision alone; the same however often it is carried out (docs/decisions/0009). */
  intent: string;
  /** The HelmRelease, for the marks of definitions. */
  origin: Owner;
  /** An owner before crashed: what needs no write is touched under this `<partition>:<epoch>`. */
  touch?: { epoch: string } | undefined;
  /** What is known of the release's objects by watch; it is told of what is written. */
  table?: AppliedTable | undefined;
  /** What an owner before had sent may still arrive: a hook that is to go is left for later, or it could run once more. */
  wary?: boolean | undefined;
  /** How objects are judged that `spec.healthCheckExprs` names; by inventory id. */
  judge?: ((id: string) => Judge | undefined) | undefined;
};

/** `hooks`: only hooks are waited for (`disableWait`). */
export type WaitStrategy = "poller" | "legacy" | "hooks";

export type ActionOptions = {
  /** Of each hook, and of the wait for the objects. */
  timeoutMs: number;
  /** False: `disableHooks`. */
  hooks: boolean;
  wait: WaitStrategy;
};

export type MakeOptions = ActionOptions & {
  /** False: a Job that was begun will do. */
  jobs: boolean;
  /** `auto`: as the release was applied before. */
  serverSide: boolean | "auto";
  /** Replaces objects in place of patching them; only where they are applied on the client's side. */
  force: boolean;
  /** What this action created is deleted when it fails. */
  cleanupOnFail: boolean;
  /** False: an object that is there and does not belong to the release is refused. */
  takeOwnership: boolean;
  /** An uninstalled release's name, which is still in the history, may be used again. */
  replace: boolean;
  /** So many revisions stay in storage; 0: all. */
  maxHistory: number;
};

export type GoneObject = Gone["objects"][number];

export type Acted = {
  /** Every revision that was written, newest first, as it stands in storage now. */
  written: Stored[];
  /** The objects of the manifest, hooks excluded, with the chart's definitions. Absent: as before. */
  entries?: InventoryEntry[];
  changes: Change[];
  testHooks?: Record<string, TestHook>;
  /** What is not to be there any more. */
  gone?: GoneObject[];
  /** A run before had begun it. */
  resumed?: true;
  /** There was no such release, or it was uninstalled already. */
  absent?: true;
  /** What pods of hooks printed, where the hook asks for that. */
  hookLogs: string[];
  log: string[];
  fault?: FaultData;
};

/** What an action tells of itself as it goes on. */
export class Journal {
  readonly gone: GoneObject[] = [];
  readonly changes: Change[] = [];
  readonly hookLogs: string[] = [];
  readonly log: string[] = [];

  say(line: string): void {
    this.log.push(line.length > longestLine ? `${line.slice(0, longestLine)}…` : line);
    if (this.log.length > mostLines) this.log.shift();
  }
}

const mostLines = 10;
const longestLine = 1_000;

/**
 * Whether a failure is no fact about the release: the action goes on when it is carried out again. Nothing is settled then,
 * and nothing more is written.
 */
export const isInterruption = (thrown: unknown, { signal }: Pick<ReleaseCall, "signal">): boolean =>
  signal.aborted || !(thrown instanceof Fault) || thrown.code === "LeaseLost" || isPassing(thrown.code);
