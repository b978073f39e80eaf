/** How a command ends badly. The message is one sentence: what failed and what to do. */
import { Fault } from "#protocol/errors/fault.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";

export const exitCodes = { ok: 0, failed: 1, misuse: 2 } as const;

/** What was asked for did not happen. */
export class Failure extends Error {
  readonly exitCode: number = exitCodes.failed;
  override readonly name: string = "Failure";
}

/** The command line makes no sense: nothing was tried. */
export class Misuse extends Failure {
  override readonly exitCode = exitCodes.misuse;
  override readonly name = "Misuse";
}

// A fault's help tells what a worker does about it; here its detail says what is wrong.
export function sentenceOf(thrown: unknown): string {
  if (thrown instanceof Fault && thrown.detail) return printable(`${thrown.subject}: ${thrown.detail}`);
  return printable(thrown instanceof Error ? thrown.message || thrown.name : String(thrown));
}
