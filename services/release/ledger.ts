/**
 * What one run knows of a release's storage: as it was listed and read, and as the run's own writes have left it. Each write is
 * under the version that is known here, so that where somebody else was faster the server refuses it, and nothing is asked twice.
 */
import type { Revision, Stored } from "./storage.ts";

export class Ledger {
  private revisions: Map<number, Revision> | undefined;
  private readonly documents = new Map<number, Stored>();

  /** Newest first; undefined: it was not listed yet, or what was known of it is no longer so. */
  list(): Revision[] | undefined {
    return this.revisions && [...this.revisions.values()].sort((a, b) => b.version - a.version);
  }

  listed(revisions: Revision[]): void {
    this.revisions = new Map(revisions.map((each) => [each.version, each]));
  }

  isMissing(version: number): boolean {
    return this.revisions !== undefined && !this.revisions.has(version);
  }

  document(version: number): Stored | undefined {
    const stored = this.documents.get(version);
    return stored && stored.revision.resourceVersion === this.revisions?.get(version)?.resourceVersion ? stored : undefined;
  }

  /** As it was read, or written. */
  stands(stored: Stored): void {
    const { revision } = stored;
    this.documents.set(revision.version, stored);
    this.revisions?.set(revision.version, revision);
  }

  gone(version: number): void {
    this.documents.delete(version);
    this.revisions?.delete(version);
  }

  forgetDocuments(): void {
    this.documents.clear();
  }

  /** Somebody else wrote. */
  forget(): void {
    this.revisions = undefined;
    this.documents.clear();
  }
}
