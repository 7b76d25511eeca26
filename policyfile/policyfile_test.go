package policyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/onlyonce-go/onlyonce/interceptor"
	"github.com/onlyonce-go/onlyonce/policyfile"
	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

// pay is a file with a policy of one method.
func pay(settings string) string { return "methods:\n  /a.B/Pay:\n" + settings }

func TestPolicyIsWrittenAsInAnAnnotation(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"nothing": {"methods: {/a.B/Pay: {}}", ``},
		"durations": {
			pay("    retention: 172800s\n    max_wait: 0s\n    lease: 1.5s"),
			`retention {seconds: 172800} max_wait {} lease {seconds: 1 nanos: 500000000}`,
		},
		"durations of Go": {
			pay("    retention: 48h\n    max_run: 1m30s\n    lease: 250ms"),
			`retention {seconds: 172800} max_run {seconds: 90} lease {nanos: 250000000}`,
		},
		"a negative one": {pay("    max_run: -1.5s"), `max_run {seconds: -1 nanos: -500000000}`},
		"100 years":      {pay("    retention: 3155760000s"), `retention {seconds: 3155760000}`},
		"constants": {
			pay("    guarantee: GUARANTEE_EXACTLY_ONCE\n    key: KEY_USE_REQUIRED"),
			`guarantee: GUARANTEE_EXACTLY_ONCE key: KEY_USE_REQUIRED`,
		},
		"short constants": {
			pay("    guarantee: EXACTLY_ONCE\n    key_form: TIME_ORDERED\n    transaction: JOINED"),
			`guarantee: GUARANTEE_EXACTLY_ONCE key_form: KEY_FORM_TIME_ORDERED transaction: TRANSACTION_JOINED`,
		},
		"numbers":       {pay("    max_attempts: 3\n    max_outcome: 0x100"), `max_attempts: 3 max_outcome: 256`},
		"booleans":      {pay("    fail_open: true\n    detached: false"), `fail_open: true detached: false`},
		"names of JSON": {pay("    maxAttempts: 3\n    keyLife: 1h"), `max_attempts: 3 key_life {seconds: 3600}`},
		"classes": {
			pay("    classes:\n    - {code: 10, class: OUTCOME_CLASS_NOT_EXECUTED}\n    - code: 13\n      class: DEFINITE"),
			`classes {code: 10 class: OUTCOME_CLASS_NOT_EXECUTED} classes {code: 13 class: OUTCOME_CLASS_DEFINITE}`,
		},
		"no classes": {pay("    classes: []"), ``},
		"JSON": {
			`{"methods": {"/a.B/Pay": {"maxAttempts": 3, "retention": "60s"}}}`,
			`max_attempts: 3 retention {seconds: 60}`,
		},
		"an unused anchor":   {pay("    max_attempts: &three 3"), `max_attempts: 3`},
		"what is for later":  {pay("    guarantee: 9"), `guarantee: 9`},
		"a byte order mark":  {"\ufeff" + pay("    max_attempts: 3"), `max_attempts: 3`},
		"lines of Windows":   {strings.ReplaceAll(pay("    max_attempts: 3\n"), "\n", "\r\n"), `max_attempts: 3`},
		"a document's start": {"---\n" + pay("    max_attempts: 3\n") + "...\n", `max_attempts: 3`},
	} {
		t.Run(name, func(t *testing.T) {
			want := new(onlyoncev1.Policy)
			if err := prototext.Unmarshal([]byte(test.want), want); err != nil {
				t.Fatal(err)
			}

			declared, err := policyfile.Parse("f.yaml", []byte(test.file))
			if err != nil || len(declared) != 1 || declared[0].Of != "/a.B/Pay" {
				t.Fatalf("Parse = %v, %v", declared, err)
			}

			if diff := cmp.Diff(want, declared[0].Policy, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Fields of Policy are not listed anywhere: a new one can be written at once.
func TestEveryFieldAndConstantCanBeWritten(t *testing.T) {
	fields := new(onlyoncev1.Policy).ProtoReflect().Descriptor().Fields()

	for i := range fields.Len() {
		fd := fields.Get(i)

		for _, value := range some(fd) {
			declared, err := policyfile.Parse("f.yaml", []byte(pay("    "+string(fd.Name())+": "+value+"\n")))
			if err != nil || !declared[0].Policy.ProtoReflect().Has(fd) {
				t.Errorf("%s: %s: %v, %v", fd.Name(), value, declared, err)
			}
		}
	}
}

// some are values of a field.
func some(fd protoreflect.FieldDescriptor) []string {
	var values []string

	switch {
	case fd.Enum() != nil:
		for i := 1; i < fd.Enum().Values().Len(); i++ {
			full := string(fd.Enum().Values().Get(i).Name())
			_, short, _ := strings.Cut(full, strings.TrimSuffix(string(fd.Enum().Values().Get(0).Name()), "UNSPECIFIED"))
			values = append(values, full, short)
		}
	case fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Duration":
		values = []string{"90s", "48h"}
	case fd.Message() != nil:
		values = []string{"{}"}
	case fd.Kind() == protoreflect.BoolKind:
		values = []string{"true"}
	default:
		values = []string{"1"}
	}

	if fd.IsList() {
		for i := range values {
			values[i] = "[" + values[i] + "]"
		}
	}

	return values
}

func TestDeclarationsHaveTheirNamesAndLines(t *testing.T) {
	declared, err := policyfile.Parse("f.yaml", []byte(`
services:
  a.B: {}

methods:
  /a.B/C:
    max_attempts: 3
  "/a.B/D": {}
`))
	if err != nil {
		t.Fatal(err)
	}

	got := make([]string, 0, len(declared))
	for _, d := range declared {
		got = append(got, d.Of+" "+d.Source)
	}

	if want := []string{"a.B f.yaml:3", "/a.B/C f.yaml:6", "/a.B/D f.yaml:8"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBadFilesAreReportedWithLineAndRemedy(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want []string // lines of the error
	}{
		"no YAML":  {"methods: {", []string{"f.yaml is not YAML: yaml: line 1"}},
		"nothing":  {"", []string{"f.yaml is empty: write services or methods"}},
		"comments": {"# later\n", []string{"f.yaml is empty"}},
		"two documents": {
			"methods: {}\n---\nmethods: {}\n",
			[]string{"f.yaml has several YAML documents: write one file for each"},
		},
		"a list":          {"- a", []string{"f.yaml:1: the file is not a mapping"}},
		"a wrong section": {"\nmethod: {}", []string{`f.yaml:2: section "method" is unknown: write services or methods`}},
		"an empty section": {
			"services:\n",
			[]string{"f.yaml:1: section services is not a mapping: write names with values, or {} for none"},
		},
		"a section twice": {
			"methods: {}\nmethods: {}",
			[]string{`f.yaml:2: the file has "methods" twice, the first time in line 1: keep one`},
		},
		"a method twice": {
			"methods:\n  /a.B/C: {}\n  /a.B/C: {}",
			[]string{`f.yaml:3: section methods has "/a.B/C" twice, the first time in line 2`},
		},
		"no policy": {
			"methods:\n  /a.B/Pay:\n",
			[]string{"f.yaml:2: the policy of /a.B/Pay is not a mapping: write names with values, or {} for none"},
		},
		"a text as policy": {
			"methods: {/a.B/Pay: AT_MOST_ONCE}",
			[]string{"f.yaml:1: the policy of /a.B/Pay is not a mapping"},
		},
		"a method's name": {
			"methods: {a.B/Pay: {}}",
			[]string{`f.yaml:1: "a.B/Pay" is not the full name of a method: write it as in "/package.Service/Method"`},
		},
		"a service's name": {
			"services: {/a.B/Pay: {}}",
			[]string{`f.yaml:1: "/a.B/Pay" is not the full name of a service: write it as in "package.Service", or move`},
		},
		"an unknown field": {
			pay("    retension: 48h"),
			[]string{`f.yaml:3: the policy of /a.B/Pay has an unknown field "retension": write one of guarantee, key, `},
		},
		"an extension": {
			pay("    '[a.b]': 1"),
			[]string{`f.yaml:3: the policy of /a.B/Pay has an unknown field "[a.b]"`},
		},
		"a field twice": {
			pay("    key: OPTIONAL\n    key: REQUIRED"),
			[]string{`f.yaml:4: the policy of /a.B/Pay has "key" twice, the first time in line 3: keep one`},
		},
		"by two names": {
			pay("    key_form: ANY\n    keyForm: STRICT"),
			[]string{`f.yaml:4: the policy of /a.B/Pay has field key_form twice, the first time in line 3`},
		},
		"a wrong constant": {
			pay("    guarantee: EXACTLY_TWICE"),
			[]string{`f.yaml:3: field guarantee of the policy of /a.B/Pay: `, `give one of GUARANTEE_AT_MOST_ONCE, GUARANTEE_AT_LEAST_ONCE, `},
		},
		"small letters": {pay("    guarantee: exactly_once"), []string{`f.yaml:3: field guarantee`}},
		"a number of days": {
			pay("    retention: 2d"),
			[]string{`f.yaml:3: field retention of the policy of /a.B/Pay: `, `"2d": give a duration, as in 90s or 48h`},
		},
		"a bare number": {
			pay("    retention: 90"),
			[]string{`f.yaml:3: field retention`, `give a duration, as in 90s or 48h`},
		},
		"an object": {
			pay("    retention: {seconds: 90}"),
			[]string{`f.yaml:3: field retention`, `give a duration, as in 90s or 48h`},
		},
		"no value": {
			pay("    retention:"),
			[]string{`f.yaml:3: the value is missing: give a value, or leave the field out`},
		},
		"yes":               {pay("    detached: yes"), []string{`f.yaml:3: field detached`, `give true or false`}},
		"a fraction":        {pay("    max_attempts: 1.5"), []string{`f.yaml:3: field max_attempts`, `give a whole number`}},
		"a negative number": {pay("    max_attempts: -1"), []string{`f.yaml:3: field max_attempts`, `give a whole number`}},
		"a large number": {
			pay("    max_attempts: 99999999999999999999"),
			[]string{`f.yaml:3: field max_attempts`, `give a whole number`},
		},
		"no number": {pay("    max_attempts: .nan"), []string{`f.yaml:3: field max_attempts`, `give a whole number`}},
		"classes by name": {
			pay("    classes:\n      - {code: 10, klass: DEFINITE}"),
			[]string{`f.yaml:3: field classes`, `"klass": give a list, each element with code: a whole number, class: one of `},
		},
		"no list":        {pay("    classes: {code: 10}"), []string{`f.yaml:3: field classes`, `give a list`}},
		"an empty class": {pay("    classes:\n      - code: 10\n        class:"), []string{`f.yaml:5: the value is missing`}},
		"a code twice":   {pay("    classes: [{code: 10, code: 11}]"), []string{`f.yaml:3: a value has "code" twice`}},
		"an alias": {
			"methods:\n  /a.B/C: &c {}\n  /a.B/D: *c",
			[]string{`f.yaml:3: the policy of /a.B/D is not a mapping`},
		},
		"an alias of a value": {
			pay("    max_run: &m 5s\n    max_wait: *m"), []string{`f.yaml:4: an alias is not allowed: write its value`},
		},
		"a merge key": {
			"methods:\n  /a.B/C: &c {}\n  /a.B/D:\n    <<: *c",
			[]string{`f.yaml:4: the policy of /a.B/D has a name that is not a string: write names without anchors, aliases and merge keys`},
		},
		"a time": {
			pay("    retention: 2026-01-01"),
			[]string{`f.yaml:3: 2026-01-01 is of type !!timestamp: give a string`},
		},
		"a custom tag": {pay("    retention: !days 2"), []string{`f.yaml:3: 2 is of type !days: give a string`}},
		"a wrong tag":  {pay("    max_attempts: !!int many"), []string{`f.yaml:3: `}},
		"several problems": {
			"services:\n  a/B: {}\nmethods:\n  /a.B/C:\n    keys: 1\n    max_run: soon\n  /a.B/D:\n    max_wait:\n",
			[]string{`f.yaml:2: "a/B"`, `f.yaml:5: `, `"keys"`, `f.yaml:6: `, `"soon"`, `f.yaml:8: `},
		},
	} {
		t.Run(name, func(t *testing.T) {
			declared, err := policyfile.Parse("f.yaml", []byte(test.file))
			if err == nil {
				t.Fatalf("Parse = %v", declared)
			}

			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not have %q:\n%v", part, err)
				}
			}

			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "policyfile: f.yaml") || strings.Contains(line, "proto:") || strings.Contains(line, "(line") {
					t.Errorf("a line of the error is %q", line)
				}
			}
		})
	}
}

func TestDocumentedFileIsRead(t *testing.T) {
	text, err := os.ReadFile("../docs/annotations.md")
	if err != nil {
		t.Fatal(err)
	}

	_, file, _ := strings.Cut(string(text), "# policies.yaml\n")
	file, _, _ = strings.Cut(file, "```")

	if declared, err := policyfile.Parse("annotations.md", []byte(file)); err != nil || len(declared) != 2 {
		t.Errorf("Parse = %v, %v", declared, err)
	}
}

func TestReadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte("method: {}"), 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := policyfile.Read(path); err == nil || !strings.Contains(err.Error(), "policyfile: bad.yaml:1: ") {
		t.Errorf("Read = %v", err)
	}

	if _, err := policyfile.Read(path + ".yml"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path+".yml") {
		t.Errorf("Read of no file = %v", err)
	}
}

