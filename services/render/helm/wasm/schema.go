package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// checkSchemas validates as Helm does; what it says names the fields and never quotes a value: it may be a secret.
func checkSchemas(of *chart.Chart, values any) error {
	found, _ := values.(common.Values)
	if err := util.ValidateAgainstSchema(of, found); err == nil {
		return nil
	}
	said := schemaErrors(of, found)
	if len(said) == 0 {
		said = []string{"a schema that cannot be used, or values that do not fit it"}
	}
	return failure{"schema", "values don't meet the specifications of the schema(s) in the following chart(s): " + strings.Join(said, "; ")}
}

const mostSchemaErrors = 20

func schemaErrors(of *chart.Chart, values map[string]any) (said []string) {
	if of.Schema != nil {
		for _, one := range singleSchemaErrors(of.Schema, values) {
			said = append(said, of.Name()+": "+one)
		}
	}
	for _, dependency := range of.Dependencies() {
		raw := values[dependency.Name()]
		if raw == nil {
			continue
		}
		part, isMap := raw.(map[string]any)
		if !isMap {
			said = append(said, dependency.Name()+": its values are not a map")
			continue
		}
		said = append(said, schemaErrors(dependency, part)...)
	}
	if len(said) > mostSchemaErrors {
		said = append(said[:mostSchemaErrors], "and more")
	}
	return said
}

func singleSchemaErrors(text []byte, values map[string]any) (said []string) {
	defer func() {
		if reason := recover(); reason != nil {
			said = []string{"its schema cannot be used"}
		}
	}()
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return []string{"values.schema.json is not JSON: " + err.Error()}
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{"urn": anything{}, "http": elsewhere{}, "https": elsewhere{}, "file": elsewhere{}})
	if err := compiler.AddResource("file:///values.schema.json", schema); err != nil {
		return []string{"values.schema.json: " + err.Error()}
	}
	validator, err := compiler.Compile("file:///values.schema.json")
	var unloaded *jsonschema.LoadURLError
	if errors.As(err, &unloaded) {
		return []string{"values.schema.json refers to " + unloaded.URL + ", and schemas are not fetched: put that one under $defs, or set disableSchemaValidation"}
	}
	if err != nil {
		return []string{"values.schema.json: " + err.Error()}
	}
	var invalid *jsonschema.ValidationError
	if err := validator.Validate(values); errors.As(err, &invalid) {
		said = leafErrors(invalid, said)
	}
	slices.Sort(said)
	return slices.Compact(said)
}

// Helm takes a reference by URN that nobody resolves for a schema that fits everything.
type anything struct{}

func (anything) Load(string) (any, error) { return true, nil }

// A chart is a stranger's, and what renders it has no network; beside the chart there is no file.
type elsewhere struct{}

func (elsewhere) Load(string) (any, error) { return nil, errors.New("not fetched") }

func leafErrors(of *jsonschema.ValidationError, said []string) []string {
	for _, cause := range of.Causes {
		said = leafErrors(cause, said)
	}
	if len(of.Causes) > 0 {
		return said
	}
	return append(said, fmt.Sprintf("at '/%s': %s", strings.Join(of.InstanceLocation, "/"), withoutValue(of.ErrorKind)))
}

func withoutValue(of jsonschema.ErrorKind) string {
	switch is := of.(type) {
	case *kind.Type:
		return fmt.Sprintf("got %s, want %s", is.Got, strings.Join(is.Want, " or "))
	case *kind.Required:
		return "missing " + strings.Join(is.Missing, ", ")
	case *kind.AdditionalProperties:
		return "not allowed: " + strings.Join(is.Properties, ", ")
	case *kind.Enum:
		return fmt.Sprintf("must be one of %v", is.Want)
	case *kind.Const:
		return fmt.Sprintf("must be %v", is.Want)
	case *kind.Pattern:
		return "does not match " + is.Want
	case *kind.Format:
		return "is not a valid " + is.Want
	case *kind.MinLength:
		return fmt.Sprintf("is shorter than %d", is.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("is longer than %d", is.Want)
	case *kind.Minimum:
		return fmt.Sprintf("is less than %s", is.Want.RatString())
	case *kind.Maximum:
		return fmt.Sprintf("is more than %s", is.Want.RatString())
	}
	return "does not fit the schema's " + strings.Join(of.KeywordPath(), "/")
}
