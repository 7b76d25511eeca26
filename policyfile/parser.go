package policyfile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onlyonce-go/onlyonce/interceptor"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// parser reads the declarations of a file and collects the problems.
type parser struct {
	file     string
	problems []error
}

func (p *parser) complainf(at *yaml.Node, format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf("policyfile: %s: "+format, append([]any{p.source(at)}, args...)...))
}

// source returns a place in the file, as in "policies.yaml:12".
func (p *parser) source(at *yaml.Node) string { return fmt.Sprintf("%s:%d", p.file, at.Line) }

// sections reads the file.
func (p *parser) sections(root *yaml.Node) (declared []interceptor.Declaration) {
	for section := range p.entries(root, "the file") {
		switch section.name {
		case "services", "methods":
			declared = append(declared, p.policies(section)...)
		default:
			p.complainf(section.key, "section %q is unknown: write services or methods", section.name)
		}
	}

	return declared
}

// policies reads a section.
func (p *parser) policies(section entry) (declared []interceptor.Declaration) {
	for of := range p.entries(section.value, "section "+section.name) {
		switch {
		case section.name == "services" && strings.Contains(of.name, "/"):
			p.complainf(of.key, "%q is not the full name of a service: write it as in %q, or move it to methods", of.name, "package.Service")
		case section.name == "methods" && !strings.HasPrefix(of.name, "/"):
			p.complainf(of.key, "%q is not the full name of a method: write it as in %q", of.name, "/package.Service/Method")
		default:
			declared = append(declared, interceptor.Declaration{Of: of.name, Policy: p.policy(of), Source: p.source(of.key)})
		}
	}

	return declared
}

// policy reads the fields of a policy one by one, so that a problem has the line of its field.
func (p *parser) policy(of entry) *onlyoncev1.Policy {
	policy := new(onlyoncev1.Policy)
	fields := policy.ProtoReflect().Descriptor().Fields()
	lines := make(map[protoreflect.FieldNumber]int)

	for setting := range p.entries(of.value, "the policy of "+of.name) {
		fd := fieldOf(fields, setting.name)
		if fd == nil {
			p.complainf(setting.key, "the policy of %s has an unknown field %q: write one of %s", of.name, setting.name, namesOf(fields))

			continue
		}

		if line := lines[fd.Number()]; line > 0 { // under its other name
			p.complainf(setting.key, "the policy of %s has field %s twice, the first time in line %d: keep one of them", of.name, fd.Name(), line)
		}

		lines[fd.Number()] = setting.key.Line

		if value, ok := p.value(setting.value, fd); ok {
			p.set(policy, of, setting, fd, value)
		}
	}

	return policy
}

// set sets a field to a value.
func (p *parser) set(policy *onlyoncev1.Policy, of, setting entry, fd protoreflect.FieldDescriptor, value any) {
	one := new(onlyoncev1.Policy)

	data, err := json.Marshal(map[string]any{string(fd.Name()): value})
	if err == nil {
		err = protojson.Unmarshal(data, one)
	}

	if err != nil {
		p.complainf(setting.key, "field %s of the policy of %s: %s: give %s", setting.name, of.name,
			positionInJSON.ReplaceAllString(err.Error(), ""), wanted(fd))

		return
	}

	proto.Merge(policy, one)
}

// positionInJSON matches the start of an error of protojson. It has a position in the JSON, which is useless for the YAML file.
var positionInJSON = regexp.MustCompile(`^proto:[\s\x{a0}]+(syntax error )?\(line \d+:\d+\): `)

func fieldOf(fields protoreflect.FieldDescriptors, name string) protoreflect.FieldDescriptor {
	if fd := fields.ByTextName(name); fd != nil {
		return fd
	}

	return fields.ByJSONName(name)
}

func namesOf(fields protoreflect.FieldDescriptors) string {
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = string(fields.Get(i).Name())
	}

	return strings.Join(names, ", ")
}
