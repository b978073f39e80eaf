package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"text/template"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

type renderRequest struct {
	Digest       string               `json:"digest"`
	ChartVersion string               `json:"chartVersion"`
	Values       typedValues          `json:"values"`
	Release      releaseOptions       `json:"release"`
	Capabilities capabilities         `json:"capabilities"`
	Lookup       bool                 `json:"lookup"`
	SkipSchema   bool                 `json:"skipSchemaValidation"`
	Preserve     *helmrelease.Release `json:"preserve"`
	PostRender   *postRender          `json:"postRender"`
}

type releaseOptions struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Revision  int    `json:"revision"`
	IsUpgrade bool   `json:"isUpgrade"`
}

type capabilities struct {
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
}

type rendered struct {
	Document *helmrelease.Release `json:"document"`
	Objects  []json.RawMessage    `json:"objects"`
	CRDs     []crdFile            `json:"crds"`
}

// run does what Helm's install and upgrade do before they first talk to the cluster.
func (r renderRequest) run() (any, error) {
	loaded, err := kept(r.Digest)
	if err != nil {
		return nil, err
	}
	chrt := fresh(loaded)
	if r.ChartVersion != "" {
		chrt.Metadata.Version = r.ChartVersion
	}
	values := map[string]any(r.Values)
	if values == nil {
		values = map[string]any{}
	}
	if r.Preserve != nil && r.Preserve.Chart != nil {
		before, err := util.CoalesceValues(r.Preserve.Chart, r.Preserve.Config)
		if err != nil {
			return nil, failure{"values", "the values of the deployed release cannot be kept: " + err.Error()}
		}
		values = util.CoalesceTables(values, r.Preserve.Config)
		chrt.Values = before
	}
	if chrt.Metadata.Type == "library" {
		return nil, failure{"chart", "it is a library chart, which cannot be installed"}
	}
	if err := haveDependencies(chrt); err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependencies(chrt, values); err != nil {
		return nil, failure{"chart", "chart dependencies processing failed: " + err.Error()}
	}
	offered, err := r.Capabilities.parsed()
	if err != nil {
		return nil, err
	}
	if wanted := chrt.Metadata.KubeVersion; wanted != "" && !chartutil.IsCompatibleRange(wanted, offered.KubeVersion.String()) {
		return nil, failure{"chart", fmt.Sprintf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", wanted, offered.KubeVersion.Version)}
	}
	options := common.ReleaseOptions{
		Name: r.Release.Name, Namespace: r.Release.Namespace, Revision: r.Release.Revision,
		IsUpgrade: r.Release.IsUpgrade, IsInstall: !r.Release.IsUpgrade,
	}
	top, err := util.ToRenderValuesWithSchemaValidation(chrt, values, options, offered, true)
	if err != nil {
		return nil, failed("values", err)
	}
	if !r.SkipSchema {
		if err := checkSchemas(chrt, top["Values"]); err != nil {
			return nil, err
		}
	}
	files, err := engine.Engine{CustomTemplateFuncs: template.FuncMap{"lookup": lookup(r.Lookup)}}.Render(chrt, top)
	if err != nil {
		return nil, failed("template", err)
	}
	notes := takeNotes(files, chrt.Name())
	if r.PostRender != nil {
		if files, err = r.PostRender.run(files); err != nil {
			return nil, failed("postrender", err)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, failed("manifest", err)
	}
	var manifest bytes.Buffer
	objects := []json.RawMessage{}
	for _, one := range manifests {
		fmt.Fprintf(&manifest, "---\n# Source: %s\n%s\n", one.Name, one.Content)
		found, err := objectsIn(one.Content)
		if err != nil {
			return nil, failure{"manifest", one.Name + ": " + err.Error()}
		}
		objects = append(objects, found...)
	}
	crds, err := crdsOf(chrt)
	if err != nil {
		return nil, err
	}
	document := &helmrelease.Release{
		Name: r.Release.Name, Namespace: r.Release.Namespace, Version: r.Release.Revision,
		Chart: chrt, Config: values, Manifest: manifest.String(), Hooks: hooks, Info: &helmrelease.Info{Notes: notes},
	}
	return rendered{document, objects, crds}, nil
}

func (c capabilities) parsed() (*common.Capabilities, error) {
	version, err := common.ParseKubeVersion(c.KubeVersion)
	if err != nil {
		return nil, failure{"request", "the cluster's version: " + err.Error()}
	}
	offered := common.DefaultCapabilities.Copy()
	offered.KubeVersion = *version
	offered.APIVersions = common.VersionSet(c.APIVersions)
	return offered, nil
}

// haveDependencies says what `helm dependency build` was not run for: a dependency that is named and not in charts/.
func haveDependencies(of *chart.Chart) error {
	there := map[string]bool{}
	for _, dependency := range of.Dependencies() {
		there[dependency.Name()] = true
	}
	var missing []string
	for _, dependency := range of.Metadata.Dependencies {
		if dependency != nil && !there[dependency.Name] {
			missing = append(missing, dependency.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return failure{"chart", "charts of Chart.yaml's dependencies are not in charts/: " + strings.Join(missing, ", ")}
}

// takeNotes removes every NOTES.txt; the chart's own is the release's.
func takeNotes(files map[string]string, name string) string {
	notes := files[path.Join(name, "templates", "NOTES.txt")]
	for file := range files {
		if strings.HasSuffix(file, "NOTES.txt") {
			delete(files, file)
		}
	}
	return notes
}

func warmUp(samples int) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	loaded, err := loadFiles(sampleChart())
	if err != nil {
		panic(errors.Join(errors.New("the sample chart"), err))
	}
	charts["sample"] = loaded
	for range samples {
		_, _ = renderRequest{
			Digest: "sample", Release: releaseOptions{Name: "sample", Namespace: "sample", Revision: 1},
			Capabilities: capabilities{KubeVersion: "v1.30.0"}, PostRender: &postRender{Origin: &origin{"sample", "sample"}},
		}.run()
	}
	delete(charts, "sample")
}
