// Package imports_test holds the packages of this module to what they may link into a program.
package imports_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/onlyonce-go/onlyonce"

// list runs go list in the module.
func list(t *testing.T, args ...string) []string {
	t.Helper()

	return listIn(t, "../..", args...)
}

// listIn runs go list in a folder.
func listIn(t *testing.T, dir string, args ...string) []string {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = dir

	var stderr strings.Builder

	cmd.Stderr = &stderr

	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}

	return strings.Fields(string(out))
}

// within reports whether a package is, or is below, one of the paths.
func within(pkg string, paths ...string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return pkg == path || strings.HasPrefix(pkg, path+"/") })
}

// What a user links who imports a package, all the way down.
func TestForbiddenImports(t *testing.T) {
	grpc := []string{"google.golang.org/grpc", "google.golang.org/genproto"}
	protobuf := []string{"google.golang.org/protobuf"}
	drivers := []string{"database/sql", "github.com/redis", "github.com/jackc", "github.com/go-sql-driver", "modernc.org"}
	others := []string{"go.opentelemetry.io", "net/http/httptest", "testing", "go.uber.org", "github.com/google/go-cmp"}

	rules := []struct {
		pkg       string
		forbidden []string
	}{
		{"", slices.Concat(grpc, protobuf, drivers, others, []string{"net/http"})},
		{"/retry", slices.Concat(grpc, protobuf, drivers, others, []string{"net/http", module + "/store"})},
		{"/journal", slices.Concat(grpc, protobuf, drivers, others, []string{"net/http", module + "/interceptor"})},
		{"/consume", slices.Concat(grpc, protobuf, drivers, others, []string{"net/http", module + "/interceptor"})},
		{"/oncehttp", slices.Concat(grpc, protobuf, drivers, []string{"net/http/httptest", "testing", "go.uber.org", module + "/interceptor"})},
		{"/fingerprint", slices.Concat(grpc, drivers, others, []string{"net/http"})},
		{"/interceptor", slices.Concat(drivers, others, []string{module + "/store/memstore"})},
		{"/store/sqlstore", slices.Concat(grpc, protobuf, drivers[1:], others, []string{"net/http"})},
		{"/store/redisstore", slices.Concat(grpc, protobuf, []string{"database/sql", "net/http", "testing", "go.opentelemetry.io"})},
	}

	for _, rule := range rules {
		for _, dep := range list(t, "-deps", module+rule.pkg) {
			if within(dep, rule.forbidden...) {
				t.Errorf("%s links %s", module+rule.pkg, dep)
			}
		}
	}
}

// What a package may link besides the standard library.
func TestAllowedImports(t *testing.T) {
	store := module + "/store"

	rooms := module + "/internal/"

	rules := map[string][]string{
		module: {
			module, store, rooms + "backlog", rooms + "flight", rooms + "housekeeping", rooms + "keytime", rooms + "lease", rooms + "outcome",
			rooms + "quota", rooms + "uuid",
		},
		module + "/operate": {
			module, store, rooms + "backlog", rooms + "flight", rooms + "housekeeping", rooms + "keytime", rooms + "lease", rooms + "outcome",
			rooms + "quota", rooms + "uuid",
		},
		module + "/reconcile": {
			module, store, rooms + "backlog", rooms + "flight", rooms + "housekeeping", rooms + "keytime", rooms + "lease", rooms + "outcome",
			rooms + "quota", rooms + "uuid",
		},
		module + "/journal": {
			module, store, rooms + "backlog", rooms + "flight", rooms + "housekeeping", rooms + "keytime", rooms + "lease", rooms + "outcome",
			rooms + "quota", rooms + "uuid",
		},
		module + "/consume": {
			module, store, rooms + "backlog", rooms + "flight", rooms + "housekeeping", rooms + "keytime", rooms + "lease", rooms + "outcome",
			rooms + "quota", rooms + "uuid",
		},
		module + "/retry": {module + "/retry"},
		module + "/oncehttp": {
			module, store, rooms + "backlog", rooms + "flight", rooms + "keytime", rooms + "lease", rooms + "outcome", rooms + "quota",
			rooms + "uuid", rooms + "housekeeping", rooms + "httprules", module + "/retry", module + "/journal",
		},
		store:                   {store},
		store + "/memstore":     {store, module + "/internal/quota", module + "/internal/report"},
		store + "/sqlstore":     {store, module + "/internal/report"},
		store + "/storetest":    {store},
		module + "/fingerprint": {store, module + "/fingerprint", module + "/proto/onlyonce/v1", "google.golang.org/protobuf"},
	}

	for pkg, allowed := range rules {
		for _, dep := range list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg) {
			if !slices.ContainsFunc(allowed, func(path string) bool {
				return dep == path || strings.HasPrefix(dep, path+"/") && path != module && path != store
			}) && dep != pkg {
				t.Errorf("%s links %s", pkg, dep)
			}
		}
	}
}

func TestNothingButItsTestPackageImportsTheInterceptor(t *testing.T) {
	const format = `{{range .Imports}}{{if eq . "` + module + `/interceptor"}}{{$.ImportPath}}{{end}}{{end}}`

	// The package with which servers test their interceptors.
	allowed := []string{module + "/interceptor/interceptortest"}

	if found := list(t, "-f", format, "./..."); !slices.Equal(found, allowed) {
		t.Errorf("%v import the interceptor, which is on top: only %v may", found, allowed)
	}
}
