package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onlyonce-go/onlyonce/examples/clients/server"
)

const (
	chargesProto = "charges/v1/charges.proto"
	optionsProto = "onlyonce/v1/options.proto"
)

// tools calls the service with grpcurl, proto-loader and grpcio-tools.
type tools struct {
	t       *testing.T
	addr    string
	grpcurl string
}

func newTools(t *testing.T) *tools {
	t.Helper()

	grpcurl := filepath.Join(t.TempDir(), "grpcurl")
	output(t, ".", nil, "go", "build", "-o", grpcurl, "github.com/fullstorydev/grpcurl/cmd/grpcurl")

	return &tools{t: t, addr: start(t, server.WithKit), grpcurl: grpcurl}
}

// viaFiles has the errors and output of each tool, which finds .proto files in the folders.
func (c *tools) viaFiles(folders ...string) map[string]string {
	includes := make([]string, 0, 2*len(folders))
	imports := make([]string, 0, 2*len(folders)+2)

	for _, folder := range folders {
		includes = append(includes, "-I", folder)
		imports = append(imports, "-import-path", folder)
	}

	return map[string]string{
		"grpcurl":      c.callGrpcurl(append(imports, "-proto", chargesProto)...),
		"proto-loader": c.callNode(append([]string{"files"}, folders...)...),
		"grpcio-tools": c.callPython(append([]string{"-m", "grpc_tools.protoc"}, includes...)...),
	}
}

// viaSet has the errors and output of each tool, which reads a descriptor set.
func (c *tools) viaSet(set string) map[string]string {
	return map[string]string{
		"grpcurl":      c.callGrpcurl("-protoset", set),
		"proto-loader": c.callNode("set", set),
		// The module adds a folder of its own, which does not go with a set.
		"grpcio-tools": c.callPython("-c", "import sys; from grpc_tools import protoc; sys.exit(protoc.main(sys.argv))",
			"--descriptor_set_in="+set),
	}
}

func (c *tools) callGrpcurl(source ...string) string {
	args := append(slices.Clone(source), "-plaintext", "-v", "-H", "idempotency-key: from-grpcurl", "-d", `{"order": "from-grpcurl"}`,
		c.addr, "charges.v1.ChargeService/Charge")

	return outcome(c.t, nil, c.grpcurl, args...)
}

func (c *tools) callNode(source ...string) string {
	modules, err := filepath.Abs("node/node_modules")
	if err != nil {
		c.t.Fatal(err)
	}

	return outcome(c.t, []string{"NODE_PATH=" + modules}, node(c.t), append([]string{"testdata/call.js", c.addr}, source...)...)
}

// callPython generates code for the service, and for the options if the service imports them.
func (c *tools) callPython(source ...string) string {
	generated := c.t.TempDir()
	args := append(slices.Clone(source), "--python_out="+generated, "--grpc_python_out="+generated)

	out, err := run(c.t.Context(), ".", nil, python(c.t), append(args, chargesProto)...)
	if err != nil {
		return out
	}

	if text, err := os.ReadFile(filepath.Join(generated, "charges", "v1", "charges_pb2.py")); err != nil {
		c.t.Fatal(err)
	} else if strings.Contains(string(text), "from onlyonce") {
		output(c.t, ".", nil, python(c.t), append(args, optionsProto)...)
	}

	return outcome(c.t, []string{"PYTHONPATH=" + generated, "PYTHONDONTWRITEBYTECODE=1"}, python(c.t), "testdata/call.py", c.addr)
}

// outcome is what a command prints, which may have failed: then it has printed why.
func outcome(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()

	out, err := run(t.Context(), ".", env, name, args...)
	if err != nil {
		t.Logf("%s: %v", name, err)
	}

	return out
}

func (c *tools) mustCall(outputs map[string]string) {
	c.t.Helper()

	for tool, out := range outputs {
		if !regexp.MustCompile(`(?m)^idempotency-status: (executed|replayed)$`).MatchString(out) {
			c.t.Errorf("%s has made no keyed call:\n%s", tool, out)
		}
	}
}

