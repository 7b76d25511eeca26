package wires_test

import (
	"testing"
	"time"
)

// row is a row of the contract.
type row struct {
	says string
	// without returns why a wire cannot express the row. Nil and "" mean that it can.
	without func(w *wire) string
	setup   func() setup
	// check runs the row, and returns its cell in the table. Empty means yes.
	check func(s *stage) string
}

// table is a section of the contract.
type table struct {
	title string
	rows  []row
}

func contract() []table {
	return []table{
		{"Request", requestRows()},
		{"Answer", answerRows()},
		{"Rejections", rejectionRows()},
		{"Which outcomes are kept", classRows()},
	}
}

// cell is a row on a wire.
type cell struct {
	text string
	note string // why the wire cannot express the row
}

// TestContract is the contract on every wire, row by row, over real connections.
func TestContract(t *testing.T) {
	found := make(map[string]map[string]cell)

	for _, w := range wires() {
		cells := make(map[string]cell)
		found[w.name] = cells

		t.Run(w.name, func(t *testing.T) {
			for _, section := range contract() {
				for _, r := range section.rows {
					t.Run(section.title+"/"+r.says, func(t *testing.T) {
						cells[section.title+r.says] = r.run(t, &w)
					})
				}
			}
		})
	}

	var clients map[string]string

	t.Run("clients", func(t *testing.T) { clients = reactionsOfClients(t) })

	rows := 0
	for _, section := range contract() {
		rows += len(section.rows)
	}

	if len(clients) != len(clientWires())*len(clientRows()) {
		return // the flags choose some
	}

	for _, cells := range found {
		if len(cells) != rows {
			return // the flags choose some
		}
	}

	if !t.Failed() {
		checkPage(t, page(found, clients))
	}
}

func (r *row) run(t *testing.T, w *wire) cell {
	t.Helper()

	if r.without != nil {
		if why := r.without(w); why != "" {
			return cell{note: why}
		}
	}

	made := setup{}
	if r.setup != nil {
		made = r.setup()
	}

	text := r.check(w.stage(t, made))
	if text == "" {
		text = "yes"
	}

	return cell{text: text}
}

// patience is the longest wait for an event.
const patience = time.Minute

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()

	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for ", what)
		}
	}
}
