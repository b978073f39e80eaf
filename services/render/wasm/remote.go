package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// The renderer has no network: whatever is neither in the artifact nor laid beside it cannot be part of a build.

// A remoteBase ends a build wherever it is met: it is thrown as a panic, because kustomize would otherwise go on to
// try the reference as a file, as a directory and as a repository, and report all of that.
type remoteBase struct {
	in, reference string
	why           string
}

const (
	putIntoSource = "put it into the source"
	notAllowed    = putIntoSource + " (workers fetch bases only with --allow-remote-bases, and never with --no-remote-bases or --tenancy locked)"
)

func (r remoteBase) Error() string {
	where := ""
	if r.in != "" {
		where = absolute(r.in) + ": "
	}
	return fmt.Sprintf("%sremote base %q is not fetched: %s", where, withoutPassword(r.reference), r.why)
}

// noNetwork stands in for the HTTP transport, for what is loaded by URL without being a base: a patch, a schema.
type noNetwork struct{}

func (noNetwork) RoundTrip(request *http.Request) (*http.Response, error) {
	panic(remoteBase{reference: request.URL.String(), why: putIntoSource})
}

// A fetchedBase is a reference that the host has fetched: its repository lies in a folder of its own beside the artifact.
type fetchedBase struct {
	Reference string `json:"reference"`
	Folder    string `json:"folder"`
	Path      string `json:"path"`  // of the base, in its repository
	Shown     string `json:"shown"` // the repository, for people
}

// missingBases are what a build needs first. Thrown, as a remoteBase is; the host fetches them and builds again.
type missingBases struct {
	In         string   `json:"in"`
	References []string `json:"references"`
}

func (m missingBases) reply() ([]byte, error) {
	return json.Marshal(map[string]missingBases{"missing": m})
}

var localOrRemote = []string{"resources", "bases", "generators", "transformers", "validators"}

const components = "components"

// withBases looks at a kustomization file before kustomize does, and leads its remote references to what was fetched.
func (v *view) withBases(relative string, content []byte) []byte {
	found := v.remoteReferences(relative, content)
	folder := folderOf(relative)
	if len(found) == 0 && folder == "" {
		return content
	}
	if len(found) > 0 && !v.fetches {
		panic(remoteBase{in: relative, reference: found[0], why: notAllowed})
	}
	missing := slices.DeleteFunc(slices.Clone(found), func(reference string) bool {
		_, known := v.bases[reference]
		return known
	})
	if len(missing) > 0 {
		panic(missingBases{In: relative, References: missing})
	}
	parsed, err := kyaml.Parse(string(content))
	if err != nil {
		return content // kustomize says what is wrong with it
	}
	if folder != "" {
		refuseLeaving(relative, folder, parsed.YNode())
	}
	if len(found) == 0 {
		return content
	}
	for _, name := range append([]string{components}, localOrRemote...) {
		if field := parsed.Field(name); field != nil {
			v.lead(path.Dir(relative), found, field.Value.YNode())
		}
	}
	text, err := parsed.String()
	if err != nil {
		panic(remoteBase{in: relative, reference: found[0], why: err.Error()})
	}
	if left := v.remoteReferences(relative, []byte(text)); len(left) > 0 {
		panic(remoteBase{in: relative, reference: left[0], why: "write it into the list itself, without YAML's merge keys"})
	}
	return []byte(text)
}

func (v *view) lead(directory string, found []string, list *kyaml.Node) {
	for i, item := range list.Content {
		value := item
		if item.Kind == kyaml.AliasNode {
			value = item.Alias
		}
		if value.Kind != kyaml.ScalarNode || !slices.Contains(found, value.Value) {
			continue
		}
		base := v.bases[value.Value]
		target := path.Join(basesMount, base.Folder, base.Path)
		to, err := filepath.Rel(absolute(directory), target)
		if err != nil {
			continue // refused after it
		}
		if item.Kind == kyaml.AliasNode {
			list.Content[i] = kyaml.NewStringRNode(to).YNode()
		} else {
			item.Value, item.Tag, item.Style = to, kyaml.NodeTagString, 0
		}
	}
}

// refuseLeaving: the repository of a base knows nothing of the source that uses it.
func refuseLeaving(relative, folder string, node *kyaml.Node) {
	for _, child := range node.Content {
		refuseLeaving(relative, folder, child)
	}
	if node.Kind != kyaml.ScalarNode || strings.Contains(node.Value, "\n") {
		return
	}
	text := node.Value
	if _, after, isNamed := strings.Cut(text, "="); isNamed { // key=file of a generator
		text = after
	}
	top := path.Join(basesMount, folder)
	leaves := strings.HasPrefix(text, mount) || strings.HasPrefix(text, basesMount)
	if strings.HasPrefix(path.Clean(text), "..") {
		at := path.Join(absolute(path.Dir(relative)), text)
		leaves = at != top && !strings.HasPrefix(at, top+"/")
	}
	if leaves {
		panic(fmt.Errorf("%s: %q leads out of the remote base's repository", absolute(relative), text))
	}
}

// remoteReferences are those that kustomize would fetch, each once.
func (v *view) remoteReferences(relative string, content []byte) []string {
	var parts struct {
		Resources, Components, Bases, Generators, Transformers, Validators []string
	}
	if yaml.Unmarshal(content, &parts) != nil {
		return nil // kustomize says what is wrong with it
	}
	var found []string
	add := func(reference string) {
		if !slices.Contains(found, reference) {
			found = append(found, reference)
		}
	}
	for _, reference := range slices.Concat(
		parts.Resources, parts.Bases, parts.Generators, parts.Transformers, parts.Validators,
	) {
		if isURL(reference) || isRepository(reference) && !v.hasFile(path.Join(path.Dir(relative), reference)) {
			add(reference)
		}
	}
	for _, reference := range parts.Components {
		if isURL(reference) || isRepository(reference) {
			add(reference)
		}
	}
	return found
}

// hasFile: kustomize takes what looks like a repository as a file first.
func (v *view) hasFile(relative string) bool {
	at, err := within(absolute(relative))
	return err == nil && v.kindOf(at) == file
}

var url = regexp.MustCompile(`(?i)^https?://`)

// The forms that kustomize clones (api/internal/git/repospec.go): forced git, a scheme, GitHub without one, user@host.
var repository = regexp.MustCompile(`(?i)^(git::)?(ssh://|file://|https?://|github\.com[/:]|[a-z][a-z0-9-]*@[^/]*[:/])`)

func isURL(reference string) bool        { return url.MatchString(reference) }
func isRepository(reference string) bool { return repository.MatchString(reference) }

var password = regexp.MustCompile(`(://)[^/@\s]*@`)

func withoutPassword(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	return password.ReplaceAllString(text, "$1")
}

// readableBases shows the files of fetched bases by their repository.
func (v *view) readableBases(message string) string {
	for _, base := range v.bases {
		at := regexp.MustCompile(`(/|(\.\./)+)` + regexp.QuoteMeta(strings.TrimPrefix(basesMount, "/")+"/"+base.Folder))
		message = at.ReplaceAllLiteralString(message, base.Shown)
	}
	return message
}
