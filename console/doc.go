// Package console shows the records of onlyonce stores in a browser, and settles those whose outcome is unknown, if the options allow it.
//
// [New] returns a [Handler], for a company's own admin server behind its own authentication:
//
//	activity := new(console.Activity)
//	engine, err := onlyonce.New(store, onlyonce.WithObserver(activity))
//	// …
//	pages, err := console.New(console.Options{MaySettle: isOperator, By: userName},
//		console.Store{Name: "payments", Engine: engine, Activity: activity})
//	// …
//	mux.Handle("/admin/onlyonce/", requireLogin(http.StripPrefix("/admin/onlyonce", pages)))
//
// The command `onlyonce console` serves the same pages on loopback, behind a token: see [Local].
//
// # What the pages promise
//
//   - They read. They write only if Options.MaySettle allows it, and then only with a name, a reason and a second look.
//   - A settlement is fenced by what the page has shown. If the record has changed since, nothing is written.
//   - Keys, requests and answers are hidden until somebody asks for them, and cannot be asked for unless Options.MayReveal allows it.
//   - They are made by the server, without scripts and without anything from elsewhere. Their Content-Security-Policy allows nothing else.
//   - Requests that other sites make are refused.
//   - The handler starts no goroutine.
//
// The handler does not authenticate. Whoever reaches it can read methods, times, error codes and reasons.
package console
