package policyfile_test

import (
	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/policyfile"
)

// The code of docs/annotations.md.
var _ = func() ([]interceptor.Declaration, error) {
	declared, err := policyfile.Read("policies.yaml")

	return declared, err
}
