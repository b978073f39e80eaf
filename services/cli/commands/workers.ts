import { duration, printable } from "#services/telemetry/waterfall/format.ts";
import type { WorkerView } from "#protocol/messages/fleet.ts";
import type { Action } from "../command.ts";
import { exitCodes } from "../failure.ts";
import { table } from "../table.ts";

const headings = ["name", "state", "partitions", "actors", "load", "lease", "coordinator"];

/** Lists who shares the work. */
export const workers: Action = async ({ options, shell }) => {
  const views = await (await shell.openApi(options)).workers();
  shell.print(options.json ? `${JSON.stringify(views, null, 2)}\n` : tableOf(views));
  return exitCodes.ok;
};

/** Where nobody is there for a shard, nobody asks for one. */
function tableOf(views: WorkerView[]): string {
  if (views.every(({ shard }) => shard === "")) return table(headings, views.map(rowOf));
  return table([...headings, "shard"], views.map((view) => [...rowOf(view), printable(view.shard)]));
}

const rowOf = ({ name, state, partitions, actors, loadMsPerMinute, leaseAgeMs, coordinator }: WorkerView): string[] => [
  name, state, String(partitions), String(actors), `${(loadMsPerMinute / 1000).toFixed(1)} s/min`, duration(leaseAgeMs), coordinator ? "yes" : "",
];
