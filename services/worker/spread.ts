/** Who is to look because of what an actor has made known, though nobody waits for it by name. */
import type { AnyEventObject } from "xstate";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { Cell } from "#services/store/cell.ts";
import type { Hub } from "./hub.ts";

export type SpreadPorts = {
  hub: Pick<Hub, "matching" | "list">;
  cell: Pick<Cell, "send">;
};

/** Resolves to how many were told. What fails an interval repairs. */
export async function spread({ namespace }: ActorKey, emitted: AnyEventObject, { hub, cell }: SpreadPorts): Promise<number> {
  const told = await whom();
  await Promise.all(told.map((to) => cell.send({ to, kind: "look", body: {} })));
  return told.length;

  async function whom(): Promise<ActorKey[]> {
    // Its commit is at its sources at once, and no webhook need say so. The one it was pushed by was told with the push (awaiting.ts).
    if (emitted.type === "pushed") return (await hub.matching([String(emitted["url"])])).filter((source) => actorId(source) !== emitted["source"]);
    // Which policies an automation takes is a matter of labels.
    if (emitted.type !== "elected") return [];
    const kind = "imageupdateautomation";
    return (await hub.list(kind, namespace)).map(({ metadata: { name } }) => ({ kind, namespace, name }));
  }
}
