package storetest

// A rule is what a failure names: a numbered rule of package store, or a capability.
type rule struct {
	name string
	text string
}

func (r rule) String() string { return r.name + " (" + r.text + ")" }

// The rules, numbered as in package store. Rule 9 is a rule of the engine.
var (
	atomicity = rule{
		"rule 1", "one atomic operation decides, on the store's clock",
	}
	expectedFence = rule{
		"rule 1", "a claim wins only if the record still has the fence that it expects",
	}
	fenced = rule{
		"rule 2", "writes are fenced by the owner token",
	}
	finality = rule{
		"rule 2", "only the end of its retention and a forgetting end COMPLETED",
	}
	resends = rule{
		"rule 3", "every operation can arrive twice, and its repeat is recognised by token, operation and outcome",
	}
	revival = rule{
		"rule 3", "an operation that revives an ended lease raises the fence by one",
	}
	withdrawal = rule{
		"rule 4", "an abandoned claim is released even before it arrives, so that it loses when it arrives",
	}
	binding = rule{
		"rule 5", "a key is bound to its first request in every state; other fingerprint schemes count as the same request",
	}
	fenceOrder = rule{
		"rule 6", "the fence rises with every new run and never decreases within a record's life",
	}
	unsettled = rule{
		"rule 7", "an unsettled record never expires with its lease",
	}
	takeoverAge = rule{
		"rule 8", "a run is not taken over once the first start is older than the retention",
	}
	settlement = rule{
		"rule 10", "the owner's own result settles an unknown record, unless somebody resolved it first",
	}
	ownerAlive = rule{
		"rule 11", "\"nothing happened\" is refused while the owner may be alive",
	}

	kept = rule{
		"rule 12", "a record keeps the retention of its owner's claim, and every settlement uses it, unless the owner's completion replaces it",
	}
	forgetting = rule{
		"rule 13", "a forgetting removes the record that it names, and only by force while the owner may be alive",
	}

	guarantee = rule{
		"guarantee", "the stricter guarantee of record and claim decides, and only AT_LEAST_ONCE and EXACTLY_ONCE allow a takeover",
	}
	receipts = rule{
		"receipt", "an operation that ends a run has the same result with its own, an older, a foreign and no receipt",
	}
	inPlace = rule{
		"Direct", "ClaimTo and CompleteTo do what Claim and Complete do, and overwrite the result",
	}
	attempts = rule{
		"attempts", "runs are counted, and a takeover is refused after MaxAttempts runs",
	}
	doubt = rule{
		"doubt", "a record whose run may have taken effect stays doubtful until it is resolved as not executed",
	}
	contents = rule{
		"record", "it keeps all fields byte for byte, with times on the store's clock",
	}
	table = rule{
		"transition table", "an operation has the effect of its Apply function in package store",
	}
	cancelled = rule{
		"context", "an operation under an ended context takes effect completely or not at all",
	}
	capabilities = rule{
		"Capabilities", "they report everything that the store can do, nothing else, and never change",
	}
	inspector = rule{
		"Inspector", "Lookup reads the record and changes nothing; Resolve settles a record whose outcome is unknown",
	}
	lister = rule{
		"Lister", "ListUnknown yields the records whose outcome is unknown, and no others",
	}
	runningLister = rule{
		"Lister", "ListRunning yields the records that run under a lease, and no others",
	}
	notes = rule{
		"note", "the note of a claim stays while the run goes on, and that of a resolution as RELEASED until the next run, byte for byte",
	}
	notifier = rule{
		"Notifier", "the channel of a watch is closed when the run stops after Watch returned",
	}
	oneCommit = rule{
		"Transactional", "claim, rows and outcome commit together or leave nothing, and nobody sees them before",
	}
	turns = rule{
		"Transactional", "Begin waits for the end of another transaction of the key, at most for its wait",
	}
	use = rule{
		"Transactional", "Used reports whether the handler took the transaction from its context",
	}
	joins = rule{
		"Transactional", "a joined completion commits with the handler's transaction, and only while the run owns the record",
	}
)
