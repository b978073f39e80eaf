package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// The charts that are loaded, by digest of their tgz. They are never changed: fresh gives a copy that may be.
var charts = map[string]*chart.Chart{}

// What Helm's loader bounds a chart by: of one file, and of all. It has 100 MiB for all; here a tenant's chart has less, because
// it is held in memory beside others'.
const (
	mostFileBytes  = 5 << 20
	mostChartBytes = 64 << 20
	mostFiles      = 10_000
	mostDepth      = 8
)

func prepareRuntime(samples int) {
	archive.MaxDecompressedFileSize = mostFileBytes
	archive.MaxDecompressedChartSize = mostChartBytes
	runtime.GC()
	debug.SetGCPercent(400) // a render leaves much behind, and little that stays
	warmUp(samples)
}

func loadArchive(tgz []byte) (*chart.Chart, error) {
	files, err := archive.LoadArchiveFiles(bytes.NewReader(tgz))
	if err != nil {
		return nil, failed("chart", err)
	}
	return loadFiles(files)
}

func loadFiles(files []*archive.BufferedFile) (*chart.Chart, error) {
	if len(files) > mostFiles {
		return nil, failure{"chart", "the chart has more than 10,000 files"}
	}
	if err := checkNested(files, 0, new(int64)); err != nil {
		return nil, err
	}
	loaded, err := loader.LoadFiles(files)
	return loaded, failed("chart", err)
}

// checkNested bounds archives in archives, which Helm's loader bounds each for itself only.
func checkNested(files []*archive.BufferedFile, depth int, total *int64) error {
	if depth > mostDepth {
		return failure{"chart", "charts in charts are nested too deeply"}
	}
	for _, file := range files {
		*total += int64(len(file.Data))
		if *total > mostChartBytes {
			return failure{"chart", "the chart and the charts in it are larger than 64 MiB together"}
		}
		if !isNestedArchive(file.Name) {
			continue
		}
		nested, err := archive.LoadArchiveFiles(bytes.NewReader(file.Data))
		if err != nil {
			return failed("chart", err)
		}
		if err := checkNested(nested, depth+1, total); err != nil {
			return err
		}
	}
	return nil
}

// fresh is a copy for one render: processing dependencies changes metadata, values and the list of charts.
func fresh(from *chart.Chart) *chart.Chart {
	copied := *from
	metadata := *from.Metadata
	metadata.Dependencies = make([]*chart.Dependency, len(from.Metadata.Dependencies))
	for i, dependency := range from.Metadata.Dependencies {
		if dependency != nil {
			one := *dependency
			metadata.Dependencies[i] = &one
		}
	}
	if from.Metadata.Dependencies == nil {
		metadata.Dependencies = nil
	}
	metadata.Annotations = maps.Clone(from.Metadata.Annotations)
	copied.Metadata = &metadata
	copied.Values = copiedMap(from.Values)
	copied.Templates = slices.Clone(from.Templates)
	copied.Files = slices.Clone(from.Files)
	dependencies := make([]*chart.Chart, 0, len(from.Dependencies()))
	for _, dependency := range from.Dependencies() {
		dependencies = append(dependencies, fresh(dependency))
	}
	copied.SetDependencies(dependencies...)
	return &copied
}

func copiedMap(from map[string]any) map[string]any {
	if from == nil {
		return nil
	}
	return copiedValue(from).(map[string]any)
}

func copiedValue(from any) any {
	switch is := from.(type) {
	case map[string]any:
		out := make(map[string]any, len(is))
		for key, item := range is {
			out[key] = copiedValue(item)
		}
		return out
	case []any:
		out := make([]any, len(is))
		for i, item := range is {
			out[i] = copiedValue(item)
		}
		return out
	}
	return from
}

type chartRequest struct {
	Digest string `json:"digest"`
}

func (r chartRequest) run() (any, error) {
	loaded, err := kept(r.Digest)
	if err != nil {
		return nil, err
	}
	return factsOf(loaded)
}

func kept(digest string) (*chart.Chart, error) {
	loaded := charts[digest]
	if loaded == nil {
		return nil, failure{"request", "the chart is not loaded"}
	}
	return loaded, nil
}

type chartFacts struct {
	Name         string              `json:"name"`
	Version      string              `json:"version"`
	AppVersion   string              `json:"appVersion"`
	APIVersion   string              `json:"apiVersion"`
	Description  string              `json:"description"`
	Type         string              `json:"type"`
	KubeVersion  string              `json:"kubeVersion"`
	Deprecated   bool                `json:"deprecated"`
	Annotations  map[string]string   `json:"annotations"`
	Dependencies []*chart.Dependency `json:"dependencies"`
	Charts       []string            `json:"charts"`
	Values       string              `json:"values"`
	HasSchema    bool                `json:"hasSchema"`
	CRDs         []crdFile           `json:"crds"`
}

type crdFile struct {
	Path    string            `json:"path"`
	Objects []json.RawMessage `json:"objects"`
}

func factsOf(of *chart.Chart) (*chartFacts, error) {
	crds, err := crdsOf(of)
	if err != nil {
		return nil, err
	}
	values, err := json.Marshal(of.Values)
	if err != nil {
		return nil, failure{"chart", "values.yaml cannot be written as JSON"}
	}
	m := of.Metadata
	facts := &chartFacts{
		Name: m.Name, Version: m.Version, AppVersion: m.AppVersion, APIVersion: m.APIVersion, Description: m.Description, Type: m.Type,
		KubeVersion: m.KubeVersion, Deprecated: m.Deprecated, Annotations: m.Annotations, Dependencies: m.Dependencies,
		Charts: []string{}, Values: string(values), HasSchema: of.Schema != nil, CRDs: crds,
	}
	if facts.Annotations == nil {
		facts.Annotations = map[string]string{}
	}
	if facts.Dependencies == nil {
		facts.Dependencies = []*chart.Dependency{}
	}
	for _, dependency := range of.Dependencies() {
		facts.Charts = append(facts.Charts, dependency.Name())
	}
	slices.Sort(facts.Charts)
	return facts, nil
}

// crdsOf leaves out what is no CustomResourceDefinition, as Flux does.
func crdsOf(of *chart.Chart) ([]crdFile, error) {
	files := []crdFile{}
	for _, crd := range of.CRDObjects() {
		objects, err := objectsIn(string(crd.File.Data))
		if err != nil {
			return nil, failure{"chart", crd.Filename + ": " + err.Error()}
		}
		file := crdFile{Path: crd.Filename, Objects: []json.RawMessage{}}
		for _, object := range objects {
			var head struct{ APIVersion, Kind string }
			if json.Unmarshal(object, &head) == nil && isCRD(head.APIVersion, head.Kind) {
				file.Objects = append(file.Objects, object)
			}
		}
		files = append(files, file)
	}
	return files, nil
}

var errNotObject = errors.New("not an object with apiVersion, kind and metadata.name")
