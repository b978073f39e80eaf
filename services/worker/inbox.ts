/** What comes for an actor: hints of its mailbox, and its object as the hub shows it. What is news to it is given to its host. */
import type { AnyEventObject } from "xstate";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { Cell } from "#services/store/cell.ts";
import type { Delivered } from "#services/store/mail.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Awaiting } from "./awaiting.ts";
import { factsOf, type RawObject } from "./facts.ts";
import { factsHash } from "./facts-hash.ts";
import type { FeatureGates } from "./feature-gates.ts";
import { eventOf } from "./hint-event.ts";
import type { Host } from "./host.ts";
import type { Hub } from "./hub.ts";
import type { Lane } from "./lanes.ts";
import type { Places } from "./places.ts";
import type { Sweep } from "./sweep.ts";
import type { Turns } from "./turns.ts";

export type InboxPorts = {
  cell: Pick<Cell, "owns">;
  host: Pick<Host, "deliver" | "summaryOf">;
  hub: Pick<Hub, "inputsOf">;
  places: Pick<Places, "received" | "sighted">;
  sweep: Pick<Sweep, "take">;
  turns: Pick<Turns, "because">;
  awaiting: Pick<Awaiting, "objectChanged">;
  log: Pick<Log, "error">;
  features: FeatureGates | undefined;
};

export class Inbox {
  private readonly ports: InboxPorts;

  constructor(ports: InboxPorts) {
    this.ports = ports;
  }

  /** Of a mailbox of ours: for the actor, or for whoever puts it in order first. */
  received(delivered: Delivered): void {
    const { cell, places, sweep } = this.ports;
    if (!cell.owns(partitionOf(delivered.key)) || places.received(delivered) || sweep.take(delivered)) return;
    this.hint(delivered);
  }

  hint({ key, kind, body, seq }: Delivered): void {
    const event = eventOf(key, kind, body);
    if (event) this.deliver(key, event, "change", { kind, seq });
    else this.ports.log.error("malformed hint set aside", kind, { actor: actorId(key) });
  }

  deliver(key: ActorKey, event: AnyEventObject, lane: Lane, hint?: Parameters<Host["deliver"]>[2]): void {
    const { cell, host, turns } = this.ports;
    if (!cell.owns(partitionOf(key))) return; // it lies in its mailbox, or is seen, where it is hosted now
    turns.because(key, lane);
    host.deliver(key, event, hint);
  }

  /** The hub's watch saw an object of ours, or saw it go. */
  sighted(key: ActorKey, object: RawObject | undefined): void {
    const { awaiting, cell, places } = this.ports;
    awaiting.objectChanged(key);
    if (cell.owns(partitionOf(key)) && places.sighted(key, object)) this.tell(key, object);
  }

  tell(key: ActorKey, object: RawObject | undefined): void {
    const { cell, features, hub } = this.ports;
    const facts = object ? factsOf(key.kind, object, hub.inputsOf(key), features) : null;
    if (!cell.owns(partitionOf(key)) || !this.isNews(key, facts)) return;
    const requested = facts !== null && "requestedAt" in facts && facts.requestedAt !== "" && facts.requestedAt !== facts.handledAt;
    this.deliver(key, { type: "object", facts }, requested ? "command" : "change");
  }

  private isNews(key: ActorKey, facts: object | null): boolean {
    const known = this.ports.host.summaryOf(key);
    return facts === null ? known !== undefined : known?.factsHash !== factsHash({ ...facts, handledAt: "" });
  }
}
