/**
 * What must hold whatever happened to workers and NATS, judged from what the API server accepted and NATS stored: each
 * version of an object written once and in order, nothing deleted that is wanted, no write by whoever no longer owned.
 */
import { fieldManagers } from "#protocol/api/annotations.ts";
import { versionIn, type Apps, type Unit } from "./apps.ts";
import type { Owners } from "./owners.ts";
import type { Written } from "./writes.ts";

type Seen = Pick<Apps, "namespace" | "units"> & { maps: Pick<Apps["maps"], "get"> };

export type Evidence = {
  apps: Seen;
  owners: Pick<Owners, "ofActor">;
  /** Accepted since the scenario began; of ConfigMaps with what was stored. */
  writes: Written[];
  /** The version everything was at then, and how far the server's order had come. */
  since: { version: number; order: number };
  /** Name of the worker behind an account; undefined for anybody else. */
  workerOf(user: string): string | undefined;
};

/** Between the new owner's record and the API server's clock: a request that was on its way when the partition moved. */
const onItsWayMs = 100;

/** A line for each thing that must not be; empty when all is well. */
export function violations(evidence: Evidence): string[] {
  const { apps, writes } = evidence;
  const byName = Map.groupBy(writes.filter(({ resource, subresource }) => resource === "configmaps" && subresource === ""), ({ name }) => name);
  return apps.units.flatMap((unit) => unit.objects.flatMap((name) => {
    const mine = byName.get(name) ?? [];
    const stored = mine.filter((each) => each.stored !== undefined).sort((a, b) => orderOf(a) - orderOf(b));
    return [...versionsOf(evidence, name, stored), ...removalsOf(mine), ...fencedOf(evidence, unit, stored)];
  }));
}

/**
 * From the version at the beginning to the one that is there now each write raises it. What the server answered with a
 * place in its order that it had given out before changed nothing; touches against a dead owner's late requests raise nothing.
 */
function versionsOf({ apps, since }: Evidence, name: string, stored: Written[]): string[] {
  const changing = stored.filter((each, i) => orderOf(each) > Math.max(since.order, ...stored.slice(0, i).map(orderOf)));
  const raising = changing.filter(({ manager }) => manager !== fieldManagers.fence);
  const versions = [since.version, ...raising.map((each) => each.stored?.version ?? 0)];
  const now = versionIn(apps.maps.get(apps.namespace, name));
  const rises = versions.every((version, i) => i === 0 || version > (versions[i - 1] ?? 0));
  return [
    ...(rises ? [] : [`${name}: written again or backwards, from version ${since.version}: ${raising.map(told).join("; ")}`]),
    ...(versions.at(-1) === now ? [] : [`${name}: is at version ${now}, which nobody wrote: ${raising.map(told).join("; ")}`]),
  ];
}

/** All of them were there when it began. */
const removalsOf = (mine: Written[]): string[] => mine.flatMap((each) =>
  each.verb === "create" ? [`made anew: ${told(each)}`] : each.verb.startsWith("delete") ? [`deleted though wanted: ${told(each)}`] : []);

/** Nobody writes who does not own the unit, and nobody at all once the new owner has written to the object. */
function fencedOf({ owners, workerOf }: Evidence, { key }: Unit, stored: Written[]): string[] {
  return stored.flatMap((each, i) => {
    const worker = workerOf(each.user);
    const [now, before] = [owners.ofActor(key, each.atMs), owners.ofActor(key, each.atMs - onItsWayMs)];
    if (worker === undefined || now === undefined || now === worker) return [];
    const successorWrote = stored.slice(0, i).some(({ user, atMs }) => workerOf(user) === now && owners.ofActor(key, atMs) === now);
    return before === worker && !successorWrote ? [] : [`written by ${worker} while ${now} owned ${key.name}: ${told(each)}`];
  });
}

const orderOf = ({ stored }: Written): number => stored?.order ?? 0;
const told = ({ atMs, user, verb, name, stored }: Written): string =>
  `${new Date(atMs).toISOString()} ${user} ${verb} ${name}${stored ? ` version ${stored.version} as ${stored.order}` : ""}`;
