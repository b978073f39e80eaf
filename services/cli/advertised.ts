/**
 * Where artifacts are downloaded: one address for the whole cell, so that an artifact's URL stays when its source moves
 * to another worker. Whoever was told an address writes it down; everybody goes by what is written.
 */
import { subject } from "#protocol/names/subject.ts";
import { gatewayRecord } from "#protocol/records/cell.ts";
import type { Clock } from "#services/store/clock.ts";
import { LogError, type Log } from "#services/store/log.ts";

export type Advertised = {
  /** As last read, without a slash at its end. */
  url(): string;
  close(): void;
};

const rereadMs = 30_000;

export type AdvertisedOptions = {
  /** The operator's choice; it replaces what is written. */
  given?: string | undefined;
  /** This worker's own address: written down only where nothing is. */
  own: string;
};

/** @throws LogError when NATS does not answer */
export async function openAdvertised(log: Log, clock: Clock, { given, own }: AdvertisedOptions): Promise<Advertised> {
  let url = given ? await write(log, bare(given)) : await agree(log, bare(own));
  let cancel: () => void;
  const again = async (): Promise<void> => {
    url = (await read(log).catch(() => undefined)) ?? url; // NATS away: the last one stays
    if (!closed) cancel = clock.at(clock.nowMs() + rereadMs, () => void again());
  };
  let closed = false;
  cancel = clock.at(clock.nowMs() + rereadMs, () => void again());
  return { url: () => url, close: () => { closed = true; cancel(); } };
}

async function agree(log: Log, own: string): Promise<string> {
  const stored = await read(log);
  if (stored !== undefined) return stored;
  try {
    return await write(log, own, 0);
  } catch (thrown) {
    if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown;
    return (await read(log)) ?? (await write(log, own)); // another worker was faster, or what is there cannot be read
  }
}

async function write(log: Log, url: string, expectLast?: number): Promise<string> {
  await log.publish({ subject: subject.gateway, data: JSON.stringify({ v: 1, url }), ...(expectLast !== undefined && { expectLast }) });
  return url;
}

/** Undefined when nothing is written, or nothing that is an address. */
async function read(log: Log): Promise<string | undefined> {
  const stored = await log.read(subject.gateway);
  if (!stored) return undefined;
  try {
    const { url } = gatewayRecord.parse(JSON.parse(stored.data));
    return /^https?:$/.test(new URL(url).protocol) ? bare(url) : undefined;
  } catch {
    return undefined; // whatever it is, it is no address
  }
}

const bare = (url: string): string => url.replace(/\/+$/, "");
