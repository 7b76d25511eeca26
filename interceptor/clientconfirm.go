package interceptor

import (
	"cmp"
	"runtime"
	"sync"
	"time"
	"weak"

	"google.golang.org/grpc"
)

// standing is what the client knows about a replica: whether it protects a method.
type standing int

const (
	standingUnknown   standing = iota // the replica has not answered yet
	standingPresumed                  // the replica has not answered yet, and the .proto declares the method protected
	standingConfirmed                 // the replica answered with the status trailer before the attempt was sent, and never without it since
	standingDenied                    // the replica answered without the status trailer, and has not had confirmingRun answers with it since
)

// trusted reports whether a retry is safe even if the replica has run the call.
func (s standing) trusted() bool { return s == standingPresumed || s == standingConfirmed }

// reply is how an attempt ended, as evidence whether the server protects the method.
type reply int

const (
	replyUnsent  reply = iota // nothing left the client
	replyLost                 // the request was sent, and no whole answer arrived
	replyStatus               // an answer with the status trailer
	replyUnseen               // an error, and nothing shows whether the request was sent
	replyInFront              // an answer without the trailer, possibly from a proxy or an interceptor in front of the kit
	replyBare                 // an answer without the trailer: OK, or an error of the application
)

// ruling is the consequence of a reply.
type ruling struct {
	retry  bool // another attempt is safe
	report bool // the method is declared protected, and the server does not protect it
}

// after returns the consequence of a reply of the replica.
func (s standing) after(r reply) ruling {
	switch r {
	case replyUnsent, replyStatus:
		return ruling{retry: true}
	case replyBare:
		return ruling{report: true}
	case replyLost:
		return ruling{retry: s.trusted()}
	case replyInFront: // or the handler of a server without the kit has given it, after its work
		return ruling{retry: s == standingConfirmed}
	case replyUnseen:
		return ruling{}
	default:
		return ruling{}
	}
}

// mostReplicas is how many replicas of a connection are remembered for each method.
const mostReplicas = 256

// confirmingRun is how many answers in a row with the status trailer confirm a denied replica. Several servers may share its address, and
// only some of them may protect the method.
const confirmingRun = 16

// replicaRecord is what the answers of a replica show. The zero value belongs to a replica that has given no answer.
type replicaRecord struct {
	missing int    // answers with the status trailer that are still needed to confirm it
	since   uint64 // the answer that has confirmed it, by its number on the connection
}

func (r replicaRecord) confirmed() bool { return r.missing == 0 && r.since > 0 }

// after returns the record with another answer. Number is the number of the answer on the connection, from 1.
func (r replicaRecord) after(answer reply, number uint64) replicaRecord {
	switch {
	case answer != replyStatus:
		return replicaRecord{missing: confirmingRun}
	case r.confirmed():
		return r
	case r.missing > 1:
		return replicaRecord{missing: r.missing - 1}
	default:
		return replicaRecord{since: number}
	}
}

// confirmation collects what the answers on one connection show about one method. A replica is identified by its address.
type confirmation struct {
	presumed bool // the .proto declares that servers protect the method
	shared   bool // the method is one too many to be remembered: no answer is recorded, and no replica is trusted

	mu        sync.Mutex
	answers   uint64 // how many answers have come
	replicas  map[string]replicaRecord
	retention time.Duration // the shortest that an answer with the status trailer has declared; 0: none
}

// now returns the number of the last answer. An attempt notes it before it is sent.
func (c *confirmation) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.answers
}

// of returns the standing of a replica for an attempt that is sent now.
func (c *confirmation) of(replica string) standing {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.standing(replica, c.answers)
}

// standing returns the standing of a replica for an attempt. Sent is the number of answers before the attempt. An answer that came later
// does not confirm that attempt: another server may have given the answer, behind the same address.
func (c *confirmation) standing(replica string, sent uint64) standing {
	record, known := c.replicas[replica]

	switch {
	case known && !record.confirmed():
		return standingDenied
	case known && record.since <= sent:
		return standingConfirmed
	case c.presumed && !c.denied():
		return standingPresumed
	default:
		return standingUnknown
	}
}

