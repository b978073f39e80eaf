package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"
	"sigs.k8s.io/yaml"
)

// A packageRequest makes a tgz of a chart: from one (Tgz), or from the files of its directory. Bytes are base64.
type packageRequest struct {
	Tgz          []byte            `json:"tgz"`
	Files        map[string][]byte `json:"files"`
	ValuesFiles  []valuesFile      `json:"valuesFiles"`
	Version      string            `json:"version"`
	Dependencies [][]byte          `json:"dependencies"`
}

type valuesFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

type packaged struct {
	Tgz   []byte      `json:"tgz"`
	Facts *chartFacts `json:"facts"`
}

func (r packageRequest) run() (any, error) {
	chrt, err := r.loaded()
	if err != nil {
		return nil, err
	}
	if len(r.ValuesFiles) > 0 {
		if err := r.replaceValues(chrt); err != nil {
			return nil, err
		}
	}
	if r.Version != "" {
		chrt.Metadata.Version = r.Version
	}
	if err := addCharts(chrt, r.Dependencies); err != nil {
		return nil, err
	}
	if err := chrt.Validate(); err != nil {
		return nil, failure{"version", "chart validation: " + err.Error()}
	}
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archived := tar.NewWriter(zipped)
	if err := writeChart(archived, chrt, ""); err != nil {
		return nil, failed("chart", err)
	}
	if err := archived.Close(); err != nil {
		return nil, failed("chart", err)
	}
	if err := zipped.Close(); err != nil {
		return nil, failed("chart", err)
	}
	facts, err := factsOf(chrt)
	if err != nil {
		return nil, err
	}
	return packaged{out.Bytes(), facts}, nil
}

func (r packageRequest) loaded() (*chart.Chart, error) {
	if r.Tgz != nil {
		return loadArchive(r.Tgz)
	}
	rules := ignore.Empty()
	if text, there := r.Files[".helmignore"]; there {
		parsed, err := ignore.Parse(bytes.NewReader(text))
		if err != nil {
			return nil, failed("chart", err)
		}
		rules = parsed
	}
	rules.AddDefaults()
	var files []*archive.BufferedFile
	for name, content := range r.Files {
		if len(content) > mostFileBytes {
			return nil, failure{"chart", fmt.Sprintf("chart file %q is larger than the maximum file size %d", name, mostFileBytes)}
		}
		if !ignored(rules, name) {
			files = append(files, &archive.BufferedFile{Name: name, Data: bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))})
		}
	}
	slices.SortFunc(files, func(a, b *archive.BufferedFile) int { return strings.Compare(a.Name, b.Name) })
	return loadFiles(files)
}

// replaceValues merges files in their order into what becomes values.yaml.
func (r packageRequest) replaceValues(chrt *chart.Chart) error {
	values := map[string]any{}
	for _, file := range r.ValuesFiles {
		more, err := common.ReadValues([]byte(file.Text))
		if err != nil {
			return failure{"values", fmt.Sprintf("values file %s: %s", file.Path, err)}
		}
		values = loader.MergeMaps(values, more)
	}
	text, err := yaml.Marshal(values)
	if err != nil {
		return failed("values", err)
	}
	chrt.Values = values
	for _, file := range chrt.Raw {
		if file.Name == "values.yaml" {
			file.Data = text
			return nil
		}
	}
	chrt.Raw = append(chrt.Raw, &common.File{Name: "values.yaml", Data: text})
	return nil
}

func addCharts(chrt *chart.Chart, tgzs [][]byte) error {
	byName := map[string]*chart.Chart{}
	for _, dependency := range chrt.Dependencies() {
		byName[dependency.Name()] = dependency
	}
	for _, tgz := range tgzs {
		dependency, err := loadArchive(tgz)
		if err != nil {
			return err
		}
		byName[dependency.Name()] = dependency
	}
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	chrt.SetDependencies()
	for _, name := range names {
		chrt.AddDependency(byName[name])
	}
	return nil
}

// writeChart writes what Helm's package does, with no times in it: the same chart is the same bytes.
func writeChart(out *tar.Writer, chrt *chart.Chart, prefix string) error {
	base := prefix + chrt.Name()
	metadata := *chrt.Metadata
	if metadata.APIVersion == chart.APIVersionV1 {
		metadata.Dependencies = nil // they are in requirements.yaml, which is among the files
	}
	text, err := yaml.Marshal(metadata)
	if err != nil {
		return err
	}
	if err := writeFile(out, base+"/Chart.yaml", text); err != nil {
		return err
	}
	if chrt.Lock != nil && metadata.APIVersion == chart.APIVersionV2 {
		if text, err = yaml.Marshal(chrt.Lock); err != nil {
			return err
		}
		if err := writeFile(out, base+"/Chart.lock", text); err != nil {
			return err
		}
	}
	for _, file := range chrt.Raw {
		if file.Name == "values.yaml" {
			if err := writeFile(out, base+"/values.yaml", file.Data); err != nil {
				return err
			}
		}
	}
	if chrt.Schema != nil {
		if err := writeFile(out, base+"/values.schema.json", chrt.Schema); err != nil {
			return err
		}
	}
	for _, file := range slices.Concat(chrt.Templates, chrt.Files) {
		if err := writeFile(out, base+"/"+file.Name, file.Data); err != nil {
			return err
		}
	}
	dependencies := slices.Clone(chrt.Dependencies())
	slices.SortStableFunc(dependencies, func(a, b *chart.Chart) int { return strings.Compare(a.Name(), b.Name()) })
	for _, dependency := range dependencies {
		if err := writeChart(out, dependency, base+"/charts/"); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(out *tar.Writer, name string, content []byte) error {
	header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

// ignored tells what .helmignore keeps out: the file itself, or a directory that it is in.
func ignored(rules *ignore.Rules, name string) bool {
	for at, char := range name {
		if char == '/' && rules.Ignore(name[:at], fileInfo{name: name[:at], dir: true}) {
			return true
		}
	}
	return rules.Ignore(name, fileInfo{name: name})
}

type fileInfo struct {
	name string
	dir  bool
}

func (f fileInfo) Name() string       { return path.Base(f.name) }
func (f fileInfo) IsDir() bool        { return f.dir }
func (f fileInfo) Size() int64        { return 0 }
func (f fileInfo) ModTime() time.Time { return time.Time{} }
func (f fileInfo) Sys() any           { return nil }
func (f fileInfo) Mode() fs.FileMode {
	if f.dir {
		return fs.ModeDir
	}
	return 0
}
