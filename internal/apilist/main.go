// Command apilist writes the exported API of every public package into the folder api, one file for each package, without comments. A
// change of the API changes these files, so it cannot happen by accident.
//
//	go run ./internal/apilist
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// folder contains the lists.
const folder = "api"

func main() {
	lists, err := listsOf(".")
	if err != nil {
		log.Fatal(err)
	}

	if err := os.RemoveAll(folder); err != nil {
		log.Fatal(err)
	}

	if err := os.MkdirAll(folder, 0o750); err != nil {
		log.Fatal(err)
	}

	for name, text := range lists {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			log.Fatal(err)
		}
	}
}

// listsOf returns the lists of all packages below a folder, by file name.
func listsOf(root string) (map[string][]byte, error) {
	lists := make(map[string][]byte)

	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}

		if path != root && hidden(entry.Name()) {
			return filepath.SkipDir
		}

		text, err := listOf(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}

		if text != nil {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}

			lists[fileName(rel)] = text
		}

		return nil
	})

	return lists, err
}

// hidden reports whether packages in a folder with this name are not public.
func hidden(name string) bool {
	others := []string{"bench", "conformance", "docs", "examples", "internal", "node_modules", "proto", "testdata", "third_party"}

	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || slices.Contains(others, name)
}

// fileName returns the file name of a package's list.
func fileName(dir string) string {
	if dir == "." {
		return "onlyonce.txt"
	}

	return strings.ReplaceAll(filepath.ToSlash(dir), "/", ".") + ".txt"
}

// listOf returns the list of a package. It returns nil if there is no package, or a program.
func listOf(dir string) ([]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}

	files := token.NewFileSet()

	var decls []ast.Decl

	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}

		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}

		if file.Name.Name == "main" {
			return nil, nil
		}

		if ast.FileExports(file) {
			decls = append(decls, file.Decls...)
		}
	}

	return printed(files, decls)
}

// printed prints declarations sorted by name, each once. Files for different systems may repeat a declaration.
func printed(files *token.FileSet, decls []ast.Decl) ([]byte, error) {
	texts := make(map[string]string)

	for _, decl := range decls {
		for _, single := range split(decl) {
			var text bytes.Buffer
			if err := format.Node(&text, files, single); err != nil {
				return nil, err
			}

			texts[text.String()] = nameOf(single)
		}
	}

	if len(texts) == 0 {
		return nil, nil
	}

	sorted := slices.SortedFunc(maps.Keys(texts), func(a, b string) int { return cmp.Or(cmp.Compare(texts[a], texts[b]), cmp.Compare(a, b)) })

	return []byte(strings.Join(sorted, "\n\n") + "\n"), nil
}

// split splits a group into single declarations. Constants stay together, because a constant may take its type from another.
func split(decl ast.Decl) []ast.Decl {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil && !ast.IsExported(receiver(d.Recv.List[0].Type)) {
			return nil
		}

		d.Body = nil
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}

		if d.Tok == token.CONST {
			return []ast.Decl{d}
		}

		var singles []ast.Decl
		for _, spec := range d.Specs {
			singles = append(singles, &ast.GenDecl{Tok: d.Tok, Specs: []ast.Spec{withoutValue(spec)}})
		}

		return singles
	}

	return []ast.Decl{decl}
}

// withoutValue removes the value of a variable with a type. The value is not part of the API.
func withoutValue(spec ast.Spec) ast.Spec {
	if value, ok := spec.(*ast.ValueSpec); ok && value.Type != nil {
		value.Values = nil
	}

	return spec
}

// nameOf returns the sort key of a declaration. Methods follow their type.
func nameOf(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}

		return receiver(d.Recv.List[0].Type) + "." + d.Name.Name
	case *ast.GenDecl:
		switch spec := d.Specs[0].(type) {
		case *ast.TypeSpec:
			return spec.Name.Name
		case *ast.ValueSpec:
			return spec.Names[0].Name
		}
	}

	return ""
}

// receiver returns the type name of a receiver.
func receiver(of ast.Expr) string {
	switch t := of.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}

	return ""
}