// The ways of docs/languages.md, with the real tools.
func TestToolsOfOtherLanguagesCallAnAnnotatedService(t *testing.T) {
	c := newTools(t)

	t.Run("with a descriptor set", func(t *testing.T) {
		set := filepath.Join(t.TempDir(), "charges.binpb")
		output(t, ".", nil, python(t), "-m", "grpc_tools.protoc", "-I", "proto", "-I", "../../proto",
			"--include_imports", "--descriptor_set_out="+set, chargesProto)

		c.with(t).mustCall(c.with(t).viaSet(set))
	})

	t.Run("with a buf module", func(t *testing.T) {
		dir := t.TempDir()
		place(t, filepath.Join(dir, "proto", chargesProto), annotated(t))
		place(t, filepath.Join(dir, "third_party", "onlyonce", optionsProto), options(t))
		place(t, filepath.Join(dir, "buf.yaml"), "version: v2\nmodules:\n  - path: proto\n  - path: third_party/onlyonce\n")
		output(t, dir, nil, buf(t), "build", "--output", "charges.binpb")
		output(t, dir, nil, buf(t), "export", ".", "--output", "exported")

		c.with(t).mustCall(c.with(t).viaSet(filepath.Join(dir, "charges.binpb")))
		c.with(t).mustCall(c.with(t).viaFiles(filepath.Join(dir, "exported")))
	})

	t.Run("with the file beside", func(t *testing.T) {
		dir := t.TempDir()
		place(t, filepath.Join(dir, chargesProto), annotated(t))
		place(t, filepath.Join(dir, optionsProto), options(t))

		c.with(t).mustCall(c.with(t).viaFiles(dir))
	})

	t.Run("with no import", func(t *testing.T) {
		dir := t.TempDir()
		place(t, filepath.Join(dir, chargesProto), plain(t))

		c.with(t).mustCall(c.with(t).viaFiles(dir))
	})
}

// with is the same tools in a subtest.
func (c *tools) with(t *testing.T) *tools {
	t.Helper()

	return &tools{t: t, addr: c.addr, grpcurl: c.grpcurl}
}

// The errors by which somebody finds docs/languages.md.
func TestDocumentationHasTheErrorsOfAMissingImport(t *testing.T) {
	page, err := os.ReadFile("../../docs/languages.md")
	if err != nil {
		t.Fatal(err)
	}

	errors := map[string]string{
		"grpcurl":      "no such file or directory",
		"proto-loader": "ENOENT: no such file or directory",
		"grpcio-tools": "onlyonce/v1/options.proto: File not found.",
	}

	for tool, out := range newTools(t).viaFiles("proto") {
		if !strings.Contains(out, errors[tool]) || !strings.Contains(out, optionsProto) {
			t.Errorf("%s fails without %q:\n%s", tool, errors[tool], out)
		}

		if !strings.Contains(string(page), errors[tool]) {
			t.Errorf("docs/languages.md does not have %q", errors[tool])
		}
	}

	const ofPython = "No module named 'onlyonce'"

	generated := t.TempDir()
	output(t, ".", nil, python(t), "-m", "grpc_tools.protoc", "-I", "proto", "-I", "../../proto", "--python_out="+generated, chargesProto)

	out, err := run(t.Context(), ".", []string{"PYTHONPATH=" + generated}, python(t), "-c", "import charges.v1.charges_pb2")
	if err == nil || !strings.Contains(out, ofPython) || !strings.Contains(string(page), ofPython) {
		t.Errorf("docs/languages.md must have %q, which Python has without the module of the options: %v\n%s", ofPython, err, out)
	}
}

func annotated(t *testing.T) string {
	t.Helper()

	return read(t, filepath.Join("proto", chargesProto))
}

func options(t *testing.T) string {
	t.Helper()

	return read(t, filepath.Join("..", "..", "proto", optionsProto))
}

// plain is the service without annotations, as a team has it that sets the policy on the server.
func plain(t *testing.T) string {
	t.Helper()

	text := regexp.MustCompile(`(?s)import "onlyonce[^;]*;|option \(onlyonce\.[^;]*;`).ReplaceAllString(annotated(t), "")
	if strings.Contains(text, "onlyonce.v1") {
		t.Fatalf("an annotation is left:\n%s", text)
	}

	return text
}

func read(t *testing.T, path string) string {
	t.Helper()

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}

func place(t *testing.T, path, text string) {
	t.Helper()

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// buf is the program that the Makefile installs.
func buf(t *testing.T) string {
	t.Helper()

	path, err := filepath.Abs("../../.tools/buf")
	if err != nil {
		t.Fatal(err)
	}

	if _, err := os.Stat(path); err != nil {
		t.Fatalf("buf is missing: run make languages: %v", err)
	}

	return path
}
