/**
 * The Kubernetes API server that tests share. `test/run.ts` starts one for the whole run and hands it over by environment;
 * a test file run by itself starts its own, which ends with it.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startControlPlane } from "../../deploy/local/control-plane.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { tool } from "../../deploy/local/tools.ts";

export type Cluster = {
  /** The path of a kubeconfig whose user may do everything. */
  kubeconfig: string;
  /** Every request as a JSON line of audit.k8s.io/v1; other tests' requests are among them. */
  auditLog: string;
  /** Runs kubectl; `input` goes to its standard input (`kubectl(["apply", "-f", "-"], yaml)`). @throws Error with what it said */
  kubectl(args: string[], input?: string): Promise<string>;
  /** `kubectl get … -o json`, parsed. */
  get<T = Record<string, unknown>>(...args: string[]): Promise<T>;
  /** Makes a namespace of its own for one test, in which pods can run. */
  namespace(prefix?: string): Promise<string>;
};

let started: Promise<Cluster> | undefined;

export function cluster(): Promise<Cluster> {
  started ??= shared();
  return started;
}

/**
 * One for this file alone. A Flotilla reconciles whatever it finds: of two on one API server each would reconcile the other's
 * units too, so only `test/system/reconcile.real.test.ts` has one on the server that all share.
 */
export const ownCluster = async (): Promise<Cluster> => open(await startOwn());

async function shared(): Promise<Cluster> {
  const { FLOTILLA_TEST_KUBECONFIG, FLOTILLA_TEST_AUDIT_LOG } = process.env;
  return open(
    FLOTILLA_TEST_KUBECONFIG && FLOTILLA_TEST_AUDIT_LOG
      ? { kubeconfig: FLOTILLA_TEST_KUBECONFIG, auditLog: FLOTILLA_TEST_AUDIT_LOG }
      : await startOwn(),
  );
}

async function open({ kubeconfig, auditLog }: { kubeconfig: string; auditLog: string }): Promise<Cluster> {
  const program = await tool("kubectl");
  const kubectl = (args: string[], input?: string) => runKubectl(program, ["--kubeconfig", kubeconfig, ...args], input);
  return {
    kubeconfig,
    auditLog,
    kubectl,
    get: async (...args) => JSON.parse(await kubectl(["get", ...args, "-o", "json"])),
    async namespace(prefix = "test") {
      const name = `${prefix}-${randomBytes(4).toString("hex")}`;
      await kubectl(["create", "namespace", name]);
      await eventually(`the service account of ${name}`, () => kubectl(["get", "serviceaccount", "default", "-n", name]));
      return name;
    },
  };
}

async function startOwn(): Promise<{ kubeconfig: string; auditLog: string }> {
  const dir = scratchFolder();
  const { kubeconfig } = await startControlPlane({ dir, audit: true, onProgress: (line) => process.stderr.write(`${line}\n`) });
  return { kubeconfig, auditLog: join(dir, "audit.log") };
}

/** A folder that goes when this process ends. */
export function scratchFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "flotilla-test-"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}

function runKubectl(program: string, args: string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: 60_000, maxBuffer: 64 << 20 };
    const child = execFile(program, args, options, (error, stdout, stderr) =>
      error ? reject(new Error(`kubectl ${args.slice(2).join(" ")}: ${stderr || error.message}`)) : resolve(stdout),
    );
    child.stdin?.on("error", () => undefined); // it may end before it has read everything
    child.stdin?.end(input ?? "");
  });
}
