package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
)

// A digestRequest is about a release as it lies in storage, of Helm 3 or 4.
type digestRequest struct {
	Document  json.RawMessage `json:"document"`
	OCIDigest string          `json:"ociDigest"`
}

// What Flux's controller takes the digest of a snapshot (version v2) of: order and names of the fields count.
type observed struct {
	Name          string             `json:"name"`
	Version       int                `json:"version"`
	Info          helmrelease.Info   `json:"info"`
	ChartMetadata chart.Metadata     `json:"chartMetadata"`
	Config        map[string]any     `json:"config"`
	Manifest      string             `json:"manifest"`
	Hooks         []helmrelease.Hook `json:"hooks"`
	Namespace     string             `json:"namespace"`
	OCIDigest     string             `json:"ociDigest,omitempty"`
}

func (r digestRequest) run() (any, error) {
	var stored helmrelease.Release
	if err := json.Unmarshal(r.Document, &stored); err != nil {
		return nil, failure{"release", "not a release as Helm stores it"}
	}
	is := observed{
		Name: stored.Name, Version: stored.Version, Manifest: stored.Manifest, Namespace: stored.Namespace, OCIDigest: r.OCIDigest,
	}
	if stored.Info != nil {
		is.Info = *stored.Info
	}
	if stored.Chart != nil && stored.Chart.Metadata != nil {
		is.ChartMetadata = *stored.Chart.Metadata
	}
	if len(stored.Config) > 0 {
		is.Config = stored.Config
	}
	is.Hooks = hooksBut(stored.Hooks)
	return map[string]string{"digest": digestJSON(is), "configDigest": valuesDigest(stored.Config)}, nil
}

// hooksBut leaves out the tests, whose results change a release that nobody changed. None at all is null; so are tests only.
func hooksBut(hooks []*helmrelease.Hook) (others []helmrelease.Hook) {
	for _, hook := range hooks {
		if hook != nil && !slices.Contains(hook.Events, helmrelease.HookTest) {
			others = append(others, *hook)
		}
	}
	return others
}

// digestJSON is of Go's own JSON and the newline that its encoder writes.
func digestJSON(value any) string {
	digest := sha256.New()
	if err := json.NewEncoder(digest).Encode(value); err != nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(digest.Sum(nil))
}
