/** Which ids belong to a partition. */
export class PartitionIndex {
  private readonly sets = new Map<number, Set<string>>();

  add(partition: number, id: string): void {
    const ids = this.sets.get(partition);
    if (ids) ids.add(id);
    else this.sets.set(partition, new Set([id]));
  }

  remove(partition: number, id: string): void {
    const ids = this.sets.get(partition);
    ids?.delete(id);
    if (ids?.size === 0) this.sets.delete(partition);
  }

  /** A copy, so that what is found may be removed. */
  of(partition: number): string[] {
    return [...(this.sets.get(partition) ?? [])];
  }
}
