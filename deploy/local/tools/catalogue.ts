/** The real parts, their versions, and where each can come from. */

export type Version = { major: number; minor: number; patch: number };

export type Tool = {
  /** What we fetch or build, with its leading "v": part of the cache key. */
  version: string;
  /** How the program is asked for its version. */
  versionArgs: string[];
  /** Whether a program found on this machine will do in its place. */
  accepts: (found: Version) => boolean;
  /** The Go package, from the module versions in deploy/local/go.mod. */
  package: string;
  ldflags: string;
  /** What a build costs on two cores, after those listed before it: they share many packages. */
  buildTakes: string;
  /** An official release with a published checksum, where there is one. */
  release?: (platform: GoPlatform) => Release | undefined;
};

/** A platform as Go and release pages spell it: linux and amd64. */
export type GoPlatform = { os: string; arch: string };

export type Release = {
  url: string;
  /** A file with the SHA-256 of the download: the bare digest, or `digest  file name` lines. */
  checksumsUrl: string;
  /** For an archive (.tar.gz): the path of the program in it. */
  member?: string;
};

const kubernetesVersion = "v1.37.2";

// Without these a build from source calls itself v0.0.0, and clients that look at the server's version go wrong.
const kubernetesLdflags = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
  .flatMap((path) => [`gitVersion=${kubernetesVersion}`, "gitMajor=1", "gitMinor=37", "gitTreeState=archive"].map((v) => `-X ${path}.${v}`))
  .join(" ");

const kubernetes = (name: string, buildTakes: string, accepts: Tool["accepts"], osWithRelease: string[]): Tool => ({
  version: kubernetesVersion,
  versionArgs: name === "kubectl" ? ["version", "--client"] : ["--version"],
  accepts,
  package: `k8s.io/kubernetes/cmd/${name}`,
  ldflags: kubernetesLdflags,
  buildTakes,
  release({ os, arch }) {
    if (!osWithRelease.includes(os)) return undefined;
    const url = `https://dl.k8s.io/${kubernetesVersion}/bin/${os}/${arch}/${name}`;
    return { url, checksumsUrl: `${url}.sha256` };
  },
});

const sameMinor = ({ major, minor }: Version) => major === 1 && minor === 37;
// Kubernetes supports a kubectl one minor version older or newer than the server.
const withinOneMinor = ({ major, minor }: Version) => major === 1 && minor >= 36 && minor <= 38;

/** In the order in which they are provided. */
export const catalogue = {
  "nats-server": {
    version: "v2.15.2",
    versionArgs: ["--version"],
    accepts: ({ major, minor }) => major === 2 && minor >= 15,
    package: "github.com/nats-io/nats-server/v2",
    ldflags: "",
    buildTakes: "about half a minute",
    release: ({ os, arch }) => ({
      url: `https://github.com/nats-io/nats-server/releases/download/v2.15.2/nats-server-v2.15.2-${os}-${arch}.tar.gz`,
      checksumsUrl: "https://github.com/nats-io/nats-server/releases/download/v2.15.2/SHA256SUMS",
      member: `nats-server-v2.15.2-${os}-${arch}/nats-server`,
    }),
  },
  etcd: {
    version: "v3.7.3",
    versionArgs: ["--version"],
    accepts: ({ major, minor }) => major === 3 && minor >= 6,
    package: "go.etcd.io/etcd/server/v3",
    ldflags: "",
    buildTakes: "about half a minute",
    release: ({ os, arch }) =>
      os === "linux"
        ? {
            url: `https://github.com/etcd-io/etcd/releases/download/v3.7.3/etcd-v3.7.3-linux-${arch}.tar.gz`,
            checksumsUrl: "https://github.com/etcd-io/etcd/releases/download/v3.7.3/SHA256SUMS",
            member: `etcd-v3.7.3-linux-${arch}/etcd`,
          }
        : undefined, // the other systems' releases are zip files
  },
  "kube-apiserver": kubernetes("kube-apiserver", "about five minutes", sameMinor, ["linux"]),
  kwok: {
    version: "v0.8.0",
    versionArgs: ["--version"],
    accepts: ({ major, minor }) => major === 0 && minor >= 7,
    package: "sigs.k8s.io/kwok/cmd/kwok",
    ldflags: "",
    buildTakes: "about half a minute",
    // its releases come without checksums, and the build is short
  },
  kubectl: kubernetes("kubectl", "about half a minute", withinOneMinor, ["linux", "darwin"]),
  "kube-controller-manager": kubernetes("kube-controller-manager", "about three minutes", sameMinor, ["linux"]),
  "kube-scheduler": kubernetes("kube-scheduler", "a few seconds", sameMinor, ["linux"]),
  // Named so that no program of another purpose is taken for it; it has no version to ask for.
  "oci-registry": {
    version: "v0.21.6",
    versionArgs: ["--version"],
    accepts: ({ major, minor }) => major === 0 && minor >= 21,
    package: "github.com/google/go-containerregistry/cmd/registry",
    ldflags: "",
    buildTakes: "a few seconds",
  },
  // Nor has this one.
  "s3-server": {
    version: "v1.2.0",
    versionArgs: ["--version"],
    accepts: ({ major, minor }) => major === 1 && minor >= 2,
    package: "github.com/johannesboyne/gofakes3/cmd/gofakes3",
    ldflags: "",
    buildTakes: "a few seconds",
  },
  // Our own: its version changes with its source.
  "certified-ssh": {
    version: "v1.0.0",
    versionArgs: ["--version"],
    accepts: ({ major }) => major === 1,
    package: "./certified-ssh",
    ldflags: "",
    buildTakes: "a few seconds",
  },
  // What releases are read, rolled back and uninstalled with, to see that they are Helm's own.
  helm: {
    version: "v4.2.4",
    versionArgs: ["version", "--short"],
    accepts: ({ major }) => major === 4,
    package: "helm.sh/helm/v4/cmd/helm",
    // Without it a build from source calls itself v4.2, and a chart that asks for a version of Helm goes wrong.
    ldflags: "-X helm.sh/helm/v4/internal/version.version=v4.2.4",
    buildTakes: "about a minute",
    release: ({ os, arch }) => ({
      url: `https://get.helm.sh/helm-v4.2.4-${os}-${arch}.tar.gz`,
      checksumsUrl: `https://get.helm.sh/helm-v4.2.4-${os}-${arch}.tar.gz.sha256sum`,
      member: `${os}-${arch}/helm`,
    }),
  },
} as const satisfies Record<string, Tool>;

export type ToolName = keyof typeof catalogue;

/** The first version number in a program's answer: "etcd Version: 3.7.3", "Kubernetes v1.37.2". */
export function parseVersion(text: string): Version | undefined {
  const [, major, minor, patch] = /(\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor), patch: Number(patch) };
}
