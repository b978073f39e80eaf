/**
 * Expressions in CEL, by the real cel-go with the libraries Flux has (strings, sets, encoders, optionals), in a thread of
 * their own: one that runs away costs its own answer, and at most a new thread.
 */
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import type { CelReply } from "./cel-thread.ts";
import type { Engine } from "./engine.ts";
import { parseJson } from "./json.ts";
import { ThreadEnded, ThreadHandle } from "./thread-handle.ts";

/**
 * With `variables` the expression is type-checked: each names an object, and the result must be a bool (`readyExpr` with
 * `self` and `dep`). Without, only its syntax is checked, and names are looked up when it is evaluated
 * (`healthCheckExprs`, where any field of an object may be one).
 */
export type CelSource = { expression: string; variables?: readonly string[] };

/** `value` is JSON. `error` is a sentence about the expression, for whoever wrote it. */
export type CelResult = { value: unknown } | { error: string };

export type CelOptions = {
  /** For one call, from when the thread takes it up. What an expression costs is bounded too, so this is rarely met. */
  timeoutMs?: number;
};

export class Cel {
  private readonly engine: Engine;
  private readonly timeoutMs: number;
  private readonly compiled = new LRUCache<string, { error: string | undefined }>({ max: 1_000 });
  private thread: ThreadHandle<CelRequest, CelReply> | undefined;
  /** The call before: the thread does one at a time. */
  private turn: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(engine: Engine, { timeoutMs = 10_000 }: CelOptions = {}) {
    this.engine = engine;
    this.timeoutMs = timeoutMs;
  }

  /** @returns what is wrong with it, or undefined @throws Fault RendererMissing */
  async compile(source: CelSource): Promise<string | undefined> {
    const key = JSON.stringify(source);
    const known = this.compiled.get(key);
    if (known) return known.error;
    const [result] = await this.ask({ expressions: [source] });
    const error = result && "error" in result ? result.error : undefined;
    this.compiled.set(key, { error });
    return error;
  }

  /** @throws Fault RendererMissing */
  async evaluate(source: CelSource, values: Record<string, unknown>): Promise<CelResult> {
    const [result] = await this.evaluateAll([source], values);
    return result as CelResult;
  }

  /** Several expressions over the same values; each has its own answer. @throws Fault RendererMissing */
  evaluateAll(expressions: readonly CelSource[], values: Record<string, unknown>): Promise<CelResult[]> {
    return this.ask({ expressions, values: JSON.stringify(values) });
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.thread?.stop();
  }

  private ask(request: CelRequest): Promise<CelResult[]> {
    const answer = this.turn.then(() => this.askNow(request));
    this.turn = answer.catch(() => undefined);
    return answer;
  }

  private async askNow(request: CelRequest): Promise<CelResult[]> {
    const forAll = (error: string): CelResult[] => request.expressions.map(() => ({ error }));
    if (this.closed) throw closed();
    this.thread ??= await this.startThread();
    try {
      const answer = await this.thread.ask(request);
      if ("stopped" in answer) return forAll(answer.stopped);
      return (parseJson(new TextDecoder().decode(answer.reply)) as { results: CelResult[] }).results;
    } catch (thrown) {
      if (this.closed) throw closed();
      if (!(thrown instanceof ThreadEnded)) throw thrown;
      return forAll(thrown.overran ? `it was stopped: not done after ${this.timeoutMs / 1000} s` : thrown.message);
    }
  }

  private async startThread(): Promise<ThreadHandle<CelRequest, CelReply>> {
    const { module, memoryLimitBytes } = await this.engine.get();
    return new ThreadHandle({
      script: new URL("./cel-thread.ts", import.meta.url), settings: { module, memoryLimitBytes }, timeoutMs: this.timeoutMs,
    });
  }
}

/** Without `values`, whether the expressions compile is all that is asked. */
export type CelRequest = { expressions: readonly CelSource[]; values?: string };

const closed = () => new Fault("RendererMissing", "CEL", { detail: "it is closed" });
