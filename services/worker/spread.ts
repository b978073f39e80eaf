/** Who is to look because of what an actor has made known, though nobody waits for it by name. */
import type { AnyEventObject } from "xstate";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { Cell } from "#services/store/cell.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Hub } from "./hub.ts";

export type SpreadPorts = {
  hub: Pick<Hub, "matching" | "list">;
  cell: Pick<Cell, "send" | "owns">;
  clock: Clock;
};

const [againMs, mostTries] = [1_000, 60];

/** It stays in the record until they were told. */
export const isForMany = ({ type }: AnyEventObject): boolean => type === "pushed" || type === "elected";

/**
 * Resolves when all were told. Whom it concerns is known to whoever watches the hub: while that is nobody it is tried again,
 * for a minute. What fails then an interval repairs.
 *
 * @throws Fault LeaseLost when the actor is another worker's by now, who tells them
 */
export async function spread(from: ActorKey, emitted: AnyEventObject, { hub, cell, clock }: SpreadPorts): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      const told = await whom(from, emitted, hub);
      await Promise.all(told.map((to) => cell.send({ to, kind: "look", body: {} })));
      return;
    } catch (thrown) {
      if (tries >= mostTries) throw thrown;
      await sleep(clock, againMs);
      if (!cell.owns(partitionOf(from))) throw new Fault("LeaseLost", actorId(from));
    }
  }
}

async function whom({ namespace }: ActorKey, emitted: AnyEventObject, hub: SpreadPorts["hub"]): Promise<ActorKey[]> {
  // Its commit is at its sources at once, and no webhook need say so. The one it was pushed by was told with the push (awaiting.ts).
  if (emitted.type === "pushed") return (await hub.matching([String(emitted["url"])])).filter((source) => actorId(source) !== emitted["source"]);
  // Which policies an automation takes is a matter of labels.
  const kind = "imageupdateautomation";
  return (await hub.list(kind, namespace)).map(({ metadata: { name } }) => ({ kind, namespace, name }));
}
