/** What a tenant asks of the threads that render with kustomize. */
import type { BuildCall } from "./module.ts";
import type { BuildReply, RenderPool } from "./pool.ts";
import type { Tree } from "./tree.ts";

/** @throws as RenderPool.do does; the threads' own fault is BuildFailed */
export type TenantPool = {
  build(call: BuildCall, tree: Tree, signal: AbortSignal): Promise<BuildReply>;
  /** Objects with the values of variables in them, from a request as wasm/substitute.go takes it. */
  substitute(subject: string, request: string, signal: AbortSignal): Promise<BuildReply>;
};

export const poolOf = (pool: RenderPool, tenant: string): TenantPool => ({
  build: (call, tree, signal) =>
    pool.do({ subject: call.path || ".", tenant, call: () => [call], needs: { digest: call.digest, pack: () => tree.pack(call.digest) } }, signal),
  substitute: (subject, request, signal) => pool.do({ subject, tenant, call: () => [{ substitute: request }] }, signal),
});
