// Package console shows the records of onlyonce stores in a browser. It can also settle records, if the options allow it.
//
// [New] returns a [Handler], which you mount in your own admin server behind your own authentication:
//
//	activity := new(console.Activity)
//	engine, err := onlyonce.New(store, onlyonce.WithObserver(activity))
//	// …
//	pages, err := console.New(console.Options{MaySettle: isOperator, By: userName},
//		console.Store{Name: "payments", Engine: engine, Activity: activity})
//	// …
//	mux.Handle("/admin/onlyonce/", requireLogin(http.StripPrefix("/admin/onlyonce", pages)))
//
// The `onlyonce console` command serves the same pages on loopback, protected by a token: see [Local].
//
// # Guarantees
//
//   - The pages are read-only unless Options.MaySettle allows changes. Each change needs a name, a reason and a confirmation.
//   - A settlement is fenced by the record that the page has shown. If the record has changed since, nothing is written.
//   - The pages hide keys, requests and answers. They show them on request only if Options.MayReveal allows it.
//   - The pages contain no scripts and load nothing from other addresses. Their Content-Security-Policy forbids both.
//   - The handler refuses requests that other sites trigger.
//   - The handler starts no goroutine.
//
// The handler does not authenticate. Everybody who can reach it can read methods, times, error codes and reasons.
package console
