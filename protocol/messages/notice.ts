/** What an actor tells the people who watch its object: becomes a Kubernetes event. */
export type Notice = {
  type: "notice";
  severity: "Normal" | "Warning";
  reason: string;
  message: string;
  revision?: string;
  digest?: string;
};
