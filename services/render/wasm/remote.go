package main

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// The renderer has no network: whatever is not in the artifact cannot be part of a build.

// A remoteBase ends a build wherever it is met: it is thrown as a panic, because kustomize would otherwise go on to
// try the reference as a file, as a directory and as a repository, and report all of that.
type remoteBase struct{ in, reference string }

func (r remoteBase) Error() string {
	where := ""
	if r.in != "" {
		where = r.in + ": "
	}
	return fmt.Sprintf("%sremote base %q is not fetched: put it into the source", where, withoutPassword(r.reference))
}

// noNetwork stands in for the HTTP transport, for what is loaded by URL without being a base: a patch, a schema.
type noNetwork struct{}

func (noNetwork) RoundTrip(request *http.Request) (*http.Response, error) {
	panic(remoteBase{reference: request.URL.String()})
}

// refuseRemote looks at a kustomization file before kustomize does.
func (v *view) refuseRemote(relative string, content []byte) {
	var parts struct {
		Resources, Components, Bases, Generators, Transformers, Validators []string
	}
	if yaml.Unmarshal(content, &parts) != nil {
		return // kustomize says what is wrong with it
	}
	for _, reference := range slices.Concat(
		parts.Resources, parts.Bases, parts.Generators, parts.Transformers, parts.Validators,
	) {
		if isURL(reference) || isRepository(reference) && !v.hasFile(path.Join(path.Dir(relative), reference)) {
			panic(remoteBase{in: relative, reference: reference})
		}
	}
	for _, reference := range parts.Components {
		if isURL(reference) || isRepository(reference) {
			panic(remoteBase{in: relative, reference: reference})
		}
	}
}

// hasFile: kustomize takes what looks like a repository as a file first.
func (v *view) hasFile(relative string) bool {
	at, err := within(relative)
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
