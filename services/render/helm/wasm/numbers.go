package main

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Values travel as JSON in which a whole number and a real number that has no fraction stay different: to a template, and to
// Flux's digest, 1000000 from --set (an int64) and from YAML (a float64: 1e+06) are not the same.
type typedValues map[string]any

func (v typedValues) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(typedOut(map[string]any(v)))
	return out.Bytes(), err
}

func typedOut(value any) any {
	switch is := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(is))
		for key, item := range is {
			out[key] = typedOut(item)
		}
		return out
	case []any:
		out := make([]any, len(is))
		for i, item := range is {
			out[i] = typedOut(item)
		}
		return out
	case float64:
		if math.IsInf(is, 0) || math.IsNaN(is) {
			return is
		}
		text := strconv.FormatFloat(is, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return json.RawMessage(text)
	}
	return value
}

func (v *typedValues) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return err
	}
	if values == nil {
		values = map[string]any{}
	}
	*v = typedIn(values).(map[string]any)
	return nil
}

func typedIn(value any) any {
	switch is := value.(type) {
	case map[string]any:
		for key, item := range is {
			is[key] = typedIn(item)
		}
	case []any:
		for i, item := range is {
			is[i] = typedIn(item)
		}
	case json.Number:
		if whole, err := strconv.ParseInt(is.String(), 10, 64); err == nil {
			return whole
		}
		real, _ := is.Float64()
		return real
	}
	return value
}
