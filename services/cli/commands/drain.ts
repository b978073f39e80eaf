import { formatDuration } from "#protocol/api/duration.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";
import type { WorkerView } from "#protocol/messages/fleet.ts";
import type { Api } from "../api.ts";
import type { Action, Call } from "../command.ts";
import { exitCodes, Failure } from "../failure.ts";
import { timeoutOf } from "../wait.ts";

const pauseMs = 250;
const tellMs = 1_000;

/** Empties one worker and follows until it holds nothing, or lets it take part again. */
export const drain: Action = async (call) => {
  const { words: [word = ""], options, shell } = call;
  const timeoutMs = timeoutOf(options.timeout);
  const api = await shell.openApi(options);
  const views = await api.workers();
  const worker = find(views, word);
  if (options.undo) {
    await api.drain(worker.name, false);
    shell.say(`✔ ${worker.name} takes part again`);
    return finish(call, { ...worker, state: "ready" });
  }
  if (worker.state === "silent") throw new Failure(`${worker.name} does not answer: what it holds is taken over without it`);
  if (worker.partitions > 0 && !views.some(({ name, state }) => name !== worker.name && state === "ready"))
    throw new Failure(`nobody is there to take over from ${worker.name}: start another worker first`);
  shell.say(`► draining ${worker.name}`);
  await api.drain(worker.name, true);
  return finish(call, await untilEmpty(call, api, worker, timeoutMs));
};

async function untilEmpty({ shell }: Call, api: Api, asked: WorkerView, timeoutMs: number): Promise<WorkerView> {
  const { name } = asked;
  const deadlineMs = shell.nowMs() + timeoutMs;
  let told = { partitions: -1, atMs: 0 };
  for (;;) {
    const worker = (await api.workers()).find((each) => each.name === name);
    const nowMs = shell.nowMs();
    if (!worker || worker.partitions === 0) {
      shell.say(worker ? `✔ ${name} holds nothing any more` : `✔ ${name} has handed everything over and ended`);
      return worker ?? { ...asked, partitions: 0, actors: 0 };
    }
    if (nowMs >= deadlineMs)
      throw new Failure(`${name} still holds ${counted(worker.partitions)} after ${formatDuration(timeoutMs)}; it goes on draining until "flotilla drain ${name} --undo"`);
    if (worker.partitions !== told.partitions && nowMs - told.atMs >= tellMs) {
      shell.say(`◎ ${counted(worker.partitions)} left`);
      told = { partitions: worker.partitions, atMs: nowMs };
    }
    await shell.sleep(pauseMs);
  }
}

/** By its name, or by a beginning that no other name has. */
function find(views: WorkerView[], word: string): WorkerView {
  const found = views.filter(({ name }) => name.startsWith(word));
  const exact = found.find(({ name }) => name === word);
  const [only] = found;
  if (exact ?? (found.length === 1 && only)) return (exact ?? only)!;
  const names = (list: WorkerView[]) => list.map(({ name }) => printable(name)).join(", ") || "none";
  throw new Failure(found.length > 1 ? `"${word}" may be any of ${names(found)}: give more of the name` : `no worker "${word}": there are ${names(views)}`);
}

function finish({ options, shell }: Call, worker: WorkerView): number {
  if (options.json) shell.print(`${JSON.stringify(worker, null, 2)}\n`);
  return exitCodes.ok;
}

const counted = (partitions: number) => `${partitions} partition${partitions === 1 ? "" : "s"}`;
