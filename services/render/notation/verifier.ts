/** Signatures judged by notation's own verifier, in a thread. */
import { Fault } from "#protocol/errors/fault.ts";
import type { NotationReply, NotationRequest, NotationVerifier } from "#services/clients/registry/verify/by-notation.ts";
import { Engine, type EngineOptions } from "../engine.ts";
import { RestingPool } from "../resting-pool.ts";
import { notationProgram } from "./program.ts";
import type { NotationCall } from "./thread.ts";

/** Time is bounded for a signature, not for a machine: one takes some milliseconds. */
const defaults = { threads: 1, timeoutMs: 30_000, slowMs: 2_000, spareIdleMs: 60_000, idleMs: 10 * 60_000, loadedLimitBytes: 0 };
const defaultLimitBytes = 256 * 1024 * 1024;

export type NotationOptions = Omit<EngineOptions, "program"> & Partial<typeof defaults>;

export class Notation implements NotationVerifier {
  private readonly pool: RestingPool;

  constructor({ memoryLimitBytes = defaultLimitBytes, wasm, ...options }: NotationOptions = {}) {
    const engine = new Engine({ memoryLimitBytes, program: notationProgram, ...(wasm && { wasm }) });
    this.pool = new RestingPool({ script: new URL("./thread.ts", import.meta.url), failed: "VerificationFailed", ...defaults, ...options, engine, title: "notation" });
  }

  async verify(request: NotationRequest, tenant: string, signal: AbortSignal): Promise<NotationReply> {
    const call = (): [NotationCall] => [{ request: JSON.stringify(request) }];
    try {
      const reply = await this.pool.use((pool) => pool.do({ subject: request.reference, tenant, call }, signal));
      return JSON.parse(new TextDecoder().decode(reply)) as NotationReply;
    } catch (error) {
      // It came to an end over this signature: that is no reason to pass over the next.
      if (error instanceof Fault && (error.code === "VerificationFailed" || error.code === "RenderTimeout"))
        return { failure: { code: "signature", message: error.detail ?? "it cannot be read" } };
      throw error;
    }
  }

  /** Waits for nothing: what is being judged is given up, and so is everything asked for later. */
  async close(): Promise<void> {
    await this.pool.close();
  }
}
