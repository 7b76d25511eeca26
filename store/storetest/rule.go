package storetest

// A rule is what a failure names: a rule of package store by its number, or a capability by its name.
type rule struct {
	name string
	text string
}

func (r rule) String() string { return r.name + " (" + r.text + ")" }

// The rules, numbered as in package store. Rule 9 is the engine's.
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
		"rule 2", "nothing but the end of its retention and a forgetting leaves COMPLETED",
	}
	resends = rule{
		"rule 3", "every operation can arrive twice, and its repeat is recognised by token, operation and outcome",
	}
	revival = rule{
		"rule 3", "whatever revives an ended lease wins it back and raises the fence by one",
	}
	withdrawal = rule{
		"rule 4", "a claim given up on is released even before it has landed, so that it loses when it lands",
	}
	binding = rule{
		"rule 5", "a key is bound to its first request in every state; other fingerprint schemes count as the same request",
	}
	fenceOrder = rule{
		"rule 6", "the fence rises with every new run and never goes back within a record's life",
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
	careful = rule{
		"rule 11", "\"nothing happened\" is refused while the owner may still be alive",
	}

	kept = rule{
		"rule 12", "a record keeps the retention of the claim that made its owner, and whoever settles the record uses that, " +
			"unless the owner's completion brings another",
	}
	forgetting = rule{
		"rule 13", "a forgetting removes the record that it names, and that of an owner who may be alive only where it is forced",
	}

	guarantee = rule{
		"guarantee", "the stricter of the record's and the claim's decides, and only AT_LEAST_ONCE and EXACTLY_ONCE run again",
	}
	receipts = rule{
		"receipt", "an operation that ends a run has the same result with its receipt, an older one, another's and none",
	}
	inPlace = rule{
		"Direct", "ClaimTo and CompleteTo do what Claim and Complete do, and overwrite the result",
	}
	attempts = rule{
		"attempts", "runs are counted, and takeover is refused once there have been MaxAttempts of them",
	}
	doubt = rule{
		"doubt", "a record whose run may have had its effect stays doubtful until it is resolved as not executed",
	}
	contents = rule{
		"record", "it keeps what it was given, byte for byte, with times on the store's clock",
	}
	table = rule{
		"transition table", "an operation does what its Apply function in package store says",
	}
	cancelled = rule{
		"context", "an operation under an ended context takes effect whole or not at all",
	}
	capabilities = rule{
		"Capabilities", "they report all that the store can do, always the same, and nothing that it cannot do",
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
		"Notifier", "a watch is woken by whatever stops the run after Watch has returned",
	}
	oneCommit = rule{
		"Transactional", "claim, rows and outcome commit together or leave nothing, and nobody sees them before",
	}
	turns = rule{
		"Transactional", "Begin waits for the end of another transaction of the key, for as long as it is told",
	}
	use = rule{
		"Transactional", "a transaction reports whether the handler has taken it from its context",
	}
	joins = rule{
		"Transactional", "a joined completion commits with the handler's transaction, and only while the record is the run's own",
	}
)