// What the file may say is judged where it is used, and the problem has its line.
func TestWhatCannotHoldIsReportedWithTheLineOfItsMethod(t *testing.T) {
	declared, err := policyfile.Parse("f.yaml", []byte(pay("    max_attempts: 0\n    retention: 0s")))
	if err != nil {
		t.Fatal(err)
	}

	_, err = interceptor.DialOptions(interceptor.WithClientDeclarations(declared...))
	for _, want := range []string{"policy of /a.B/Pay in f.yaml:2: max_attempts is 0", "policy of /a.B/Pay in f.yaml:2: retention is 0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("testdata/policies.yaml")
	if err != nil {
		f.Fatal(err)
	}

	f.Add(example)
	f.Add([]byte(pay("    <<: {a: 1}\n    retention: !!float 1\n    classes: [[[{}]], ~, 1]\n    key: 9")))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? {a: b}\n: c"))

	f.Fuzz(func(t *testing.T, data []byte) {
		declared, err := policyfile.Parse("f.yaml", data)
		if err != nil {
			if declared != nil || !strings.HasPrefix(err.Error(), "policyfile: f.yaml") {
				t.Errorf("Parse = %v, %v", declared, err)
			}

			return
		}

		seen := make(map[string]bool)

		for _, d := range declared {
			if d.Policy == nil || d.Of == "" && d.Source == "" || seen[d.Of] || len(d.Policy.ProtoReflect().GetUnknown()) > 0 {
				t.Errorf("a declaration is %v", d)
			}

			seen[d.Of] = true
		}

		// Nothing that was read makes trouble where it is used.
		_, _ = interceptor.DialOptions(interceptor.WithClientDeclarations(declared...))
	})
}
