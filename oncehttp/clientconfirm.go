package oncehttp

import "sync"

// standing is the client's knowledge about the protection of a route.
type standing uint8

const (
	standingUnknown   standing = iota // no server has answered yet
	standingPresumed                  // no server has answered yet, and the program declares that all servers protect the route
	standingConfirmed                 // the servers have answered, always with a sign of protection since
	standingDenied                    // a server has answered without a sign of protection
)

// reply is the end of an attempt, as evidence.
type reply uint8

const (
	replyUnsent  reply = iota // nothing left the client
	replyLost                 // the request may have been sent, and no answer arrived
	replyShown                // an answer with a sign of protection
	replyInFront              // an answer without a sign, possibly from a proxy in front of the server
	replyBare                 // an answer without a sign
)

// mayRetry reports whether another attempt is safe after a reply. Before is the standing when the attempt was sent.
func (before standing) mayRetry(r reply) bool {
	switch r {
	case replyUnsent, replyShown:
		return true
	case replyLost:
		return before == standingConfirmed || before == standingPresumed
	case replyInFront: // the answer may also be from a handler without the kit, after its work
		return before == standingConfirmed
	case replyBare:
		return false
	default:
		return false
	}
}

// confirmingRun is how many answers in a row with a sign of protection end a denial: several servers may share a name.
const confirmingRun = 16

// mostRoutes is how many routes are remembered. Further routes are never confirmed.
const mostRoutes = 10_000

// confirmations has the evidence of the servers, by route.
type confirmations struct {
	mu     sync.Mutex
	routes map[string]*routeRecord
}

// routeRecord is the evidence of the answers of a route.
type routeRecord struct {
	missing  int // answers with a sign that are still needed after a denial
	shown    bool
	reported bool
}

// of returns the standing of a route.
func (c *confirmations) of(route string, presumed bool) standing {
	c.mu.Lock()
	defer c.mu.Unlock()

	record := c.routes[route]

	switch {
	case record == nil && presumed && len(c.routes) < mostRoutes:
		return standingPresumed
	case record == nil:
		return standingUnknown
	case record.missing > 0:
		return standingDenied
	case record.shown:
		return standingConfirmed
	default:
		return standingUnknown
	}
}

// learn records a reply. It returns true if the caller must report that the route is not protected.
func (c *confirmations) learn(route string, r reply) (report bool) {
	if r != replyShown && r != replyBare {
		return false
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	record := c.routes[route]
	if record == nil {
		if len(c.routes) >= mostRoutes {
			return false
		}

		if c.routes == nil {
			c.routes = make(map[string]*routeRecord)
		}

		record = new(routeRecord)
		c.routes[route] = record
	}

	if r == replyBare {
		record.missing, record.shown = confirmingRun, false
		report, record.reported = !record.reported, true

		return report
	}

	if record.missing > 0 {
		record.missing--
	}

	record.shown = record.missing == 0

	return false
}
