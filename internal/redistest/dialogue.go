//go:build unix

package redistest

import (
	"bufio"
	"strings"
	"sync/atomic"

	"github.com/onlyonce-go/onlyonce/internal/proxytest"
)

// dialogue is the protocol of Redis on one connection.
type dialogue struct {
	target     string
	subscribed atomic.Bool

	// State of the current request.
	current *proxytest.Request[Command]
	missing int // confirmations of a subscription that are still to come
}

// Kinds of requests.
const (
	ordinary = iota
	subscription
)

func newDialogue(target string) proxytest.Dialogue[Command] { return &dialogue{target: target} }

// Greeting returns none: the client begins.
func (*dialogue) Greeting() *proxytest.Request[Command] { return nil }

func (d *dialogue) Request(r *bufio.Reader) (*proxytest.Request[Command], error) {
	words, raw, err := readRequest(r)
	if err != nil {
		return nil, err
	}

	request := &proxytest.Request[Command]{Raw: raw}
	command := Command{Name: strings.ToLower(words[0]), Args: words[1:], Server: d.target}

	if !command.isHousekeeping() {
		request.Commands, request.Counts = []Command{command}, true
	}

	if isSubscription(command.Name) {
		request.Kind = subscription

		d.subscribed.Store(true)
	}

	return request, nil
}

func (d *dialogue) Reply(r *bufio.Reader, to *proxytest.Request[Command]) (proxytest.Reply, error) {
	reply, err := readReply(r)
	if err != nil {
		return proxytest.Reply{}, err
	}

	if to != d.current {
		d.current, d.missing = to, 0

		if to != nil && to.Kind == subscription {
			d.missing = to.Commands[0].confirmations()
		}
	}

	answers, complete := d.attribute(reply)

	return proxytest.Reply{Raw: reply.raw, Unasked: to == nil || !answers, Complete: complete}, nil
}

// attribute reports whether a reply answers the current request, and whether it completes the answer. Other replies are
// messages to a subscriber, and confirmations that no request waits for.
func (d *dialogue) attribute(reply reply) (answers, complete bool) {
	subscribed := d.subscribed.Load()

	switch {
	case (reply.kind == '>' || reply.kind == '*') && subscribed && isSubscription(reply.text):
		d.missing--

		return d.missing >= 0, d.missing == 0
	case reply.kind == '>':
		return false, false
	case reply.kind == '*' && subscribed && isMessage(reply.text):
		return false, false
	default:
		return true, true
	}
}

// isMessage reports whether an array with this first element is something that was published.
func isMessage(word string) bool {
	return word == "message" || word == "pmessage" || word == "smessage"
}
