package memstore

import "strings"

// names numbers the methods of a shard's records, so that an entry needs no pointer. There are few methods, and a name is kept as long as a
// record uses it. Number 0 is the empty name.
type names struct {
	numbers map[string]uint32
	all     []name   // the name with number n is all[n-1]
	free    []uint32 // unused numbers
	last    uint32   // the number that was taken last: records in a row mostly share a method
}

type name struct {
	text    string
	holders uint32
}

func (n *names) text(number uint32) string {
	if number == 0 {
		return ""
	}

	return n.all[number-1].text
}

// swap returns the number of a name for a holder that gives up the number had. Had is 0 if it has none.
func (n *names) swap(had uint32, text string) uint32 {
	if n.text(had) == text {
		return had
	}

	n.give(had)

	return n.take(text)
}

func (n *names) take(text string) uint32 {
	if text == "" {
		return 0
	}

	if n.text(n.last) != text {
		n.last = n.numberOf(text)
	}

	n.all[n.last-1].holders++

	return n.last
}

func (n *names) numberOf(text string) uint32 {
	if number, found := n.numbers[text]; found {
		return number
	}

	return n.add(strings.Clone(text))
}

func (n *names) add(text string) (number uint32) {
	if n.numbers == nil {
		n.numbers = make(map[string]uint32)
	}

	if last := len(n.free) - 1; last >= 0 {
		number = n.free[last]
		n.free = n.free[:last]
	} else {
		n.all = append(n.all, name{})
		number = uint32(len(n.all)) //nolint:gosec // no more than there are records
	}

	n.numbers[text] = number
	n.all[number-1] = name{text: text}

	return number
}

func (n *names) give(number uint32) {
	if number == 0 {
		return
	}

	held := &n.all[number-1]
	held.holders--

	if held.holders == 0 {
		delete(n.numbers, held.text)
		*held = name{}
		n.free = append(n.free, number)
	}
}
