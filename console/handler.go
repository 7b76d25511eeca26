package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/onlyonce-go/onlyonce"
	"github.com/onlyonce-go/onlyonce/store"
)

// Handler serves the pages. All links are relative, so it can be mounted below any prefix with [http.StripPrefix]. It is safe for
// concurrent use and starts no goroutine. See [New].
type Handler struct {
	opts    Options
	sources []*source
	sealer  sealer
	serve   http.Handler
}

// New returns a handler for stores. An error is a programming error: no store, a missing or duplicate name, or a short secret.
func New(opts Options, stores ...Store) (*Handler, error) {
	if err := validate(&opts, stores); err != nil {
		return nil, err
	}

	if opts.Title == "" {
		opts.Title = "onlyonce"
	}

	if opts.MaxListed == 0 {
		opts.MaxListed = defaultMaxListed
	}

	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}

	if opts.Transport.isZero() {
		opts.Transport = GRPC(nil)
	}

	if opts.Secret == nil {
		opts.Secret = make([]byte, minSecret)
		_, _ = rand.Read(opts.Secret) // never fails
	}

	h := &Handler{opts: opts, sealer: sealer{opts.Secret}}
	for _, s := range stores {
		h.sources = append(h.sources, newSource(s))
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.overview)
	mux.HandleFunc("GET /record", h.record)
	mux.HandleFunc("POST /settle", h.settle)
	mux.HandleFunc("POST /forget", h.forget)
	mux.HandleFunc("GET /style.css", asset("text/css; charset=utf-8", style))
	mux.HandleFunc("GET /icon.svg", asset("image/svg+xml", icon))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.problem(w, r, http.StatusNotFound, "Page not found", "The console has no page at this address.")
	})

	sameSite := http.NewCrossOriginProtection()
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.problem(w, r, http.StatusForbidden, "Refused", "The request came from another site. Nothing was changed.")
	}))

	h.serve = sameSite.Handler(mux)

	return h, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())

	if r.URL.Path == "" { // StripPrefix and a request without the trailing slash
		full, _, _ := strings.Cut(r.RequestURI, "?")
		redirect(w, path.Base(full)+"/")

		return
	}

	h.serve.ServeHTTP(w, r)
}

// Sample reads every store that has no Activity, for its picture. Each view of the first page samples, too. Call Sample every 10 seconds
// for a picture without gaps. The error joins the errors of the stores.
func (h *Handler) Sample(ctx context.Context) error {
	var problems []error

	for _, s := range h.sources {
		if s.Activity != nil {
			continue
		}

		snap, err := s.read(ctx, &h.opts)
		if err == nil {
			err = errors.Join(snap.Unknown.Err, snap.Running.Err)
		}

		if err != nil {
			problems = append(problems, fmt.Errorf("console: reading store %q: %w", s.Name, err))
		}
	}

	return errors.Join(problems...)
}

// protect sets the headers of every response.
func protect(header http.Header) {
	const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

	header.Set("Content-Security-Policy", policy)
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	header.Set("X-Robots-Tag", "noindex")
}

// redirect redirects to an address relative to the request. http.Redirect would use an absolute address without the mount prefix.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

func asset(kind string, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(data) // fails if the browser has gone
	}
}

// source is a store with its last snapshot.
type source struct {
	Store

	samples samples
	turn    chan struct{} // held while reading the store
	last    *snapshot
}

// Parameters that identify a record in addresses and forms.
const (
	paramStore = "store"
	paramID    = "id"
)

const freshFor = time.Second // lifetime of a shared snapshot

func newSource(s Store) *source { return &source{Store: s, turn: make(chan struct{}, 1)} }

// read returns a snapshot that is at most one second old. Concurrent views share a snapshot.
func (s *source) read(ctx context.Context, opts *Options) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()

	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}

	if s.last != nil && time.Since(s.last.At) < freshFor {
		return s.last, nil
	}

	snap := read(ctx, s.Engine, opts.MaxListed)
	s.last = nil

	if snap.Unknown.Err == nil && snap.Running.Err == nil {
		s.last = &snap
		s.samples.add(sample{At: snap.At, Running: snap.Running.Count(), Unknown: snap.Unknown.Count()})
	}

	return &snap, nil
}

// changed drops the snapshot.
func (s *source) changed() {
	s.turn <- struct{}{}
	s.last = nil
	<-s.turn
}

// find reads the record of a request. The error is a page for the browser.
func (h *Handler) find(r *http.Request) (*source, onlyonce.Record, error) {
	name, id := r.FormValue(paramStore), r.FormValue(paramID)

	var from *source

	for _, s := range h.sources {
		if s.Name == name {
			from = s
		}
	}

	if from == nil {
		return nil, onlyonce.Record{}, &failure{http.StatusNotFound, "Store not found", "This console has no store with the name: " + name}
	}

	key, err := store.ParseKey(id)
	if err != nil {
		return nil, onlyonce.Record{}, &failure{http.StatusBadRequest, "Invalid record ID", err.Error()}
	}

	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()

	rec, err := from.Engine.LookupID(ctx, key)

	return from, rec, err
}

// failure is an error page.
type failure struct {
	status        int
	title, detail string
}

func (f *failure) Error() string { return f.title + ": " + f.detail }

// fail answers with a page about an error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if known, ok := errors.AsType[*failure](err); ok {
		h.problem(w, r, known.status, known.title, known.detail)

		return
	}

	h.problem(w, r, http.StatusBadGateway, "The store did not answer", h.text(err))
}

// text returns the error text for the page.
func (h *Handler) text(err error) string {
	if h.opts.Redact == nil {
		return err.Error()
	}

	return h.opts.Redact(err.Error())
}

func (h *Handler) problem(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
	h.render(w, status, "problem", &problemPage{frame: h.frame(r, title), Detail: detail})
}

// frame returns the data that all pages share.
func (h *Handler) frame(r *http.Request, title string) frame {
	return frame{Product: h.opts.Title, Title: title, MaySettle: h.maySettle(r), MayReveal: h.mayReveal(r)}
}

func (h *Handler) maySettle(r *http.Request) bool {
	return h.opts.MaySettle != nil && h.opts.MaySettle(r)
}
func (h *Handler) mayReveal(r *http.Request) bool {
	return h.opts.MayReveal != nil && h.opts.MayReveal(r)
}

// by returns the authenticated name of the person, if the options provide it.
func (h *Handler) by(r *http.Request) string {
	if h.opts.By == nil {
		return ""
	}

	return h.opts.By(r)
}

// render sends a page. A failing template is a programming error.
func (h *Handler) render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer

	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "console: rendering the page failed: "+err.Error(), http.StatusInternalServerError)

		return
	}

	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // fails if the browser has gone
}

// recordURL returns the address of a record, relative to the first page.
func recordURL(storeName, id string) string {
	return "record?" + url.Values{paramStore: {storeName}, paramID: {id}}.Encode()
}
