/** Adds a commit to a bare repository in one `git fast-import`: no work tree, no index, one process. */
import { spawn } from "node:child_process";
import { buffer, text } from "node:stream/consumers";
import { git, gitEnvironment } from "./git-backend.ts";

export type Commit = {
  /** Path to content; null deletes the file. Everything not named stays as it is. */
  files: Record<string, string | Buffer | FileOfMode | null>;
  message: string;
  /** main, unless given */
  branch?: string;
  author?: { name: string; email: string };
  /** When it was made; now, unless given. */
  date?: Date;
};

/** An executable file, or a symbolic link whose content is its target. */
export type FileOfMode = { mode: "100755" | "120000"; content: string | Buffer };

const someone = { name: "Flotilla", email: "flotilla@example.com" };

export async function importCommit(repository: string, commit: Commit): Promise<string> {
  const { files, message, branch = "main", author = someone, date = new Date() } = commit;
  const ref = `refs/heads/${branch}`;
  const parent = await git(repository, "for-each-ref", "--format=%(objectname)", ref);
  const who = `${author.name} <${author.email}> ${Math.floor(date.getTime() / 1000)} +0000`;

  const importer = spawn("git", ["fast-import", "--quiet", "--done"], { cwd: repository, env: gitEnvironment });
  const answer = Promise.all([buffer(importer.stdout), text(importer.stderr)]);
  const code = new Promise<number | null>((resolve, reject) => importer.on("error", reject).on("close", resolve));
  importer.stdin.on("error", () => undefined); // its exit code and message tell more
  const say = (line: string) => importer.stdin.write(`${line}\n`);
  const data = (content: string | Buffer) => {
    const bytes = Buffer.from(content);
    say(`data ${bytes.length}`);
    importer.stdin.write(bytes);
    say("");
  };

  say(`commit ${ref}\nmark :1\nauthor ${who}\ncommitter ${who}`);
  data(message);
  if (parent !== "") say(`from ${parent}`);
  for (const [path, file] of Object.entries(files)) {
    if (file === null) {
      say(`D ${quote(path)}`);
      continue;
    }
    const { mode, content } = typeof file === "string" || Buffer.isBuffer(file) ? { mode: "100644", content: file } : file;
    say(`M ${mode} inline ${quote(path)}`);
    data(content);
  }
  say("\nget-mark :1\ndone");
  importer.stdin.end();

  const [stdout, stderr] = await answer;
  if ((await code) !== 0) throw new Error(`git fast-import in ${repository}: ${stderr}`);
  return stdout.toString("utf8").trim();
}

const quote = (path: string) => `"${path.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
