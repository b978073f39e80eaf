/**
 * Loaded before each test file: ends a file that does not end by itself. The runner's own timeout stops a test, but waits
 * for ever for a file that left a socket or a child process open.
 */
import { isMainThread } from "node:worker_threads";

const timeoutMs = Number(process.env["FLOTILLA_TEST_FILE_TIMEOUT_MS"]);

// the runner's own process loads this too, and has no file to end
if (isMainThread && timeoutMs > 0 && process.env["NODE_TEST_CONTEXT"] !== undefined)
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(", ");
    process.stderr.write(`${process.argv[1]} still runs after ${timeoutMs / 1000} s; open: ${open}\n`);
    process.exit(1);
  }, timeoutMs).unref();
