package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// A request names one thing to do; the others are nil.
type request struct {
	Chart   *chartRequest   `json:"chart"`
	Package *packageRequest `json:"package"`
	Values  *valuesRequest  `json:"values"`
	Render  *renderRequest  `json:"render"`
	Digest  *digestRequest  `json:"digest"`
	Objects *objectsRequest `json:"objects"`
	Specs   *specsRequest   `json:"specs"`
}

func (r request) run() (any, error) {
	switch {
	case r.Chart != nil:
		return r.Chart.run()
	case r.Package != nil:
		return r.Package.run()
	case r.Values != nil:
		return r.Values.run()
	case r.Render != nil:
		return r.Render.run()
	case r.Digest != nil:
		return r.Digest.run()
	case r.Objects != nil:
		return r.Objects.run()
	case r.Specs != nil:
		return r.Specs.run()
	}
	return nil, failure{"request", "nothing is asked for"}
}

// A failure that is a fact about the input. Code: chart, version, values, schema, template, manifest, postrender, release, request.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f failure) Error() string { return f.Message }

func failed(code string, err error) error {
	if err == nil {
		return nil
	}
	return failure{code, err.Error()}
}

// guarded answers in JSON, also for what a library panics over.
func guarded(work func() (any, error)) (reply []byte) {
	defer func() {
		if reason := recover(); reason != nil {
			reply = encoded(map[string]any{"failure": failure{"panic", fmt.Sprint(reason)}})
		}
	}()
	value, err := work()
	if err != nil {
		var known failure
		if !errors.As(err, &known) {
			known = failure{"request", err.Error()}
		}
		return encoded(map[string]any{"failure": known})
	}
	return encoded(value)
}

func encoded(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return []byte(`{"failure":{"code":"request","message":"the answer cannot be written as JSON"}}`)
	}
	return out.Bytes()
}
