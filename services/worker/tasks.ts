/** Running tasks: which actor's, which partition's, and when those that were told to stop really have. */
import type { Clock } from "#services/store/clock.ts";

export type Errand = { id: string; partition: number; src: string };

type Task = Errand & { controller: AbortController; ended: Promise<void> };

/** How long a task may take to heed its signal before the next one of its actor begins all the same. */
const graceMs = 5_000;

export class Tasks {
  private readonly clock: Clock;
  private readonly byActor = new Map<string, Set<Task>>();
  private readonly byPartition = new Map<number, Set<Task>>();
  /** Called at the end of any task, by partition. */
  private readonly waiting = new Map<number, Set<() => void>>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /**
   * Begins work as soon as no former task of the actor is at work. An abort stops nothing that is on its way already: what
   * the former one still has in flight must not land in the middle of what the next one does.
   *
   * @param work never rejects; it ends when the task does
   */
  start(errand: Errand, work: (ready: Promise<void>, signal: AbortSignal) => Promise<void>): AbortController {
    const controller = new AbortController();
    const task: Task = { ...errand, controller, ended: work(this.formerEnded(errand.id), controller.signal) };
    added(this.byActor, errand.id, task);
    added(this.byPartition, errand.partition, task);
    void task.ended.then(() => {
      removed(this.byActor, errand.id, task);
      removed(this.byPartition, errand.partition, task);
      for (const wake of this.waiting.get(errand.partition) ?? []) wake();
    });
    return controller;
  }

  isBusy(partition: number, sources: ReadonlySet<string>): boolean {
    for (const { src } of this.byPartition.get(partition) ?? []) if (sources.has(src)) return true;
    return false;
  }

  /** Whether none of these is at work in the partition, now or within the time. */
  quiet(partition: number, sources: ReadonlySet<string>, withinMs: number): Promise<boolean> {
    return this.until(partition, () => !this.isBusy(partition, sources), withinMs);
  }

  /** The same for one actor. */
  quietActor({ id, partition }: Pick<Errand, "id" | "partition">, sources: ReadonlySet<string>, withinMs: number): Promise<boolean> {
    return this.until(partition, () => ![...(this.byActor.get(id) ?? [])].some(({ src }) => sources.has(src)), withinMs);
  }

  private async until(partition: number, isQuiet: () => boolean, withinMs: number): Promise<boolean> {
    const late = new AbortController();
    const cancel = this.clock.at(this.clock.nowMs() + withinMs, () => late.abort());
    while (!isQuiet() && !late.signal.aborted)
      await new Promise<void>((resolve) => {
        const wake = () => {
          removed(this.waiting, partition, wake);
          late.signal.removeEventListener("abort", wake);
          resolve();
        };
        late.signal.addEventListener("abort", wake);
        added(this.waiting, partition, wake);
      });
    cancel();
    return isQuiet();
  }

  /** When every task that is now at work in the partition has ended, or had its time to. */
  ended(partition: number): Promise<void> {
    return this.orGrace([...(this.byPartition.get(partition) ?? [])]);
  }

  actorEnded(id: string): Promise<void> {
    return this.orGrace([...(this.byActor.get(id) ?? [])]);
  }

  private formerEnded(id: string): Promise<void> {
    return this.orGrace([...(this.byActor.get(id) ?? [])].filter(({ controller }) => controller.signal.aborted));
  }

  private async orGrace(tasks: Task[]): Promise<void> {
    if (tasks.length === 0) return;
    let cancel = () => {};
    const grace = new Promise<void>((resolve) => { cancel = this.clock.at(this.clock.nowMs() + graceMs, resolve); });
    await Promise.race([Promise.all(tasks.map(({ ended }) => ended)), grace]);
    cancel();
  }
}

function added<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  if (set) set.add(value);
  else sets.set(key, new Set([value]));
}

function removed<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