// denied reports whether any replica has denied. No other replica is then presumed to protect the method.
func (c *confirmation) denied() bool {
	for _, record := range c.replicas {
		if !record.confirmed() {
			return true
		}
	}

	return false
}

// learn records the reply of a replica to an attempt, and returns its consequence. Sent is the number of answers before the attempt.
func (c *confirmation) learn(replica string, sent uint64, r reply) ruling {
	c.mu.Lock()
	defer c.mu.Unlock()

	ruled := c.standing(replica, sent).after(r)

	if c.shared {
		return ruled
	}

	if r == replyStatus || r == replyBare {
		c.answers++
		c.keep(replica, c.replicas[replica].after(r, c.answers))
	}

	return ruled
}

func (c *confirmation) keep(replica string, record replicaRecord) {
	if c.replicas == nil {
		c.replicas = make(map[string]replicaRecord)
	}

	if _, known := c.replicas[replica]; !known && len(c.replicas) >= mostReplicas {
		c.forget()
	}

	c.replicas[replica] = record
}

// forget makes room for a replica. It removes a confirmed replica if there is one, which only costs a retry. If all replicas are denied, it
// removes any of them. The remaining ones still prevent that a replica is presumed.
func (c *confirmation) forget() {
	victim := ""

	for replica, record := range c.replicas {
		victim = replica

		if record.confirmed() {
			break
		}
	}

	delete(c.replicas, victim)
}

// declare records how long a server keeps outcomes. The shortest time holds: another replica may declare a longer time.
func (c *confirmation) declare(retention time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.retention = min(cmp.Or(c.retention, retention), retention)
}

// declaredRetention returns the shortest retention that the servers have declared, or 0.
func (c *confirmation) declaredRetention() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.retention
}

// connection identifies a connection. A call without one belongs to the target that its options name.
type connection struct {
	conn   weak.Pointer[grpc.ClientConn]
	target string // empty: there is a connection
}

// connectionOf returns the identity of a connection, which may be nil.
func connectionOf(cc *grpc.ClientConn, target string) connection {
	if cc != nil {
		return connection{conn: weak.Make(cc)}
	}

	return connection{target: target}
}

// confirmations has the confirmations of all connections of an interceptor. A connection is removed when it is garbage-collected.
type confirmations struct {
	presumed func(fullMethod string) bool

	mu    sync.RWMutex
	conns map[connection]*perMethod[*confirmation]
}

// of returns the confirmation of a method on a connection, which may be nil.
func (c *confirmations) of(cc *grpc.ClientConn, target, fullMethod string) *confirmation {
	key := connectionOf(cc, target)

	c.mu.RLock()
	methods := c.conns[key]
	c.mu.RUnlock()

	if methods == nil {
		methods = c.add(cc, key)
	}

	return methods.get(fullMethod)
}

func (c *confirmations) add(cc *grpc.ClientConn, key connection) *perMethod[*confirmation] {
	c.mu.Lock()
	defer c.mu.Unlock()

	if methods := c.conns[key]; methods != nil {
		return methods
	}

	further := &confirmation{shared: true}
	methods := &perMethod[*confirmation]{
		find: func(fullMethod string) *confirmation { return &confirmation{presumed: c.presumed(fullMethod)} },
		more: func(*confirmation) *confirmation { return further },
	}

	if c.conns == nil {
		c.conns = make(map[connection]*perMethod[*confirmation])
	}

	c.conns[key] = methods

	if cc != nil {
		runtime.AddCleanup(cc, c.drop, key)
	}

	return methods
}

func (c *confirmations) drop(key connection) {
	c.mu.Lock()
	defer c.mu.Unlock()

	delete(c.conns, key)
}
