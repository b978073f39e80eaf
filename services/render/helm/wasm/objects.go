package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"

	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// An objectsRequest takes manifests apart: of a release, of hooks. With Order, the documents come as Helm installs or uninstalls
// them; otherwise as they stand.
type objectsRequest struct {
	Manifest string `json:"manifest"`
	Order    string `json:"order"`
}

func (r objectsRequest) run() (any, error) {
	objects, err := ordered(r.Manifest, r.Order)
	if err != nil {
		return nil, failed("manifest", err)
	}
	return map[string]any{"objects": objects}, nil
}

func ordered(manifest, order string) ([]json.RawMessage, error) {
	kinds := map[string]releaseutil.KindSortOrder{"install": releaseutil.InstallOrder, "uninstall": releaseutil.UninstallOrder}[order]
	if kinds == nil {
		return objectsIn(manifest)
	}
	documents := releaseutil.SplitManifests(manifest)
	keys := slices.Collect(maps.Keys(documents))
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	files := make(map[string]string, len(keys))
	for i, key := range keys {
		files[fmt.Sprintf("%09d", i)] = documents[key]
	}
	_, sorted, err := releaseutil.SortManifests(files, nil, kinds)
	if err != nil {
		return nil, err
	}
	objects := []json.RawMessage{}
	for _, document := range sorted {
		more, err := objectsIn(document.Content)
		if err != nil {
			return nil, err
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

// objectsIn reads YAML documents into JSON as kubectl's builder does: empty ones are left out, lists are taken apart.
func objectsIn(text string) ([]json.RawMessage, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	objects := []json.RawMessage{}
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, fmt.Errorf("not YAML: %w", err)
		}
		if object = bytes.TrimSpace(object); len(object) == 0 || string(object) == "null" {
			continue
		}
		if objects, err = appendObject(objects, object); err != nil {
			return nil, err
		}
	}
}

type objectHead struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
	} `json:"metadata"`
	Items *[]json.RawMessage `json:"items"`
}

func appendObject(objects []json.RawMessage, object json.RawMessage) ([]json.RawMessage, error) {
	var head objectHead
	if err := json.Unmarshal(object, &head); err != nil {
		return nil, errNotObject
	}
	if head.Items != nil && strings.HasSuffix(head.Kind, "List") {
		for _, item := range *head.Items {
			var err error
			if objects, err = appendObject(objects, item); err != nil {
				return nil, err
			}
		}
		return objects, nil
	}
	if head.APIVersion == "" || head.Kind == "" || (head.Metadata.Name == "" && head.Metadata.GenerateName == "") {
		return nil, fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, errNotObject)
	}
	return append(objects, object), nil
}

func isCRD(apiVersion, kind string) bool {
	return kind == "CustomResourceDefinition" && strings.HasPrefix(apiVersion, "apiextensions.k8s.io/")
}

func isNestedArchive(name string) bool {
	return strings.HasPrefix(name, "charts/") && strings.HasSuffix(name, ".tgz") && strings.Count(name, "/") == 1
}
