package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	_ "time/tzdata" // expressions may name a time zone, and there are no files to look it up in

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// celLimit is what one evaluation may cost, in CEL's own measure: a quarter of what one rule may at Kubernetes' API server
// (apiserver/pkg/apis/cel, PerCallLimit). It is counted, not timed: the same on a busy machine.
const celLimit = 250_000

// A celExpression with variables is type-checked: each is an object, and the result must be a bool. Without, only its
// syntax is checked, and every name is looked up when it is evaluated.
type celExpression struct {
	Expression string   `json:"expression"`
	Variables  []string `json:"variables"`
}

// A celRequest without values is about whether the expressions compile.
type celRequest struct {
	Expressions []celExpression `json:"expressions"`
	Values      json.RawMessage `json:"values"`
}

type celResult struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

func (r celRequest) run() []byte {
	results := make([]celResult, len(r.Expressions))
	var values map[string]any
	if r.Values != nil {
		var err error
		if values, err = wholeNumbers(r.Values); err != nil {
			return failure{Code: "request", Message: err.Error()}.reply()
		}
	}
	for i, expression := range r.Expressions {
		results[i] = expression.answer(values)
	}
	reply, err := json.Marshal(map[string][]celResult{"results": results})
	if err != nil {
		return failure{Code: "request", Message: err.Error()}.reply()
	}
	return reply
}

func (e celExpression) answer(values map[string]any) (result celResult) {
	defer func() {
		if reason := recover(); reason != nil {
			result = celResult{Error: fmt.Sprint(reason)}
		}
	}()
	program, err := e.program()
	if err != nil {
		return celResult{Error: err.Error()}
	}
	if values == nil {
		return celResult{}
	}
	value, _, err := program.Eval(values)
	if err != nil {
		return celResult{Error: err.Error()}
	}
	text, err := celJSON(value)
	if err != nil {
		return celResult{Error: err.Error()}
	}
	return celResult{Value: text}
}

func celJSON(value ref.Val) (json.RawMessage, error) {
	native, err := value.ConvertToNative(reflect.TypeFor[*structpb.Value]())
	if err != nil {
		return nil, fmt.Errorf("the result is a %s, which is not JSON", value.Type().TypeName())
	}
	return protojson.Marshal(native.(*structpb.Value))
}

type celProgram struct {
	program cel.Program
	err     error
}

// mostPrograms and mostEnvironments are kept; beyond that all are compiled anew.
const (
	mostPrograms     = 1000
	mostEnvironments = 16
)

var (
	celPrograms     = map[string]celProgram{}
	celEnvironments = map[string]*cel.Env{}
)

func (e celExpression) program() (cel.Program, error) {
	key := strings.Join(append(slices.Clone(e.Variables), e.Expression), "\x00")
	if known, ok := celPrograms[key]; ok {
		return known.program, known.err
	}
	program, err := e.compile()
	if len(celPrograms) >= mostPrograms {
		clear(celPrograms)
	}
	celPrograms[key] = celProgram{program, err}
	return program, err
}

func (e celExpression) compile() (cel.Program, error) {
	environment, err := celEnvironment(e.Variables)
	if err != nil {
		return nil, err
	}
	read := environment.Parse
	if len(e.Variables) > 0 {
		read = environment.Compile
	}
	ast, issues := read(e.Expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if is := ast.OutputType(); len(e.Variables) > 0 && is != types.BoolType {
		return nil, fmt.Errorf("the result must be a bool, not a %s", is)
	}
	return environment.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(celLimit))
}

// celEnvironment has the language and libraries of Flux's expressions (fluxcd/pkg runtime/cel).
func celEnvironment(variables []string) (*cel.Env, error) {
	key := strings.Join(variables, "\x00")
	if known, ok := celEnvironments[key]; ok {
		return known, nil
	}
	options := []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Sets(),
		ext.Encoders(),
	}
	for _, name := range variables {
		options = append(options, cel.Variable(name, cel.ObjectType("google.protobuf.Struct")))
	}
	environment, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	if len(celEnvironments) >= mostEnvironments {
		clear(celEnvironments)
	}
	celEnvironments[key] = environment
	return environment, nil
}

// wholeNumbers reads JSON as Kubernetes does: a number without a fraction or exponent is an integer.
func wholeNumbers(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil && err != io.EOF {
		return nil, err
	}
	if values == nil {
		values = map[string]any{}
	}
	return values, convertNumbers(values)
}

func convertNumbers(value any) error {
	convert := func(item any, set func(any)) error {
		number, isNumber := item.(json.Number)
		if !isNumber {
			return convertNumbers(item)
		}
		if whole, err := number.Int64(); err == nil {
			set(whole)
			return nil
		}
		real, err := number.Float64()
		set(real)
		return err
	}
	switch within := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(within)) {
			if err := convert(within[name], func(to any) { within[name] = to }); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range within {
			if err := convert(item, func(to any) { within[i] = to }); err != nil {
				return err
			}
		}
	}
	return nil
}
