/** How long the API server may work on a request that nobody waits for any more: its --request-timeout (ownership.md 7.8). */
export const lateMs = 60_000;
