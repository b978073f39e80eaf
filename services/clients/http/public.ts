/** Connections to public addresses only: what a tenant names must not lead into the networks that the worker can reach. */
import { lookup, type LookupAddress, type LookupOptions } from "node:dns";
import { BlockList, isIP } from "node:net";
import { buildConnector } from "undici";

// Everything that IANA has set apart; of IPv6 all but what is handed out, without the ways into IPv4.
const private4 = blockList("ipv4", [
  ["0.0.0.0", 8], ["10.0.0.0", 8], ["100.64.0.0", 10], ["127.0.0.0", 8], ["169.254.0.0", 16], ["172.16.0.0", 12], ["192.0.0.0", 24], ["192.0.2.0", 24],
  ["192.88.99.0", 24], ["192.168.0.0", 16], ["198.18.0.0", 15], ["198.51.100.0", 24], ["203.0.113.0", 24], ["224.0.0.0", 4], ["240.0.0.0", 4],
]);
const global6 = blockList("ipv6", [["2000::", 3]]);
const private6 = blockList("ipv6", [["2001::", 23], ["2001:db8::", 32], ["2002::", 16], ["3fff::", 20]]);

export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !private4.check(address, "ipv4");
  return family === 6 && global6.check(address, "ipv6") && !private6.check(address, "ipv6");
}

/** The addresses are looked at where they are connected to: a name may mean another one a moment later. */
export function publicConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const connect = buildConnector({ ...options, allowH2: false, lookup: lookUpPublic } as buildConnector.BuildOptions);
  return (target, done) => {
    const host = target.hostname.replace(/^\[(.*)\]$/, "$1");
    if (isIP(host) !== 0 && !isPublic(host)) done(notPublic(), null);
    else connect(target, done);
  };
}

type Found = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

function lookUpPublic(host: string, options: LookupOptions, done: Found): void {
  lookup(host, { ...options, all: true }, (error, found) => {
    if (error) return done(error, []);
    const addresses = found.filter(({ address }) => isPublic(address));
    const [first] = addresses;
    if (!first) return done(notPublic(), []);
    return options.all ? done(null, addresses) : done(null, first.address, first.family);
  });
}

const notPublic = () => Object.assign(new Error("not a public address"), { code: "ENOTPUBLIC" });

function blockList(family: "ipv4" | "ipv6", subnets: [network: string, prefix: number][]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of subnets) list.addSubnet(network, prefix, family);
  return list;
}
