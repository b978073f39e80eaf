/**
 * What is done before anything is written for a partition whose owner crashed: the admission policy of deploy/policy, where
 * it is in use, is told from which epoch on writes count.
 */
import { sleep, type Clock } from "#services/store/clock.ts";

export type FencesPorts = {
  clock: Clock;
  owns(partition: number): boolean;
  /** @throws Fault when the API server cannot be reached */
  raise(fence: { partition: number; epoch: number }): Promise<void>;
  failed(partition: number, thrown: unknown): void;
};

const retryMs = 2_000;

export class Fences {
  private readonly ports: FencesPorts;
  private readonly raising = new Map<number, Promise<void>>();

  constructor(ports: FencesPorts) {
    this.ports = ports;
  }

  raise(partition: number, epoch: number): void {
    this.raising.set(partition, this.insist(partition, epoch));
  }

  /** Resolves when whoever had the partition before can do no harm any more. */
  async raised(partition: number): Promise<void> {
    await this.raising.get(partition);
  }

  drop(partition: number): void {
    this.raising.delete(partition);
  }

  private async insist(partition: number, epoch: number): Promise<void> {
    const { clock, owns, raise, failed } = this.ports;
    while (owns(partition))
      try {
        return await raise({ partition, epoch });
      } catch (thrown) {
        failed(partition, thrown);
        await sleep(clock, retryMs);
      }
  }
}
