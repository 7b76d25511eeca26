package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	listShown    = 100 // maximum number of records in a list
	allShown     = 2000
	refreshEvery = 10 // seconds
)

// overviewPage is the first page.
type overviewPage struct {
	frame

	Now    moment
	Filter filter
	Stores []storeView
	// Every is the address of the page that reloads itself. Once is the address of the page that does not.
	Every, Once string
}

// filter restricts the page to a store or a method.
type filter struct{ Store, Method string }

// With returns the address of the page of a method.
func (filter) With(store, method string) string {
	return "./?" + url.Values{paramStore: {store}, "method": {method}}.Encode()
}

type storeView struct {
	Name string
	At   moment
	// Running and Unknown are numbers of records. Bad reports that there are unknown records.
	Running, Unknown string
	Bad              bool
	// UnknownUnread and RunningUnread report an incomplete list.
	UnknownUnread, RunningUnread bool
	Oldest                       moment
	Observed                     bool
	Calls                        tally
	Picture                      picture
	Methods                      []methodRow
	UnknownRows, RunningRows     []recordRow
	UnknownLeft, RunningLeft     int
	// All is the address of the page with longer lists.
	All      string
	Problems []string
}

func (h *Handler) overview(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	page := overviewPage{
		frame: h.frame(r, "Records"), Now: moment{time.Now(), time.Now()},
		Filter: filter{query.Get(paramStore), query.Get("method")},
		Every:  with(query, "refresh", strconv.Itoa(refreshEvery)), Once: with(query, "refresh", ""),
	}

	if query.Get("refresh") != "" {
		page.Refresh = refreshEvery
	}

	shown := listShown
	if query.Get("all") != "" {
		shown = allShown
	}

	for _, s := range h.sources {
		if page.Filter.Store != "" && page.Filter.Store != s.Name {
			continue
		}

		snap, err := s.read(r.Context(), &h.opts)
		if err != nil {
			snap = &snapshot{At: time.Now(), Unknown: list{Err: err}, Running: list{Err: err}}
		}

		view := s.view(snap, page.Filter.Method, shown)
		for _, err := range []error{snap.Unknown.Err, snap.Running.Err} {
			if err != nil && !slices.Contains(view.Problems, h.text(err)) {
				view.Problems = append(view.Problems, h.text(err))
			}
		}

		view.All = with(query, "all", "1")
		page.Stores = append(page.Stores, view)
	}

	h.render(w, http.StatusOK, "overview", &page)
}

// with returns the address of the first page with one more parameter.
func with(query url.Values, name, value string) string {
	next := url.Values{}

	for _, kept := range []string{paramStore, "method", "refresh", "all"} {
		if query.Get(kept) != "" {
			next.Set(kept, query.Get(kept))
		}
	}

	next.Set(name, value)

	if value == "" {
		next.Del(name)
	}

	return "./?" + next.Encode()
}

// view returns the part of the page for a store.
func (s *source) view(snap *snapshot, method string, shown int) storeView {
	now := time.Now()
	v := storeView{
		Name: s.Name, At: moment{snap.At, now}, Observed: s.Activity != nil,
		Running: snap.Running.Total(), Unknown: snap.Unknown.Total(), Bad: snap.Unknown.Count() > 0,
		UnknownUnread: snap.Unknown.Err != nil, RunningUnread: snap.Running.Err != nil,
	}

	var calls map[string]tally

	if s.Activity != nil {
		var bars []tally

		bars, calls = s.Activity.read(now)
		v.Picture = drawCalls(bars)

		for _, bar := range bars {
			v.Calls = v.Calls.plus(bar)
		}
	} else {
		v.Picture = drawSamples(s.samples.read(now), now)
	}

	v.Methods = byMethod(snap, calls)
	if len(v.Methods) > 0 {
		v.Oldest = v.Methods[0].Oldest
	}

	v.UnknownRows, v.UnknownLeft = recordRows(&snap.Unknown, method, shown)
	v.RunningRows, v.RunningLeft = recordRows(&snap.Running, method, shown)

	return v
}
