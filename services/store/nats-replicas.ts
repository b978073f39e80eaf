/** On how many servers something is kept: on three where NATS is a cluster that has room for it, else on one. */
import { JetStreamApiError } from "@nats-io/jetstream";
import type { NatsConnection } from "nats";

const inCluster = 3;

// No suitable peers for placement (also while one is away), clustering required, insufficient resources, not in clustered mode.
const noRoom = new Set([10_005, 10_010, 10_023, 10_074]);

const isNoRoom = (thrown: unknown): boolean => thrown instanceof JetStreamApiError && noRoom.has(thrown.code);

/** Makes something; with fewer replicas when there is no room and nobody asked for a number. */
export async function makeReplicated<T>(
  connection: NatsConnection,
  wanted: number | undefined,
  make: (replicas: number) => Promise<T>,
): Promise<T> {
  const best = wanted ?? (connection.info?.cluster ? inCluster : 1);
  try {
    return await make(best);
  } catch (thrown) {
    if (wanted !== undefined || best === 1 || !isNoRoom(thrown)) throw thrown;
    return make(1);
  }
}

/** How many an existing one should have. It only grows by itself: what was made while a server was away is repaired later. */
export const replicasToReach = (connection: NatsConnection, wanted: number | undefined, has: number): number =>
  wanted ?? Math.max(has, connection.info?.cluster ? inCluster : 1);

/** Changes the number; where there is no room it stays, unless somebody asked for it. */
export async function reachReplicas(wanted: number | undefined, change: () => Promise<unknown>): Promise<void> {
  try {
    await change();
  } catch (thrown) {
    if (wanted !== undefined || !isNoRoom(thrown)) throw thrown;
  }
}
