/** What a host of actors needs of its worker. */
import type { AnyEventObject, AnyStateMachine } from "xstate";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord, Run } from "#protocol/records/actor.ts";
import type { Hint, Write } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";

export type EffectCall = {
  key: ActorKey; context: Record<string, unknown>; input: unknown; run: Run; signal: AbortSignal;
  /** An owner that did not let go left this run: what that one had sent may still be on its way. */
  recovered: boolean;
};

export type Transition = { key: ActorKey; before: ActorRecord; after: ActorRecord; emits: AnyEventObject[]; nowMs: number };

/** What can be asked of any actor, in memory or not. */
export type ActorSummary = { key: ActorKey; state: string; busy: boolean; factsHash: number };

export type HostPorts = {
  clock: Clock;
  /** The chart for a kind of actor; undefined for a kind this worker does not know. */
  machineOf(kind: string): AnyStateMachine | undefined;
  /**
   * Resolves once the write is durable and was accepted under our fence. Rejects only when ownership is lost.
   * `text` is the record as it is to be stored.
   */
  commit(write: Write & { text?: string }): Promise<void>;
  /** The record as it is stored, at least as new as the last commit; undefined when there is none. Rejects when it cannot tell. */
  load(key: ActorKey): Promise<ActorRecord | undefined>;
  perform(src: string, call: EffectCall): Promise<unknown>;
  /** Whom an emitted event concerns. */
  route(from: ActorKey, emitted: AnyEventObject): Hint[];
  /** Tells people a notice, or many actors that there is news for them (spread.ts); offered again after a crash until it was told. */
  tell(key: ActorKey, word: AnyEventObject): Promise<void>;
  /** What came of a run, for traces. */
  ended(key: ActorKey, run: Run, context: Record<string, unknown>, outcome: { endMs: number; fault?: FaultData }): void;
  /** After a decision was kept. */
  kept(transition: Transition): void;
  /** An actor whose record or chart failed: it does nothing until its object changes. */
  quarantined(key: ActorKey, fault: FaultData): void;
};

export type HostOptions = {
  /** How long an actor rests before it leaves memory. */
  restMs?: number;
  /** So many in memory; beyond it whoever rests longest leaves at once. */
  mostResident?: number;
};
