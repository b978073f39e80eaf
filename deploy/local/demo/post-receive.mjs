/**
 * Git's post-receive hook of the demo's repository: calls Flotilla's webhook, as a Git host does after a push. What it
 * prints reaches the person who pushed, as `remote: …`. A failure costs nothing but time: the interval finds the commit.
 */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

const { hook, token, repository } = JSON.parse(await readFile("flotilla-webhook.json", "utf8"));
const lines = (await text(process.stdin)).trim().split("\n");
const [, after = "", ref = ""] = lines.length === 1 ? lines[0].split(" ") : []; // old, new, ref

try {
  const answer = await fetch(hook, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ url: repository, ref, after }),
    signal: AbortSignal.timeout(5_000),
  });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const { matched } = await answer.json();
  console.log(`webhook: ${matched} ${matched === 1 ? "source looks" : "sources look"} again`);
} catch (error) {
  console.log(`webhook: no answer (${error.message}); the source's interval will find the commit`);
}
