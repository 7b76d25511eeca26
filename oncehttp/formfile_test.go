package oncehttp_test

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"os"
	"testing"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/oncehttp"
)

// Every function of the program gets a request of its own, and net/http removes only the files of its request.
func TestFilesOfAFormAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())

	parsed := 0
	parse := func(r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
		}

		if files, err := os.ReadDir(os.TempDir()); len(files) == 0 || err != nil {
			t.Errorf("the form has made no file: %v", err)
		}

		parsed++
	}

	w := start(t, setup{options: []oncehttp.Option{
		oncehttp.WithReplayCheck(func(r *http.Request) error {
			parse(r)

			return nil
		}),
		oncehttp.WithPolicy(oncehttp.Policy{
			Policy: onlyonce.Policy{KeepRequest: 1 << 20},
			Recover: func(_ context.Context, r *http.Request, _ onlyonce.Record) (onlyonce.Finding, error) {
				parse(r)

				return onlyonce.StillUnknown(), nil
			},
		}),
	}}, func(rw http.ResponseWriter, r *http.Request) {
		parse(r)
		failing(rw, r)
	})

	var form bytes.Buffer

	parts := multipart.NewWriter(&form)
	part, _ := parts.CreateFormFile("file", "file.txt")
	_, _ = part.Write(make([]byte, 100_000))
	_ = parts.Close()

	for _, want := range []int{1, 3} { // the handler; the replay check and the recovery
		w.send(w.request(http.MethodPost, "/", "k", form.String(), "Content-Type", parts.FormDataContentType()))
		mustHaveNoFiles(t, parsed, want)
	}

	rec, err := w.engine.Lookup(t.Context(), onlyonce.Identity{Scope: "shared", Method: "POST /{rest...}", Key: "k"})
	if err == nil {
		_, err = w.engine.Recover(t.Context(), rec)
	}

	if err != nil {
		t.Error(err)
	}

	mustHaveNoFiles(t, parsed, 4)
}

func mustHaveNoFiles(t *testing.T, parsed, want int) {
	t.Helper()

	if parsed != want {
		t.Errorf("the form was parsed %d times, want %d", parsed, want)
	}

	if files, err := os.ReadDir(os.TempDir()); len(files) > 0 || err != nil {
		t.Errorf("%v are left, %v", files, err)
	}
}
