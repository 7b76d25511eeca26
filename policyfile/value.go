package policyfile

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// entry is a key of a mapping, and its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries returns the entries of a mapping. It reports and skips a name that appears again.
func (p *parser) entries(node *yaml.Node, what string) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		if node.Kind != yaml.MappingNode {
			p.complainf(node, "%s is not a mapping: write names with values, or {} for none", what)

			return
		}

		lines := make(map[string]int)

		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]

			switch {
			case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
				p.complainf(key, "%s has a name that is not a string: write names without anchors, aliases and merge keys", what)
			case lines[key.Value] > 0:
				p.complainf(key, "%s has %q twice, the first time in line %d: keep one of them", what, key.Value, lines[key.Value])
			default:
				lines[key.Value] = key.Line

				if !yield(entry{name: key.Value, key: key, value: value}) {
					return
				}
			}
		}
	}
}

// value converts a value to JSON, by the type of its field. Fd is nil for an unknown field, which protojson refuses.
func (p *parser) value(node *yaml.Node, fd protoreflect.FieldDescriptor) (value any, ok bool) {
	switch node.Kind {
	case yaml.ScalarNode:
		return p.scalar(node, fd)
	case yaml.SequenceNode:
		list := make([]any, 0, len(node.Content))

		for _, element := range node.Content {
			value, ok := p.value(element, fd)
			if !ok {
				return nil, false
			}

			list = append(list, value)
		}

		return list, true
	case yaml.MappingNode:
		return p.mapping(node, fd)
	default:
		p.complainf(node, "an alias is not allowed: write its value")

		return nil, false
	}
}

func (p *parser) mapping(node *yaml.Node, fd protoreflect.FieldDescriptor) (value any, ok bool) {
	content := make(map[string]any)
	before := len(p.problems)

	for setting := range p.entries(node, "a value") {
		var inner protoreflect.FieldDescriptor
		if fd != nil && fd.Message() != nil {
			inner = fieldOf(fd.Message().Fields(), setting.name)
		}

		if value, ok := p.value(setting.value, inner); ok {
			content[setting.name] = value
		}
	}

	return content, len(p.problems) == before
}

func (p *parser) scalar(node *yaml.Node, fd protoreflect.FieldDescriptor) (value any, ok bool) {
	switch tag := node.ShortTag(); tag {
	case "!!str":
		return text(node.Value, fd), true
	case "!!bool", "!!int", "!!float":
		if err := node.Decode(&value); err != nil {
			p.complainf(node, "%s cannot be read: %v: give a string, a number, true or false", node.Value, err)

			return nil, false
		}

		return value, true
	case "!!null":
		p.complainf(node, "the value is missing: give a value, or leave the field out")
	default:
		p.complainf(node, "%s is of type %s: give a string, a number, true or false", node.Value, tag)
	}

	return nil, false
}

// text converts a string to the form of protojson: a constant gets the prefix of its enum, and a Go duration becomes seconds.
func text(value string, fd protoreflect.FieldDescriptor) any {
	switch {
	case fd == nil:
		return value
	case fd.Enum() != nil:
		if full := protoreflect.Name(prefixOf(fd.Enum()) + value); fd.Enum().Values().ByName(full) != nil {
			return string(full)
		}
	case isDuration(fd):
		d, err := time.ParseDuration(value)
		if err != nil {
			return value
		}

		if data, err := protojson.Marshal(durationpb.New(d)); err == nil {
			return json.RawMessage(data)
		}
	}

	return value
}

// prefixOf returns the common prefix of the constants of an enum.
func prefixOf(enum protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(enum.Values().Get(0).Name()), "UNSPECIFIED")
}

func isDuration(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Duration"
}

// wanted describes the value of a field, for an error.
func wanted(fd protoreflect.FieldDescriptor) string {
	if fd.IsList() {
		return "a list, each element " + wantedOnce(fd)
	}

	return wantedOnce(fd)
}

func wantedOnce(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.Enum() != nil:
		return "one of " + constantsOf(fd.Enum())
	case isDuration(fd):
		return "a duration, as in 90s or 48h"
	case fd.Message() != nil:
		parts := make([]string, fd.Message().Fields().Len())
		for i := range parts {
			inner := fd.Message().Fields().Get(i)
			parts[i] = fmt.Sprintf("%s: %s", inner.Name(), wanted(inner))
		}

		return "with " + strings.Join(parts, ", ")
	case fd.Kind() == protoreflect.BoolKind:
		return "true or false"
	case fd.Kind() == protoreflect.StringKind:
		return "a string"
	default:
		return "a whole number"
	}
}

func constantsOf(enum protoreflect.EnumDescriptor) string {
	var names []string

	for i := 1; i < enum.Values().Len(); i++ { // without UNSPECIFIED
		names = append(names, string(enum.Values().Get(i).Name()))
	}

	return strings.Join(names, ", ")
}
