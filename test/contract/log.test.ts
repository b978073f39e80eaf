/** The fake, by the cases that hold for the real one. */
import test from "node:test";
import { systemClock } from "#services/store/clock.ts";
import { memoryLog, MemoryStream, perfectWire } from "../simulate/memory-log.ts";
import { logCases } from "./log-cases.ts";

const log = memoryLog(new MemoryStream(() => Date.now()), perfectWire(systemClock));

for (const [at, { title, run }] of logCases.entries()) test(`${title} (fake)`, () => run(log, at));
