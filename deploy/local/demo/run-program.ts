/** Runs one command to its end and returns what it printed; its failure is told with what it said. */
import { execFile } from "node:child_process";

export type Command = {
  file: string;
  args: string[];
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** As the reader would type it, for the message of a failure. */
  shown?: string;
};

/** Standard output and standard error, each without its last line break. */
export type Output = { out: string; err: string };

const timeoutMs = 60_000;

export function runProgram({ file, args, cwd, env = process.env, shown }: Command): Promise<Output> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: 16 << 20, env, ...(cwd !== undefined && { cwd }) };
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      if (!error) return resolve({ out: stdout.trimEnd(), err: stderr.trimEnd() });
      const said = `${stderr}${stdout}`.trim() || error.message;
      return reject(new Error(`"${shown ?? [file, ...args].join(" ")}" failed:\n${said}`, { cause: error }));
    });
    child.stdin?.end();
  });
}
