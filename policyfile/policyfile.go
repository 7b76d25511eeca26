// Package policyfile reads the policies of methods from a YAML file. Use it if .proto files cannot import onlyonce/v1/options.proto.
// Servers and clients read the same file:
//
//	declared, err := policyfile.Read("policies.yaml")
//	…
//	protect, err := interceptor.NewServer(engine, scope, interceptor.WithDeclarations(declared...))
//	…
//	dial, err := interceptor.DialOptions(interceptor.WithClientDeclarations(declared...))
//
// The file lists services and methods by their full names. Each has a policy with the fields of onlyonce.v1.Policy:
//
//	services:
//	  payments.v1.PaymentService:
//	    key: KEY_USE_REQUIRED
//	    retention: 48h
//	methods:
//	  /payments.v1.PaymentService/Pay:
//	    guarantee: GUARANTEE_AT_LEAST_ONCE
//	    max_attempts: 3
//
// The policy of a method overrides the policy of its service, field by field. The policy {} is the policy of the engine. Values have the
// JSON form of protobuf (https://protobuf.dev/programming-guides/json/), with these additions:
//   - A duration may have the form of time.ParseDuration, as in 48h.
//   - A constant may omit the prefix of its enum, as in AT_LEAST_ONCE.
//
// These are errors: an unknown field, a field that appears twice or has no value, an alias, and a merge key.
package policyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/onlyonce-go/onlyonce/interceptor"
)

// Read reads the declarations of a file. It fails if the file cannot be read or has problems. It reports all problems at once, each with
// its line and its remedy. The Source of a declaration is the base name of the path and the line, as in "policies.yaml:12".
func Read(path string) ([]interceptor.Declaration, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the file that the caller names
	if err != nil {
		return nil, fmt.Errorf("policyfile: reading the policies: %w", err)
	}

	return Parse(filepath.Base(path), data)
}

// Parse is like Read for the content of a file, for example from an embed.FS. Errors and the Source of the declarations contain name.
func Parse(name string, data []byte) ([]interceptor.Declaration, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))

	var document, another yaml.Node

	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("policyfile: %s is empty: write services or methods with policies", name)
	case err != nil:
		return nil, fmt.Errorf("policyfile: %s is not YAML: %w", name, err)
	case !errors.Is(decoder.Decode(&another), io.EOF):
		return nil, fmt.Errorf("policyfile: %s has several YAML documents: write one file for each", name)
	}

	p := parser{file: name}
	declared := p.sections(document.Content[0])

	if err := errors.Join(p.problems...); err != nil {
		return nil, err
	}

	return declared, nil
}
